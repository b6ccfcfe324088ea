import { type Bytes, equal } from '../../../crypto/format/bytes.ts';
import { hash } from '../../../crypto/format/hash.ts';
import type { Vault } from '../ports.ts';
import { StoreError } from '../store.ts';
import type { SqlDriver, SqlValue } from './sql/driver.ts';
import { guard, statement } from './sql/statements.ts';

const DAY_MS = 86_400_000;

export type ClosableVault = Vault & { close(): Promise<void> };

/** The shred shares in a database of their own, never the store's: what backs up the metadata must not back up the shares. */
export function sqlVault(driver: SqlDriver, horizonMs = DAY_MS): ClosableVault {
  /** Zeroes the slots of the shares that `condition` names, frees them, and forgets whose they were. */
  async function destroyWhere(condition: string, ...params: readonly SqlValue[]): Promise<number> {
    const done = await driver.batch([
      statement(
        `UPDATE slots SET share = zeroblob(32), is_free = 1 WHERE slot IN (SELECT slot FROM shares WHERE ${condition})`,
        ...params,
      ),
      statement(`DELETE FROM shares WHERE ${condition} RETURNING epoch`, ...params),
    ]);
    // Even where nothing was left: an earlier call may have died between its commit and its scrub.
    await driver.scrub();
    return done?.[1]?.length ?? 0;
  }

  return {
    horizonMs,
    settlesMs: 0,

    async put(recordingId, epoch, share, now) {
      const standing = 'SELECT slot FROM shares WHERE recording_id = ? AND epoch = ?';
      const done = await driver.batch([
        guard(
          `NOT EXISTS (SELECT 1 FROM slots WHERE slot = (${standing}) AND share IS DISTINCT FROM ?)`,
          recordingId,
          epoch,
          share,
        ),
        statement(
          `INSERT INTO slots (slot, is_free, share) SELECT (SELECT COALESCE(MAX(slot), 0) + 1 FROM slots), 1, zeroblob(32)
            WHERE NOT EXISTS (SELECT 1 FROM slots WHERE is_free = 1)`,
        ),
        statement(
          `INSERT INTO shares (recording_id, epoch, slot, written_ms)
            SELECT ?, ?, MIN(slot), ? FROM slots WHERE is_free = 1
            ON CONFLICT (recording_id, epoch) DO UPDATE SET written_ms = MAX(shares.written_ms, excluded.written_ms)`,
          recordingId,
          epoch,
          now,
        ),
        statement(`UPDATE slots SET share = ?, is_free = 0 WHERE slot = (${standing})`, share, recordingId, epoch),
      ]);
      if (!done) throw new StoreError('refused', `epoch ${epoch} of recording ${recordingId} has another share`);
    },

    async get(recordingId, commitments) {
      const rows = await driver.all(
        statement(
          'SELECT epoch, share FROM shares JOIN slots USING (slot) WHERE recording_id = ? ORDER BY epoch',
          recordingId,
        ),
      );
      const shares = new Map<number, Bytes>();
      for (const [epoch, bytes] of rows as [number, Uint8Array][]) {
        const share = new Uint8Array(bytes);
        const wanted = commitments?.get(epoch);
        if (!commitments || (wanted && equal(await hash('shred', share), wanted))) shares.set(epoch, share);
      }
      return shares;
    },

    destroy: (recordingId) => destroyWhere('recording_id = ?', recordingId),

    async list(before, limit, cursor = '/-1') {
      const [afterId, afterEpoch] = cursor.split('/') as [string, string];
      const rows = await driver.all(
        statement(
          `SELECT recording_id, epoch FROM shares WHERE written_ms < ? AND (recording_id, epoch) > (?, ?)
            ORDER BY recording_id, epoch LIMIT ?`,
          before,
          afterId,
          Number(afterEpoch),
          limit,
        ),
      );
      const shares = rows.map(([recordingId, epoch]) => ({
        recordingId: recordingId as string,
        epoch: epoch as number,
      }));
      const last = shares.at(-1);
      return { shares, ...(last && rows.length === limit && { cursor: `${last.recordingId}/${last.epoch}` }) };
    },

    destroyEpoch: async (recordingId, epoch, before) =>
      (await destroyWhere('recording_id = ? AND epoch = ? AND written_ms < ?', recordingId, epoch, before)) > 0,

    close: () => driver.close(),
  };
}
