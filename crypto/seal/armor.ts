/** Strict textual encoding (RFC 7468 section 3, `stricttextualmsg`): one text per byte string. */
import { base64 } from '@scure/base';
import type { Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';

const COLUMNS = 64;

export function encodeArmor(label: string, bytes: Uint8Array): string {
  const lines = base64.encode(bytes).match(new RegExp(`.{1,${COLUMNS}}`, 'g')) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/** CRLF and white space around the whole are forgiven, as mail and editors add them; all else throws `format`. */
export function decodeArmor(label: string, text: string): Bytes {
  const lines = text.trim().replaceAll('\r\n', '\n').split('\n');
  if (lines.shift() !== `-----BEGIN ${label}-----` || lines.pop() !== `-----END ${label}-----`) {
    throw new ProtocolError('format', `expected a file that begins and ends with ${label}`);
  }
  const isFull = (line: string, index: number) => index === lines.length - 1 || line.length === COLUMNS;
  if (!lines.every((line, index) => line.length > 0 && line.length <= COLUMNS && isFull(line, index))) {
    throw new ProtocolError('format', `expected lines of ${COLUMNS} characters`);
  }
  try {
    return new Uint8Array(base64.decode(lines.join('')));
  } catch {
    throw new ProtocolError('format', 'expected base64');
  }
}
