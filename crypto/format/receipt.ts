/** Receipts: the server's countersignature on a head (PROTOCOL.md section 9). */
import { concat, Reader, utf8, Writer, type Bytes } from './bytes.ts';
import { requireSignature, type Signer } from './ed25519.ts';
import { ProtocolError } from './errors.ts';
import { hash } from './hash.ts';
import { formatId, parseId } from './ids.ts';

export const RECEIPT_OPEN = 1;
export const RECEIPT_CLOSED = 2;
export type ReceiptState = typeof RECEIPT_OPEN | typeof RECEIPT_CLOSED;

export interface ReceiptFields {
  state: ReceiptState;
  sessionId: string;
  epoch: number;
  headSeq: number;
  headHash: Bytes;
  serverMs: number;
  deleteByMs: number;
  /** Index in the retention log of this recording's `recording.opened`. */
  openedPosition: number;
}

export interface ReceiptRecord extends ReceiptFields {
  body: Bytes;
  signature: Bytes;
}

/** Bytes of every receipt. */
export const RECEIPT_LENGTH = 152;

/** Signed by the log key: what the head counts was stored, and it will be gone by `deleteByMs`. */
export async function encodeReceipt(fields: ReceiptFields, signer: Signer): Promise<Bytes> {
  const body = new Writer()
    .bytes(utf8('ZRRC'))
    .u8(1)
    .u8(fields.state)
    .u16(0)
    .bytes(parseId(fields.sessionId))
    .u32(fields.epoch)
    .u32(fields.headSeq)
    .bytes(fields.headHash, 32)
    .u64(fields.serverMs)
    .u64(fields.deleteByMs)
    .u64(fields.openedPosition)
    .finish();
  return concat(body, await signer.sign('receipt', await hash('receipt', body)));
}

function parseState(value: number): ReceiptState {
  if (value !== RECEIPT_OPEN && value !== RECEIPT_CLOSED) {
    throw new ProtocolError('format', `unknown receipt state ${value}`);
  }
  return value;
}

/** Strict, signature not yet checked; throws `format` or `length`. */
export function parseReceipt(bytes: Uint8Array): ReceiptRecord {
  const reader = new Reader(bytes);
  reader.magic('ZRRC');
  const state = parseState(reader.u8());
  reader.reserved(2);
  const fields = {
    state: state,
    sessionId: formatId(reader.bytes(16)),
    epoch: reader.u32(),
    headSeq: reader.u32(),
    headHash: reader.bytes(32),
    serverMs: reader.u64(),
    deleteByMs: reader.u64(),
    openedPosition: reader.u64(),
  };
  const body = new Uint8Array(bytes.subarray(0, reader.at));
  const signature = reader.bytes(64);
  reader.end();
  return { ...fields, body, signature };
}

/** Throws `key` or `signature` unless the log key signed this receipt. */
export async function verifyReceipt(record: ReceiptRecord, logKey: Uint8Array): Promise<void> {
  await requireSignature(logKey, 'receipt', await hash('receipt', record.body), record.signature, 'receipt');
}
