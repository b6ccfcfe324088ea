import { fillPlaceholders, getTableColumns, type InferSelectModel, type Placeholder, type SQL, sql } from 'drizzle-orm';
import type { SQLiteInsertValue, SQLiteTable } from 'drizzle-orm/sqlite-core';
import { drizzle, type SqliteRemoteDatabase } from 'drizzle-orm/sqlite-proxy';
import { encodeEntry, type LogEntry } from '../../../../crypto/log/entry.ts';
import type { SqlDriver, SqlValue, Statement } from './driver.ts';

/** Drizzle as the language of reads: prepared once, run through the driver, rows come back typed and decoded. */
export type Reads = SqliteRemoteDatabase;

export function readsThrough(driver: SqlDriver): Reads {
  return drizzle(async (text, params: SqlValue[], method) => {
    const rows = await driver.all({ sql: text, params });
    // drizzle's contract for `get`: the row itself, or undefined, in the place of the rows.
    return { rows: (method === 'get' ? rows[0] : rows) as unknown[] };
  });
}

/**
 * `.limit()` of a prepared read: the placeholder `limit`, or a constant. SQLite, where built with STAT4 as better-sqlite3 is,
 * compiles a statement anew for every execution whose bound values its plan looked at, and a bare `LIMIT ?` is one
 * (sqlite3ExprIsInteger in expr.c). It does not look into a sum: 13.5 microseconds became 0.6 for `due`.
 */
export function limited(rows: number | Placeholder = sql.placeholder('limit')): Placeholder {
  return sql`(${rows} + 0)` as unknown as Placeholder; // drizzle takes any SQL here, and its types do not say so
}

export function statement(text: string, ...params: readonly SqlValue[]): Statement {
  return { sql: text, params };
}

/** A number out of an element of `json_each`: SQLite's `->>` knows what it was, PostgreSQL's always answers text. */
export function number(member: string, table?: string): string {
  return `CAST(${table === undefined ? '' : `${table}.`}value ->> '${member}' AS BIGINT)`;
}

/**
 * Compare-and-swap: as the first statement of a batch, takes the whole batch back unless `condition` (SQL, with its
 * parameters) holds. It sees what the batch will see, because a batch is one write transaction.
 */
export function guard(condition: string, ...params: readonly SqlValue[]): Statement {
  return { sql: `INSERT INTO must SELECT 0 WHERE NOT (${condition})`, params };
}

/**
 * Appends one entry at the next position and answers that position; it is indexed under `subject`, by default the recording
 * that it names. Throws `ProtocolError` on an invalid entry.
 */
export function appendEntry(entry: LogEntry, subject = 'recording' in entry ? entry.recording : null): Statement {
  return {
    sql: `INSERT INTO log_entries (position, recording_id, bytes)
      SELECT COALESCE(MAX(position) + 1, 0), ?, ? FROM log_entries RETURNING position`,
    params: [subject, encodeEntry(entry)],
  };
}

/** Whether a statement adds to the log. */
export function isAppend({ sql: text }: Statement): boolean {
  return text.startsWith('INSERT INTO log_entries');
}

/**
 * The insert of a whole row, compiled once: `insert(row)` only fills in the values. `computed` columns are not in the
 * row but in SQL, such as a sub-select that sees the statements before it in the batch.
 */
export function insertInto<Table extends SQLiteTable, Computed extends keyof InferSelectModel<Table> = never>(
  db: Reads,
  table: Table,
  computed?: Record<Computed, SQL>,
): (row: Omit<InferSelectModel<Table>, Computed>) => Statement {
  const columns = Object.keys(getTableColumns(table));
  const placeholders = Object.fromEntries(columns.map((column) => [column, sql.placeholder(column)]));
  const query = db
    .insert(table)
    .values({ ...placeholders, ...computed } as SQLiteInsertValue<Table>)
    .toSQL();
  return (row) => ({ sql: query.sql, params: fillPlaceholders(query.params, row) as SqlValue[] });
}
