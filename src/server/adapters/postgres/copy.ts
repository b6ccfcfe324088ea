/**
 * Rows between PostgreSQL and a SQLite file, table by table. Both have the schema that the same migrations made, so a backup has one form
 * whatever database it is of, and can be restored into either.
 *
 * What refuses rows of the past (a recording begins open, an epoch begins while it is) is set aside while they are copied, in the one
 * transaction that copies them; keys, checks and references are not.
 */
import Database from 'better-sqlite3';
import pg from 'pg';
import { StoreError } from '../../store.ts';
import { SqliteFile } from '../sqlite/file.ts';
import { PostgresDatabase, storeError, TYPES } from './database.ts';

const ROWS_AT_ONCE = 500;
/** Parameters of one statement: PostgreSQL counts them in 16 bits. */
const MOST_PARAMETERS = 65_535;

/** Of the file's tables, those that hold what is kept: in an order in which references lead backwards. */
function tablesOf(file: Database.Database): { table: string; columns: string[] }[] {
  const names = file
    .prepare(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('migrations', 'must') ORDER BY name`)
    .pluck()
    .all() as string[];
  const ordered: string[] = [];
  const visit = (name: string): void => {
    if (ordered.includes(name)) return;
    for (const { table } of file.pragma(`foreign_key_list(${name})`) as { table: string }[]) visit(table);
    ordered.push(name);
  };
  names.forEach(visit);
  return ordered.map((table) => ({
    table,
    columns: (file.pragma(`table_info(${table})`) as { name: string }[]).map(({ name }) => `"${name}"`),
  }));
}

async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'zeroreel', types: TYPES });
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    throw storeError(error);
  } finally {
    await client.end();
  }
}

/** Writes a consistent copy of a database, which servers may be using, into a new SQLite file. Throws `StoreError`. */
export async function copyFromPostgres(url: string, path: string, migrations: URL): Promise<void> {
  await new SqliteFile({ path, migrations }).close();
  const file = new Database(path);
  try {
    await connected(url, async (client) => {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await requireSameSchema(client, file);
      file.pragma('foreign_keys = OFF');
      file.exec('BEGIN');
      const triggers = file.prepare(`SELECT name, sql FROM sqlite_master WHERE type = 'trigger'`).all() as {
        name: string;
        sql: string;
      }[];
      for (const { name } of triggers) file.exec(`DROP TRIGGER ${name}`);
      for (const { table, columns } of tablesOf(file)) {
        const places = columns.map(() => '?').join(', ');
        const insert = file.prepare(`INSERT INTO ${table} (${columns.join(', ')}) VALUES (${places})`);
        await client.query(`DECLARE rows NO SCROLL CURSOR FOR SELECT ${columns.join(', ')} FROM ${table}`);
        for (;;) {
          const { rows } = await client.query({ text: `FETCH ${ROWS_AT_ONCE} FROM rows`, rowMode: 'array' });
          for (const row of rows as unknown[][]) insert.run(...row);
          if (rows.length < ROWS_AT_ONCE) break;
        }
        await client.query('CLOSE rows');
      }
      for (const { sql } of triggers) file.exec(sql);
      file.exec('COMMIT');
    });
    if ((file.pragma('foreign_key_check') as unknown[]).length > 0) {
      throw new StoreError('damaged', 'the copy has rows that refer to none');
    }
  } finally {
    file.close();
  }
}

/** Puts the rows of a SQLite file into an empty database, all of them or none. Throws `StoreError`. */
export async function copyToPostgres(path: string, url: string, migrations: URL): Promise<void> {
  const database = await PostgresDatabase.open({ url, migrations, keyTables: [] });
  await database.close();
  const file = new Database(path, { readonly: true, fileMustExist: true });
  try {
    const tables = tablesOf(file);
    await connected(url, async (client) => {
      await client.query('BEGIN; LOCK TABLE must IN EXCLUSIVE MODE');
      await requireSameSchema(client, file);
      for (const { table } of tables) {
        const { rows } = await client.query(`SELECT 1 FROM ${table} LIMIT 1`);
        if (rows.length > 0) throw new StoreError('refused', `the database is not empty: ${table}`);
        await client.query(`ALTER TABLE ${table} DISABLE TRIGGER USER`);
      }
      for (const { table, columns } of tables) {
        const most = Math.min(ROWS_AT_ONCE, Math.floor(MOST_PARAMETERS / columns.length));
        let batch: unknown[][] = [];
        const flush = async () => {
          if (batch.length === 0) return;
          let index = 0;
          const values = batch.map((row) => `(${row.map(() => `$${++index}`).join(', ')})`).join(', ');
          await client.query(`INSERT INTO ${table} (${columns.join(', ')}) VALUES ${values}`, batch.flat());
          batch = [];
        };
        for (const row of file
          .prepare(`SELECT ${columns.join(', ')} FROM ${table}`)
          .raw()
          .iterate()) {
          batch.push(row as unknown[]);
          if (batch.length === most) await flush();
        }
        await flush();
      }
      for (const { table } of tables) await client.query(`ALTER TABLE ${table} ENABLE TRIGGER USER`);
      await client.query('COMMIT');
    });
  } finally {
    file.close();
  }
}

/** Whether a database holds anything that a restore would be written over. One without tables is empty. Throws `StoreError`. */
export async function isEmptyPostgres(url: string): Promise<boolean> {
  return connected(url, async (client) => {
    for (const table of ['log_entries', 'tokens', 'slots']) {
      const { rows } = await client.query(`SELECT to_regclass('${table}') IS NOT NULL AS is_there`);
      if (!(rows[0] as { is_there: boolean }).is_there) continue;
      if ((await client.query(`SELECT 1 FROM ${table} LIMIT 1`)).rows.length > 0) return false;
    }
    return true;
  });
}

async function requireSameSchema(client: pg.Client, file: Database.Database): Promise<void> {
  const { rows } = await client.query({ text: 'SELECT name FROM migrations ORDER BY name', rowMode: 'array' });
  const there = (rows as string[][]).flat().join();
  const here = (file.prepare('SELECT name FROM migrations ORDER BY name').pluck().all() as string[]).join();
  if (there !== here) throw new StoreError('version', `the database has the schema ${there}, this version ${here}`);
}
