/**
 * What a SQL database must offer so that the store can be written once: reads, and one kind of write, a list of
 * statements that happens wholly or not at all. D1 has no other (no interactive transaction), SQLite is held to the same.
 */
export type SqlValue = string | number | null | Uint8Array;

/**
 * One statement with its parameters in order; placeholders are bare `?`, which D1 and SQLite number alike. Its text is read alike by
 * SQLite and by a PostgreSQL that knows a handful of SQLite's functions (postgres/translate.ts).
 */
export interface Statement {
  readonly sql: string;
  readonly params: readonly SqlValue[];
}

/** A row as the values of its columns, in order. */
export type Row = readonly unknown[];

export interface SqlDriver {
  all(statement: Statement): Promise<Row[]>;
  /**
   * Runs the statements in order, atomically; durable when it returns. Answers the rows of each (from `RETURNING` or a
   * select), or `undefined` when a guard refused (`guard` in statements.ts) and nothing was written. Anything else that
   * fails throws `StoreError`, and then nothing was written either.
   */
  batch(statements: readonly Statement[]): Promise<Row[][] | undefined>;
  /** When it returns, the journal holds nothing of what was deleted before. */
  scrub(): Promise<void>;
  close(): Promise<void>;
}

/** The check that a guard violates; drivers tell a lost race from a broken constraint by this name alone. */
export const GUARD_CONSTRAINT = 'must_hold';
