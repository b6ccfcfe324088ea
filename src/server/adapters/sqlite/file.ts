import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { StoreError, type StoreErrorCode } from '../../store.ts';
import { GUARD_CONSTRAINT, type Row, type SqlDriver, type Statement } from '../sql/driver.ts';
import { migrate } from './migrate.ts';

/** Batches in one commit: bounds how long a burst keeps the event loop. */
const GROUP_LIMIT = 256;
const SCRUB_ATTEMPTS = 100;
const SCRUB_PAUSE_MS = 20;

export interface SqliteFileOptions {
  path: string;
  /** Folder of the `.sql` files, applied in the order of their names. */
  migrations: URL;
  /** How long a write waits for another process's; default 5 s. */
  busyTimeoutMs?: number;
}

interface Waiting {
  statements: readonly Statement[];
  resolve: (rows: Row[][] | undefined) => void;
  reject: (error: unknown) => void;
}

/** SQLite's result codes (sqlite.org/rescode.html) as the port's; a constraint's message names it and holds no value. */
function storeError(error: unknown): unknown {
  if (!(error instanceof Database.SqliteError)) return error;
  const codes: [prefix: string, code: StoreErrorCode][] = [
    ['SQLITE_BUSY', 'busy'],
    ['SQLITE_FULL', 'full'],
    ['SQLITE_CONSTRAINT', 'refused'],
    ['SQLITE_CORRUPT', 'damaged'],
    ['SQLITE_NOTADB', 'damaged'],
  ];
  const code = codes.find(([prefix]) => error.code.startsWith(prefix))?.[1] ?? 'unavailable';
  return new StoreError(code, `sqlite: ${error.message} (${error.code})`, { cause: error });
}

/**
 * One SQLite file, durable and forgetful: a write that was acknowledged survives a power cut (`synchronous=FULL`), and
 * what was deleted is overwritten (`secure_delete`) and, after `scrub`, gone from the journal too.
 *
 * Batches that arrive in one turn of the event loop share one transaction and so one fsync (measured: 4 times the
 * writes per second). Each has a savepoint of its own, so a batch that fails takes back only itself.
 */
export class SqliteFile implements SqlDriver {
  readonly #database: Database.Database;
  readonly #prepared = new Map<string, Database.Statement<unknown[], Row>>();
  readonly #busyTimeoutMs: number;
  #queue: Waiting[] = [];
  #scrubbing: Promise<void> | undefined;

  /** Opens or creates the file, checks it, and brings its schema up to date. Throws `StoreError`. */
  constructor({ path, migrations, busyTimeoutMs = 5000 }: SqliteFileOptions) {
    this.#busyTimeoutMs = busyTimeoutMs;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    // Journal and shared memory inherit the file's mode.
    closeSync(openSync(path, 'a', 0o600));
    this.#database = new Database(path, { timeout: busyTimeoutMs });
    try {
      this.#configure();
      migrate(this.#database, migrations);
    } catch (error) {
      this.#database.close();
      throw storeError(error);
    }
  }

  #configure(): void {
    const database = this.#database;
    // Before anything else is written, or the first pages would be handled by the defaults.
    database.pragma('secure_delete = ON');
    const mode = database.pragma('journal_mode = WAL', { simple: true });
    if (mode !== 'wal') throw new StoreError('unavailable', `expected journal mode wal, found ${String(mode)}`);
    database.pragma('synchronous = FULL');
    // macOS only: there, fsync alone does not reach the disk.
    database.pragma('fullfsync = ON');
    database.pragma('foreign_keys = ON');
    // Without it INSERT OR REPLACE deletes rows behind the back of the delete triggers.
    database.pragma('recursive_triggers = ON');
    // Statement journals and sorters would otherwise write rows into temporary files that nobody scrubs.
    database.pragma('temp_store = MEMORY');
    database.pragma(`journal_size_limit = ${8 * 1024 * 1024}`);
    const verdict = database.pragma('quick_check(1)', { simple: true });
    if (verdict !== 'ok') throw new StoreError('damaged', `the database fails its own check: ${String(verdict)}`);
  }

  #run({ sql, params }: Statement): Row[] {
    let prepared = this.#prepared.get(sql);
    if (!prepared) {
      prepared = this.#database.prepare(sql);
      if (prepared.reader) prepared.raw();
      this.#prepared.set(sql, prepared);
    }
    if (prepared.reader) return prepared.all(...params);
    prepared.run(...params);
    return [];
  }

  async all(statement: Statement): Promise<Row[]> {
    try {
      return this.#run(statement);
    } catch (error) {
      throw storeError(error);
    }
  }

  batch(statements: readonly Statement[]): Promise<Row[][] | undefined> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ statements, resolve, reject });
      if (this.#queue.length === 1) void this.#flushSoon();
    });
  }

  async #flushSoon(): Promise<void> {
    await setImmediate();
    this.#flush();
    if (this.#queue.length > 0) void this.#flushSoon();
  }

  /** Nobody is answered before the commit returned: an answer is a promise that survives a power cut. */
  #flush(): void {
    const group = this.#queue.splice(0, GROUP_LIMIT);
    // `close` may have committed what this turn was meant for.
    if (group.length === 0) return;
    let settle: (() => void)[];
    try {
      this.#exec('BEGIN IMMEDIATE');
      settle = group.map((waiting) => this.#attempt(waiting));
      this.#exec('COMMIT');
    } catch (error) {
      if (this.#database.inTransaction) this.#exec('ROLLBACK');
      settle = group.map(({ reject }) => () => {
        reject(storeError(error));
      });
    }
    for (const answer of settle) answer();
  }

  #attempt({ statements, resolve, reject }: Waiting): () => void {
    this.#exec('SAVEPOINT batch');
    try {
      const rows = statements.map((statement) => this.#run(statement));
      this.#exec('RELEASE batch');
      return () => {
        resolve(rows);
      };
    } catch (error) {
      // A full disk or an I/O error may end the whole transaction: then none of the group was written.
      if (!this.#database.inTransaction) throw error;
      this.#exec('ROLLBACK TO batch');
      this.#exec('RELEASE batch');
      if (lostTheRace(error)) {
        return () => {
          resolve(undefined);
        };
      }
      return () => {
        reject(storeError(error));
      };
    }
  }

  #exec(sql: string): void {
    this.#run({ sql, params: [] });
  }

  /** Calls that come while one waits for its turn share it: their deletes are committed before it starts. */
  scrub(): Promise<void> {
    this.#scrubbing ??= this.#truncateJournal();
    return this.#scrubbing;
  }

  async #truncateJournal(): Promise<void> {
    await setImmediate();
    this.#scrubbing = undefined;
    for (let attempt = 0; attempt < SCRUB_ATTEMPTS; attempt++) {
      if (attempt > 0) await setTimeout(SCRUB_PAUSE_MS);
      if (this.#checkpoint()) return;
    }
    throw new StoreError('busy', `the journal could not be truncated in ${SCRUB_ATTEMPTS} attempts: it is in use`);
  }

  #checkpoint(): boolean {
    // Waiting belongs to the event loop here, not to SQLite's busy handler, which would block it.
    this.#database.pragma('busy_timeout = 0');
    try {
      const [result] = this.#database.pragma('wal_checkpoint(TRUNCATE)') as { busy: number; log: number }[];
      return result?.busy === 0 && result.log === 0;
    } catch (error) {
      throw storeError(error);
    } finally {
      this.#database.pragma(`busy_timeout = ${this.#busyTimeoutMs}`);
    }
  }

  /** Commits what waits, then closes. Idempotent. */
  async close(): Promise<void> {
    if (!this.#database.open) return;
    while (this.#queue.length > 0) this.#flush();
    this.#database.close();
  }
}

function lostTheRace(error: unknown): boolean {
  return (
    error instanceof Database.SqliteError &&
    error.code === 'SQLITE_CONSTRAINT_CHECK' &&
    error.message.endsWith(`: ${GUARD_CONSTRAINT}`)
  );
}
