/**
 * Restores a server's databases without bringing anything back to life: the log's newer entries are put back first, what they say
 * was destroyed is destroyed in the copies, and only then do the copies take their places.
 */
import { createReadStream, existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { BUNDLE, readEntryLines } from '../../crypto/log/bundle.ts';
import { keepAnchor, readAnchor, requireLogKey, requireOwnLog } from '../../src/server/adapters/log-anchor.ts';
import { LOG_KEY, openLogSigner } from '../../src/server/adapters/keyring.ts';
import {
  openPostgresStore,
  openPostgresVault,
  STORE_MIGRATIONS,
  VAULT_MIGRATIONS,
} from '../../src/server/adapters/postgres.ts';
import { copyToPostgres, isEmptyPostgres } from '../../src/server/adapters/postgres/copy.ts';
import type { SqlDriver } from '../../src/server/adapters/sql/driver.ts';
import { sqlStore } from '../../src/server/adapters/sql-store.ts';
import type { ClosableVault } from '../../src/server/adapters/sql-vault.ts';
import { SqliteFile } from '../../src/server/adapters/sqlite/file.ts';
import { destroyDead, replayLog } from '../../src/server/adapters/sqlite/replay.ts';
import { openSqliteVault } from '../../src/server/adapters/vault-sqlite.ts';
import { CLOCK_SKEW_MS, URL_LIFE_SECONDS } from '../../src/server/core/retention.ts';
import type { Config } from '../../src/server/config.ts';
import { vkeyOf } from '../../src/server/signing.ts';
import type { Store } from '../../src/server/store.ts';
import { verifyBundle } from '../evidence/bundle-folder.ts';
import { CommandError } from '../shell/exits.ts';
import { formatTime } from '../shell/figures.ts';
import { findBackup, METADATA, VAULT } from './backup-folder.ts';

export interface RestoreOptions {
  dataDir: string;
  logOrigin: string;
  now: number;
  /** Folder of backups; absent, the databases in `dataDir` only get the log's entries. */
  backup?: string | undefined;
  /** An exported log, newer than the backup. */
  bundle?: string | undefined;
  /** Goes on with an empty vault: nothing that was recorded before opens for anybody any more. */
  isWithoutVault?: boolean;
  /** Where the rows and shares go, if not into files of `dataDir`. */
  database?: Config['database'];
}

export interface RestoreSummary {
  metadata: string | undefined;
  vault: string | undefined;
  /** Entries that were put back into the log. */
  replayed: number;
  /** Recordings whose shares were in the restored vault though their deletion had begun. */
  destroyed: number;
}

/** Throws `CommandError` or `StartRefusal`; what is in `dataDir` is then as it was. */
export async function restore(options: RestoreOptions): Promise<RestoreSummary> {
  const { dataDir, backup } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const standing = { metadata: join(dataDir, METADATA), vault: join(dataDir, VAULT) };
  if (!existsSync(join(dataDir, LOG_KEY))) {
    throw new CommandError(
      'key',
      'log-key',
      `${dataDir}: ${LOG_KEY} is missing`,
      'it has a backup of its own: put it back first',
    );
  }
  const { database } = options;
  if (backup === undefined) {
    if (!database && !existsSync(standing.metadata))
      throw new CommandError('storage', 'no-database', `${dataDir}: no database is here`);
    const opened = database ? await openClusters(database) : openFiles(standing);
    return { metadata: undefined, vault: undefined, ...(await bringUp(options, opened)) };
  }
  await requireRoom(standing, database);
  const found = await findBackup(backup);
  const vault = options.isWithoutVault === true ? undefined : found.vault;
  if (options.isWithoutVault !== true) requireAlive(vault, options.now);
  const copies = { metadata: `${standing.metadata}.restoring`, vault: `${standing.vault}.restoring` };
  try {
    await copyFile(found.metadata, copies.metadata);
    if (vault) await copyFile(vault.path, copies.vault);
    const done = await bringUp(options, openFiles(copies));
    // A crash between the two leaves a vault without a database, which the next attempt refuses to overwrite: nothing is lost.
    if (database) {
      await copyToPostgres(copies.vault, database.vaultUrl, VAULT_MIGRATIONS);
      await copyToPostgres(copies.metadata, database.url, STORE_MIGRATIONS);
    } else {
      await rename(copies.vault, standing.vault);
      await rename(copies.metadata, standing.metadata);
    }
    return { metadata: found.metadata, vault: vault?.path, ...done };
  } finally {
    for (const path of Object.values(copies))
      for (const suffix of ['', '-wal', '-shm']) await rm(path + suffix, { force: true });
  }
}

async function requireRoom(standing: Paths, database: Config['database']): Promise<void> {
  const inTheWay = (what: string) =>
    new CommandError('storage', 'in-the-way', `${what}: a database is here already`, 'move it away first');
  if (database) {
    if (!(await isEmptyPostgres(database.url))) throw inTheWay('ZEROREEL_DATABASE_URL');
    if (!(await isEmptyPostgres(database.vaultUrl))) throw inTheWay('ZEROREEL_VAULT_URL');
    return;
  }
  for (const path of [standing.metadata, standing.vault]) if (existsSync(path)) throw inTheWay(path);
}

function requireAlive(vault: { path: string; expiresMs: number } | undefined, now: number): void {
  if (vault && now < vault.expiresMs) return;
  const reason = vault ? `${vault.path}: expired ${formatTime(vault.expiresMs)}` : 'there is no backup of the vault';
  throw new CommandError(
    'unwell',
    'vault-expired',
    `${reason}; recordings that were destroyed since would come back`,
    '--without-vault restores the metadata alone: deletions go on, and what was recorded before opens for nobody',
  );
}

interface Paths {
  metadata: string;
  vault: string;
}

interface Opened {
  driver: SqlDriver;
  store: Store;
  vault: ClosableVault;
}

function openFiles(paths: Paths): Opened {
  const driver = new SqliteFile({ path: paths.metadata, migrations: STORE_MIGRATIONS });
  return { driver, store: sqlStore(driver), vault: openSqliteVault({ path: paths.vault }) };
}

async function openClusters({ url, vaultUrl }: NonNullable<Config['database']>): Promise<Opened> {
  const { store, driver } = await openPostgresStore(url);
  try {
    return { store, driver, vault: (await openPostgresVault(vaultUrl)).vault };
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function bringUp(
  { dataDir, logOrigin, now, bundle }: RestoreOptions,
  { driver, store, vault }: Opened,
): Promise<Pick<RestoreSummary, 'replayed' | 'destroyed'>> {
  try {
    await requireLogKey(store, dataDir);
    const signer = openLogSigner(dataDir, logOrigin);
    let replayed = 0;
    if (bundle !== undefined) {
      const { former } = signer;
      // A bundle of before a rotation is signed by the former key alone.
      const note = await requireWhole(bundle, vkeyOf(signer), dataDir, now).catch((error: unknown) => {
        if (!former || !(error instanceof ProtocolError)) throw error;
        return requireWhole(bundle, vkeyOf(former), dataDir, now);
      });
      const entries = readEntryLines(createReadStream(join(bundle, BUNDLE.entries)) as AsyncIterable<Uint8Array>);
      replayed = await replayLog(driver, store, entries, now + URL_LIFE_SECONDS * 1000 + CLOCK_SKEW_MS);
      keepAnchor(dataDir, note);
    }
    await requireOwnLog(store, signer, dataDir);
    return { replayed, destroyed: await destroyDead(store, vault) };
  } finally {
    await vault.close();
    await store.close();
  }
}

/** Verifies the bundle under this server's own key; answers its checkpoint. */
async function requireWhole(bundle: string, vkey: string, dataDir: string, now: number): Promise<string> {
  const anchor = readAnchor(dataDir);
  const { findings } = await verifyBundle(bundle, vkey, { now, kept: anchor === undefined ? [] : [anchor] });
  const contradiction = findings.find(({ code }) => code === 'equivocation');
  if (contradiction) {
    throw new CommandError(
      'violation',
      'log',
      `${bundle}: ${contradiction.message}`,
      'an export that is older than the newest published checkpoint does not do: find a newer one',
    );
  }
  return readFile(join(bundle, BUNDLE.checkpoint), 'utf8');
}
