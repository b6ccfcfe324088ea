/**
 * Opening: everything that must hold before a recording, or a further epoch of one, exists. The server checks what it can
 * check without any secret, so that a recorder that seals to the wrong people, or to nobody, fails before the exam begins.
 */
import type { z } from 'zod';
import type { openRequest } from '../../../schema/api.ts';
import { type Bytes, equal, fromBase64Url, toBase64Url } from '../../../crypto/format/bytes.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { hash } from '../../../crypto/format/hash.ts';
import { decodeIdentity } from '../../../crypto/format/ids.ts';
import { launchNonce, verifyLaunchAttestation } from '../../../crypto/format/launch.ts';
import {
  ATTEST_ID_TOKEN,
  ATTEST_NONE,
  ATTEST_TICKET,
  type OpenRecord,
  openCoreHash,
  parseOpen,
  verifyOpen,
} from '../../../crypto/format/open.ts';
import { noticeHash, type Policy } from '../../../crypto/format/policy.ts';
import { parseTicket, verifyTicketAttestation } from '../../../crypto/format/ticket.ts';
import { parseWrap, SCOPE_EPOCH, wrapHash, type WrapHeader } from '../../../crypto/format/wrap.ts';
import type { LogEntry } from '../../../crypto/log/entry.ts';
import { ServerError } from '../errors.ts';
import type { EpochRow, LaunchRow, RecordingRow, TrackRow, WrapRow } from '../store.ts';
import { LAST_EPOCH } from './names.ts';
import { limitsOf, quotaReached, type Quotas } from './quota.ts';
import { retentionOf } from './retention.ts';

const SIGNATURE_BYTES = 64;
/** Nobody is granted more than a day. */
const MOST_EXTRA_MINUTES = 24 * 60;

/** An OPEN whose every claim that needs no secret was checked. */
export interface Opening {
  record: OpenRecord;
  openBytes: Bytes;
  openHash: string;
  policy: Policy;
  policyHash: string;
  /** Public key of the seat ticket, or whom a platform launched; null where the exam admits without. */
  ticket: string | null;
  noticeHash: string;
  shred: Bytes;
  tokenHash: string;
  wraps: { header: WrapHeader; bytes: Bytes }[];
}

/** The policy that an OPEN must have been made for: the exam's newest. */
export interface CurrentPolicy {
  policy: Policy;
  policyHash: string;
}

/** The launch that was verified with this nonce, while it holds. */
export type LaunchOf = (nonce: string) => Promise<LaunchRow | undefined>;

/** Throws `open-refused`, `ticket-refused` or `policy-outdated`, or a ProtocolError. */
export async function verifyOpening(
  request: z.infer<typeof openRequest>,
  current: CurrentPolicy,
  now: number,
  launchOf: LaunchOf,
): Promise<Opening> {
  const openBytes = fromBase64Url(request.open);
  const record = parseOpen(openBytes);
  const openHash = await verifyOpen(record);
  const { policy, policyHash } = current;

  if (record.examId !== policy.exam_id) throw new ProtocolError('identity', 'the open record is for another exam');
  if (toBase64Url(record.policyHash) !== policyHash) {
    throw new ServerError('policy-outdated', 'the open record is for another policy than the newest', {
      hint: 'fetch the policy again and open with it',
      extra: { policy_hash: policyHash, seq: policy.seq },
    });
  }
  if (record.epoch > LAST_EPOCH) throw new ProtocolError('limit', `expected an epoch of at most ${LAST_EPOCH}`);
  if (record.minSuite < policy.min_suite)
    throw new ProtocolError('suite', 'the open record allows a weaker suite than the policy');
  checkTracks(record, policy);
  if (request.notice_hash !== toBase64Url(await noticeHash(policy))) {
    throw new ServerError('open-refused', 'what was acknowledged is not the notice of this policy');
  }

  const shred = fromBase64Url(request.shred);
  if (!equal(await hash('shred', shred), record.shredHash))
    throw new ProtocolError('commitment', 'the shred share is another one');

  return {
    record,
    openBytes,
    openHash: toBase64Url(openHash),
    policy,
    policyHash,
    ticket: await admit(record, policy, now, launchOf),
    noticeHash: request.notice_hash,
    shred,
    tokenHash: request.token_hash,
    wraps: await checkWraps(request.wraps.map(fromBase64Url), record, policy),
  };
}

/** Tracks are those of the policy, by id and kind. Whether a required one may be missing, as by accommodation, is for people to judge. */
function checkTracks(record: OpenRecord, policy: Policy): void {
  for (const { track, kind } of record.tracks) {
    if (!policy.tracks.some((allowed) => allowed.id === track && allowed.kind === kind)) {
      throw new ProtocolError('policy', `track ${track} of kind ${kind} is not in the policy`);
    }
  }
}

/** Every recipient of the policy has exactly one wrap and nobody else has one. */
async function checkWraps(wraps: readonly Bytes[], record: OpenRecord, policy: Policy): Promise<Opening['wraps']> {
  if (wraps.length !== record.wrapHashes.length) {
    throw new ProtocolError('wrap', `expected ${record.wrapHashes.length} wraps, found ${wraps.length}`);
  }
  const coreHash = await openCoreHash(record.core);
  const missing = new Map(policy.recipients.map((recipient) => [recipient.key_id, recipient]));
  const checked: Opening['wraps'] = [];
  for (const [index, bytes] of wraps.entries()) {
    const header = parseWrap(bytes);
    if (!equal(await wrapHash(bytes), record.wrapHashes[index]!))
      throw new ProtocolError('wrap', `wrap ${index} is not the one in the open record`);
    if (!equal(header.coreHash, coreHash))
      throw new ProtocolError('wrap', `wrap ${index} belongs to another recording`);
    if (header.scope !== SCOPE_EPOCH) throw new ProtocolError('wrap', `wrap ${index} is for one track only`);
    if (header.suite < record.minSuite) throw new ProtocolError('suite', `wrap ${index} is below the suite floor`);
    const keyId = toBase64Url(header.keyId);
    const recipient = missing.get(keyId);
    if (recipient?.role !== header.role || recipient.suite !== header.suite) {
      throw new ProtocolError('wrap', `wrap ${index} is for no recipient of the policy, or for one twice`);
    }
    missing.delete(keyId);
    checked.push({ header, bytes });
  }
  if (missing.size > 0) throw new ProtocolError('wrap', `${missing.size} recipients of the policy have no wrap`);
  return checked;
}

/** A seat ticket lets its holder in, or a launch whom it names; without, only where the policy admits anybody who has the link. */
async function admit(record: OpenRecord, policy: Policy, now: number, launchOf: LaunchOf): Promise<string | null> {
  const { type, bytes } = record.attestation;
  if (type === ATTEST_TICKET) {
    const ticket = await verifyTicketAttestation(bytes, {
      examId: record.examId,
      coreHash: await openCoreHash(record.core),
      owner: decodeIdentity(policy.owner),
      nowMs: now,
    });
    return toBase64Url(ticket.ticketKey);
  }
  if (type === ATTEST_ID_TOKEN && policy.admission === 'launch') {
    const { launchKey, tokenHash } = await verifyLaunchAttestation(bytes, await openCoreHash(record.core));
    const launch = await launchOf(await launchNonce(launchKey));
    const isOfThisExam = launch?.purpose === 'record' && launch.examId === record.examId;
    if (isOfThisExam && launch.tokenHash === toBase64Url(tokenHash)) return launch.person;
    throw new ServerError('ticket-refused', 'the launch is unknown, for another exam, or too old', {
      hint: 'open the exam from its course again',
    });
  }
  if (type === ATTEST_NONE && policy.admission === 'link') return null;
  if (policy.admission === 'launch') {
    throw new ServerError('ticket-refused', 'this exam is opened from its course', {
      hint: 'or with a personal link that has a seat ticket in it',
    });
  }
  throw new ServerError('ticket-refused', 'this exam is opened with a seat ticket', {
    hint: 'use the personal link with the ticket in it',
  });
}

/** The minutes that a seat's accommodations grant beyond the others'; the ticket was verified. */
function extraMinutesOf({ attestation: { type, bytes } }: OpenRecord): number {
  if (type !== ATTEST_TICKET) return 0;
  const { accommodations } = parseTicket(bytes.subarray(0, -SIGNATURE_BYTES));
  if (accommodations === '') return 0;
  const { extra_minutes: minutes } = JSON.parse(accommodations) as { extra_minutes?: unknown };
  return typeof minutes === 'number' && minutes > 0 ? Math.min(minutes, MOST_EXTRA_MINUTES) : 0;
}

/** What the shred share of each epoch must hash to: OPEN's commitment, which its recorder signed. */
export function shredCommitments(epochs: readonly EpochRow[]): Map<number, Bytes> {
  return new Map(epochs.map(({ epoch, open }) => [epoch, parseOpen(open).shredHash]));
}

/** Epoch 0: a recording comes into being, and with it the obligation to destroy it. */
export function openRecording(opening: Opening, now: number, quotas?: Quotas) {
  const { record, policy } = opening;
  if (now < policy.not_before || now >= policy.not_after) {
    throw new ServerError('exam-closed', now < policy.not_before ? 'the exam has not begun' : 'the exam is over', {
      extra: { not_before_ms: policy.not_before, not_after_ms: policy.not_after },
    });
  }
  if (quotas && record.tracks.length > quotas.tracks) throw quotaReached('tracks');
  const retention = retentionOf(policy, now);
  const recording: Omit<RecordingRow, 'openedPosition'> = {
    id: record.sessionId,
    examId: record.examId,
    state: 'open',
    practice: policy.practice,
    ...retention,
    ...limitsOf(quotas, policy, extraMinutesOf(record), now),
    quotaReached: null,
    ticket: opening.ticket,
    lastEpoch: 0,
    seenMs: now,
    endedMs: null,
    releases: 0,
    lastUrlMs: 0,
    objects: 0,
    bytes: 0,
    deletedMs: null,
  };
  const entry: LogEntry = {
    v: 1,
    type: 'recording.opened',
    at: now,
    recording: record.sessionId,
    exam: record.examId,
    epoch: 0,
    open_hash: opening.openHash,
    policy_hash: opening.policyHash,
    opened: now,
    delete_by: retention.deleteByMs,
    notice_hash: opening.noticeHash,
  };
  return { recording, ...epochRows(opening, now), entry };
}

/** Epoch 1 and later: the recorder was started again with new keys. The obligation stands as it was. */
export function openEpoch(opening: Opening, recording: RecordingRow, newest: EpochRow, now: number) {
  const { record } = opening;
  if (record.examId !== recording.examId || opening.ticket !== recording.ticket) {
    throw new ServerError('open-conflict', 'the recording was opened by somebody else');
  }
  if (record.epoch !== recording.lastEpoch + 1) {
    throw new ServerError('epoch-conflict', `expected epoch ${recording.lastEpoch + 1}, found ${record.epoch}`);
  }
  if (toBase64Url(record.recorderKey) === newest.recorderPk) {
    throw new ProtocolError('key', 'a new epoch needs a new recorder key');
  }
  const entry: LogEntry = {
    v: 1,
    type: 'recording.reopened',
    at: now,
    recording: record.sessionId,
    epoch: record.epoch,
    open_hash: opening.openHash,
  };
  return { ...epochRows(opening, now), entry };
}

function epochRows({ record, wraps, ...opening }: Opening, now: number) {
  const at = { recordingId: record.sessionId, epoch: record.epoch };
  const epoch: EpochRow = {
    ...at,
    openHash: opening.openHash,
    open: opening.openBytes,
    policyHash: opening.policyHash,
    recorderPk: toBase64Url(record.recorderKey),
    tokenHash: opening.tokenHash,
    openedMs: now,
    head: null,
    headHash: null,
    headSeq: null,
  };
  const tracks: TrackRow[] = record.tracks.map(({ track, kind, codec }) => ({
    ...at,
    track,
    kind,
    codec,
    count: 0,
    bytes: 0,
  }));
  const wrapRows: WrapRow[] = wraps.map(({ header, bytes }) => ({
    ...at,
    keyId: toBase64Url(header.keyId),
    role: header.role,
    wrap: bytes,
  }));
  return { epoch, tracks, wraps: wrapRows };
}
