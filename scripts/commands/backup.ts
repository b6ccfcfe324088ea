import { makeBackup } from '../backup/backup-folder.ts';
import { restore as restoreDatabases } from '../backup/restore.ts';
import { StartRefusal } from '../../src/server/start-refusal.ts';
import { command, parseWords, usageError } from '../shell/arguments.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { formatTime } from '../shell/figures.ts';
import { readSettings } from '../shell/settings.ts';
import type { Shell } from '../shell/shell.ts';

const USAGE_BACKUP = `zeroreel backup DIR [--data DIR] [--json]

Copies the two databases of a server, which may be running, into DIR, whether they are SQLite files or PostgreSQL clusters
(ZEROREEL_DATABASE_URL, ZEROREEL_VAULT_URL): the metadata, and the vault of shred shares with the time at which that copy expires
(ZEROREEL_VAULT_HORIZON_HOURS, a day by default). Older copies of the vault in DIR are deleted: they are worthless by design, since
what was destroyed meanwhile must not come back. log.key is not copied; it has a backup of its own, once.

  $ zeroreel backup /backup/zeroreel --data /var/lib/zeroreel
  metadata: /backup/zeroreel/metadata-20261123T090000Z.db
  vault:    /backup/zeroreel/vault-20261123T090000Z.db, to be used until 2026-11-24 09:00 UTC`;

export const backup = command(USAGE_BACKUP, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    { data: { type: 'string' }, json: { type: 'boolean', default: false } },
    { from: 1, to: 1, names: 'one DIR' },
  );
  const { dataDir, vaultHorizonMs, database } = settings(shell, values.data);
  if (vaultHorizonMs === 0)
    throw new CommandError(
      'usage',
      'no-horizon',
      'ZEROREEL_VAULT_HORIZON_HOURS is 0: no backup of the vault may exist',
    );
  const made = await makeBackup(dataDir, positionals[0]!, {
    now: Date.now(),
    horizonMs: vaultHorizonMs,
    database,
  });
  if (values.json) shell.printJson(made);
  else {
    shell.print(`metadata: ${made.metadata}`);
    shell.print(`vault:    ${made.vault.path}, to be used until ${formatTime(made.vault.expiresMs)}`);
  }
  if (made.removed.length > 0)
    shell.say(`deleted ${made.removed.length} older backups of the vault: they are worthless by design`);
  return EXIT.well;
});

const USAGE_RESTORE = `zeroreel restore [DIR] [--log BUNDLE] [--without-vault] [--data DIR] [--json]

Puts the newest backup in DIR into the place of databases that are gone: files, or two empty databases of PostgreSQL, whichever of the
two it was made of. The server must not run. Nothing comes back that was destroyed: an expired
backup of the vault is refused, and a database that is older than what the log has published needs --log, any exported log
(\`zeroreel log export\`) up to it: its entries are put back byte for byte, and its deletions done again, before anything is served.
Without DIR the databases that are there only get the entries of --log.

  --without-vault  restores the metadata alone; deletions go on, and what was recorded before opens for nobody

  $ zeroreel restore /backup/zeroreel --log audit-2026-11 --data /var/lib/zeroreel
  restored /backup/zeroreel/metadata-20261123T090000Z.db, /backup/zeroreel/vault-20261123T090000Z.db
  put back 212 entries of the log; 3 recordings in the vault had been destroyed since, and are again`;

export const restore = command(USAGE_RESTORE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      data: { type: 'string' },
      log: { type: 'string' },
      'without-vault': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 1, names: 'one DIR' },
  );
  if (positionals.length === 0 && values.log === undefined) throw usageError('expected DIR, --log BUNDLE, or both');
  const { dataDir, logOrigin, database } = settings(shell, values.data);
  try {
    const done = await restoreDatabases({
      dataDir,
      logOrigin,
      now: Date.now(),
      backup: positionals[0],
      bundle: values.log,
      isWithoutVault: values['without-vault'],
      database,
    });
    if (values.json) shell.printJson(done);
    else {
      if (done.metadata !== undefined)
        shell.print(`restored ${done.metadata}, ${done.vault ?? 'and no vault: nothing of before opens any more'}`);
      shell.print(
        `put back ${done.replayed} entries of the log; ${done.destroyed} recordings in the vault had been destroyed since, and are again`,
      );
    }
    return EXIT.well;
  } catch (error) {
    if (!(error instanceof StartRefusal)) throw error;
    throw new CommandError('unwell', 'start-refused', error.message, error.hint, { cause: error });
  }
});

function settings(shell: Shell, data: string | undefined) {
  return readSettings({ ...shell.environment, ...(data !== undefined && { ZEROREEL_DATA: data }) });
}
