/**
 * A receipt as its student keeps it: lines that a person reads and that the command line and the receipt page check. It
 * opens nothing. All that binds stands in its last two lines; the others say it in words, and must agree with them.
 */
import { fromBase64Url, fromUtf8, toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { parseReceipt, RECEIPT_CLOSED, verifyReceipt, type ReceiptRecord } from '../../crypto/format/receipt.ts';
import { parseVkey } from '../../crypto/log/note.ts';

export interface KeptReceipt {
  /** Origin of the service that gave it. */
  server: string;
  /** The log's verifier key, from the policy that the exam's owner signed. */
  vkey: string;
  /** ZRRC record. */
  receipt: Bytes;
}

export function formatReceipt({ server, vkey, receipt }: KeptReceipt): string {
  const words = describe(server, parseReceipt(receipt));
  return [...words, `log key    ${vkey}`, `signed     ${toBase64Url(receipt)}`, ''].join('\n');
}

/**
 * The receipt as a link to the page that checks it, `https://HOST/receipt#v1.VKEY.RECEIPT`, both base64url: in the fragment, which no
 * browser sends, and short enough for a QR code.
 */
export function receiptLink({ server, vkey, receipt }: KeptReceipt): string {
  return `${new URL(server).origin}/receipt#v1.${toBase64Url(utf8(vkey))}.${toBase64Url(receipt)}`;
}

/** The text of the receipt in a link, for `readReceipt`, which verifies it; throws ProtocolError for another link. */
export function receiptOfLink(link: string): string {
  if (!URL.canParse(link)) throw new ProtocolError('format', 'expected the whole link of a receipt');
  const { origin, hash } = new URL(link);
  const [version, vkey, receipt, ...rest] = hash.slice(1).split('.');
  if (version !== 'v1' || vkey === undefined || receipt === undefined || rest.length > 0) {
    throw new ProtocolError('format', 'expected the whole link of a receipt');
  }
  return formatReceipt({ server: origin, vkey: fromUtf8(fromBase64Url(vkey)), receipt: fromBase64Url(receipt) });
}

/** Reads and verifies a kept receipt, as its text with line ends of any system or as its link; throws ProtocolError (`format`, `signature`). */
export async function readReceipt(text: string): Promise<KeptReceipt & { record: ReceiptRecord }> {
  const given = text.replaceAll('\r\n', '\n').trim();
  const lines = /^https?:\/\/\S+$/.test(given) ? receiptOfLink(given).trim() : given;
  const field = (name: string): string => {
    const found = new RegExp(`^${name} +(\\S.*)$`, 'm').exec(lines)?.[1]?.trim();
    if (found === undefined) throw new ProtocolError('format', 'expected the whole text of a receipt');
    return found;
  };
  const kept = { server: field('server'), vkey: field('log key'), receipt: fromBase64Url(field('signed')) };
  const record = parseReceipt(kept.receipt);
  await verifyReceipt(record, parseVkey(kept.vkey).publicKey);
  if (!lines.startsWith(describe(kept.server, record).join('\n'))) {
    throw new ProtocolError('signature', 'the words of the receipt are not what was signed');
  }
  return { ...kept, record };
}

function describe(server: string, record: ReceiptRecord): string[] {
  return [
    'Zeroreel receipt: keep it. It opens nothing; with it you can check later that the recording was destroyed.',
    `server     ${server}`,
    `recording  ${record.sessionId}`,
    `state      ${record.state === RECEIPT_CLOSED ? 'complete and closed' : 'open'}`,
    `given      ${instant(record.serverMs)}`,
    `delete by  ${instant(record.deleteByMs)}`,
  ];
}

/** `2026-11-23 09:05 UTC` */
function instant(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
