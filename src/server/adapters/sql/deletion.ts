import { and, asc, gt, lt, lte, sql } from 'drizzle-orm';
import { recordings } from '../../../../schema/tables.ts';
import type { Store } from '../../store.ts';
import type { SqlDriver, Statement } from './driver.ts';
import { appendEntry, guard, limited, number, type Reads, statement } from './statements.ts';

export type DeletionStore = Pick<
  Store,
  | 'due'
  | 'intendDeletion'
  | 'destroyWraps'
  | 'completeDeletion'
  | 'unverified'
  | 'verifyDeletion'
  | 'scrub'
  | 'existingEpochs'
>;

export function deletionStore(driver: SqlDriver, db: Reads): DeletionStore {
  const due = db
    .select()
    .from(recordings)
    .where(
      and(
        // `recordings_due` is partial on exactly this.
        sql`${recordings.deletedMs} IS NULL`,
        lte(recordings.deleteByMs, sql.placeholder('now')),
        sql`(${recordings.deleteByMs}, ${recordings.id}) > (${sql.placeholder('afterMs')}, ${sql.placeholder('afterId')})`,
      ),
    )
    .orderBy(asc(recordings.deleteByMs), asc(recordings.id))
    .limit(limited())
    .prepare();
  const unverified = db
    .select()
    .from(recordings)
    .where(
      and(
        sql`${recordings.state} = 'deleted'`,
        gt(recordings.id, sql.placeholder('cursor')),
        lt(recordings.lastUrlMs, sql.placeholder('urlsDeadBefore')),
        lt(recordings.deletedMs, sql.placeholder('deletedBefore')),
      ),
    )
    .orderBy(asc(recordings.id))
    .limit(limited())
    .prepare();

  /** Everything of one recording in `table`. */
  const clear = (
    table: 'wraps' | 'grants' | 'notes' | 'pending' | 'tracks' | 'epochs',
    recordingId: string,
  ): Statement => statement(`DELETE FROM ${table} WHERE recording_id = ?`, recordingId);

  return {
    due: (now, limit, cursor = { deleteByMs: Number.MIN_SAFE_INTEGER, id: '' }) =>
      due.all({ now, limit, afterMs: cursor.deleteByMs, afterId: cursor.id }),

    async intendDeletion(recordingId, found, entry) {
      const done = await driver.batch([
        guard(
          `EXISTS (SELECT 1 FROM recordings WHERE id = ? AND state IN ('open', 'closed', 'abandoned'))`,
          recordingId,
        ),
        statement(
          `UPDATE recordings SET state = 'purging', objects = ?, bytes = ? WHERE id = ?`,
          found.objects,
          found.bytes,
          recordingId,
        ),
        appendEntry(entry),
      ]);
      return done !== undefined;
    },

    async destroyWraps(recordingId) {
      const done = await driver.batch([
        guard(`EXISTS (SELECT 1 FROM recordings WHERE id = ? AND state = 'purging')`, recordingId),
        clear('grants', recordingId),
        statement(
          'SELECT COALESCE(SUM(json_array_length(directory)), 0) FROM wraps WHERE recording_id = ?',
          recordingId,
        ),
        clear('wraps', recordingId),
        clear('notes', recordingId),
      ]);
      return (done?.[2]?.[0]?.[0] ?? 0) as number;
    },

    async completeDeletion(recordingId, destroyed, now, entry) {
      const done = await driver.batch([
        guard(
          `EXISTS (SELECT 1 FROM recordings WHERE id = ? AND state = 'purging')
            AND NOT EXISTS (SELECT 1 FROM wraps WHERE recording_id = ?)
            AND NOT EXISTS (SELECT 1 FROM grants WHERE recording_id = ?)`,
          recordingId,
          recordingId,
          recordingId,
        ),
        clear('pending', recordingId),
        clear('tracks', recordingId),
        clear('epochs', recordingId),
        statement(
          `UPDATE recordings SET state = 'deleted', objects = ?, bytes = ?, deleted_ms = ?,
            ticket = CASE WHEN ticket LIKE 'launch %' THEN NULL ELSE ticket END WHERE id = ?`,
          destroyed.objects,
          destroyed.bytes,
          now,
          recordingId,
        ),
        appendEntry(entry),
      ]);
      return done !== undefined;
    },

    unverified: (urlsDeadBefore, deletedBefore, limit, cursor = '') =>
      unverified.all({ urlsDeadBefore, deletedBefore, limit, cursor }),

    async verifyDeletion(recordingId, known, entries) {
      const done = await driver.batch([
        guard(
          `EXISTS (SELECT 1 FROM recordings WHERE id = ? AND state = 'deleted')
            AND (SELECT COUNT(*) FROM log_entries WHERE recording_id = ?) = ?`,
          recordingId,
          recordingId,
          known,
        ),
        statement(`UPDATE recordings SET state = 'verified' WHERE id = ?`, recordingId),
        ...entries.map((entry) => appendEntry(entry, recordingId)),
      ]);
      return done !== undefined;
    },

    scrub: () => driver.scrub(),

    async existingEpochs(asked) {
      const rows = await driver.all(
        statement(
          `SELECT epochs.recording_id, epochs.epoch FROM json_each(?) AS asked
            JOIN epochs ON epochs.recording_id = asked.value ->> 'recordingId' AND epochs.epoch = ${number('epoch', 'asked')}
            ORDER BY asked.key`,
          JSON.stringify(asked.map(({ recordingId, epoch }) => ({ recordingId, epoch }))),
        ),
      );
      return rows.map(([recordingId, epoch]) => ({ recordingId: recordingId as string, epoch: epoch as number }));
    },
  };
}
