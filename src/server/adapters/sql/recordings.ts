import { and, asc, eq, gt, lt, or, sql } from 'drizzle-orm';
import { epochs, grants, pending, recordings, tracks, wraps } from '../../../../schema/tables.ts';
import { concat } from '../../../../crypto/format/bytes.ts';
import type { EpochRow, Store, TrackRow, WrapRow } from '../../store.ts';
import type { SqlDriver, Statement } from './driver.ts';
import { appendEntry, guard, insertInto, type Reads, statement } from './statements.ts';

export type RecordingStore = Pick<
  Store,
  | 'openRecording'
  | 'openEpoch'
  | 'recording'
  | 'epoch'
  | 'epochs'
  | 'tracks'
  | 'wraps'
  | 'grants'
  | 'recordings'
  | 'rememberUploads'
  | 'pending'
  | 'acceptHead'
  | 'abandon'
  | 'idle'
  | 'release'
  | 'addGrant'
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
      SELECT value ->> 'recordingId', value ->> 'epoch', value ->> 'track', value ->> 'kind', value ->> 'codec',
        value ->> 'count', value ->> 'bytes' FROM json_each(?)`,
    JSON.stringify(rows),
  );
}

/** All wraps of one epoch in one shielded row ([Note: shielded blobs] in the first migration). */
function insertWraps({ recordingId, epoch }: EpochRow, rows: readonly WrapRow[]): Statement {
  return statement(
    'INSERT INTO wraps (recording_id, epoch, directory, shield, wraps) VALUES (?, ?, ?, zeroblob(4096), ?)',
    recordingId,
    epoch,
    JSON.stringify(rows.map(({ keyId, role, wrap }) => ({ keyId, role, bytes: wrap.length }))),
    concat(...rows.map(({ wrap }) => wrap)),
  );
}

type WrapBundle = Pick<typeof wraps.$inferSelect, 'recordingId' | 'epoch' | 'directory' | 'wraps'>;

function wrapsIn(bundle: WrapBundle): WrapRow[] {
  const { recordingId, epoch, directory } = bundle;
  let at = 0;
  return directory.map(({ keyId, role, bytes }) => {
    at += bytes;
    return { recordingId, epoch, keyId, role, wrap: bundle.wraps.slice(at - bytes, at) };
  });
}

export function recordingStore(driver: SqlDriver, db: Reads): RecordingStore {
  const insertEpoch = insertInto(db, epochs);

  const byId = db
    .select()
    .from(recordings)
    .where(eq(recordings.id, sql.placeholder('id')))
    .prepare();
  // One statement, so that recording, epoch and counts are of one moment, on D1 too.
  const epochWithTracks = db
    .select({ recording: recordings, epoch: epochs, track: tracks })
    .from(epochs)
    .innerJoin(recordings, eq(recordings.id, epochs.recordingId))
    .leftJoin(tracks, and(eq(tracks.recordingId, epochs.recordingId), eq(tracks.epoch, epochs.epoch)))
    .where(and(eq(epochs.recordingId, sql.placeholder('id')), eq(epochs.epoch, sql.placeholder('epoch'))))
    .orderBy(asc(tracks.track))
    .prepare();
  const epochsOf = db
    .select()
    .from(epochs)
    .where(eq(epochs.recordingId, sql.placeholder('id')))
    .orderBy(asc(epochs.epoch))
    .prepare();
  const tracksOf = db
    .select()
    .from(tracks)
    .where(eq(tracks.recordingId, sql.placeholder('id')))
    .orderBy(asc(tracks.epoch), asc(tracks.track))
    .prepare();
  const wrapsOf = db
    .select({ recordingId: wraps.recordingId, epoch: wraps.epoch, directory: wraps.directory, wraps: wraps.wraps })
    .from(wraps)
    .where(eq(wraps.recordingId, sql.placeholder('id')))
    .orderBy(asc(wraps.epoch))
    .prepare();
  const grantsOf = db
    .select({
      recordingId: grants.recordingId,
      epoch: grants.epoch,
      grantHash: grants.grantHash,
      toKeyId: grants.toKeyId,
      grant: grants.grant,
      wrap: grants.wrap,
    })
    .from(grants)
    .where(eq(grants.recordingId, sql.placeholder('id')))
    .orderBy(asc(grants.epoch), asc(grants.grantHash))
    .prepare();
  const ofExam = db
    .select()
    .from(recordings)
    .where(and(eq(recordings.examId, sql.placeholder('examId')), gt(recordings.id, sql.placeholder('cursor'))))
    .orderBy(asc(recordings.id))
    .limit(sql.placeholder('limit'))
    .prepare();
  const pendingOf = db
    .select({ track: pending.track, seq: pending.seq, bytes: pending.bytes, sha256: pending.sha256 })
    .from(pending)
    .where(and(eq(pending.recordingId, sql.placeholder('id')), eq(pending.epoch, sql.placeholder('epoch'))))
    .orderBy(asc(pending.track), asc(pending.seq))
    .prepare();
  const idle = db
    .select()
    .from(recordings)
    .where(
      and(
        // A literal and not a parameter: only so does SQLite see that the partial indexes serve.
        sql`${recordings.state} = 'open'`,
        or(
          lt(recordings.seenMs, sql.placeholder('seenBefore')),
          lt(recordings.uploadsUntilMs, sql.placeholder('endedBefore')),
        ),
      ),
    )
    .orderBy(asc(recordings.seenMs), asc(recordings.id))
    .limit(sql.placeholder('limit'))
    .prepare();

  return {
    async openRecording(recording, epoch, trackRows, wrapRows, entry) {
      const done = await driver.batch([
        guard('NOT EXISTS (SELECT 1 FROM recordings WHERE id = ? OR ticket = ?)', recording.id, recording.ticket),
        appendEntry(entry),
        statement(
          `INSERT INTO recordings (id, exam_id, state, practice, opened_ms, delete_by_ms, uploads_until_ms,
            opened_position, ticket, last_epoch, seen_ms, ended_ms, releases, last_url_ms, objects, bytes, deleted_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT MAX(position) FROM log_entries), ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
          recording.id,
          recording.examId,
          recording.state,
          recording.practice ? 1 : 0,
          recording.openedMs,
          recording.deleteByMs,
          recording.uploadsUntilMs,
          recording.ticket,
          recording.lastEpoch,
          recording.seenMs,
          recording.endedMs,
          recording.releases,
          recording.lastUrlMs,
          recording.objects,
          recording.bytes,
          recording.deletedMs,
        ),
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

    recording: (id) => byId.get({ id }),

    async epoch(recordingId, epoch) {
      const rows = await epochWithTracks.all({ id: recordingId, epoch });
      const [first] = rows;
      if (!first) return undefined;
      return {
        recording: first.recording,
        epoch: first.epoch,
        tracks: rows.flatMap(({ track }) => (track ? [track] : [])),
      };
    },

    epochs: (id) => epochsOf.all({ id }),
    tracks: (id) => tracksOf.all({ id }),
    wraps: async (id) => (await wrapsOf.all({ id })).flatMap(wrapsIn),
    grants: (id) => grantsOf.all({ id }),
    recordings: (examId, limit, cursor = '') => ofExam.all({ examId, limit, cursor }),

    async rememberUploads(recordingId, epoch, rows, urlExpiresMs, now) {
      const done = await driver.batch([
        guard(IS_OPEN, recordingId),
        statement(
          `INSERT INTO pending (recording_id, epoch, track, seq, bytes, sha256)
            SELECT ?, ?, value ->> 'track', value ->> 'seq', value ->> 'bytes', value ->> 'sha256' FROM json_each(?)
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

    pending: (id, epoch) => pendingOf.all({ id, epoch }),

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
          `${IS_OPEN} AND EXISTS (SELECT 1 FROM epochs WHERE recording_id = ? AND epoch = ? AND head_hash IS ?)`,
          recordingId,
          recordingId,
          epoch,
          previousHeadHash,
        ),
        statement(
          'UPDATE epochs SET head = ?, head_hash = ?, head_seq = ? WHERE recording_id = ? AND epoch = ?',
          head.head,
          head.headHash,
          head.headSeq,
          recordingId,
          epoch,
        ),
        statement(
          `UPDATE tracks SET count = claimed.value ->> 'count', bytes = claimed.value ->> 'bytes'
            FROM json_each(?) AS claimed
            WHERE recording_id = ? AND epoch = ? AND track = claimed.value ->> 'track'`,
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
      const done = await driver.batch([
        guard(
          `EXISTS (SELECT 1 FROM recordings WHERE id = ? AND state = 'open' AND seen_ms <= ?)`,
          recordingId,
          seenMs,
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

    idle: (seenBefore, endedBefore, limit) => idle.all({ seenBefore, endedBefore, limit }),

    async release(recordingId, entries) {
      const done = await driver.batch([
        guard(IS_ALIVE, recordingId),
        statement('UPDATE recordings SET releases = releases + 1 WHERE id = ?', recordingId),
        ...entries.map(appendEntry),
      ]);
      return done !== undefined;
    },

    async addGrant(grant, entry) {
      const done = await driver.batch([
        guard(
          `${IS_ALIVE} AND NOT EXISTS (SELECT 1 FROM grants WHERE recording_id = ? AND grant_hash = ?)`,
          grant.recordingId,
          grant.recordingId,
          grant.grantHash,
        ),
        statement(
          `INSERT INTO grants (recording_id, epoch, grant_hash, to_key_id, shield, "grant", wrap)
            VALUES (?, ?, ?, ?, zeroblob(4096), ?, ?)`,
          grant.recordingId,
          grant.epoch,
          grant.grantHash,
          grant.toKeyId,
          grant.grant,
          grant.wrap,
        ),
        appendEntry(entry),
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
