import { readdirSync, readFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import { GUARD_CONSTRAINT, type Row, type SqlDriver, type Statement } from '../../src/server/adapters/sql/driver.ts';
import { StoreError } from '../../src/server/store.ts';

const MIGRATIONS = new URL('../../schema/migrations/store/', import.meta.url);

/**
 * The real SQL store's database, in memory: same schema, same triggers, same statements. What it leaves out are files and
 * their fsyncs, which `test/crash` is about.
 */
export class MemoryDriver implements SqlDriver {
  #database: Database.Database;
  #prepared = new Map<string, Database.Statement<unknown[], Row>>();
  readonly #empty: Buffer;
  /** Called after every batch that was committed. */
  onCommit: () => void = () => undefined;

  constructor() {
    this.#database = new Database(':memory:');
    for (const name of readdirSync(MIGRATIONS).sort()) {
      this.#database.exec(readFileSync(new URL(name, MIGRATIONS), 'utf8'));
    }
    this.#empty = this.#database.serialize();
  }

  /** Begins again with empty tables. */
  reset(): void {
    this.#database.close();
    this.#database = new Database(this.#empty);
    // Nobody shares it, so nothing needs to be read again; four times as fast.
    this.#database.pragma('locking_mode = EXCLUSIVE');
    this.#database.pragma('journal_mode = MEMORY');
    this.#database.pragma('foreign_keys = ON');
    this.#database.pragma('recursive_triggers = ON');
    this.#prepared = new Map();
    this.onCommit = () => undefined;
  }

  /** Reads at once, for the oracle. */
  read(sql: string, ...params: readonly (string | number | null)[]): Row[] {
    return this.#run({ sql, params });
  }

  async all(statement: Statement): Promise<Row[]> {
    return this.#run(statement);
  }

  async batch(statements: readonly Statement[]): Promise<Row[][] | undefined> {
    let rows: Row[][];
    this.read('BEGIN');
    try {
      rows = statements.map((statement) => this.#run(statement));
      this.read('COMMIT');
    } catch (error) {
      this.read('ROLLBACK');
      if (!(error instanceof Database.SqliteError)) throw error;
      if (error.code === 'SQLITE_CONSTRAINT_CHECK' && error.message.endsWith(`: ${GUARD_CONSTRAINT}`)) return undefined;
      throw new StoreError('refused', error.message, { cause: error });
    }
    this.onCommit();
    return rows;
  }

  scrub(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#database.close();
    return Promise.resolve();
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
}
