/**
 * The metadata store's tables as drizzle sees them: the types of every read. The SQL under `migrations/store` is the
 * truth, for SQLite and D1 alike; a test holds the two together, column by column.
 */
import { sql } from 'drizzle-orm';
import {
  check,
  customType,
  foreignKey,
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  unique,
} from 'drizzle-orm/sqlite-core';
import type { Bytes } from '../crypto/format/bytes.ts';

/** Exact bytes. better-sqlite3 answers with a Buffer that may share a pool, D1 with an array of numbers: both are copied. */
const blob = customType<{ data: Bytes; driverData: Uint8Array | ArrayBuffer | number[] }>({
  dataType: () => 'blob',
  fromDriver: (value) => new Uint8Array(value),
  toDriver: (value) => value,
});

/** A JSON array of ids, or NULL; drizzle's own JSON column would write the text `null`. */
const idList = customType<{ data: readonly string[] | null; driverData: string | null }>({
  dataType: () => 'text',
  fromDriver: (value) => (value === null ? null : (JSON.parse(value) as string[])),
  toDriver: (value) => (value === null ? null : JSON.stringify(value)),
});

export const must = sqliteTable('must', { held: integer('held').notNull() }, () => [check('must_hold', sql`held = 1`)]);

export const logEntries = sqliteTable(
  'log_entries',
  {
    index: integer('position').primaryKey(),
    recordingId: text('recording_id'),
    bytes: blob('bytes').notNull(),
  },
  (table) => [
    index('log_entries_by_recording')
      .on(table.recordingId)
      .where(sql`recording_id IS NOT NULL`),
  ],
);

export const checkpoints = sqliteTable('checkpoints', {
  size: integer('size').primaryKey(),
  note: text('note').notNull(),
  publishedMs: integer('published_ms').notNull(),
});

export const cosignatures = sqliteTable(
  'cosignatures',
  {
    size: integer('size')
      .notNull()
      .references(() => checkpoints.size),
    witness: text('witness').notNull(),
    line: text('line').notNull(),
  },
  (table) => [primaryKey({ columns: [table.size, table.witness] })],
);

export const tiles = sqliteTable(
  'tiles',
  {
    level: integer('level').notNull(),
    index: integer('position').notNull(),
    hashes: blob('hashes').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.level, table.index] }),
    check('tiles_hold_1_to_256_hashes', sql`length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192`),
  ],
);

export const policies = sqliteTable(
  'policies',
  {
    examId: text('exam_id').notNull(),
    seq: integer('seq').notNull(),
    policyHash: text('policy_hash').notNull().unique(),
    ownerHash: text('owner_hash').notNull(),
    bytes: blob('bytes').notNull(),
    publishedMs: integer('published_ms').notNull(),
  },
  (table) => [primaryKey({ columns: [table.examId, table.seq] })],
);

export const recordings = sqliteTable(
  'recordings',
  {
    id: text('id').primaryKey(),
    examId: text('exam_id').notNull(),
    state: text('state', { enum: ['open', 'closed', 'abandoned', 'purging', 'deleted', 'verified'] }).notNull(),
    practice: integer('practice', { mode: 'boolean' }).notNull(),
    openedMs: integer('opened_ms').notNull(),
    deleteByMs: integer('delete_by_ms').notNull(),
    uploadsUntilMs: integer('uploads_until_ms').notNull(),
    openedPosition: integer('opened_position').notNull(),
    ticket: text('ticket').unique(),
    lastEpoch: integer('last_epoch').notNull(),
    seenMs: integer('seen_ms').notNull(),
    endedMs: integer('ended_ms'),
    releases: integer('releases').notNull(),
    lastUrlMs: integer('last_url_ms').notNull(),
    objects: integer('objects').notNull(),
    bytes: integer('bytes').notNull(),
    deletedMs: integer('deleted_ms'),
    quotaBytes: integer('quota_bytes'),
    quotaUntilMs: integer('quota_until_ms'),
    quotaExamBytes: integer('quota_exam_bytes'),
    quotaReached: text('quota_reached', { enum: ['bytes', 'time', 'exam-bytes'] }),
  },
  (table) => [
    index('recordings_by_exam').on(table.examId, table.id),
    index('recordings_due')
      .on(table.deleteByMs, table.id)
      .where(sql`deleted_ms IS NULL`),
    index('recordings_idle')
      .on(table.seenMs, table.id)
      .where(sql`state = 'open'`),
    index('recordings_overrun')
      .on(table.uploadsUntilMs)
      .where(sql`state = 'open'`),
    index('recordings_unverified')
      .on(table.id, table.lastUrlMs, table.deletedMs)
      .where(sql`state = 'deleted'`),
    check('recordings_practice_is_a_question', sql`practice IN (0, 1)`),
    check(
      'recordings_know_their_states',
      sql`state IN ('open', 'closed', 'abandoned', 'purging', 'deleted', 'verified')`,
    ),
    check('recordings_date_their_deletion', sql`(deleted_ms IS NOT NULL) = (state IN ('deleted', 'verified'))`),
  ],
);

export const epochs = sqliteTable(
  'epochs',
  {
    recordingId: text('recording_id')
      .notNull()
      .references(() => recordings.id),
    epoch: integer('epoch').notNull(),
    openHash: text('open_hash').notNull(),
    open: blob('open').notNull(),
    policyHash: text('policy_hash').notNull(),
    recorderPk: text('recorder_pk').notNull(),
    tokenHash: text('token_hash').notNull(),
    openedMs: integer('opened_ms').notNull(),
    head: blob('head'),
    headHash: text('head_hash'),
    headSeq: integer('head_seq'),
  },
  (table) => [primaryKey({ columns: [table.recordingId, table.epoch] })],
);

export const tracks = sqliteTable(
  'tracks',
  {
    recordingId: text('recording_id').notNull(),
    epoch: integer('epoch').notNull(),
    track: integer('track').notNull(),
    kind: integer('kind').notNull(),
    codec: text('codec').notNull(),
    count: integer('count').notNull(),
    bytes: integer('bytes').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.recordingId, table.epoch, table.track] }),
    foreignKey({ columns: [table.recordingId, table.epoch], foreignColumns: [epochs.recordingId, epochs.epoch] }),
  ],
);

/** [Note: shielded blobs] in the first migration: what must be destroyed without a trace lies behind a page of zeros. */
const shield = () => blob('shield').notNull();

export const wraps = sqliteTable(
  'wraps',
  {
    recordingId: text('recording_id').notNull(),
    epoch: integer('epoch').notNull(),
    directory: text('directory', { mode: 'json' }).$type<{ keyId: string; role: number; bytes: number }[]>().notNull(),
    shield: shield(),
    wraps: blob('wraps').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.recordingId, table.epoch] }),
    foreignKey({ columns: [table.recordingId, table.epoch], foreignColumns: [epochs.recordingId, epochs.epoch] }),
    check('wraps_are_shielded', sql`length(shield) = 4096`),
  ],
);

export const grants = sqliteTable(
  'grants',
  {
    recordingId: text('recording_id').notNull(),
    epoch: integer('epoch').notNull(),
    grantHash: text('grant_hash').notNull(),
    toKeyId: text('to_key_id').notNull(),
    shield: shield(),
    grant: blob('grant').notNull(),
    wrap: blob('wrap').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.recordingId, table.grantHash] }),
    foreignKey({ columns: [table.recordingId, table.epoch], foreignColumns: [epochs.recordingId, epochs.epoch] }),
    check('grants_are_shielded', sql`length(shield) = 4096`),
  ],
);

export const notes = sqliteTable(
  'notes',
  {
    recordingId: text('recording_id')
      .notNull()
      .references(() => recordings.id),
    noteHash: text('note_hash').notNull(),
    createdMs: integer('created_ms').notNull(),
    shield: shield(),
    note: blob('note').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.recordingId, table.noteHash] }),
    check('notes_are_shielded', sql`length(shield) = 4096`),
  ],
);

export const pending = sqliteTable(
  'pending',
  {
    recordingId: text('recording_id').notNull(),
    epoch: integer('epoch').notNull(),
    track: integer('track').notNull(),
    seq: integer('seq').notNull(),
    bytes: integer('bytes').notNull(),
    sha256: text('sha256').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.recordingId, table.epoch, table.track, table.seq] }),
    foreignKey({
      columns: [table.recordingId, table.epoch, table.track],
      foreignColumns: [tracks.recordingId, tracks.epoch, tracks.track],
    }),
  ],
);

export const keyDocuments = sqliteTable(
  'key_documents',
  {
    position: integer('position').primaryKey(),
    identity: text('identity').notNull(),
    keyId: text('key_id').notNull(),
    op: integer('op').notNull(),
    document: blob('document').notNull(),
    enrolledMs: integer('enrolled_ms').notNull(),
  },
  (table) => [unique().on(table.identity, table.document)],
);

export const tokens = sqliteTable(
  'tokens',
  {
    tokenHash: text('token_hash').primaryKey(),
    prefix: text('prefix').notNull(),
    role: text('role', { enum: ['admin', 'instructor', 'compliance'] }).notNull(),
    label: text('label').notNull(),
    createdMs: integer('created_ms').notNull(),
    expiresMs: integer('expires_ms').notNull(),
    revokedMs: integer('revoked_ms'),
    examIds: idList('exam_ids'),
    lastUsedMs: integer('last_used_ms'),
  },
  (table) => [
    index('tokens_by_prefix').on(table.prefix),
    check('tokens_know_their_roles', sql`role IN ('admin', 'instructor', 'compliance')`),
  ],
);

export const sessions = sqliteTable(
  'sessions',
  {
    sessionHash: text('session_hash').primaryKey(),
    role: text('role', { enum: ['admin', 'instructor', 'compliance'] }).notNull(),
    identity: text('identity'),
    tokenHash: text('token_hash'),
    examIds: idList('exam_ids'),
    createdMs: integer('created_ms').notNull(),
    expiresMs: integer('expires_ms').notNull(),
    revokedMs: integer('revoked_ms'),
    lastUsedMs: integer('last_used_ms'),
  },
  (table) => [
    index('sessions_by_identity')
      .on(table.identity)
      .where(sql`identity IS NOT NULL`),
    index('sessions_by_token')
      .on(table.tokenHash)
      .where(sql`token_hash IS NOT NULL`),
    index('sessions_expired').on(table.expiresMs),
    check('sessions_know_their_roles', sql`role IN ('admin', 'instructor', 'compliance')`),
  ],
);

export const singleUse = sqliteTable(
  'single_use',
  {
    hash: text('hash').primaryKey(),
    purpose: text('purpose', { enum: ['challenge', 'setup', 'login', 'invitation'] }).notNull(),
    expiresMs: integer('expires_ms').notNull(),
  },
  (table) => [index('single_use_expired').on(table.expiresMs)],
);

export const examPeople = sqliteTable(
  'exam_people',
  {
    examId: text('exam_id').notNull(),
    identity: text('identity').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.examId, table.identity] }),
    index('exam_people_by_identity').on(table.identity, table.examId),
  ],
);

export const bookmarks = sqliteTable('bookmarks', {
  name: text('name').primaryKey(),
  place: text('place').notNull(),
});

export const leases = sqliteTable('leases', {
  name: text('name').primaryKey(),
  holder: text('holder').notNull(),
  untilMs: integer('until_ms').notNull(),
});

export const platforms = sqliteTable(
  'platforms',
  {
    id: text('id').primaryKey(),
    label: text('label').notNull(),
    issuer: text('issuer').notNull(),
    clientId: text('client_id').notNull(),
    authUrl: text('auth_url').notNull(),
    jwksUrl: text('jwks_url').notNull(),
    deployments: text('deployments', { mode: 'json' }).$type<readonly string[]>().notNull(),
    createdMs: integer('created_ms').notNull(),
  },
  (table) => [unique().on(table.issuer, table.clientId)],
);

export const platformKeys = sqliteTable('platform_keys', {
  kid: text('kid').primaryKey(),
  privateJwk: text('private_jwk').notNull(),
  createdMs: integer('created_ms').notNull(),
});

export const launches = sqliteTable(
  'launches',
  {
    nonce: text('nonce').primaryKey(),
    platformId: text('platform_id').notNull(),
    deploymentId: text('deployment_id').notNull(),
    purpose: text('purpose', { enum: ['record', 'review', 'select'] }).notNull(),
    role: text('role', { enum: ['instructor', 'compliance'] }),
    examId: text('exam_id'),
    person: text('person'),
    tokenHash: text('token_hash').notNull(),
    returnUrl: text('return_url'),
    returnData: text('return_data'),
    expiresMs: integer('expires_ms').notNull(),
  },
  (table) => [
    index('launches_expired').on(table.expiresMs),
    check('launches_know_their_purposes', sql`purpose IN ('record', 'review', 'select')`),
  ],
);
