/** What a command works with that stands beside a server: its settings, and its databases, which a server may be using too. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openDatabases, type Databases } from '../../src/server/adapters/databases.ts';
import type { Config } from '../../src/server/config.ts';
import { METADATA } from '../backup/backup-folder.ts';
import { CommandError } from './exits.ts';
import { readSettings } from './settings.ts';
import type { Shell } from './shell.ts';

/** Options of every such command. `--bucket-port` is the embedded bucket's, where the server was started with another. */
export const BESIDE_FLAGS = { data: { type: 'string' }, 'bucket-port': { type: 'string' } } as const;

export interface BesideFlags {
  data?: string | undefined;
  'bucket-port'?: string | undefined;
}

export function settingsBeside({ environment }: Shell, flags: BesideFlags): Config {
  return readSettings({
    ...environment,
    ...(flags.data !== undefined && { ZEROREEL_DATA: flags.data }),
    ...(flags['bucket-port'] !== undefined && { ZEROREEL_BUCKET_PORT: flags['bucket-port'] }),
  });
}

/** Runs `work` over the server's own databases, and closes them. Makes none where there are none. */
export async function withDatabases<T>(
  shell: Shell,
  config: Config,
  work: (databases: Databases) => Promise<T>,
): Promise<T> {
  const dataDir = resolve(config.dataDir);
  if (!config.database && !existsSync(join(dataDir, METADATA))) {
    throw new CommandError(
      'storage',
      'no-database',
      `${dataDir}: no database is here`,
      '--data names the server\u2019s folder',
    );
  }
  const databases = await openDatabases(config, dataDir, (error) => {
    shell.say(String(error));
  });
  try {
    return await work(databases);
  } finally {
    await databases.vault.close();
    await databases.store.close();
  }
}
