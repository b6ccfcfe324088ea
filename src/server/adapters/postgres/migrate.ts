import type pg from 'pg';
import { type Migration, pendingMigrations, readMigrations } from '../migrations.ts';
import { SQLITE_FUNCTIONS, toPostgres } from './translate.ts';

/** Names a session lock while the schema changes: nodes that start together apply each migration once. "zrmg" in ASCII. */
const MIGRATION_LOCK = 0x7a726d67;

/** As `sqlite/migrate.ts`; what is recorded and compared is the text that ran, so a translation that changes is found out. */
export async function migrate(pool: pg.Pool, folder: URL): Promise<void> {
  const migrations: Migration[] = readMigrations(folder, toPostgres);
  const client = await pool.connect();
  try {
    await client.query(`BEGIN; SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`);
    const { rows: tables } = await client.query("SELECT to_regclass('migrations') IS NOT NULL AS is_there");
    if (!(tables[0] as { is_there: boolean }).is_there) {
      await client.query(`CREATE TABLE migrations (name text COLLATE "C" PRIMARY KEY, sha256 text NOT NULL);`);
      await client.query(SQLITE_FUNCTIONS);
    }
    const { rows } = await client.query('SELECT name, sha256 FROM migrations ORDER BY name');
    for (const { name, sql, sha256 } of pendingMigrations(migrations, rows as Migration[])) {
      await client.query(sql);
      await client.query('INSERT INTO migrations (name, sha256) VALUES ($1, $2)', [name, sha256]);
    }
    await client.query('COMMIT');
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}
