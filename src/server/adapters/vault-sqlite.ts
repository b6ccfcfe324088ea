import type { Vault } from '../ports.ts';
import { StoreError } from '../store.ts';
import { guard, statement } from './sql/statements.ts';
import { SqliteFile } from './sqlite/file.ts';

const MIGRATIONS = new URL('../../../schema/migrations/vault/', import.meta.url);
const DAY_MS = 86_400_000;

export interface SqliteVaultOptions {
  /** A file of its own, never the store's: what backs up the metadata must not back up the shares. */
  path: string;
  /** How long a backup of this file can exist, in ms; default 24 h. Whoever makes the backups keeps this promise. */
  horizonMs?: number;
  busyTimeoutMs?: number;
}

/** The shred shares in a SQLite file of their own. Throws `StoreError`. */
export function openSqliteVault({
  horizonMs = DAY_MS,
  ...options
}: SqliteVaultOptions): Vault & { close(): Promise<void> } {
  const file = new SqliteFile({ ...options, migrations: MIGRATIONS });
  return {
    horizonMs,

    async put(recordingId, epoch, share, now) {
      const done = await file.batch([
        guard(
          'NOT EXISTS (SELECT 1 FROM shares WHERE recording_id = ? AND epoch = ? AND share IS NOT ?)',
          recordingId,
          epoch,
          share,
        ),
        statement(
          'INSERT INTO shares (recording_id, epoch, share, written_ms) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
          recordingId,
          epoch,
          share,
          now,
        ),
      ]);
      if (!done) throw new StoreError('refused', `epoch ${epoch} of recording ${recordingId} has another share`);
    },

    async get(recordingId) {
      const rows = await file.all(
        statement('SELECT epoch, share FROM shares WHERE recording_id = ? ORDER BY epoch', recordingId),
      );
      return new Map(rows.map(([epoch, share]) => [epoch as number, new Uint8Array(share as Uint8Array)]));
    },

    async destroy(recordingId) {
      const done = await file.batch([
        statement('DELETE FROM shares WHERE recording_id = ? RETURNING epoch', recordingId),
      ]);
      // Even where nothing was left: an earlier call may have died between its commit and its scrub.
      await file.scrub();
      return done?.[0]?.length ?? 0;
    },

    async list(before, limit, cursor = { recordingId: '', epoch: -1 }) {
      const rows = await file.all(
        statement(
          `SELECT recording_id, epoch FROM shares WHERE written_ms < ? AND (recording_id, epoch) > (?, ?)
            ORDER BY recording_id, epoch LIMIT ?`,
          before,
          cursor.recordingId,
          cursor.epoch,
          limit,
        ),
      );
      return rows.map(([recordingId, epoch]) => ({ recordingId: recordingId as string, epoch: epoch as number }));
    },

    async destroyEpoch(recordingId, epoch) {
      await file.batch([statement('DELETE FROM shares WHERE recording_id = ? AND epoch = ?', recordingId, epoch)]);
      await file.scrub();
    },

    close: () => file.close(),
  };
}
