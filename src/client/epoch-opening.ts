/** The one moment in which a recorder holds the content key: made, sealed to every recipient, derived from, dropped. */
import type { z } from 'zod';
import type { openRequest } from '../../schema/api.ts';
import { toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import type { Signer } from '../../crypto/format/ed25519.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { decodeEncryptionKey } from '../../crypto/format/ids.ts';
import {
  encodeOpenBody,
  encodeOpenCore,
  openCoreHash,
  openHash,
  signOpen,
  type Attestation,
  type OpenTrack,
} from '../../crypto/format/open.ts';
import { noticeHash, type ParsedPolicy } from '../../crypto/format/policy.ts';
import { SCOPE_EPOCH, wrapHash } from '../../crypto/format/wrap.ts';
import { generateSigner } from '../../crypto/seal/identity.ts';
import { deriveEpochKeys, shredHash } from '../../crypto/seal/schedule.ts';
import { sealWrap } from '../../crypto/seal/wrap.ts';
import type { Environment } from './environment.ts';

export interface EpochPlan {
  policy: ParsedPolicy;
  sessionId: string;
  epoch: number;
  /** Hash of the last head of the epoch before, 32 bytes; zeros in epoch 0. */
  prevHead: Bytes;
  /** Ascending by number. */
  tracks: OpenTrack[];
  participant: Bytes;
  recorderBuild: Bytes;
  beaconSize: number;
  beaconRoot: Bytes;
  /** Signs core_hash with whatever lets this recorder in. */
  attest: (coreHash: Bytes) => Promise<Attestation>;
}

/** An epoch that is ready to be posted and recorded into. None of its keys can be exported. */
export interface PreparedEpoch {
  plan: EpochPlan;
  open: Bytes;
  openHash: Bytes;
  request: z.input<typeof openRequest>;
  uploadToken: string;
  signer: Signer;
  trackKeys: ReadonlyMap<number, CryptoKey>;
}

/**
 * Makes keys, wraps and OPEN for one epoch. CEK and the shred share live in this function only: the share also in
 * `request`, which the caller posts and drops.
 */
export async function prepareEpoch(environment: Environment, plan: EpochPlan): Promise<PreparedEpoch> {
  const { policy, policyHash } = plan.policy;
  const { sessionId, epoch, prevHead, tracks } = plan;
  const cek = environment.randomBytes(32);
  const shred = environment.randomBytes(32);
  const signer = await generateSigner(environment.randomBytes);
  const keys = await deriveEpochKeys({ cek, shred, examId: policy.exam_id, policyHash, sessionId, epoch });

  const core = encodeOpenCore({
    minSuite: policy.min_suite,
    examId: policy.exam_id,
    policyHash,
    sessionId,
    epoch,
    prevHead,
    recorderKey: signer.publicKey,
    commitment: keys.kc,
    shredHash: await shredHash(shred),
    participant: plan.participant,
    recorderBuild: plan.recorderBuild,
    clientMs: environment.clock.now(),
    beaconSize: plan.beaconSize,
    beaconRoot: plan.beaconRoot,
    tracks,
  });
  const coreHash = await openCoreHash(core);
  const wraps: Bytes[] = [];
  for (const { pk, role } of policy.recipients) {
    wraps.push(await sealWrap(cek, decodeEncryptionKey(pk), { role, scope: SCOPE_EPOCH, track: 0, coreHash }));
  }
  const trackKeys = new Map<number, CryptoKey>();
  for (const { track } of tracks) trackKeys.set(track, await keys.trackKey(track));
  cek.fill(0);

  const body = encodeOpenBody(core, await Promise.all(wraps.map(wrapHash)), await plan.attest(coreHash));
  const open = await signOpen(body, signer);
  const uploadToken = toBase64Url(environment.randomBytes(32));
  const request = {
    open: toBase64Url(open),
    wraps: wraps.map(toBase64Url),
    shred: toBase64Url(shred),
    token_hash: toBase64Url(await sha256(utf8(uploadToken))),
    notice_hash: toBase64Url(await noticeHash(policy)),
  };
  shred.fill(0);
  return { plan, open, openHash: await openHash({ body }), request, uploadToken, signer, trackKeys };
}
