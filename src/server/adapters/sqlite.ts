import type { Store } from '../store.ts';
import { sqlStore } from './sql-store.ts';
import { SqliteFile } from './sqlite/file.ts';

const MIGRATIONS = new URL('../../../schema/migrations/store/', import.meta.url);

export interface SqliteStoreOptions {
  /** The database file; it is created, with its folder, where it is absent. */
  path: string;
  /** How long a write waits for another process's; default 5 s. */
  busyTimeoutMs?: number;
}

/** The metadata store in one SQLite file, which several processes may share. Throws `StoreError`. */
export function openSqliteStore(options: SqliteStoreOptions): Store {
  return sqlStore(new SqliteFile({ ...options, migrations: MIGRATIONS }));
}
