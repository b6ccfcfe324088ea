/** Where a Node server keeps rows and shares: two SQLite files of its own, or two PostgreSQL clusters that many servers share. */
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { StartRefusal } from '../start-refusal.ts';
import type { Store } from '../store.ts';
import { type Cluster, openPostgresStore, openPostgresVault } from './postgres.ts';
import type { ClosableVault } from './sql-vault.ts';
import { openSqliteStore } from './sqlite.ts';
import { openSqliteVault } from './vault-sqlite.ts';

export interface Databases {
  store: Store;
  vault: ClosableVault;
}

/**
 * Throws `StoreError` where one cannot be opened, and `StartRefusal` where clusters are set so that a promise would be false. What
 * is weaker than it could be, and no reason to refuse, goes to `report`.
 */
export async function openDatabases(
  { database, vaultHorizonMs: horizonMs }: Pick<Config, 'database' | 'vaultHorizonMs'>,
  dataDir: string,
  report: (error: unknown) => void,
): Promise<Databases> {
  if (!database) {
    const store = openSqliteStore({ path: join(dataDir, 'zeroreel.db') });
    return closingOnFailure({ store }, async () => openSqliteVault({ path: join(dataDir, 'vault.db'), horizonMs }));
  }
  const opened = await openPostgresStore(database.url);
  return closingOnFailure(opened, async () => {
    requireKept('the database', opened, ['durable']);
    const { vault, ...cluster } = await openPostgresVault(database.vaultUrl, horizonMs);
    try {
      requireKept('the vault', cluster, ['durable', 'traceless']);
      requireApart(opened, cluster);
    } catch (error) {
      await vault.close();
      throw error;
    }
    for (const [name, { unsettled }] of [
      ['the database', opened],
      ['the vault', cluster],
    ] as const) {
      for (const { found, hint } of unsettled) report(new ClusterWeakness(`${name}: ${found} (${hint})`));
    }
    return vault;
  });
}

/** Something for the operator to read once at the start; schema/POSTGRES.md says what it means. */
class ClusterWeakness extends Error {
  override readonly name = 'ClusterWeakness';
}

async function closingOnFailure(
  { store }: { store: Store },
  openVault: () => Promise<ClosableVault>,
): Promise<Databases> {
  try {
    return { store, vault: await openVault() };
  } catch (error) {
    await store.close();
    throw error;
  }
}

function requireKept(name: string, { unsettled }: Cluster, promises: readonly string[]): void {
  const broken = unsettled.find(({ promise }) => promises.includes(promise));
  if (broken) throw new StartRefusal(`${name} cannot be on this PostgreSQL: ${broken.found}`, broken.hint);
}

/** Base backups and WAL archives are of a whole cluster: with the store's, which are kept for weeks, the shares would be kept too. */
function requireApart(store: Cluster, vault: Cluster): void {
  if (store.cluster !== vault.cluster) return;
  throw new StartRefusal(
    'the vault is in the same PostgreSQL cluster as the database',
    'a cluster of its own (initdb) for ZEROREEL_VAULT_URL, with backups no older than ZEROREEL_VAULT_HORIZON_HOURS',
  );
}
