import {
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import Database from 'better-sqlite3';
import { afterAll, describe, expect, it } from 'vitest';
import { guard, statement } from '../../../../src/server/adapters/sql/statements.ts';
import { SqliteFile } from '../../../../src/server/adapters/sqlite/file.ts';
import { openSqliteStore } from '../../../../src/server/adapters/sqlite.ts';
import { StoreError, type StoreErrorCode } from '../../../../src/server/store.ts';
import { makeExam, nextPolicy } from '../../recorder.ts';
import { DAY_MS, heartbeat, newBytes, newHash, open, publish } from './rows.ts';

const MIGRATIONS = new URL('../../../../schema/migrations/store/', import.meta.url);

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-file-'));
let files = 0;
const newPath = (): string => join(folder, `${files++}.db`);
const openFile = (path = newPath()): SqliteFile => new SqliteFile({ path, migrations: MIGRATIONS });

afterAll(() => {
  rmSync(folder, { recursive: true });
});

const failure = (code: StoreErrorCode): unknown =>
  expect.objectContaining({ name: 'StoreError', code, message: expect.any(String) as string });

const lease = (name: string) => statement('INSERT INTO leases VALUES (?, ?, 0)', name, 'test');
const leases = async (file: SqliteFile): Promise<unknown[]> =>
  (await file.all(statement('SELECT name FROM leases ORDER BY name'))).map(([name]) => name);

/** Commits in a journal: frames whose header gives the size of the database after a commit (fileformat2.html, 4.1). */
function commitsIn(journal: Buffer): number {
  const pageSize = journal.readUInt32BE(8);
  let commits = 0;
  for (let at = 32; at + 24 + pageSize <= journal.length; at += 24 + pageSize) {
    if (journal.readUInt32BE(at + 4) > 0) commits++;
  }
  return commits;
}

describe('a SQLite file', () => {
  it('is set to be durable and forgetful', async () => {
    const file = openFile();
    const settings: [pragma: string, value: unknown][] = [
      ['journal_mode', 'wal'],
      ['synchronous', 2],
      ['secure_delete', 1],
      ['foreign_keys', 1],
      ['recursive_triggers', 1],
      ['temp_store', 2],
      ['busy_timeout', 5000],
      ['auto_vacuum', 0],
      ['page_size', 4096],
    ];
    for (const [pragma, value] of settings) expect(await file.all(statement(`PRAGMA ${pragma}`))).toEqual([[value]]);
    await file.close();
  });

  it('is readable by its owner only, in a folder that it makes', async () => {
    const path = join(folder, 'deep', 'er', 'store.db');
    const file = openFile(path);
    for (const suffix of ['', '-wal', '-shm']) expect(statSync(path + suffix).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'deep')).mode & 0o777).toBe(0o700);
    await file.close();
  });

  it('closes twice, and commits what was waiting', async () => {
    const path = newPath();
    const file = openFile(path);
    const waiting = file.batch([lease('late')]);
    await file.close();
    await expect(waiting).resolves.toBeDefined();
    await file.close();
    const again = openFile(path);
    expect(await leases(again)).toEqual(['late']);
    await again.close();
  });
});

describe('a closed SQLite file', () => {
  it('answers every call with an error, and none with silence', async () => {
    const file = openFile();
    await file.close();
    await expect(file.batch([lease('late')])).rejects.toThrow();
    await expect(file.all(statement('SELECT 1'))).rejects.toThrow();
    await expect(file.scrub()).rejects.toThrow();
  });
});

describe('a group of batches', () => {
  it('that arrives in one turn is one commit', async () => {
    const path = newPath();
    const file = openFile(path);
    await file.scrub();
    await Promise.all(Array.from({ length: 50 }, (_, i) => file.batch([lease(`lease ${i}`)])));
    expect(commitsIn(readFileSync(`${path}-wal`))).toBe(1);
    for (let i = 50; i < 53; i++) await file.batch([lease(`lease ${i}`)]);
    expect(commitsIn(readFileSync(`${path}-wal`))).toBe(4);
    await file.close();
  });

  it('larger than the limit is answered whole', async () => {
    const file = openFile();
    const done = await Promise.all(Array.from({ length: 1000 }, (_, i) => file.batch([lease(`lease ${i}`)])));
    expect(done.every((rows) => rows !== undefined)).toBe(true);
    expect(await leases(file)).toHaveLength(1000);
    await file.close();
  });

  it('loses only the batch that fails, and the one whose guard refuses', async () => {
    const file = openFile();
    const outcomes = await Promise.allSettled([
      file.batch([lease('a')]),
      file.batch([lease('half'), lease('a')]),
      file.batch([guard('1 = 2'), lease('guarded')]),
      file.batch([lease('half too'), statement('INSERT INTO nowhere VALUES (1)')]),
      file.batch([guard('1 = 1'), lease('b')]),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(outcomes[1]).toMatchObject({ reason: failure('refused') });
    expect(outcomes[2]).toEqual({ status: 'fulfilled', value: undefined });
    expect(await leases(file)).toEqual(['a', 'b']);
    await file.close();
  });

  it('whose commit fails is rejected whole, and nothing of it is there', async () => {
    const file = openFile();
    // A violation that is deferred to the commit makes exactly the commit fail.
    const outcomes = await Promise.allSettled([
      file.batch([lease('a')]),
      file.batch([
        statement('PRAGMA defer_foreign_keys = ON'),
        statement('INSERT INTO tracks VALUES (?, 0, 1, 1, ?, 0, 0)', 'nobody', ''),
      ]),
      file.batch([lease('b')]),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(await leases(file)).toEqual([]);
    await file.batch([lease('c')]);
    expect(await leases(file)).toEqual(['c']);
    await file.close();
  });

  it('tells a guard from a check that is merely broken', async () => {
    const file = openFile();
    await expect(
      file.batch([statement(`INSERT INTO tokens VALUES ('h', 'p', 'emperor', '', 0, 0, NULL, NULL, NULL)`)]),
    ).rejects.toThrow(StoreError);
    await expect(file.batch([guard('NULL')])).resolves.toBeDefined();
    await expect(file.batch([guard('0')])).resolves.toBeUndefined();
    await file.close();
  });

  it('waits for another process and says so when it waited in vain', async () => {
    const path = newPath();
    const file = new SqliteFile({ path, migrations: MIGRATIONS, busyTimeoutMs: 10 });
    const other = new Database(path);
    other.exec('BEGIN IMMEDIATE');
    await expect(file.batch([lease('a')])).rejects.toEqual(failure('busy'));
    other.exec('COMMIT');
    other.close();
    await file.batch([lease('a')]);
    expect(await leases(file)).toEqual(['a']);
    await file.close();
  });
});

describe('a scrub', () => {
  it('empties the journal', async () => {
    const path = newPath();
    const file = openFile(path);
    await file.batch([lease('a')]);
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(0);
    await Promise.all([file.scrub(), file.scrub()]);
    expect(statSync(`${path}-wal`).size).toBe(0);
    await file.close();
  });

  it('waits for a reader that still needs the journal', async () => {
    const path = newPath();
    const file = openFile(path);
    const reader = new Database(path, { readonly: true });
    reader.exec('BEGIN');
    reader.prepare('SELECT COUNT(*) FROM leases').get();
    await file.batch([lease('a')]);
    let isDone = false;
    const scrub = file.scrub().then(() => {
      isDone = true;
    });
    // Reads and writes go on while it waits.
    await file.batch([lease('b')]);
    expect(await leases(file)).toEqual(['a', 'b']);
    expect(isDone).toBe(false);
    reader.exec('COMMIT');
    reader.close();
    await scrub;
    expect(statSync(`${path}-wal`).size).toBe(0);
    await file.close();
  });

  it('throws rather than claim what a stubborn reader prevents', async () => {
    const path = newPath();
    const file = openFile(path);
    const reader = new Database(path, { readonly: true });
    reader.exec('BEGIN');
    reader.prepare('SELECT COUNT(*) FROM leases').get();
    await file.batch([lease('a')]);
    await expect(file.scrub()).rejects.toEqual(failure('busy'));
    reader.close();
    await file.scrub();
    await file.close();
  });
});

describe('at the start', () => {
  function folderOfMigrations(): { path: string; url: URL } {
    const path = join(folder, `migrations-${files++}`);
    mkdirSync(path);
    for (const name of ['0001_tables.sql', '0002_triggers.sql'])
      copyFileSync(new URL(name, MIGRATIONS), join(path, name));
    return { path, url: pathToFileURL(`${path}/`) };
  }

  it('a new migration is applied to what is there, once', async () => {
    const path = newPath();
    const { path: sql, url } = folderOfMigrations();
    const old = new SqliteFile({ path, migrations: url });
    await old.batch([lease('kept')]);
    await old.close();
    writeFileSync(join(sql, '0003_later.sql'), 'CREATE TABLE later (id INTEGER PRIMARY KEY NOT NULL) STRICT;');
    for (let start = 0; start < 2; start++) {
      const file = new SqliteFile({ path, migrations: url });
      expect(await leases(file)).toEqual(['kept']);
      expect(await file.all(statement('SELECT COUNT(*) FROM later'))).toEqual([[0]]);
      await file.close();
    }
  });

  it('a migration that fails leaves the database as it was', async () => {
    const path = newPath();
    const { path: sql, url } = folderOfMigrations();
    await new SqliteFile({ path, migrations: url }).close();
    writeFileSync(
      join(sql, '0003_later.sql'),
      'CREATE TABLE later (id INTEGER) STRICT; CREATE TABLE must (id) STRICT;',
    );
    expect(() => new SqliteFile({ path, migrations: url })).toThrow(StoreError);
    rmSync(join(sql, '0003_later.sql'));
    const file = new SqliteFile({ path, migrations: url });
    expect(await file.all(statement(`SELECT name FROM sqlite_schema WHERE name = 'later'`))).toEqual([]);
    await file.close();
  });

  it('the people of policies that were there before are found as those of later ones are', async () => {
    const path = newPath();
    const { path: sql, url } = folderOfMigrations();
    const old = new SqliteFile({ path, migrations: url });
    const log = { origin: 'test.example/log', vkey: 'test.example/log+0+AA' };
    const exams = [await makeExam({ now: DAY_MS, log }), await makeExam({ now: DAY_MS, log })];
    const later = await nextPolicy(exams[1]!, { recipients: exams[0]!.policy.recipients, title: 'é'.repeat(200) });
    for (const { policy, record } of [...exams, later]) {
      await old.batch([
        statement(
          'INSERT INTO policies (exam_id, seq, policy_hash, owner_hash, bytes, published_ms) VALUES (?, ?, ?, ?, ?, 0)',
          ...[policy.exam_id, policy.seq, newHash(), 'owner', record],
        ),
      ]);
    }
    await old.close();
    copyFileSync(new URL('0003_access.sql', MIGRATIONS), join(sql, '0003_access.sql'));
    const file = new SqliteFile({ path, migrations: url });
    const rows = await file.all(statement('SELECT exam_id, identity FROM exam_people'));
    const expected = [exams[0]!, later].flatMap(({ policy }) =>
      [policy.owner, ...policy.recipients.map(({ identity }) => identity)].map((who) => [policy.exam_id, who]),
    );
    expect(rows.map(String).sort()).toEqual(expected.map(String).sort());
    await file.close();
  });

  it('a database that is newer than the code is refused', async () => {
    const path = newPath();
    const { path: sql, url } = folderOfMigrations();
    writeFileSync(join(sql, '0003_later.sql'), 'CREATE TABLE later (id INTEGER PRIMARY KEY NOT NULL) STRICT;');
    await new SqliteFile({ path, migrations: url }).close();
    expect(() => openFile(path)).toThrow(failure('version'));
  });

  it('a migration that was edited after it was applied is refused', async () => {
    const path = newPath();
    const { path: sql, url } = folderOfMigrations();
    await new SqliteFile({ path, migrations: url }).close();
    writeFileSync(join(sql, '0002_triggers.sql'), '-- no more rules');
    expect(() => new SqliteFile({ path, migrations: url })).toThrow(failure('version'));
  });

  it('a file that is no database is refused and left alone', () => {
    const path = newPath();
    const text = 'not a database, but somebody may need it\n'.repeat(200);
    writeFileSync(path, text);
    expect(() => openFile(path)).toThrow(failure('damaged'));
    expect(readFileSync(path, 'utf8')).toBe(text);
  });

  it('a database with a damaged page is refused', async () => {
    const path = newPath();
    const store = openSqliteStore({ path });
    const policy = await publish(store);
    for (let i = 0; i < 50; i++) await open(store, {}, policy);
    await store.append([heartbeat(1)]);
    await store.close();
    const root = new Database(path, { readonly: true });
    const page = root
      .prepare<[], number>(`SELECT rootpage FROM sqlite_schema WHERE name = 'recordings'`)
      .pluck()
      .get()!;
    root.close();
    const handle = openSync(path, 'r+');
    writeSync(handle, newBytes(4096), 0, 4096, (page - 1) * 4096);
    closeSync(handle);
    expect(() => openSqliteStore({ path })).toThrow(failure('damaged'));
  });

  it('two connections open one database, which is migrated once', async () => {
    const path = newPath();
    const [here, there] = [openFile(path), openFile(path)];
    const migrations = readdirSync(MIGRATIONS).filter((name) => name.endsWith('.sql'));
    expect(await here.all(statement('SELECT name FROM migrations'))).toHaveLength(migrations.length);
    await there.batch([lease('a')]);
    expect(await leases(here)).toEqual(['a']);
    await Promise.all([here.close(), there.close()]);
  });
});
