import type { Database } from 'better-sqlite3';
import { type Migration, pendingMigrations, readMigrations } from '../migrations.ts';

/**
 * Brings the schema up to the newest migration in `folder`, in one transaction; two processes that start together apply
 * each once. Throws as `pendingMigrations` does.
 */
export function migrate(database: Database, folder: URL): void {
  const migrations = readMigrations(folder);
  const run = database.transaction(() => {
    database.exec(
      'CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY NOT NULL, sha256 TEXT NOT NULL) STRICT',
    );
    const applied = database
      .prepare<[], Pick<Migration, 'name' | 'sha256'>>('SELECT name, sha256 FROM migrations ORDER BY name')
      .all();
    const record = database.prepare('INSERT INTO migrations (name, sha256) VALUES (?, ?)');
    for (const { name, sql, sha256 } of pendingMigrations(migrations, applied)) {
      database.exec(sql);
      record.run(name, sha256);
    }
  });
  run.immediate();
}
