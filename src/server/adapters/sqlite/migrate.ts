import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { Database } from 'better-sqlite3';
import { StoreError } from '../../store.ts';

interface Migration {
  name: string;
  sql: string;
  /** Hex; recorded when applied, so that a file that was edited afterwards is found out. */
  sha256: string;
}

function read(folder: URL): Migration[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.sql'));
  return names.sort().map((name) => {
    const sql = readFileSync(new URL(name, folder), 'utf8');
    return { name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
  });
}

/**
 * Brings the schema up to the newest migration in `folder`, in one transaction; two processes that start together apply
 * each once. Throws `version` where the database knows a migration that this code does not (it is newer), or knows one
 * by other bytes.
 */
export function migrate(database: Database, folder: URL): void {
  const migrations = read(folder);
  const run = database.transaction(() => {
    database.exec(
      'CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY NOT NULL, sha256 TEXT NOT NULL) STRICT',
    );
    const applied = database
      .prepare<[], { name: string; sha256: string }>('SELECT name, sha256 FROM migrations ORDER BY name')
      .all();
    for (const { name, sha256 } of applied) {
      const known = migrations.find((migration) => migration.name === name);
      if (!known) throw new StoreError('version', `the database is newer than this code: it has migration ${name}`);
      if (known.sha256 !== sha256) {
        throw new StoreError('version', `migration ${name} was applied with other contents than it has now`);
      }
    }
    const record = database.prepare('INSERT INTO migrations (name, sha256) VALUES (?, ?)');
    for (const { name, sql, sha256 } of migrations.slice(applied.length)) {
      database.exec(sql);
      record.run(name, sha256);
    }
  });
  run.immediate();
}
