/** Rows and log entries as the server would write them, with random ids; each test changes the one thing that it is about. */
import { randomBytes } from 'node:crypto';
import { decodeEntry, type LogEntry, type LogEntryOf } from '../../../../crypto/log/entry.ts';
import type { Bytes } from '../../../../crypto/format/bytes.ts';
import type {
  EpochRow,
  GrantRow,
  KeyRow,
  NoteRow,
  PendingRow,
  PolicyRow,
  RecordingRow,
  SessionRow,
  Store,
  TokenRow,
  TrackRow,
  WrapRow,
} from '../../../../src/server/store.ts';

export const DAY_MS = 86_400_000;
/** Monday, 2 March 2026, 09:00 UTC. */
export const OPENED_MS = Date.UTC(2026, 2, 2, 9);

export const newId = (): string => randomBytes(16).toString('base64url');
export const newHash = (): string => randomBytes(32).toString('base64url');
export const newBytes = (length: number): Bytes => new Uint8Array(randomBytes(length));

export function policyRow(changes: Partial<PolicyRow> = {}): PolicyRow {
  return {
    examId: newId(),
    seq: 1,
    policyHash: newHash(),
    ownerHash: newHash(),
    bytes: newBytes(300),
    publishedMs: OPENED_MS - DAY_MS,
    ...changes,
  };
}

export function published(policy: PolicyRow): LogEntryOf<'policy.published'> {
  return {
    v: 1,
    type: 'policy.published',
    at: policy.publishedMs,
    exam: policy.examId,
    seq: policy.seq,
    policy_hash: policy.policyHash,
    retention_days: 30,
    practice: false,
  };
}

export async function publish(
  store: Store,
  changes: Partial<PolicyRow> = {},
  people: readonly string[] = [],
): Promise<PolicyRow> {
  const policy = policyRow(changes);
  if (!(await store.publishPolicy(policy, people, published(policy)))) throw new Error('the policy was not published');
  return policy;
}

export type NewRecording = Omit<RecordingRow, 'openedPosition'>;

export function recordingRow(policy: PolicyRow, changes: Partial<NewRecording> = {}): NewRecording {
  return {
    id: newId(),
    examId: policy.examId,
    state: 'open',
    practice: false,
    openedMs: OPENED_MS,
    deleteByMs: OPENED_MS + 30 * DAY_MS,
    uploadsUntilMs: OPENED_MS + DAY_MS,
    ticket: null,
    lastEpoch: 0,
    seenMs: OPENED_MS,
    endedMs: null,
    releases: 0,
    lastUrlMs: 0,
    objects: 0,
    bytes: 0,
    deletedMs: null,
    quotaBytes: null,
    quotaUntilMs: null,
    quotaExamBytes: null,
    quotaReached: null,
    ...changes,
  };
}

export function epochRow(recording: { id: string }, policy: PolicyRow, changes: Partial<EpochRow> = {}): EpochRow {
  return {
    recordingId: recording.id,
    epoch: 0,
    openHash: newHash(),
    open: newBytes(500),
    policyHash: policy.policyHash,
    recorderPk: newHash(),
    tokenHash: newHash(),
    openedMs: OPENED_MS,
    head: null,
    headHash: null,
    headSeq: null,
    ...changes,
  };
}

/** A webcam and an event track, both empty. */
export function trackRows({ recordingId, epoch }: EpochRow): TrackRow[] {
  return [
    { recordingId, epoch, track: 1, kind: 1, codec: 'video/webm;codecs=vp8,opus', count: 0, bytes: 0 },
    { recordingId, epoch, track: 4, kind: 4, codec: 'application/x-ndjson', count: 0, bytes: 0 },
  ];
}

/** One wrap of each suite's length (PROTOCOL.md section 7). */
export function wrapRows({ recordingId, epoch }: EpochRow): WrapRow[] {
  return [
    { recordingId, epoch, keyId: newId(), role: 1, wrap: newBytes(176) },
    { recordingId, epoch, keyId: newId(), role: 2, wrap: newBytes(1232) },
  ];
}

export function opened(recording: NewRecording, epoch: EpochRow): LogEntryOf<'recording.opened'> {
  return {
    v: 1,
    type: 'recording.opened',
    at: recording.openedMs,
    recording: recording.id,
    exam: recording.examId,
    epoch: 0,
    open_hash: epoch.openHash,
    policy_hash: epoch.policyHash,
    opened: recording.openedMs,
    delete_by: recording.deleteByMs,
    notice_hash: newHash(),
  };
}

export const reopened = (epoch: EpochRow): LogEntry => ({
  v: 1,
  type: 'recording.reopened',
  at: epoch.openedMs,
  recording: epoch.recordingId,
  epoch: epoch.epoch,
  open_hash: epoch.openHash,
});

const ending = (recording: string) => ({
  v: 1 as const,
  at: OPENED_MS,
  recording,
  epoch: 0,
  head_hash: null,
  head_seq: null,
  objects: 0,
  bytes: 0,
  missing: 0,
});

export const closed = (recording: string): LogEntry => ({
  ...ending(recording),
  type: 'recording.closed',
  reason: 'normal',
});

export const abandoned = (recording: string): LogEntry => ({
  ...ending(recording),
  type: 'recording.abandoned',
  reason: 'silent',
});

export const exported = (recording: string): LogEntry => ({
  v: 1,
  type: 'export.declared',
  at: OPENED_MS,
  recording,
  key_id: newId(),
  kind: 'sealed',
});

export const released = (recording: string): LogEntry => ({
  v: 1,
  type: 'access.released',
  at: OPENED_MS,
  recording,
  key_id: newId(),
  role: 1,
  purpose: 'review',
});

export const granted = (grant: GrantRow): LogEntry => ({
  v: 1,
  type: 'grant.added',
  at: OPENED_MS,
  recording: grant.recordingId,
  epoch: grant.epoch,
  grant_hash: grant.grantHash,
  to_key_id: grant.toKeyId,
});

export const erasure = (recording: string, deleteBy: number): LogEntry => ({
  v: 1,
  type: 'erasure.requested',
  at: OPENED_MS,
  recording,
  delete_by: deleteBy,
  reason: 'student',
});

export const intended = (recording: string): LogEntry => ({
  v: 1,
  type: 'deletion.intended',
  at: OPENED_MS,
  recording,
  delete_by: OPENED_MS + 30 * DAY_MS,
  reason: 'expired',
});

export const completed = (recording: string): LogEntry => ({
  v: 1,
  type: 'deletion.completed',
  at: OPENED_MS,
  recording,
  objects: 0,
  bytes: 0,
  shares: 1,
  wraps: 2,
  vault_horizon: OPENED_MS + 31 * DAY_MS,
});

export const verified = (recording: string): LogEntry => ({
  v: 1,
  type: 'deletion.verified',
  at: OPENED_MS,
  recording,
  listed: 0,
});

export const heartbeat = (entries: number): LogEntry => ({ v: 1, type: 'heartbeat', at: OPENED_MS, entries });

export function noteRow(recordingId: string, createdMs = OPENED_MS): NoteRow {
  return { recordingId, noteHash: newHash(), createdMs, note: newBytes(300) };
}

export function grantRow(recordingId: string, changes: Partial<GrantRow> = {}): GrantRow {
  return {
    recordingId,
    epoch: 0,
    grantHash: newHash(),
    toKeyId: newId(),
    grant: newBytes(320),
    wrap: newBytes(1232),
    ...changes,
  };
}

export function keyRow(changes: Partial<KeyRow> = {}): KeyRow {
  return { identity: newHash(), keyId: newId(), op: 1, document: newBytes(200), enrolledMs: OPENED_MS, ...changes };
}

export const enrolled = (key: KeyRow): LogEntry => ({
  v: 1,
  type: 'key.enrolled',
  at: key.enrolledMs,
  identity: key.identity,
  key_id: key.keyId,
});

export function tokenRow(changes: Partial<TokenRow> = {}): TokenRow {
  return {
    tokenHash: newHash(),
    prefix: newId().slice(0, 8),
    role: 'compliance',
    label: 'the registrar',
    createdMs: OPENED_MS,
    expiresMs: OPENED_MS + DAY_MS,
    revokedMs: null,
    examIds: null,
    lastUsedMs: null,
    ...changes,
  };
}

export function sessionRow(changes: Partial<SessionRow> = {}): SessionRow {
  return {
    sessionHash: newHash(),
    role: 'instructor',
    identity: newHash(),
    tokenHash: null,
    examIds: null,
    createdMs: OPENED_MS,
    expiresMs: OPENED_MS + DAY_MS,
    revokedMs: null,
    lastUsedMs: null,
    ...changes,
  };
}

export const pendingRow = (track: number, seq: number, changes: Partial<PendingRow> = {}): PendingRow => ({
  track,
  seq,
  bytes: 4096 + seq,
  sha256: newHash(),
  ...changes,
});

export interface Opened {
  recording: NewRecording;
  epoch: EpochRow;
  tracks: TrackRow[];
  wraps: WrapRow[];
}

/** Everything that one opening writes, not yet written. */
export function opening(policy: PolicyRow, changes: Partial<NewRecording> = {}): Opened {
  const recording = recordingRow(policy, changes);
  const epoch = epochRow(recording, policy, { openedMs: recording.openedMs });
  return { recording, epoch, tracks: trackRows(epoch), wraps: wrapRows(epoch) };
}

export function write(store: Store, { recording, epoch, tracks, wraps }: Opened): Promise<boolean> {
  return store.openRecording(recording, epoch, tracks, wraps, opened(recording, epoch));
}

/** An open recording of an exam of its own, or of `policy`'s. */
export async function open(store: Store, changes: Partial<NewRecording> = {}, policy?: PolicyRow): Promise<Opened> {
  const all = opening(policy ?? (await publish(store)), changes);
  if (!(await write(store, all))) throw new Error('the recording was not opened');
  return all;
}

/** The types of a recording's log entries, in order. */
export async function story(store: Store, recordingId: string): Promise<string[]> {
  const entries = await store.entriesOf(recordingId);
  return entries.map(({ bytes }) => decodeEntry(bytes).type);
}

/** Takes a recording to a state by the shortest honest way. */
export async function bring(store: Store, recordingId: string, state: RecordingRow['state']): Promise<void> {
  const nothing = { objects: 0, bytes: 0 };
  const steps: Record<RecordingRow['state'], () => Promise<boolean>> = {
    open: async () => true,
    closed: () =>
      store.acceptHead(
        { recordingId, epoch: 0, head: newBytes(200), headHash: newHash(), headSeq: 0 },
        null,
        [],
        OPENED_MS + 1000,
        { ...nothing, entry: closed(recordingId) },
      ),
    abandoned: () => store.abandon(recordingId, OPENED_MS, OPENED_MS + DAY_MS, nothing, abandoned(recordingId)),
    purging: () => store.intendDeletion(recordingId, nothing, intended(recordingId)),
    deleted: async () => {
      await bring(store, recordingId, 'purging');
      await store.destroyWraps(recordingId);
      return store.completeDeletion(recordingId, nothing, OPENED_MS + 30 * DAY_MS, completed(recordingId));
    },
    verified: async () => {
      await bring(store, recordingId, 'deleted');
      return store.verifyDeletion(recordingId, (await store.entriesOf(recordingId)).length, [verified(recordingId)]);
    },
  };
  if (!(await steps[state]())) throw new Error(`the recording did not become ${state}`);
}
