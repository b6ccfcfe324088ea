/**
 * A Safe Exam Browser configuration that starts at an exam link, unencrypted: gzip("plnd" || gzip(plist)), as
 * https://safeexambrowser.org/developer/seb-file-format.html has it. Key names: https://safeexambrowser.org/developer/seb-config-key.html
 */
import { concat, utf8, type Bytes } from '../../crypto/format/bytes.ts';

export async function sebFile(examLink: string): Promise<Bytes> {
  return gzip(concat(utf8('plnd'), await gzip(utf8(plist(examLink)))));
}

function plist(examLink: string): string {
  const settings: Record<string, string | boolean | number> = {
    startURL: examLink,
    sebConfigPurpose: 0,
    // Recording needs them; without the keys newer versions refuse camera, microphone and screen.
    browserMediaCaptureCamera: true,
    browserMediaCaptureMicrophone: true,
    browserMediaCaptureScreen: true,
    browserWindowAllowReload: true,
    allowQuit: true,
    showReloadButton: true,
  };
  const entries = Object.entries(settings).map(([key, value]) => {
    const text =
      typeof value === 'string'
        ? `<string>${escape(value)}</string>`
        : `<${typeof value === 'number' ? `integer>${value}</integer` : `${value}/`}>`;
    return `  <key>${key}</key>\n  ${text}\n`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>\n',
    '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n',
    '<plist version="1.0">\n<dict>\n',
    ...entries,
    '</dict>\n</plist>\n',
  ].join('');
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

async function gzip(bytes: Bytes): Promise<Bytes> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
