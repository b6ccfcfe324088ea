/** The metadata store over Cloudflare D1, which is SQLite behind a network: the same schema, the same statements. */
import { type Store, StoreError, type StoreErrorCode } from '../store.ts';
import { sqlStore } from './sql-store.ts';
import { GUARD_CONSTRAINT, type Row, type SqlDriver, type SqlValue, type Statement } from './sql/driver.ts';

/** What this adapter uses of a D1 binding (developers.cloudflare.com/d1/worker-api). */
export interface D1Binding {
  prepare(sql: string): D1Prepared;
  /** Runs the statements in order in one transaction. */
  batch(statements: readonly D1Prepared[]): Promise<{ results: Record<string, unknown>[] }[]>;
}

interface D1Prepared {
  bind(...params: readonly unknown[]): D1Prepared;
  raw(): Promise<unknown[][]>;
}

/** Told of every call, with its statements: a Worker's invocation may make so many and no more. */
export type WatchCalls = (statements: readonly Statement[]) => void;

export function openD1Store(binding: D1Binding, watch: WatchCalls = () => undefined): Store {
  return sqlStore(new D1Driver(binding, watch));
}

class D1Driver implements SqlDriver {
  readonly #binding: D1Binding;
  readonly #watch: WatchCalls;

  constructor(binding: D1Binding, watch: WatchCalls) {
    this.#binding = binding;
    this.#watch = watch;
  }

  #bind({ sql, params }: Statement): D1Prepared {
    return this.#binding.prepare(sql).bind(...params.map(toD1));
  }

  async all(statement: Statement): Promise<Row[]> {
    this.#watch([statement]);
    try {
      return (await this.#bind(statement).raw()).map(fromD1);
    } catch (error) {
      throw storeError(error);
    }
  }

  async batch(statements: readonly Statement[]): Promise<Row[][] | undefined> {
    this.#watch(statements);
    try {
      const done = await this.#binding.batch(statements.map((statement) => this.#bind(statement)));
      // A batch gives rows as objects; their members keep the order of the columns.
      return done.map(({ results }) => results.map((row) => fromD1(Object.values(row))));
    } catch (error) {
      if (messageOf(error).includes(GUARD_CONSTRAINT)) return undefined;
      throw storeError(error);
    }
  }

  /** D1's pages and its 30 days of Time Travel are out of reach: what must die is in the vault, never here. */
  async scrub(): Promise<void> {
    return Promise.resolve();
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }
}

/** D1 takes ArrayBuffers and gives blobs back as arrays of numbers. */
function toD1(value: SqlValue): unknown {
  return value instanceof Uint8Array ? value.slice().buffer : value;
}

function fromD1(row: readonly unknown[]): Row {
  return row.map((value) => {
    if (Array.isArray(value)) return Uint8Array.from(value as number[]);
    return value instanceof ArrayBuffer ? new Uint8Array(value) : value;
  });
}

function messageOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? ` ${error.cause.message}` : '';
  return `${error instanceof Error ? error.message : String(error)}${cause}`;
}

/**
 * D1 tells its errors apart by their text only (developers.cloudflare.com/d1/observability/debug-d1). What is not known is taken for
 * passing: a connection that was lost, an object that was reset, a limit of time or memory. Whether a write was made is not known then.
 */
function storeError(error: unknown): StoreError {
  const message = messageOf(error);
  const codes: [pattern: RegExp, code: StoreErrorCode][] = [
    [/SQLITE_CONSTRAINT|constraint failed/i, 'refused'],
    [/SQLITE_FULL|maximum DB size/i, 'full'],
    // Requests that were still in the queue.
    [/overloaded|SQLITE_BUSY|queued for too long/i, 'busy'],
    [/no such (?:table|column)|D1_COLUMN_NOTFOUND/i, 'version'],
    [/D1_TYPE_ERROR|syntax error|too many SQL variables|statement too long/i, 'refused'],
  ];
  const code = codes.find(([pattern]) => pattern.test(message))?.[1] ?? 'unavailable';
  return new StoreError(code, `d1: ${message}`, { cause: error });
}
