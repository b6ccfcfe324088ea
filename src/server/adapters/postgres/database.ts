import pg from 'pg';
import { setTimeout } from 'node:timers/promises';
import { StoreError, type StoreErrorCode } from '../../store.ts';
import { GUARD_CONSTRAINT, type Row, type SqlDriver, type Statement } from '../sql/driver.ts';
import { migrate } from './migrate.ts';
import { settle, type Settled, type Unsettled } from './settings.ts';

/** Batches in one transaction: PostgreSQL keeps 64 subtransactions of each session in memory, and more of them on disk. */
const GROUP_LIMIT = 64;
const CONNECTIONS = 10;
const SCRUB_ATTEMPTS = 20;
const SCRUB_PAUSE_MS = 100;

/** A table whose destroyed rows must leave no trace, and a column of it outside of every key. */
export interface KeyTable {
  table: string;
  column: string;
}

export interface PostgresOptions {
  /** `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full`, or `postgres:///DATABASE?host=/FOLDER/OF/THE/SOCKET`. */
  url: string;
  migrations: URL;
  keyTables: readonly KeyTable[];
}

interface Waiting {
  statements: readonly Statement[];
  resolve: (rows: Row[][] | undefined) => void;
  reject: (error: unknown) => void;
}

/** Every `bigint` here is a time, a size or a count below 2^53. */
export const TYPES: pg.CustomTypesConfig = {
  getTypeParser: (oid, format): ((value: string) => unknown) =>
    oid === pg.types.builtins.INT8 ? Number : (pg.types.getTypeParser(oid, format) as (value: string) => unknown),
};

/**
 * One PostgreSQL database, held to what SQLite is: one writer at a time, across every node (`LOCK TABLE must`), so that a batch sees
 * what it guards and the log is gapless; an acknowledged write is on the disk; what was destroyed is, after `scrub`, in no file.
 *
 * Batches that arrive while one transaction is under way share the next: one lock, one fsync and, as long as none fails, one round trip.
 */
export class PostgresDatabase implements SqlDriver {
  /** What the cluster's settings leave unkept; empty where everything is kept. */
  readonly unsettled: readonly Unsettled[];
  /** Tells clusters apart: backups and WAL are of a whole cluster and never of one database. */
  readonly cluster: string;
  readonly #pool: pg.Pool;
  readonly #keyTables: readonly KeyTable[];
  readonly #canCheckpoint: boolean;
  readonly #texts = new Map<string, { name: string; text: string }>();
  #queue: Waiting[] = [];
  #working: Promise<void> | undefined;
  #runningScrub: Promise<void> = Promise.resolve();
  #waitingScrub: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  private constructor(pool: pg.Pool, { keyTables }: PostgresOptions, { cluster, canCheckpoint, unsettled }: Settled) {
    this.#pool = pool;
    this.#keyTables = keyTables;
    this.#canCheckpoint = canCheckpoint;
    this.cluster = cluster;
    this.unsettled = unsettled;
  }

  /** Connects, looks at the cluster's settings, brings the schema up to date. Throws `StoreError`. */
  static async open(options: PostgresOptions): Promise<PostgresDatabase> {
    const pool = new pg.Pool({
      connectionString: options.url,
      max: CONNECTIONS,
      pipeline: true,
      keepAlive: true,
      connectionTimeoutMillis: 10_000,
      application_name: 'zeroreel',
      types: TYPES,
      // A node that hangs inside a transaction must not keep the others from writing.
      idle_in_transaction_session_timeout: 10_000,
      lock_timeout: 10_000,
    });
    // An idle connection that dies is replaced by the next query, which says so if it cannot be.
    pool.on('error', () => undefined);
    try {
      const settled = await settle(pool);
      await migrate(pool, options.migrations);
      return new PostgresDatabase(pool, options, settled);
    } catch (error) {
      await pool.end();
      throw storeError(error);
    }
  }

  #query({ sql, params }: Statement): pg.QueryArrayConfig {
    let prepared = this.#texts.get(sql);
    if (!prepared) {
      let index = 0;
      prepared = { name: `zeroreel${this.#texts.size}`, text: sql.replaceAll('?', () => `$${++index}`) };
      this.#texts.set(sql, prepared);
    }
    return { ...prepared, values: [...params], rowMode: 'array' };
  }

  async all(statement: Statement): Promise<Row[]> {
    try {
      return (await this.#pool.query(this.#query(statement))).rows as Row[];
    } catch (error) {
      throw storeError(error);
    }
  }

  batch(statements: readonly Statement[]): Promise<Row[][] | undefined> {
    return new Promise((resolve, reject) => {
      if (this.#closing) {
        reject(new StoreError('unavailable', 'the database is closed'));
        return;
      }
      this.#queue.push({ statements, resolve, reject });
      this.#working ??= this.#work();
    });
  }

  async #work(): Promise<void> {
    // Whoever comes in the same turn comes along.
    await Promise.resolve();
    while (this.#queue.length > 0) await this.#flush(this.#queue.splice(0, GROUP_LIMIT));
    this.#working = undefined;
  }

  /** Nobody is answered before the commit returned. */
  async #flush(group: readonly Waiting[]): Promise<void> {
    let client: pg.PoolClient | undefined;
    try {
      client = await this.#pool.connect();
      const answers = (await this.#allAtOnce(client, group)) ?? (await this.#oneByOne(client, group));
      client.release();
      for (const answer of answers) answer();
    } catch (error) {
      // Closing the connection takes back what it had begun. Whether a commit that got no answer was made is not known.
      client?.release(true);
      for (const { reject } of group) reject(storeError(error));
    }
  }

  /**
   * The whole transaction in one round trip, for the usual case that no batch fails. Undefined where one did: PostgreSQL then answers
   * the COMMIT, which was sent along, with a rollback.
   */
  async #allAtOnce(client: pg.PoolClient, group: readonly Waiting[]): Promise<(() => void)[] | undefined> {
    const begun = client.query(BEGIN);
    const sent = group.map(({ statements }) => statements.map((statement) => client.query(this.#query(statement))));
    const committed = client.query('COMMIT');
    const done = await Promise.allSettled([begun, ...sent.flat(), committed]);
    const failure = done.find((result) => result.status === 'rejected');
    if (failure) {
      if (done[0].status === 'rejected' || !isOfOneBatch(failure.reason)) throw failure.reason;
      return undefined;
    }
    if ((await committed).command !== 'COMMIT')
      throw new StoreError('unavailable', 'postgres: the commit was rolled back');
    const rows = await Promise.all(sent.map((results) => Promise.all(results)));
    return group.map(({ resolve }, index) => () => {
      resolve(rows[index]!.map((result) => result.rows as Row[]));
    });
  }

  /** Again, each batch under a savepoint, so that one which fails takes back only itself. */
  async #oneByOne(client: pg.PoolClient, group: readonly Waiting[]): Promise<(() => void)[]> {
    await client.query(BEGIN);
    const answers: (() => void)[] = [];
    for (const waiting of group) answers.push(await this.#attempt(client, waiting));
    await client.query('COMMIT');
    return answers;
  }

  async #attempt(client: pg.PoolClient, { statements, resolve, reject }: Waiting): Promise<() => void> {
    const savepoint = client.query('SAVEPOINT batch');
    const sent = statements.map((statement) => client.query(this.#query(statement)));
    const released = client.query('RELEASE SAVEPOINT batch');
    const done = await Promise.allSettled([savepoint, ...sent, released]);
    const failure = done.find((result) => result.status === 'rejected');
    if (!failure) {
      const rows = (await Promise.all(sent)).map((result) => result.rows as Row[]);
      return () => {
        resolve(rows);
      };
    }
    const error: unknown = failure.reason;
    if (!isOfOneBatch(error)) throw error;
    await client.query('ROLLBACK TO SAVEPOINT batch');
    if (error.code === CHECK_VIOLATION && error.constraint === GUARD_CONSTRAINT) {
      return () => {
        resolve(undefined);
      };
    }
    return () => {
      reject(storeError(error));
    };
  }

  /** One at a time. Calls that come while one waits for its turn share it: their deletes are committed before it starts. */
  scrub(): Promise<void> {
    this.#waitingScrub ??= this.#scrubAfter(this.#runningScrub);
    return this.#waitingScrub;
  }

  async #scrubAfter(running: Promise<void>): Promise<void> {
    await running.catch(() => undefined);
    this.#runningScrub = this.#waitingScrub!;
    this.#waitingScrub = undefined;
    await this.#rewrite();
  }

  /**
   * [Note: traces in PostgreSQL] A deleted row lies in its page until VACUUM, and in the page's gap after it; VACUUM FULL copies what
   * an older snapshot might still see. An ALTER TABLE that rewrites copies only what is alive, into a new file, and the old one is
   * truncated when it commits. The WAL, which holds rows and whole pages too, is switched to a new segment; at the checkpoint the
   * older ones are removed (with `wal_recycle=off`, and where neither a slot nor an archive keeps them).
   */
  async #rewrite(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#rewriteOnce();
        return;
      } catch (error) {
        const known = storeError(error);
        if (!(known instanceof StoreError) || known.code !== 'busy' || attempt === SCRUB_ATTEMPTS) throw known;
        await setTimeout(SCRUB_PAUSE_MS);
      }
    }
  }

  async #rewriteOnce(): Promise<void> {
    const client = await this.#pool.connect();
    try {
      const rewrites = this.#keyTables.map(
        ({ table, column }) => `ALTER TABLE ${table} ALTER COLUMN ${column} TYPE bytea USING ${column} || ''::bytea`,
      );
      // In the writers' order, so that neither waits for the other for ever.
      await client.query(`${BEGIN}; ${rewrites.join('; ')}; COMMIT`);
      if (this.#canCheckpoint) {
        await client.query('SELECT pg_switch_wal()');
        await client.query('CHECKPOINT');
      }
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  /** Commits what waits, then closes. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#working;
      await (this.#waitingScrub ?? this.#runningScrub).catch(() => undefined);
      await this.#pool.end();
    })();
    return this.#closing;
  }
}

const CHECK_VIOLATION = '23514';

/** The lock comes before the first snapshot (READ COMMITTED), so each statement sees all that was committed before. */
const BEGIN = 'BEGIN; LOCK TABLE must IN EXCLUSIVE MODE';

/** A batch's own failure. Others end the session, its transaction or the server: then nothing of the group was written. */
function isOfOneBatch(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && !/^(?:08|53|57P|58|XX|25P03|25P04|40)/.test(error.code ?? '');
}

/** PostgreSQL's codes (postgresql.org/docs/15/errcodes-appendix.html) as the port's; `message` names a constraint and no value. */
export function storeError(error: unknown): unknown {
  if (error instanceof StoreError) return error;
  const code = (error as { code?: unknown } | undefined)?.code;
  if (!(error instanceof Error)) return error;
  if (!(error instanceof pg.DatabaseError)) {
    return new StoreError('unavailable', `postgres: ${typeof code === 'string' ? code : error.message}`, {
      cause: error,
    });
  }
  const codes: [pattern: RegExp, code: StoreErrorCode][] = [
    [/^(?:40|55P03|53300|57014)/, 'busy'],
    [/^(?:53100|53200)/, 'full'],
    [/^(?:23|22|P0001)/, 'refused'],
    [/^XX00[12]/, 'damaged'],
    [/^(?:08|25|53|57|58|XX)/, 'unavailable'],
  ];
  const found = codes.find(([pattern]) => pattern.test(error.code ?? ''))?.[1];
  const message = `postgres: ${error.message} (${error.code ?? 'no code'})`;
  // A statement that PostgreSQL does not understand is a fault of this program: who asks again gets the same.
  return found === undefined ? new Error(message, { cause: error }) : new StoreError(found, message, { cause: error });
}
