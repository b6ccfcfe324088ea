import { toBase64Url } from '../../../crypto/format/bytes.ts';
import type { AuditItem } from '../../../crypto/log/audit.ts';
import { encodeEntry, type LogEntry, type LogEntryOf, type LogEntryType } from '../../../crypto/log/entry.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
export const START = Date.UTC(2026, 8, 1, 8);

/** The id whose 16 bytes all have this value. */
export const idOf = (value: number): string => toBase64Url(new Uint8Array(16).fill(value));
export const hashOf = (value: number): string => toBase64Url(new Uint8Array(32).fill(value));

export const EXAM = idOf(1);
export const RECORDING = idOf(2);
export const POLICY = hashOf(3);

/** An entry's own fields at a time; the rest is what a healthy recording would say. */
export function entryOf<Type extends LogEntryType>(
  type: Type,
  at: number,
  fields: Partial<LogEntryOf<Type>> = {},
): LogEntry {
  return { v: 1, type, at, ...DEFAULTS[type], ...fields } as unknown as LogEntry;
}

const ENDING = {
  recording: RECORDING,
  epoch: 0,
  head_hash: hashOf(6),
  head_seq: 7,
  objects: 40,
  bytes: 4000,
  missing: 0,
};

const DEFAULTS: { readonly [Type in LogEntryType]: Omit<LogEntryOf<Type>, 'v' | 'type' | 'at'> } = {
  'policy.published': { exam: EXAM, seq: 0, policy_hash: POLICY, retention_days: 30, practice: false },
  'key.enrolled': { identity: hashOf(9), key_id: idOf(9) },
  'key.revoked': { identity: hashOf(9), key_id: idOf(9) },
  'recording.opened': {
    recording: RECORDING,
    exam: EXAM,
    epoch: 0,
    open_hash: hashOf(4),
    policy_hash: POLICY,
    opened: START,
    delete_by: START + 30 * DAY,
    notice_hash: hashOf(5),
  },
  'recording.reopened': { recording: RECORDING, epoch: 1, open_hash: hashOf(14) },
  'recording.closed': { ...ENDING, reason: 'normal' },
  'recording.abandoned': { ...ENDING, reason: 'silent' },
  'access.released': { recording: RECORDING, key_id: idOf(9), role: 1, purpose: 'review' },
  'grant.added': { recording: RECORDING, epoch: 0, grant_hash: hashOf(8), to_key_id: idOf(10) },
  'export.declared': { recording: RECORDING, key_id: idOf(9), kind: 'sealed' },
  'erasure.requested': { recording: RECORDING, delete_by: START + DAY, reason: 'student' },
  'run.started': { job: 'purge', run: idOf(11) },
  'run.finished': { job: 'purge', run: idOf(11), due: 0, done: 0, failed: 0 },
  'deletion.intended': { recording: RECORDING, delete_by: START + 30 * DAY, reason: 'expired' },
  'deletion.completed': {
    recording: RECORDING,
    objects: 40,
    bytes: 4000,
    shares: 1,
    wraps: 2,
    vault_horizon: START + 31 * DAY + 2 * MINUTE,
  },
  'deletion.verified': { recording: RECORDING, listed: 0 },
  'anomaly.found': { anomaly: idOf(12), kind: 'object-foreign', recording: null, count: 1 },
  'anomaly.closed': { anomaly: idOf(12), resolution: 'explained' },
  'storage.attested': {
    versioning: 'off',
    object_lock: false,
    lifecycle_days: 31,
    enforces: { signature: true, expiry: true, length: true, sha256: true, create_only: true },
    clock_skew_ms: 0,
  },
  'log.rotated': { from: hashOf(20), to: hashOf(21) },
  'log.retired': { key: hashOf(20) },
  heartbeat: { entries: 0 },
};

/** A month of one recording in which everything goes right: 36 days with their heartbeats and purge runs. */
export function healthyHistory(): LogEntry[] {
  const entries = [
    entryOf('storage.attested', START - HOUR),
    entryOf('policy.published', START - 30 * MINUTE),
    entryOf('key.enrolled', START - 20 * MINUTE),
    entryOf('recording.opened', START),
    entryOf('recording.reopened', START + 40 * MINUTE),
    entryOf('recording.closed', START + 90 * MINUTE, { epoch: 1 }),
    entryOf('access.released', START + 3 * DAY + HOUR),
    entryOf('grant.added', START + 4 * DAY + HOUR),
    entryOf('export.declared', START + 5 * DAY + HOUR),
    entryOf('deletion.intended', START + 30 * DAY + MINUTE),
    entryOf('deletion.completed', START + 30 * DAY + 2 * MINUTE, { shares: 2, wraps: 4 }),
    entryOf('deletion.verified', START + 31 * DAY + 30 * MINUTE),
  ];
  for (let day = 0; day < 36; day++) {
    entries.push(entryOf('run.finished', START + day * DAY + 10 * MINUTE, { run: idOf(100 + day) }));
    entries.push(entryOf('heartbeat', START + day * DAY + 11 * MINUTE));
  }
  return entries.sort((a, b) => a.at - b.at);
}

/** When the healthy history is audited. */
export const AUDITED = START + 35 * DAY + 12 * HOUR;

/** The entries as a log holds them. */
export function itemsOf(entries: readonly LogEntry[]): AuditItem[] {
  return entries.map((entry, index) => ({ index, bytes: encodeEntry(entry) }));
}
