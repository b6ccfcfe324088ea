/**
 * A folder of backups: `metadata-TIME.db`, and at most one `vault-TIME.db` with its `vault-TIME.json`, which says until when it may
 * exist. The two are apart because they die apart: a backup of the vault that outlived its horizon would bring back what a
 * certificate calls finally destroyed.
 */
import { closeSync, existsSync, fsyncSync, openSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { z } from 'zod';
import { STORE_MIGRATIONS, VAULT_MIGRATIONS } from '../../src/server/adapters/postgres.ts';
import { copyFromPostgres } from '../../src/server/adapters/postgres/copy.ts';
import type { Config } from '../../src/server/config.ts';
import { CommandError } from '../shell/exits.ts';

export const METADATA = 'zeroreel.db';
export const VAULT = 'vault.db';

const FORMAT = 'zeroreel-vault-backup/v1';
const noteSchema = z.strictObject({ format: z.literal(FORMAT), made_ms: z.int(), expires_ms: z.int() });

export interface VaultBackup {
  path: string;
  madeMs: number;
  /** From here on the file must not exist, and nothing reads it. */
  expiresMs: number;
}

export interface BackupSummary {
  metadata: string;
  vault: VaultBackup;
  /** Vault backups that were deleted because a newer one stands. */
  removed: string[];
}

/**
 * Copies both databases of `dataDir` while a server uses them (SQLite's online backup), or those of two PostgreSQL clusters, into the
 * same form. The metadata first: a share without its row is an orphan, which is swept; a row without its share would be a recording
 * that nobody can open.
 */
export async function makeBackup(
  dataDir: string,
  directory: string,
  { now, horizonMs, database }: { now: number; horizonMs: number; database?: Config['database'] },
): Promise<BackupSummary> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const time = new Date(now).toISOString().replace(/[-:]|\.\d+/g, '');
  const metadata = join(directory, `metadata-${time}.db`);
  await copyDatabase(metadata, (to) =>
    database ? copyFromPostgres(database.url, to, STORE_MIGRATIONS) : copyFile(join(dataDir, METADATA), to),
  );
  const path = join(directory, `vault-${time}.db`);
  const expiresMs = now + horizonMs;
  // Before the file itself: no backup of the vault is ever without its horizon.
  const note: z.infer<typeof noteSchema> = { format: FORMAT, made_ms: now, expires_ms: expiresMs };
  await writeFile(noteOf(path), `${JSON.stringify(note)}\n`, { mode: 0o600 });
  await copyDatabase(path, (to) =>
    database ? copyFromPostgres(database.vaultUrl, to, VAULT_MIGRATIONS) : copyFile(join(dataDir, VAULT), to),
  );
  const removed: string[] = [];
  for (const name of await readdir(directory)) {
    const other = join(directory, name);
    if (!/^vault-.*\.(?:db|json)$/.test(name) || other === path || other === noteOf(path)) continue;
    await rm(other);
    if (name.endsWith('.db')) removed.push(other);
  }
  return { metadata, vault: { path, madeMs: now, expiresMs }, removed };
}

function noteOf(vaultPath: string): string {
  return vaultPath.replace(/\.db$/, '.json');
}

async function copyDatabase(to: string, copy: (to: string) => Promise<void>): Promise<void> {
  const partial = `${to}.part`;
  await rm(partial, { force: true });
  // Made here, so that nobody else may read it at any moment.
  closeSync(openSync(partial, 'wx', 0o600));
  await copy(partial);
  const file = openSync(partial, 'r+');
  fsyncSync(file);
  closeSync(file);
  await rename(partial, to);
}

async function copyFile(from: string, to: string): Promise<void> {
  if (!existsSync(from)) throw new CommandError('storage', 'no-database', `${from}: there is no such database`);
  const database = new Database(from, { readonly: true, fileMustExist: true });
  try {
    await database.backup(to);
  } finally {
    database.close();
  }
}

/** The newest backup of each database. Throws where the folder has none of the metadata. */
export async function findBackup(directory: string): Promise<{ metadata: string; vault: VaultBackup | undefined }> {
  const names = (await readdir(directory)).sort();
  const newest = (pattern: RegExp): string | undefined => names.findLast((name) => pattern.test(name));
  const metadata = newest(/^metadata-.*\.db$/);
  if (metadata === undefined) throw new CommandError('storage', 'no-backup', `${directory}: no backup is here`);
  const vault = newest(/^vault-.*\.db$/);
  return {
    metadata: join(directory, metadata),
    vault: vault === undefined ? undefined : await readVaultBackup(join(directory, vault)),
  };
}

async function readVaultBackup(path: string): Promise<VaultBackup> {
  const text = await readFile(noteOf(path), 'utf8').catch(() => '');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const note = noteSchema.safeParse(value);
  // Without its horizon it counts as expired: whoever took the note away must not gain by it.
  if (!note.success) return { path, madeMs: 0, expiresMs: 0 };
  return { path, madeMs: note.data.made_ms, expiresMs: note.data.expires_ms };
}
