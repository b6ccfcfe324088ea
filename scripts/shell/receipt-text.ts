/** A receipt as its student keeps it: lines that a person reads and `zeroreel receipt` checks. */
import { readFile } from 'node:fs/promises';
import { fromBase64Url, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { parseReceipt, RECEIPT_CLOSED, verifyReceipt, type ReceiptRecord } from '../../crypto/format/receipt.ts';
import { parseVkey } from '../../crypto/log/note.ts';
import { CommandError } from './exits.ts';
import { formatTime } from './figures.ts';

export interface KeptReceipt {
  /** Origin of the service that gave it. */
  server: string;
  /** The log's verifier key, from the policy that the exam's owner signed. */
  vkey: string;
  /** ZRRC record. */
  receipt: Bytes;
}

/** All that binds stands in the last two lines; the others say it in words, and are compared with it when read. */
export function formatReceipt({ server, vkey, receipt }: KeptReceipt): string {
  return [
    ...describe(server, parseReceipt(receipt)),
    `log key    ${vkey}`,
    `signed     ${toBase64Url(receipt)}`,
    '',
  ].join('\n');
}

function describe(server: string, record: ReceiptRecord): string[] {
  return [
    'Zeroreel receipt: keep it. It opens nothing; with it you can check later that the recording was destroyed.',
    `server     ${server}`,
    `recording  ${record.sessionId}`,
    `state      ${record.state === RECEIPT_CLOSED ? 'complete and closed' : 'open'}`,
    `given      ${formatTime(record.serverMs)}`,
    `delete by  ${formatTime(record.deleteByMs)}`,
  ];
}

/** Reads and verifies a kept receipt: the log's signature, and that the words say what was signed. */
export async function readReceipt(path: string): Promise<KeptReceipt & { record: ReceiptRecord }> {
  const text = await readFile(path, 'utf8');
  const field = (name: string): string =>
    new RegExp(`^${name} +(\\S.*)$`, 'm').exec(text)?.[1]?.trim() ?? notReceipt(path);
  const kept = { server: field('server'), vkey: field('log key'), receipt: decode(path, field('signed')) };
  const record = parseReceipt(kept.receipt);
  await verifyReceipt(record, parseVkey(kept.vkey).publicKey);
  if (!text.startsWith(describe(kept.server, record).join('\n'))) {
    throw new CommandError('violation', 'receipt', `${path}: the words are not what was signed`);
  }
  return { ...kept, record };
}

function decode(path: string, text: string): Bytes {
  try {
    return fromBase64Url(text);
  } catch (error) {
    if (error instanceof ProtocolError) return notReceipt(path);
    throw error;
  }
}

function notReceipt(path: string): never {
  throw new CommandError(
    'usage',
    'receipt',
    `${path}: not a receipt`,
    'expected the text that `zeroreel record` kept, whole',
  );
}
