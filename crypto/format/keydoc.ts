/** Key documents: how a reader's encryption key is enrolled, rotated and revoked (PROTOCOL.md section 11). */
import { concat, isZero, Reader, utf8, Writer, type Bytes } from './bytes.ts';
import { requireSignature, type Signer } from './ed25519.ts';
import { ProtocolError } from './errors.ts';
import { hash } from './hash.ts';
import { checkEncryptionKey, parseSuite, type Suite } from './ids.ts';

export const KEY_ADD = 1;
export const KEY_ROTATE = 2;
export const KEY_REVOKE = 3;
export type KeyOperation = typeof KEY_ADD | typeof KEY_ROTATE | typeof KEY_REVOKE;

export interface KeyDocumentFields {
  identity: Bytes;
  suite: Suite;
  /** The key that is added, rotated in, or revoked. */
  publicKey: Bytes;
  createdMs: number;
  expiresMs: number;
  /** key_id of the key that this one replaces; zero unless it rotates. */
  prevKeyId: Bytes;
  operation: KeyOperation;
}

export interface KeyDocument extends KeyDocumentFields {
  body: Bytes;
  signature: Bytes;
  /** On rotation: by the identity that enrolled the replaced key, which may be the same one. */
  previousSignature?: Bytes;
}

/** `previous` signs a rotation, and nothing else. */
export async function encodeKeyDocument(fields: KeyDocumentFields, signer: Signer, previous?: Signer): Promise<Bytes> {
  const body = new Writer()
    .bytes(utf8('ZRKD'))
    .u8(1)
    .bytes(fields.identity, 32)
    .u16(fields.suite)
    .lp16(fields.publicKey)
    .u64(fields.createdMs)
    .u64(fields.expiresMs)
    .bytes(fields.prevKeyId, 16)
    .u8(fields.operation)
    .finish();
  const digest = await hash('keydoc', body);
  const signatures = [await signer.sign('keydoc', digest)];
  if (previous) signatures.push(await previous.sign('keydoc', digest));
  const record = concat(body, ...signatures);
  parseKeyDocument(record);
  return record;
}

/** Strict, signatures not yet checked; throws `format`, `length` or `key`. */
export function parseKeyDocument(bytes: Uint8Array): KeyDocument {
  const reader = new Reader(bytes);
  reader.magic('ZRKD');
  const identity = reader.bytes(32);
  const suite = parseSuite(reader.u16());
  const publicKey = reader.lp16();
  checkEncryptionKey(suite, publicKey);
  const createdMs = reader.u64();
  const expiresMs = reader.u64();
  const prevKeyId = reader.bytes(16);
  const operation = reader.u8();
  if (operation !== KEY_ADD && operation !== KEY_ROTATE && operation !== KEY_REVOKE) {
    throw new ProtocolError('format', `unknown key operation ${operation}`);
  }
  if ((operation === KEY_ROTATE) === isZero(prevKeyId)) {
    throw new ProtocolError('format', 'a rotation names the key it replaces, and nothing else does');
  }
  if (createdMs >= expiresMs) throw new ProtocolError('format', 'a key must expire after it was created');
  const body = new Uint8Array(bytes.subarray(0, reader.at));
  const signature = reader.bytes(64);
  const previousSignature = operation === KEY_ROTATE ? reader.bytes(64) : undefined;
  reader.end();
  return {
    ...{ identity, suite, publicKey, createdMs, expiresMs, prevKeyId, operation, body, signature },
    ...(previousSignature && { previousSignature }),
  };
}

/**
 * Checks the identity's signature and, on rotation, that of `previousIdentity`, which the caller knows from the log entry
 * of the replaced key; throws `key` or `signature`.
 */
export async function verifyKeyDocument(record: KeyDocument, previousIdentity?: Uint8Array): Promise<void> {
  const digest = await hash('keydoc', record.body);
  await requireSignature(record.identity, 'keydoc', digest, record.signature, 'key document');
  if (!record.previousSignature) return;
  if (!previousIdentity) throw new ProtocolError('signature', 'a rotation needs the identity that it replaces');
  await requireSignature(previousIdentity, 'keydoc', digest, record.previousSignature, 'key rotation');
}
