import { readdirSync, readFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import { GUARD_CONSTRAINT, type Row, type SqlDriver, type Statement } from '../../src/server/adapters/sql/driver.ts';
import { StoreError } from '../../src/server/store.ts';

const MIGRATIONS = new URL('../../schema/migrations/store/', import.meta.url);

/**
 * The real SQL store's database, in memory: same schema, same triggers, same statements. What it leaves out are files and
 * their fsyncs, which `test/crash` is about. A history is one transaction that is never committed, so the next one begins
 * with empty tables and with every statement compiled; a batch is a savepoint in it, as it is in `SqliteFile`.
 */
export class MemoryDriver implements SqlDriver {
  readonly #database = new Database(':memory:');
  readonly #prepared = new Map<string, Database.Statement<unknown[], Row>>();
  readonly #savepoint: Database.Statement;
  readonly #release: Database.Statement;
  readonly #rollback: Database.Statement;
  /** Called after every batch that was committed. */
  onCommit: (statements: readonly Statement[]) => void = () => undefined;
  /** Batches that a guard refused since the beginning. */
  races = 0;

  constructor() {
    for (const name of readdirSync(MIGRATIONS).sort()) {
      this.#database.exec(readFileSync(new URL(name, MIGRATIONS), 'utf8'));
    }
    this.#database.pragma('foreign_keys = ON');
    this.#database.pragma('recursive_triggers = ON');
    this.#database.pragma('temp_store = MEMORY');
    this.#savepoint = this.#database.prepare('SAVEPOINT batch');
    this.#release = this.#database.prepare('RELEASE batch');
    this.#rollback = this.#database.prepare('ROLLBACK TO batch');
    this.#exec('BEGIN');
  }

  /** Begins again with empty tables. */
  reset(): void {
    this.#exec('ROLLBACK');
    this.#exec('BEGIN');
    this.onCommit = () => undefined;
    this.races = 0;
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
    // SQLite takes a statement back that fails, with all that its triggers did: a single one needs no savepoint.
    const isOne = statements.length === 1;
    if (!isOne) this.#savepoint.run();
    try {
      rows = statements.map((statement) => this.#run(statement));
      if (!isOne) this.#release.run();
    } catch (error) {
      if (!isOne) {
        this.#rollback.run();
        this.#release.run();
      }
      if (!(error instanceof Database.SqliteError)) throw error;
      if (error.code === 'SQLITE_CONSTRAINT_CHECK' && error.message.endsWith(`: ${GUARD_CONSTRAINT}`)) {
        this.races++;
        return undefined;
      }
      throw new StoreError('refused', error.message, { cause: error });
    }
    this.onCommit(statements);
    return rows;
  }

  scrub(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#database.close();
    return Promise.resolve();
  }

  #exec(sql: string): void {
    this.#run({ sql, params: [] });
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
