import { z } from 'zod';
import { fromUtf8, type Bytes, utf8 } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';

/** Most bytes of one entry. Tiles prefix an entry with a 16-bit length, so 64 KiB itself does not fit. */
export const MAX_ENTRY_BYTES = 65_535;

const DAY_MS = 86_400_000;

/** A random identifier: 16 bytes, canonical base64url (the last character carries two bits). */
const id = z.string().regex(/^[A-Za-z0-9_-]{21}[AQgw]$/);
/** A SHA-256 or an Ed25519 public key: 32 bytes, canonical base64url (the last character carries four bits). */
const bytes32 = z.string().regex(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);
/** Milliseconds since 1970, as the server's clock said. */
const time = z.int().nonnegative();
const count = z.int().nonnegative();
const epoch = z.int().min(0).max(0xffffffff);

const entryOf = <const Type extends string, Shape extends z.core.$ZodLooseShape>(type: Type, shape: Shape) =>
  z.strictObject({ v: z.literal(1), type: z.literal(type), at: time, ...shape });

const ending = {
  recording: id,
  epoch,
  head_hash: bytes32.nullable(),
  head_seq: count.nullable(),
  objects: count,
  bytes: count,
  missing: count,
};
const job = z.enum(['purge', 'verify', 'abandon', 'scrub', 'sweep']);
/** What a probe with real objects found; null where it could not tell. */
const found = z.boolean().nullable();

/**
 * Every statement that the retention log can make (LOG.md, entries). Free text has no place in it: a field is a random id,
 * a hash, a count, a time or a code from a closed list, so no name or address can get into a record that is never erased.
 */
export const logEntrySchema = z.discriminatedUnion('type', [
  entryOf('policy.published', {
    exam: id,
    seq: count,
    policy_hash: bytes32,
    retention_days: z.int().min(1).max(30),
    practice: z.boolean(),
  }),
  entryOf('key.enrolled', { identity: bytes32, key_id: id }),
  entryOf('key.revoked', { identity: bytes32, key_id: id }),
  entryOf('recording.opened', {
    recording: id,
    exam: id,
    epoch: z.literal(0),
    open_hash: bytes32,
    policy_hash: bytes32,
    opened: time,
    delete_by: time,
    /** SHA-256 of the notice that was shown and acknowledged; acknowledging is a condition of opening, hence no entry of its own. */
    notice_hash: bytes32,
  }),
  entryOf('recording.reopened', { recording: id, epoch: epoch.min(1), open_hash: bytes32 }),
  entryOf('recording.closed', { ...ending, reason: z.enum(['normal', 'abort', 'policy-end', 'error']) }),
  entryOf('recording.abandoned', { ...ending, reason: z.enum(['silent', 'erasure', 'expired']) }),
  entryOf('access.released', {
    recording: id,
    key_id: id,
    /** PROTOCOL.md section 5: 1 instructor, 2 LMS administrator, 3 recovery. */
    role: z.literal([1, 2, 3]),
    purpose: z.enum(['review', 'export', 'grant']),
  }),
  entryOf('grant.added', { recording: id, epoch, grant_hash: bytes32, to_key_id: id }),
  entryOf('export.declared', { recording: id, key_id: id, kind: z.enum(['sealed', 'decrypted']) }),
  entryOf('erasure.requested', { recording: id, delete_by: time, reason: z.enum(['student', 'owner', 'operator']) }),
  entryOf('run.started', { job, run: id }),
  entryOf('run.finished', { job, run: id, due: count, done: count, failed: count }),
  entryOf('deletion.intended', { recording: id, delete_by: time, reason: z.enum(['expired', 'erasure']) }),
  entryOf('deletion.completed', {
    recording: id,
    objects: count,
    bytes: count,
    shares: count,
    wraps: count,
    /** When the last backup of the vault that can hold the share is gone; the deletion is final from here. */
    vault_horizon: time,
  }),
  entryOf('deletion.verified', { recording: id, listed: z.literal(0) }),
  entryOf('anomaly.found', {
    anomaly: id,
    kind: z.enum([
      'object-missing',
      'object-damaged',
      'object-foreign',
      'object-returned',
      'delete-failed',
      'share-missing',
      'equivocation',
      'clock-stepped',
      'store-weak',
    ]),
    recording: id.nullable(),
    count,
  }),
  entryOf('anomaly.closed', { anomaly: id, resolution: z.enum(['repaired', 'deleted', 'explained', 'lost']) }),
  entryOf('storage.attested', {
    versioning: z.enum(['off', 'enabled', 'suspended', 'unknown']),
    object_lock: found,
    lifecycle_days: z.int().positive().nullable(),
    enforces: z.strictObject({ signature: found, expiry: found, length: found, sha256: found, create_only: found }),
    clock_skew_ms: z.int().nullable(),
  }),
  /** From here on each checkpoint is signed with both Ed25519 keys, until `log.retired`. */
  entryOf('log.rotated', { from: bytes32, to: bytes32 }),
  /** The last checkpoint that this key signs is the first one over this entry. */
  entryOf('log.retired', { key: bytes32 }),
  entryOf('heartbeat', {
    /** Entries in the log when the heartbeat was decided, this one not counted. */
    entries: count,
  }),
]);

export type LogEntry = z.infer<typeof logEntrySchema>;
export type LogEntryType = LogEntry['type'];
export type LogEntryOf<Type extends LogEntryType> = Extract<LogEntry, { type: Type }>;

/** The first thing that is wrong, without the value: a refused value may be what must never be written down. */
function explain(error: z.ZodError): string {
  const [issue] = error.issues;
  return issue ? `${issue.path.join('.') || 'entry'}: ${issue.code.replaceAll('_', ' ')}` : 'entry: invalid';
}

/** The exact bytes that are stored and hashed: compact JSON, fields in the order of the schema. Throws `log` on an invalid entry. */
export function encodeEntry(entry: LogEntry): Bytes {
  const parsed = logEntrySchema.safeParse(entry);
  if (!parsed.success) throw new ProtocolError('log', `not a log entry: ${explain(parsed.error)}`);
  return utf8(JSON.stringify(parsed.data));
}

/**
 * Reads one entry, strictly. Only the bytes that `JSON.stringify` would write are accepted, so that white space, duplicate
 * keys and odd numbers cannot make two readers see two things under one hash. Throws `log`, or `format` for bytes that are no UTF-8.
 */
export function decodeEntry(bytes: Uint8Array): LogEntry {
  if (bytes.length > MAX_ENTRY_BYTES) {
    throw new ProtocolError('log', `expected an entry of at most ${MAX_ENTRY_BYTES} bytes, found ${bytes.length}`);
  }
  const text = fromUtf8(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ProtocolError('log', 'expected an entry in JSON');
  }
  if (JSON.stringify(value) !== text) throw new ProtocolError('log', 'expected compact JSON without duplicate keys');
  const parsed = logEntrySchema.safeParse(value);
  if (!parsed.success) throw new ProtocolError('log', `not a log entry: ${explain(parsed.error)}`);
  return parsed.data;
}

/** Practice recordings live this long, whatever the policy's retention days say. */
export const PRACTICE_RETENTION_MS = DAY_MS;

/**
 * The retention rule, in the one place where server, recorder and auditor take it from: opening plus the policy's days,
 * or 24 hours for practice. Days are 86,400 s: a leap day or a clock change moves nothing.
 */
export function deleteByOf(
  opened: number,
  policy: { readonly retention_days: number; readonly practice: boolean },
): number {
  return opened + (policy.practice ? PRACTICE_RETENTION_MS : policy.retention_days * DAY_MS);
}
