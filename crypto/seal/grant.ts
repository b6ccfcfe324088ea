/** Handing a recording's key to one more reader of the policy (PROTOCOL.md section 10). */
import { fromBase64Url, toBase64Url, type Bytes } from '../format/bytes.ts';
import type { Signer } from '../format/ed25519.ts';
import { ProtocolError } from '../format/errors.ts';
import { encodeGrant } from '../format/grant.ts';
import { decodeEncryptionKey, decodeIdentity } from '../format/ids.ts';
import { openCoreHash, type OpenRecord } from '../format/open.ts';
import type { ParsedPolicy } from '../format/policy.ts';
import { SCOPE_EPOCH, SCOPE_TRACK, wrapHash } from '../format/wrap.ts';
import { openEpochKeys, type EpochSecrets } from './schedule.ts';
import { sealWrap } from './wrap.ts';

export interface GrantRequest {
  /** Verified. */
  open: OpenRecord;
  secrets: EpochSecrets;
  /** The policy version that names the new reader, verified. */
  policy: Pick<ParsedPolicy, 'policy' | 'policyHash'>;
  /** The new reader's key id, 16 bytes. */
  toKeyId: Uint8Array;
  /** One track only; absent: the whole epoch. */
  track?: number;
  grantedMs: number;
  expiresMs: number;
  /** For tests: the randomness of the wrap. */
  randomness?: Uint8Array;
}

/**
 * Re-wraps CEK, or one TK, after it reproduced kc (`commitment`), to a reader whom the owner's policy names (`grant`) and whose
 * suite is not below the floor of OPEN (`suite`). `signer` is the granting reader's identity.
 */
export async function makeGrant(request: GrantRequest, signer: Signer): Promise<{ grant: Bytes; wrap: Bytes }> {
  const { open, secrets, policy, track } = request;
  const keys = await openEpochKeys(secrets, open);
  const toKeyIdB64 = toBase64Url(request.toKeyId);
  const reader = policy.policy.recipients.find(({ key_id }) => key_id === toKeyIdB64);
  if (!reader || policy.policy.exam_id !== open.examId) {
    throw new ProtocolError('grant', 'grant refused: the new reader is not in a policy of this exam');
  }
  if (reader.suite < open.minSuite) {
    throw new ProtocolError('suite', `expected suite ${open.minSuite} or better, found ${reader.suite}`);
  }
  const secret = track === undefined ? secrets.cek : await keys.rawTrackKey(track);
  const place = { scope: track === undefined ? SCOPE_EPOCH : SCOPE_TRACK, track: track ?? 0 } as const;
  const context = { role: reader.role, ...place, coreHash: await openCoreHash(open.core) };
  const wrap = await sealWrap(secret, decodeEncryptionKey(reader.pk), context, request.randomness);
  const grant = await encodeGrant(
    {
      sessionId: open.sessionId,
      epoch: open.epoch,
      ...place,
      fromIdentity: signer.publicKey,
      toIdentity: decodeIdentity(reader.identity),
      toKeyId: fromBase64Url(reader.key_id),
      policyHash: policy.policyHash,
      grantedMs: request.grantedMs,
      expiresMs: request.expiresMs,
      wrapHash: await wrapHash(wrap),
    },
    signer,
  );
  return { grant, wrap };
}
