import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { StoreError } from '../store.ts';

export interface Migration {
  name: string;
  sql: string;
  /** Hex; recorded when applied, so that a file that was edited afterwards is found out. */
  sha256: string;
}

/** The `.sql` files of a folder in the order of their names, each as `translate` makes it. */
export function readMigrations(
  folder: URL,
  translate: (sql: string, name: string) => string = (sql) => sql,
): Migration[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.sql'));
  return names.sort().map((name) => {
    const sql = translate(readFileSync(new URL(name, folder), 'utf8'), name);
    return { name, sql, sha256: createHash('sha256').update(sql).digest('hex') };
  });
}

/**
 * Those that were not applied yet. Throws `version` where the database knows a migration that this code does not (it is newer), or
 * knows one by other bytes.
 */
export function pendingMigrations(
  migrations: readonly Migration[],
  applied: readonly Pick<Migration, 'name' | 'sha256'>[],
): readonly Migration[] {
  for (const { name, sha256 } of applied) {
    const known = migrations.find((migration) => migration.name === name);
    if (!known) throw new StoreError('version', `the database is newer than this code: it has migration ${name}`);
    if (known.sha256 !== sha256) {
      throw new StoreError('version', `migration ${name} was applied with other contents than it has now`);
    }
  }
  return migrations.slice(applied.length);
}
