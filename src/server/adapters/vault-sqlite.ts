import { type ClosableVault, sqlVault } from './sql-vault.ts';
import { SqliteFile } from './sqlite/file.ts';

const MIGRATIONS = new URL('../../../schema/migrations/vault/', import.meta.url);

export interface SqliteVaultOptions {
  /** A file of its own, never the store's. */
  path: string;
  /** How long a backup of this file can exist, in ms; default 24 h. Whoever makes the backups keeps this promise. */
  horizonMs?: number;
  busyTimeoutMs?: number;
}

/** The shred shares in a SQLite file of their own. Throws `StoreError`. */
export function openSqliteVault({ horizonMs, ...options }: SqliteVaultOptions): ClosableVault {
  return sqlVault(new SqliteFile({ ...options, migrations: MIGRATIONS }), horizonMs);
}
