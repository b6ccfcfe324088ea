/**
 * How large and how long recordings may become: what the operator allows, narrowed by the exam's policy. A limit is fixed when a recording
 * opens, told to its recorder then, and held before a URL is signed. Pure.
 */
import type { Policy } from '../../../crypto/format/policy.ts';
import { ServerError } from '../errors.ts';
import type { PendingRow, Quota, RecordingRow } from '../store.ts';
import { RESUME_WINDOW_MS } from './retention.ts';
import type { ChunkRequest } from './uploading.ts';

/** The operator's limits. */
export interface Quotas {
  /** Bytes of one recording, as they are stored. */
  recordingBytes: number;
  /** For how long one recording records, ms. */
  recordingMs: number;
  /** Bytes of all recordings of an exam that are not destroyed yet; null: no limit. */
  examBytes: number | null;
  /** Tracks of one recording. */
  tracks: number;
}

type Limits = Pick<RecordingRow, 'quotaBytes' | 'quotaUntilMs' | 'quotaExamBytes'>;

const MINUTE_MS = 60_000;

/**
 * The limits of a recording that opens now. The policy's rules are `most_bytes`, `most_minutes` and `most_exam_bytes` of its `capture`;
 * minutes that a seat was granted beyond the others' are added to the policy's, not to the operator's.
 */
export function limitsOf(
  quotas: Quotas | undefined,
  { capture }: Pick<Policy, 'capture'>,
  extraMinutes: number,
  now: number,
): Limits {
  const minutes = ruleOf(capture, 'most_minutes');
  const most = least(quotas?.recordingMs, minutes === undefined ? undefined : (minutes + extraMinutes) * MINUTE_MS);
  return {
    quotaBytes: least(quotas?.recordingBytes, ruleOf(capture, 'most_bytes')),
    quotaUntilMs: most === null ? null : now + most,
    quotaExamBytes: least(quotas?.examBytes ?? undefined, ruleOf(capture, 'most_exam_bytes')),
  };
}

function ruleOf(capture: Policy['capture'], name: string): number | undefined {
  const value = capture[name];
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function least(...limits: readonly (number | undefined)[]): number | null {
  const given = limits.filter((limit) => limit !== undefined);
  return given.length === 0 ? null : Math.min(...given);
}

/** Bytes that these chunks add to what was promised before: one that is asked for again adds none. */
export function freshBytes(wanted: readonly ChunkRequest[], pending: readonly PendingRow[]): number {
  const promised = new Set(pending.map(({ track, seq }) => `${track}/${seq}`));
  return wanted.reduce((sum, { track, seq, bytes }) => sum + (promised.has(`${track}/${seq}`) ? 0 : bytes), 0);
}

/** What was recorded in time and waited in an outbox is still taken for as long as a recording may be resumed. */
export function isTimeUp({ quotaUntilMs }: Limits, now: number): boolean {
  return quotaUntilMs !== null && now >= quotaUntilMs + RESUME_WINDOW_MS;
}

/** Which limit a recorder that ends by itself has come up against. */
export function limitNear({ quotaUntilMs }: Limits, now: number): Quota {
  return quotaUntilMs !== null && now >= quotaUntilMs - MINUTE_MS ? 'time' : 'bytes';
}

/** The limit that is nearer, and how many bytes it leaves; undefined without any. */
export function roomOf(
  { quotaBytes, quotaExamBytes }: Limits,
  used: { recording: number; exam: number },
): { quota: Quota; bytesLeft: number } | undefined {
  const rooms: { quota: Quota; bytesLeft: number }[] = [];
  if (quotaBytes !== null) rooms.push({ quota: 'bytes', bytesLeft: Math.max(0, quotaBytes - used.recording) });
  if (quotaExamBytes !== null) rooms.push({ quota: 'exam-bytes', bytesLeft: Math.max(0, quotaExamBytes - used.exam) });
  return rooms.sort((a, b) => a.bytesLeft - b.bytesLeft)[0];
}

const WORDS: Record<Quota | 'tracks', string> = {
  bytes: 'the recording is as large as it may be',
  time: 'the recording is as long as it may be',
  'exam-bytes': 'the recordings of this exam are together as large as they may be',
  tracks: 'the recording has more tracks than this service takes',
};

export function quotaReached(quota: Quota | 'tracks', bytesLeft = 0): ServerError {
  return new ServerError('quota-reached', WORDS[quota], {
    hint:
      quota === 'tracks'
        ? 'record fewer'
        : 'end the recording: what was acknowledged stays; whoever runs the exam can allow more',
    extra: { quota, bytes_left: bytesLeft },
  });
}
