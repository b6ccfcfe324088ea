import { sql } from 'drizzle-orm';
import { concat } from '../../../../crypto/format/bytes.ts';
import { epochs, grants, notes, recordings, wraps } from '../../../../schema/tables.ts';
import type { EpochRow, Store, TrackRow, WrapRow } from '../../store.ts';
import type { SqlDriver, Statement } from './driver.ts';
import { appendEntry, guard, insertInto, number, type Reads, statement } from './statements.ts';

export type LifeWrites = Pick<
  Store,
  | 'openRecording'
  | 'openEpoch'
  | 'rememberUploads'
  | 'reachQuota'
  | 'acceptHead'
  | 'abandon'
  | 'release'
  | 'declareExport'
  | 'addGrant'
  | 'addNote'
  | 'bringForward'
>;

/** The states in which no deletion was begun. */
const ALIVE = `state IN ('open', 'closed', 'abandoned')`;
const IS_OPEN = `EXISTS (SELECT 1 FROM recordings WHERE id = ? AND state = 'open')`;
const IS_ALIVE = `EXISTS (SELECT 1 FROM recordings WHERE id = ? AND ${ALIVE})`;

/** Many rows in one statement with one parameter (D1 takes at most 100): `?` is a JSON array. */
function insertTracks(rows: readonly TrackRow[]): Statement {
  return statement(
    `INSERT INTO tracks (recording_id, epoch, track, kind, codec, count, bytes)
      SELECT value ->> 'recordingId', ${number('epoch')}, ${number('track')}, ${number('kind')}, value ->> 'codec',
        ${number('count')}, ${number('bytes')} FROM json_each(?)`,
    JSON.stringify(rows),
  );
}

/** Every step that a recording takes from its opening until its deletion begins. */
export function lifeWrites(driver: SqlDriver, db: Reads): LifeWrites {
  // The entry of the opening is appended one statement earlier in the same batch.
  const insertRecording = insertInto(db, recordings, {
    openedPosition: sql`(SELECT MAX(position) FROM log_entries)`,
  });
  const insertEpoch = insertInto(db, epochs);
  // [Note: shielded blobs] in the first migration.
  const shield = sql`zeroblob(4096)`;
  const insertBundle = insertInto(db, wraps, { shield });
  const insertGrant = insertInto(db, grants, { shield });
  const insertNote = insertInto(db, notes, { shield });

  /** All wraps of one epoch, in the order of OPEN's hashes. */
  const insertWraps = ({ recordingId, epoch }: EpochRow, rows: readonly WrapRow[]): Statement =>
    insertBundle({
      recordingId,
      epoch,
      directory: rows.map(({ keyId, role, wrap }) => ({ keyId, role, bytes: wrap.length })),
      wraps: concat(...rows.map(({ wrap }) => wrap)),
    });

  return {
    async openRecording(recording, epoch, trackRows, wrapRows, entry) {
      const done = await driver.batch([
        guard('NOT EXISTS (SELECT 1 FROM recordings WHERE id = ? OR ticket = ?)', recording.id, recording.ticket),
        appendEntry(entry),
        insertRecording(recording),
        insertEpoch(epoch),
        insertTracks(trackRows),
        insertWraps(epoch, wrapRows),
      ]);
      return done !== undefined;
    },

    async openEpoch(epoch, trackRows, wrapRows, entry) {
      const done = await driver.batch([
        guard(
          `EXISTS (SELECT 1 FROM recordings WHERE id = ? AND state = 'open' AND last_epoch = ?)`,
          epoch.recordingId,
          epoch.epoch - 1,
        ),
        statement(
          'UPDATE recordings SET last_epoch = ?, seen_ms = MAX(seen_ms, ?) WHERE id = ?',
          epoch.epoch,
          epoch.openedMs,
          epoch.recordingId,
        ),
        insertEpoch(epoch),
        insertTracks(trackRows),
        insertWraps(epoch, wrapRows),
        appendEntry(entry),
      ]);
      return done !== undefined;
    },

    async rememberUploads(recordingId, epoch, rows, urlExpiresMs, now) {
      const done = await driver.batch([
        guard(IS_OPEN, recordingId),
        statement(
          `INSERT INTO pending (recording_id, epoch, track, seq, bytes, sha256)
            SELECT ?, ?, ${number('track')}, ${number('seq')}, ${number('bytes')}, value ->> 'sha256' FROM json_each(?)
            WHERE true ON CONFLICT DO NOTHING`,
          recordingId,
          epoch,
          JSON.stringify(rows),
        ),
        statement(
          'UPDATE recordings SET last_url_ms = MAX(last_url_ms, ?), seen_ms = MAX(seen_ms, ?) WHERE id = ?',
          urlExpiresMs,
          now,
          recordingId,
        ),
      ]);
      return done !== undefined;
    },

    async reachQuota(recordingId, quota) {
      await driver.batch([
        statement('UPDATE recordings SET quota_reached = COALESCE(quota_reached, ?) WHERE id = ?', quota, recordingId),
      ]);
    },

    async acceptHead(head, previousHeadHash, counts, now, close) {
      const { recordingId, epoch } = head;
      const ending: Statement[] = close
        ? [
            statement(
              `UPDATE recordings SET state = 'closed', ended_ms = ?, objects = ?, bytes = ? WHERE id = ?`,
              now,
              close.objects,
              close.bytes,
              recordingId,
            ),
            appendEntry(close.entry),
          ]
        : [];
      const done = await driver.batch([
        guard(
          `${IS_OPEN} AND EXISTS (SELECT 1 FROM epochs WHERE recording_id = ? AND epoch = ? AND head_hash IS NOT DISTINCT FROM ?)`,
          recordingId,
          recordingId,
          epoch,
          previousHeadHash,
        ),
        // What ends is the newest epoch: a recorder may have started again since the caller looked.
        ...(close ? [guard('(SELECT last_epoch FROM recordings WHERE id = ?) = ?', recordingId, epoch)] : []),
        statement(
          'UPDATE epochs SET head = ?, head_hash = ?, head_seq = ? WHERE recording_id = ? AND epoch = ?',
          head.head,
          head.headHash,
          head.headSeq,
          recordingId,
          epoch,
        ),
        statement(
          `UPDATE tracks SET count = ${number('count', 'claimed')}, bytes = ${number('bytes', 'claimed')}
            FROM json_each(?) AS claimed
            WHERE recording_id = ? AND epoch = ? AND track = ${number('track', 'claimed')}`,
          JSON.stringify(counts),
          recordingId,
          epoch,
        ),
        statement(
          `DELETE FROM pending WHERE recording_id = ? AND epoch = ? AND seq < (
            SELECT count FROM tracks WHERE tracks.recording_id = pending.recording_id
              AND tracks.epoch = pending.epoch AND tracks.track = pending.track)`,
          recordingId,
          epoch,
        ),
        statement('UPDATE recordings SET seen_ms = MAX(seen_ms, ?) WHERE id = ?', now, recordingId),
        ...ending,
      ]);
      return done !== undefined;
    },

    async abandon(recordingId, seenMs, now, totals, entry) {
      // An epoch that was opened meanwhile by a server whose clock is behind does not move `seen_ms`.
      const endedEpoch = 'epoch' in entry ? entry.epoch : null;
      const done = await driver.batch([
        guard(
          `EXISTS (SELECT 1 FROM recordings WHERE id = ? AND state = 'open' AND seen_ms <= ? AND last_epoch = ?)`,
          recordingId,
          seenMs,
          endedEpoch,
        ),
        statement(
          `UPDATE recordings SET state = 'abandoned', ended_ms = ?, objects = ?, bytes = ? WHERE id = ?`,
          now,
          totals.objects,
          totals.bytes,
          recordingId,
        ),
        appendEntry(entry),
      ]);
      return done !== undefined;
    },

    async release(recordingId, entries) {
      const done = await driver.batch([
        guard(IS_ALIVE, recordingId),
        statement('UPDATE recordings SET releases = releases + 1 WHERE id = ?', recordingId),
        ...entries.map((entry) => appendEntry(entry)),
      ]);
      return done !== undefined;
    },

    async declareExport(recordingId, entry) {
      return (await driver.batch([guard(IS_ALIVE, recordingId), appendEntry(entry)])) !== undefined;
    },

    async addGrant(grant, entry) {
      const done = await driver.batch([
        guard(
          `${IS_ALIVE} AND NOT EXISTS (SELECT 1 FROM grants WHERE recording_id = ? AND grant_hash = ?)`,
          grant.recordingId,
          grant.recordingId,
          grant.grantHash,
        ),
        insertGrant(grant),
        appendEntry(entry),
      ]);
      return done !== undefined;
    },

    async addNote(note, most) {
      const done = await driver.batch([
        guard(
          `${IS_ALIVE} AND NOT EXISTS (SELECT 1 FROM notes WHERE recording_id = ? AND note_hash = ?)
            AND (SELECT COUNT(*) FROM notes WHERE recording_id = ?) < ?`,
          ...[note.recordingId, note.recordingId, note.noteHash, note.recordingId, most],
        ),
        insertNote(note),
      ]);
      return done !== undefined;
    },

    async bringForward(recordingId, deleteByMs, entry) {
      const done = await driver.batch([
        guard(
          `EXISTS (SELECT 1 FROM recordings WHERE id = ? AND ${ALIVE} AND delete_by_ms > ?)`,
          recordingId,
          deleteByMs,
        ),
        statement('UPDATE recordings SET delete_by_ms = ? WHERE id = ?', deleteByMs, recordingId),
        appendEntry(entry),
      ]);
      return done !== undefined;
    },
  };
}
