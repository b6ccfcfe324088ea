/** Grants: a reader added later by a reader, without the server learning anything (PROTOCOL.md section 10). */
import { concat, equal, Reader, toBase64Url, utf8, Writer, type Bytes } from './bytes.ts';
import { requireSignature, type Signer } from './ed25519.ts';
import { ProtocolError } from './errors.ts';
import { hash } from './hash.ts';
import { decodeIdentity, formatId, parseId } from './ids.ts';
import type { ParsedPolicy } from './policy.ts';
import { parseScope, parseWrap, wrapHash, type Scope } from './wrap.ts';

export interface GrantFields {
  sessionId: string;
  epoch: number;
  scope: Scope;
  /** 0 for scope 1. */
  track: number;
  fromIdentity: Bytes;
  toIdentity: Bytes;
  toKeyId: Bytes;
  /** Of the policy version that names the new reader. */
  policyHash: Bytes;
  grantedMs: number;
  /** From here on the server no longer hands out the wrap; what was read cannot be taken back. */
  expiresMs: number;
  wrapHash: Bytes;
}

export interface GrantRecord extends GrantFields {
  body: Bytes;
  signature: Bytes;
}

/** Bytes of every grant. */
export const GRANT_LENGTH = 253;

/** Signed by the identity that `fromIdentity` names. */
export async function encodeGrant(fields: GrantFields, signer: Signer): Promise<Bytes> {
  parseScope(fields.scope, fields.track);
  const body = new Writer()
    .bytes(utf8('ZRGR'))
    .u8(1)
    .u8(0)
    .bytes(parseId(fields.sessionId))
    .u32(fields.epoch)
    .u8(fields.scope)
    .u16(fields.track)
    .bytes(fields.fromIdentity, 32)
    .bytes(fields.toIdentity, 32)
    .bytes(fields.toKeyId, 16)
    .bytes(fields.policyHash, 32)
    .u64(fields.grantedMs)
    .u64(fields.expiresMs)
    .bytes(fields.wrapHash, 32)
    .finish();
  return concat(body, await signer.sign('grant', await hash('grant', body)));
}

/** Strict, signature not yet checked; throws `format` or `length`. */
export function parseGrant(bytes: Uint8Array): GrantRecord {
  const reader = new Reader(bytes);
  reader.magic('ZRGR');
  reader.reserved(1);
  const sessionId = formatId(reader.bytes(16));
  const epoch = reader.u32();
  const { scope, track } = parseScope(reader.u8(), reader.u16());
  const fields = {
    sessionId,
    epoch,
    scope,
    track,
    fromIdentity: reader.bytes(32),
    toIdentity: reader.bytes(32),
    toKeyId: reader.bytes(16),
    policyHash: reader.bytes(32),
    grantedMs: reader.u64(),
    expiresMs: reader.u64(),
    wrapHash: reader.bytes(32),
  };
  const body = new Uint8Array(bytes.subarray(0, reader.at));
  const signature = reader.bytes(64);
  reader.end();
  return { ...fields, body, signature };
}

export interface GrantExpectation {
  examId: string;
  sessionId: string;
  epoch: number;
  /** core_hash of the epoch's OPEN. */
  coreHash: Uint8Array;
  /** min_suite of the epoch's OPEN. */
  minSuite: number;
  /** The policy version whose hash the grant names, verified. */
  policy: Pick<ParsedPolicy, 'policy' | 'policyHash'>;
  nowMs: number;
}

/**
 * Checks a grant with the wrap it hands over: signature (`key`, `signature`), place (`identity`), both readers in a policy of
 * this very exam, wrap and validity (`grant`), the suite floor (`suite`). Another exam of the same owner has other readers.
 */
export async function verifyGrant(record: GrantRecord, wrap: Uint8Array, expected: GrantExpectation): Promise<void> {
  const { policy } = expected.policy;
  if (record.sessionId !== expected.sessionId || record.epoch !== expected.epoch) {
    throw new ProtocolError('identity', 'a grant for another session or epoch');
  }
  const digest = await hash('grant', record.body);
  await requireSignature(record.fromIdentity, 'grant', digest, record.signature, 'grant');
  if (!equal(record.policyHash, expected.policy.policyHash)) refuse('it names another policy');
  if (policy.exam_id !== expected.examId) refuse('it names the policy of another exam');
  const isReader = (identity: Bytes) =>
    policy.recipients.some((recipient) => equal(decodeIdentity(recipient.identity), identity));
  if (!isReader(record.fromIdentity)) refuse('it comes from an outsider');
  const toKeyIdB64 = toBase64Url(record.toKeyId);
  const reader = policy.recipients.find(({ key_id }) => key_id === toKeyIdB64);
  if (!reader || !equal(decodeIdentity(reader.identity), record.toIdentity)) refuse('it goes to an outsider');
  if (!equal(record.wrapHash, await wrapHash(wrap))) refuse('the wrap is another one');
  const header = parseWrap(wrap);
  if (header.suite < expected.minSuite) {
    throw new ProtocolError('suite', `expected suite ${expected.minSuite} or better, found ${header.suite}`);
  }
  if (!equal(header.keyId, record.toKeyId) || !equal(header.coreHash, expected.coreHash)) {
    refuse('the wrap is for another key or recording');
  }
  if (header.scope !== record.scope || header.track !== record.track || header.role !== reader.role) {
    refuse('the wrap has another role, scope or track');
  }
  if (expected.nowMs >= record.expiresMs) refuse('it has expired');
}

function refuse(reason: string): never {
  throw new ProtocolError('grant', `grant refused: ${reason}`);
}
