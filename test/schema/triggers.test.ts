import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSqliteStore } from '../../src/server/adapters/sqlite.ts';
import { openPostgresStore } from '../../src/server/adapters/postgres.ts';
import { openSqliteVault } from '../../src/server/adapters/vault-sqlite.ts';
import type { RecordingState, Store } from '../../src/server/store.ts';
import { postgresAbsence, TestCluster } from '../postgres.ts';
import {
  bring,
  enrolled,
  grantRow,
  granted,
  keyRow,
  newBytes,
  newHash,
  newId,
  noteRow,
  open,
  OPENED_MS,
  publish,
} from '../server/adapters/store/rows.ts';

/** What the database says, and the statement that makes it say so; `:name` is the id of the recording in that state. */
type Case = readonly [message: string, sql: string];

const STATES = ['open', 'closed', 'abandoned', 'purging', 'deleted', 'verified'] as const satisfies RecordingState[];
const FORWARD: Record<RecordingState, RecordingState[]> = {
  open: ['closed', 'abandoned', 'purging'],
  closed: ['purging'],
  abandoned: ['purging'],
  purging: ['deleted'],
  deleted: ['verified'],
  verified: [],
};

const LOGGED = `INSERT INTO log_entries SELECT MAX(position) + 1, 'new', x'7b7d' FROM log_entries`;
const LOGGED_AT = '(SELECT MAX(position) FROM log_entries)';
/** A new row with this id, ticket, state and position, and the rest as it should be. */
const BEGINS = (values: string): string => `INSERT INTO recordings (id, ticket, state, opened_position, exam_id,
    practice, opened_ms, delete_by_ms, uploads_until_ms, last_epoch, seen_ms, releases, last_url_ms, objects, bytes)
  SELECT ${values}, exam_id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM recordings WHERE id = :verified`;

const STORE_CASES: Case[] = [
  // ---- the log
  ['a log entry goes to the next position', `INSERT INTO log_entries VALUES (99999, NULL, x'7b7d')`],
  ['a log entry goes to the next position', `INSERT INTO log_entries VALUES (0, NULL, x'7b7d')`],
  ['a log entry goes to the next position', `INSERT OR REPLACE INTO log_entries VALUES (0, NULL, x'7b7d')`],
  ['a log entry goes to the next position', `INSERT INTO log_entries (bytes) VALUES (x'7b7d')`],
  ['a log entry never changes', `UPDATE log_entries SET bytes = x'7b7d' WHERE position = 0`],
  ['a log entry never changes', `UPDATE log_entries SET recording_id = NULL WHERE position = 1`],
  ['a log entry never changes', `UPDATE log_entries SET position = 99999 WHERE position = 0`],
  ['a log entry is never deleted', 'DELETE FROM log_entries WHERE position = (SELECT MAX(position) FROM log_entries)'],
  // ---- checkpoints and tiles
  ['a checkpoint is larger than the one before', `INSERT INTO checkpoints VALUES (1, 'forked', 0)`],
  ['a checkpoint is larger than the one before', `INSERT OR REPLACE INTO checkpoints VALUES (2, 'forked', 0)`],
  ['a checkpoint covers entries that exist', `INSERT INTO checkpoints VALUES (99999, 'ahead', 0)`],
  ['a checkpoint never changes', `UPDATE checkpoints SET note = 'forked'`],
  ['a checkpoint is never deleted', 'DELETE FROM checkpoints'],
  ['a witness cosigns a checkpoint once', `INSERT INTO cosignatures VALUES (2, 'w', 'other')`],
  ['a witness cosigns a checkpoint once', `INSERT OR REPLACE INTO cosignatures VALUES (2, 'w', 'other')`],
  ['a cosignature never changes', `UPDATE cosignatures SET line = 'other'`],
  ['a cosignature is never deleted', 'DELETE FROM cosignatures'],
  ['a tile only grows', 'UPDATE tiles SET hashes = substr(hashes, 1, 32)'],
  ['a tile only grows', 'UPDATE tiles SET hashes = zeroblob(96)'],
  ['a tile only grows', 'UPDATE tiles SET position = 9'],
  ['a tile is never deleted', 'DELETE FROM tiles'],
  // ---- policies and keys
  [
    'a policy has a higher seq than the one before',
    `INSERT INTO policies SELECT exam_id, seq, 'other' || seq, owner_hash, bytes, 0 FROM policies`,
  ],
  [
    'a policy has a higher seq than the one before',
    `INSERT OR REPLACE INTO policies SELECT exam_id, seq, 'other', owner_hash, bytes, 0 FROM policies`,
  ],
  [
    'a policy has a higher seq than the one before',
    `INSERT OR REPLACE INTO policies SELECT 'other', 1, policy_hash, owner_hash, bytes, 0 FROM policies`,
  ],
  ['a policy never changes', `UPDATE policies SET bytes = x'00'`],
  ['a policy is never deleted', 'DELETE FROM policies'],
  ['a key document never changes', 'UPDATE key_documents SET op = 3'],
  ['a key document is never deleted', 'DELETE FROM key_documents'],
  // ---- a recording's obligation
  ['delete_by is never put off', 'UPDATE recordings SET delete_by_ms = delete_by_ms + 1 WHERE id = :open'],
  ['delete_by is never put off', 'UPDATE recordings SET delete_by_ms = delete_by_ms + 1 WHERE id = :purging'],
  ...['quota_bytes = 1', 'quota_until_ms = 1', 'quota_exam_bytes = 1'].map((change): Case => [
    'how large a recording may become never changes',
    `UPDATE recordings SET ${change} WHERE id = :open`,
  ]),
  ...['opened_ms = 0', `exam_id = 'x'`, `id = 'x'`, 'practice = 1', 'opened_position = 0', `ticket = 'x'`].map(
    (change): Case => [
      'what a recording was opened with never changes',
      `UPDATE recordings SET ${change} WHERE id = :open`,
    ],
  ),
  ...['last_url_ms = last_url_ms - 1', 'releases = releases - 1', 'last_epoch = last_epoch - 1'].map((change): Case => [
    'what happened to a recording is not taken back',
    `UPDATE recordings SET ${change} WHERE id = :open`,
  ]),
  [
    'what happened to a recording is not taken back',
    'UPDATE recordings SET deleted_ms = deleted_ms - 1 WHERE id = :deleted',
  ],
  ['a recording leaves a tombstone', 'DELETE FROM recordings WHERE id = :verified'],
  ['a recording begins open', `${LOGGED}; ${BEGINS(`'new', NULL, 'closed', ${LOGGED_AT}`)}`],
  ['a recording begins with its entry in the log', BEGINS(`'new', NULL, 'open', 99999`)],
  ['a recording begins with its entry in the log', BEGINS(`'new', NULL, 'open', opened_position`)],
  ...['INSERT', 'INSERT OR REPLACE'].flatMap((insert): Case[] =>
    [
      BEGINS(`id, 'unused', 'open', opened_position`),
      `${LOGGED}; ${BEGINS(`'new', ticket, 'open', ${LOGGED_AT}`)}`,
    ].map((sql): Case => [
      'a recording begins once, and a ticket opens one',
      sql.replace('INSERT INTO recordings', `${insert} INTO recordings`),
    ]),
  ),
  [
    'wraps and grants are destroyed before a recording is deleted',
    `DELETE FROM notes WHERE recording_id = :purging; UPDATE recordings SET state = 'deleted', deleted_ms = 1 WHERE id = :purging`,
  ],
  ...STATES.flatMap((from) =>
    STATES.filter((to) => to !== from && !FORWARD[from].includes(to)).map((to): Case => [
      'a state never goes back or skips one',
      `UPDATE recordings SET state = '${to}' WHERE id = :${from}`,
    ]),
  ),
  // ---- epochs and keys
  [
    'an epoch begins once, in an open recording',
    `INSERT INTO epochs SELECT :closed, 1, open_hash, open, policy_hash, recorder_pk, token_hash, 0, NULL, NULL, NULL
      FROM epochs WHERE recording_id = :open`,
  ],
  ['an epoch begins once, in an open recording', 'INSERT OR REPLACE INTO epochs SELECT * FROM epochs'],
  ...[`'unheard of'`, `(SELECT policy_hash FROM policies WHERE exam_id <> :exam)`].map((policy): Case => [
    'an epoch begins under a policy of its exam',
    `INSERT INTO epochs SELECT recording_id, 1, open_hash, open, ${policy}, recorder_pk, token_hash, 0, NULL, NULL, NULL
      FROM epochs WHERE recording_id = :open`,
  ]),
  ...[`open = x'00'`, `open_hash = 'x'`, `recorder_pk = 'x'`, `token_hash = 'x'`, 'epoch = 5', 'opened_ms = 1'].map(
    (change): Case => [
      'what an epoch was opened with never changes',
      `UPDATE epochs SET ${change} WHERE recording_id = :open`,
    ],
  ),
  ['a head has a higher seq than the one before', `UPDATE epochs SET head_hash = 'other' WHERE recording_id = :closed`],
  ['an epoch goes only with its recording', 'DELETE FROM epochs WHERE recording_id = :closed'],
  ['a track never loses a chunk', 'UPDATE tracks SET count = -1 WHERE recording_id = :open'],
  [
    'wraps come with an epoch',
    `INSERT INTO wraps SELECT recording_id, 1, '[]', shield, wraps FROM wraps WHERE recording_id = :closed`,
  ],
  ['wraps go only with a deletion', 'DELETE FROM wraps WHERE recording_id = :open'],
  ['wraps go only with a deletion', 'DELETE FROM wraps WHERE recording_id = :abandoned'],
  ['a wrap never changes', `UPDATE wraps SET wraps = x'00' WHERE recording_id = :open`],
  [
    'a deletion has begun',
    `INSERT INTO grants SELECT :purging, 0, 'late', to_key_id, shield, "grant", wrap FROM grants`,
  ],
  ['grants go only with a deletion', 'DELETE FROM grants WHERE recording_id = :open'],
  ['a grant never changes', `UPDATE grants SET wrap = x'00' WHERE recording_id = :open`],
  [
    'a note comes before a deletion',
    `INSERT INTO notes SELECT :purging, 'late', 0, shield, note FROM notes WHERE recording_id = :open`,
  ],
  ['notes go only with a deletion', 'DELETE FROM notes WHERE recording_id = :open'],
  ['a note never changes', `UPDATE notes SET note = x'00' WHERE recording_id = :open`],
  [
    'notes are destroyed before a recording is deleted',
    `DELETE FROM wraps WHERE recording_id = :purging; UPDATE recordings SET state = 'deleted', deleted_ms = 1 WHERE id = :purging`,
  ],
];

const ALLOWED: string[] = [
  `INSERT INTO log_entries SELECT MAX(position) + 1, NULL, x'7b7d' FROM log_entries`,
  `INSERT INTO checkpoints VALUES (3, 'larger', 0)`,
  `UPDATE tiles SET hashes = CAST(hashes || zeroblob(32) AS BLOB)`,
  'UPDATE recordings SET delete_by_ms = delete_by_ms - 1 WHERE id = :open',
  'UPDATE recordings SET last_url_ms = last_url_ms + 1, releases = releases + 1 WHERE id = :closed',
  `UPDATE epochs SET head_hash = 'next', head_seq = 1 WHERE recording_id = :closed`,
  'UPDATE tracks SET count = count + 1 WHERE recording_id = :open',
  'DELETE FROM wraps WHERE recording_id = :purging',
  ...STATES.flatMap((from) =>
    FORWARD[from]
      .filter((to) => to !== 'deleted')
      .map((to) => `UPDATE recordings SET state = '${to}' WHERE id = :${from}`),
  ),
];

const VAULT_CASES: Case[] = [
  ['a slot never moves', 'UPDATE slots SET slot = 77 WHERE slot = 1'],
  ['a slot is zeroed and used again', 'DELETE FROM slots WHERE slot = 1'],
  ['a share never changes', 'UPDATE slots SET share = randomblob(32) WHERE is_free = 0'],
  ['a free slot holds zeros', 'UPDATE slots SET is_free = 1 WHERE is_free = 0'],
];

/** Runs statements as an operator's shell would: default settings; then takes them back. */
function run(database: Database.Database, sql: string, names: Record<string, string> = {}): void {
  database.exec('BEGIN');
  try {
    for (const part of sql.split(';')) database.prepare(part).run(names);
  } finally {
    if (database.inTransaction) database.exec('ROLLBACK');
  }
}

const messagesOf = (database: Database.Database): string[] =>
  database
    .prepare<[], { sql: string }>(`SELECT sql FROM sqlite_schema WHERE type = 'trigger'`)
    .all()
    .map(({ sql }) => /RAISE\(ABORT, '([^']*)'\)/.exec(sql)![1]!)
    .sort();

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-triggers-'));

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** A row of everything; answers the recordings' ids by state, and the exam that they are of. */
async function fill(store: Store): Promise<Record<string, string>> {
  const recordings: Record<string, string> = {};
  const policy = await publish(store);
  recordings['exam'] = policy.examId;
  await publish(store);
  for (const state of STATES) {
    const { recording } = await open(store, { ticket: newHash() }, policy);
    await store.addNote(noteRow(recording.id), 1);
    await bring(store, recording.id, state);
    recordings[state] = recording.id;
  }
  const grant = grantRow(recordings['open']!);
  await store.addGrant(grant, granted(grant));
  const key = keyRow();
  await store.enrolKey(key, enrolled(key));
  await store.publish({ size: 2, note: 'two', publishedMs: 0 }, [{ level: 0, index: 0, hashes: newBytes(64) }], 0);
  await store.cosign(2, 'w', '— w line\n');
  await store.close();
  return recordings;
}

describe("the store's database refuses by itself", () => {
  let database: Database.Database;
  let recordings: Record<string, string>;

  beforeAll(async () => {
    const path = join(folder, 'store.db');
    recordings = await fill(openSqliteStore({ path }));
    database = new Database(path);
    database.pragma('recursive_triggers = OFF');
  });

  afterAll(() => {
    database.close();
  });

  it.each(STORE_CASES)('%s: %s', (message, sql) => {
    expect(() => {
      run(database, sql, recordings);
    }).toThrow(expect.objectContaining({ code: 'SQLITE_CONSTRAINT_TRIGGER', message }) as Error);
  });

  it('and each of its triggers has a case above', () => {
    expect([...new Set(STORE_CASES.map(([message]) => message))].sort()).toEqual(messagesOf(database));
  });

  it.each(ALLOWED)('but allows: %s', (sql) => {
    expect(() => {
      run(database, sql, recordings);
    }).not.toThrow();
  });
});

/** The same statement for PostgreSQL, with the ids in it. */
function forPostgres(sql: string, names: Record<string, string>): string {
  return sql
    .replaceAll(/:(\w+)/g, (_, name: string) => `'${names[name]!}'`)
    .replaceAll(/\bx'([0-9a-f]*)'/g, String.raw`'\x$1'::bytea`)
    .replaceAll(/CAST\((.*) AS BLOB\)/g, '$1');
}

const absence = postgresAbsence();

describe.skipIf(absence !== undefined)(absence ?? "the store's PostgreSQL refuses by itself", () => {
  let cluster: TestCluster;
  let client: pg.Client;
  let recordings: Record<string, string>;

  beforeAll(async () => {
    cluster = await TestCluster.make();
    const url = await cluster.database();
    recordings = await fill((await openPostgresStore(url)).store);
    client = new pg.Client(url);
    await client.connect();
  });
  afterAll(async () => {
    await client.end();
    cluster.stop();
  });

  /** Runs statements as an operator's shell would; then takes them back. */
  async function attempt(sql: string): Promise<void> {
    await client.query('BEGIN');
    try {
      for (const part of sql.split(';')) await client.query(forPostgres(part, recordings));
    } finally {
      await client.query('ROLLBACK');
    }
  }

  it.each(STORE_CASES.filter(([, sql]) => !sql.includes('OR REPLACE')))('%s: %s', async (message, sql) => {
    await expect(attempt(sql)).rejects.toMatchObject({ code: '23000', message });
  });

  it.each(ALLOWED)('but allows: %s', async (sql) => {
    await expect(attempt(sql)).resolves.toBeUndefined();
  });

  it.each(['log_entries', 'checkpoints', 'tiles', 'policies', 'recordings', 'wraps', 'grants', 'key_documents'])(
    'and no %s go at once by TRUNCATE',
    async (table) => {
      await expect(attempt(`TRUNCATE ${table} CASCADE`)).rejects.toMatchObject({ code: '23000' });
    },
  );
});

describe("the vault's database refuses by itself", () => {
  let database: Database.Database;

  beforeAll(async () => {
    const path = join(folder, 'vault.db');
    const vault = openSqliteVault({ path });
    await vault.put(newId(), 0, newBytes(32), OPENED_MS);
    await vault.close();
    database = new Database(path);
  });

  afterAll(() => {
    database.close();
  });

  it.each(VAULT_CASES)('%s: %s', (message, sql) => {
    expect(() => {
      run(database, sql);
    }).toThrow(expect.objectContaining({ code: 'SQLITE_CONSTRAINT_TRIGGER', message }) as Error);
  });

  it('and each of its triggers has a case above', () => {
    expect(VAULT_CASES.map(([message]) => message).sort()).toEqual(messagesOf(database));
  });

  it('but allows a slot to be zeroed', () => {
    expect(() => {
      run(database, 'UPDATE slots SET share = zeroblob(32), is_free = 1');
    }).not.toThrow();
  });
});
