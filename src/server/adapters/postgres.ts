/** Store and vault on PostgreSQL, for those who run N nodes on machines of their own. schema/POSTGRES.md: what is true there. */
import type { Store } from '../ports.ts';
import { PostgresDatabase } from './postgres/database.ts';
import type { Unsettled } from './postgres/settings.ts';
import type { SqlDriver } from './sql/driver.ts';
import { sqlStore } from './sql-store.ts';
import { type ClosableVault, sqlVault } from './sql-vault.ts';

export const STORE_MIGRATIONS = new URL('../../../schema/migrations/store/', import.meta.url);
export const VAULT_MIGRATIONS = new URL('../../../schema/migrations/vault/', import.meta.url);

/** How the cluster is, for whoever decides whether that is enough. */
export interface Cluster {
  cluster: string;
  unsettled: readonly Unsettled[];
}

/** The metadata store in a PostgreSQL database, which many nodes may share. Throws `StoreError`. */
export async function openPostgresStore(url: string): Promise<Cluster & { store: Store; driver: SqlDriver }> {
  const keyTables = [
    { table: 'wraps', column: 'wraps' },
    { table: 'grants', column: 'wrap' },
  ];
  const database = await PostgresDatabase.open({ url, migrations: STORE_MIGRATIONS, keyTables });
  return { store: sqlStore(database), driver: database, cluster: database.cluster, unsettled: database.unsettled };
}

/** The shred shares in a PostgreSQL database, which must be of another cluster than the store's. Throws `StoreError`. */
export async function openPostgresVault(url: string, horizonMs?: number): Promise<Cluster & { vault: ClosableVault }> {
  const keyTables = [{ table: 'slots', column: 'share' }];
  const database = await PostgresDatabase.open({ url, migrations: VAULT_MIGRATIONS, keyTables });
  return { vault: sqlVault(database, horizonMs), cluster: database.cluster, unsettled: database.unsettled };
}
