/** Steps 1 to 4 of the reader's order (PROTOCOL.md section 13): policies, log, OPEN, keys. Each fails closed. */
import { equal, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { parseGrant, verifyGrant } from '../../crypto/format/grant.ts';
import { decodeIdentity } from '../../crypto/format/ids.ts';
import { verifyLaunchAttestation, type LaunchAttestation } from '../../crypto/format/launch.ts';
import {
  ATTEST_ID_TOKEN,
  ATTEST_NONE,
  ATTEST_TICKET,
  openCoreHash,
  parseOpen,
  verifyOpen,
  type OpenRecord,
} from '../../crypto/format/open.ts';
import { parsePolicy, type ParsedPolicy } from '../../crypto/format/policy.ts';
import { verifyTicketAttestation } from '../../crypto/format/ticket.ts';
import { parseWrap, SCOPE_EPOCH, wrapHash } from '../../crypto/format/wrap.ts';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { parseProof, verifyProof } from '../../crypto/log/proof.ts';
import type { DecryptionKey } from '../../crypto/seal/identity.ts';
import { hkdfBase, openEpochKeys, type EpochKeys } from '../../crypto/seal/schedule.ts';
import { openWrap } from '../../crypto/seal/wrap.ts';
import { ClientError } from './errors.ts';
import type { ProvenEntry, ReleasedEpoch } from './source.ts';

/** What a reader knows by itself and holds everything else against. */
export interface ReaderPins {
  /** Hash of the exam owner's identity key, 32 bytes: the reader knows whose exam it is. */
  ownerHash: Bytes;
  examId?: string;
  minSeq?: number;
}

/** Step 1. Every policy that an epoch or a grant names, by base64url of its hash. */
export async function checkPolicies(policies: readonly Bytes[], pins: ReaderPins): Promise<Map<string, ParsedPolicy>> {
  const verified = new Map<string, ParsedPolicy>();
  for (const bytes of policies) {
    const parsed = await parsePolicy(bytes, pins);
    verified.set(toBase64Url(parsed.policyHash), parsed);
  }
  return verified;
}

/** What the log proves about one epoch's opening. */
export interface ProvenOpening {
  openHashB64: string;
  atMs: number;
  /** Of its entry in the log. */
  index: number;
}

/** What the log proves about one recording. */
export interface ProvenLife {
  /** By epoch. */
  openings: Map<number, ProvenOpening>;
  /** The head with which it was closed or abandoned; undefined while the log says neither. */
  ending: { epoch: number; headHashB64: string | null } | undefined;
  /** The checkpoint under all its proofs, a signed note; undefined where nothing is proven. */
  checkpoint: string | undefined;
}

/**
 * Step 2. Throws `log` for a proof that does not hold, and `equivocation` where the log holds two openings of one epoch. An
 * entry without a proof yet proves nothing and is left out.
 */
export async function checkEntries(
  entries: readonly ProvenEntry[],
  recordingId: string,
  vkey: string,
): Promise<ProvenLife> {
  const life: ProvenLife = { openings: new Map(), ending: undefined, checkpoint: undefined };
  for (const { index, entry: bytes, proof } of entries) {
    if (proof === null) continue;
    // One checkpoint under all, or a log that is forked could show its opening in one branch and its end in another.
    const { checkpoint } = parseProof(proof);
    life.checkpoint ??= checkpoint;
    if (checkpoint !== life.checkpoint) throw new ProtocolError('log', 'the proofs lead to several checkpoints');
    const verified = await verifyProof(bytes, proof, vkey);
    if (verified.index !== index) {
      throw new ProtocolError('log', `expected a proof of entry ${index}, found ${verified.index}`);
    }
    const entry = decodeEntry(bytes);
    if ('recording' in entry && entry.recording !== recordingId) {
      throw new ProtocolError('identity', 'a log entry of another recording');
    }
    if (entry.type === 'recording.closed' || entry.type === 'recording.abandoned') {
      life.ending = { epoch: entry.epoch, headHashB64: entry.head_hash };
    }
    if (entry.type !== 'recording.opened' && entry.type !== 'recording.reopened') continue;
    const standing = life.openings.get(entry.epoch);
    if (standing && standing.openHashB64 !== entry.open_hash) {
      throw new ProtocolError('equivocation', `the log holds two openings of epoch ${entry.epoch}`);
    }
    life.openings.set(entry.epoch, { openHashB64: entry.open_hash, atMs: entry.at, index });
  }
  return life;
}

/** An OPEN that was verified, with what it was held against. */
export interface CheckedOpen {
  open: OpenRecord;
  openHash: Bytes;
  coreHash: Bytes;
  policy: ParsedPolicy;
  /** Of the seat ticket; undefined where the exam admits without. */
  ticketKey: Bytes | undefined;
  /** What the owner granted to this seat, as it stands in the ticket that the owner signed: JSON, empty for nothing. */
  accommodations: string;
  /** Of a learning platform's launch; what it proves is in the about track (`launch.ts`). */
  launch: LaunchAttestation | undefined;
}

/**
 * Throws where a later epoch was not opened for the same exam (`identity`), or with the same seat's ticket, or for the same participant
 * of a launch (`attestation`): each epoch has a recorder key of its own, so nothing else ties it to who began.
 */
export function checkSameSeat(first: CheckedOpen, later: CheckedOpen): void {
  if (later.open.examId !== first.open.examId) {
    throw new ProtocolError('identity', 'an epoch of another exam');
  }
  const isSame =
    first.ticketKey && later.ticketKey ? equal(first.ticketKey, later.ticketKey) : first.ticketKey === later.ticketKey;
  if (!isSame) throw new ProtocolError('attestation', 'an epoch that was opened with another seat’s ticket');
  if (!first.launch && !later.launch) return;
  if (first.launch && later.launch && equal(first.open.participant, later.open.participant)) return;
  throw new ProtocolError('attestation', 'an epoch that was opened by another person’s launch');
}

/**
 * Step 3. Parse, key, signature, place, policy, admission, inclusion. `opening` is what the log proves; without it the OPEN is
 * refused (`log`), because an unlogged recording carries no obligation and may be one of two.
 */
export async function checkOpen(
  bytes: Bytes,
  place: { recordingId: string; epoch: number },
  policies: ReadonlyMap<string, ParsedPolicy>,
  opening: ProvenOpening | undefined,
): Promise<CheckedOpen> {
  const open = parseOpen(bytes);
  const openHash = await verifyOpen(open);
  if (open.sessionId !== place.recordingId || open.epoch !== place.epoch) {
    throw new ProtocolError('identity', `the open record of epoch ${place.epoch} is for another recording or epoch`);
  }
  const policy = policies.get(toBase64Url(open.policyHash));
  if (!policy) throw new ProtocolError('policy', 'the open record names a policy that is not here');
  if (open.examId !== policy.policy.exam_id) throw new ProtocolError('identity', 'the open record is for another exam');
  if (open.minSuite < policy.policy.min_suite)
    throw new ProtocolError('suite', 'the open record allows a weaker suite than the policy');
  if (opening?.openHashB64 !== toBase64Url(openHash)) {
    throw new ProtocolError('log', `the log does not prove the opening of epoch ${place.epoch}`);
  }
  // The beacon was signed before the opening was logged, so that entry comes after all that the beacon covers.
  if (open.beaconSize > opening.index) {
    throw new ProtocolError(
      'log',
      `entry ${opening.index} opened it, and its recorder had seen ${open.beaconSize} before`,
    );
  }
  const { not_before: notBefore, not_after: notAfter } = policy.policy;
  if (place.epoch === 0 && (opening.atMs < notBefore || opening.atMs > notAfter)) {
    throw new ProtocolError('policy', 'the recording was opened outside of the policy’s validity');
  }
  const coreHash = await openCoreHash(open.core);
  return { open, openHash, coreHash, policy, ...(await checkAdmission(open, coreHash, policy, opening.atMs)) };
}

async function checkAdmission(
  open: OpenRecord,
  coreHash: Bytes,
  { policy }: ParsedPolicy,
  atMs: number,
): Promise<Pick<CheckedOpen, 'ticketKey' | 'accommodations' | 'launch'>> {
  const { type, bytes } = open.attestation;
  if (type === ATTEST_TICKET) {
    const { ticketKey, accommodations } = await verifyTicketAttestation(bytes, {
      examId: open.examId,
      coreHash,
      owner: decodeIdentity(policy.owner),
      nowMs: atMs,
    });
    return { ticketKey, accommodations, launch: undefined };
  }
  if (type === ATTEST_ID_TOKEN && policy.admission === 'launch') {
    const launch = await verifyLaunchAttestation(bytes, coreHash);
    return { ticketKey: undefined, accommodations: '', launch };
  }
  if (type !== ATTEST_NONE || policy.admission !== 'link') {
    throw new ProtocolError(
      'attestation',
      'the exam admits by ticket or launch, and this recording was opened otherwise',
    );
  }
  return { ticketKey: undefined, accommodations: '', launch: undefined };
}

/** Keys of one epoch: all tracks, or those that were granted. */
export interface ReaderKeys {
  /** Undefined for a reader of single tracks. */
  epochKeys: EpochKeys | undefined;
  /** CEK and shred share, for a grant to the next reader. */
  secrets: { cek: Bytes; shred: Bytes } | undefined;
  /** Throws `no-key` for a track that was not granted. */
  trackKey(track: number): Promise<CryptoKey>;
}

/** Step 4. A wrap that OPEN lists, or one that a grant hands over; throws `no-key` where there is neither. */
export async function openKeys(
  checked: CheckedOpen,
  released: ReleasedEpoch,
  key: DecryptionKey,
  policies: ReadonlyMap<string, ParsedPolicy>,
  nowMs: number,
): Promise<ReaderKeys> {
  const { shred } = released;
  if (!shred) throw new ClientError('no-key', `the shred share of epoch ${released.epoch} is not here`);
  const { open, coreHash } = checked;
  const expected = { coreHash, minSuite: open.minSuite };
  for (const wrap of released.wraps) {
    if (!equal(parseWrap(wrap).keyId, key.keyId)) continue;
    const digest = await wrapHash(wrap);
    if (!open.wrapHashes.some((listed) => equal(listed, digest))) {
      throw new ProtocolError('wrap', 'the wrap for this key is not one that the recorder made');
    }
    return epochReader({ cek: await openWrap(wrap, key, { ...expected, scope: SCOPE_EPOCH, track: 0 }), shred }, open);
  }
  const tracks = new Map<number, CryptoKey>();
  for (const { grant, wrap } of released.grants) {
    const record = parseGrant(grant);
    if (!equal(record.toKeyId, key.keyId)) continue;
    const policy = policies.get(toBase64Url(record.policyHash));
    if (!policy) throw new ProtocolError('grant', 'the grant names a policy that is not here');
    const { examId, sessionId, epoch } = open;
    await verifyGrant(record, wrap, { ...expected, examId, sessionId, epoch, policy, nowMs });
    const secret = await openWrap(wrap, key, { ...expected, scope: record.scope, track: record.track });
    if (record.scope === SCOPE_EPOCH) return epochReader({ cek: secret, shred }, open);
    tracks.set(record.track, await hkdfBase(secret));
  }
  if (tracks.size === 0) throw new ClientError('no-key', `epoch ${open.epoch} is sealed for other keys than this`);
  return {
    epochKeys: undefined,
    secrets: undefined,
    trackKey: async (track) => {
      const granted = tracks.get(track);
      if (!granted)
        throw new ClientError('no-key', `track ${track} of epoch ${open.epoch} was not granted to this key`);
      return granted;
    },
  };
}

async function epochReader(secrets: { cek: Bytes; shred: Bytes }, open: OpenRecord): Promise<ReaderKeys> {
  const epochKeys = await openEpochKeys(secrets, open);
  return { epochKeys, secrets, trackKey: (track) => epochKeys.trackKey(track) };
}
