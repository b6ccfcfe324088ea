import { and, asc, eq, gt, type SQL, sql } from 'drizzle-orm';
import { epochs, grants, notes, pending, recordings, tracks, wraps } from '../../../../schema/tables.ts';
import type { Store, WrapRow } from '../../store.ts';
import { limited, type Reads } from './statements.ts';

export type RecordingReads = Pick<
  Store,
  | 'recording'
  | 'epoch'
  | 'epochs'
  | 'tracks'
  | 'wraps'
  | 'grants'
  | 'notes'
  | 'recordings'
  | 'pending'
  | 'bytesOf'
  | 'bytesOfExam'
  | 'idle'
>;

type WrapBundle = Pick<typeof wraps.$inferSelect, 'recordingId' | 'epoch' | 'directory' | 'wraps'>;

function wrapsIn(bundle: WrapBundle): WrapRow[] {
  const { recordingId, epoch, directory } = bundle;
  let at = 0;
  return directory.map(({ keyId, role, bytes }) => {
    at += bytes;
    return { recordingId, epoch, keyId, role, wrap: bundle.wraps.slice(at - bytes, at) };
  });
}

export function recordingReads(db: Reads): RecordingReads {
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
  const notesOf = db
    .select({
      recordingId: notes.recordingId,
      noteHash: notes.noteHash,
      createdMs: notes.createdMs,
      note: notes.note,
    })
    .from(notes)
    .where(eq(notes.recordingId, sql.placeholder('id')))
    .orderBy(asc(notes.createdMs), asc(notes.noteHash))
    .prepare();
  const ofExam = db
    .select()
    .from(recordings)
    .where(and(eq(recordings.examId, sql.placeholder('examId')), gt(recordings.id, sql.placeholder('cursor'))))
    .orderBy(asc(recordings.id))
    .limit(limited())
    .prepare();
  const pendingOf = db
    .select({ track: pending.track, seq: pending.seq, bytes: pending.bytes, sha256: pending.sha256 })
    .from(pending)
    .where(and(eq(pending.recordingId, sql.placeholder('id')), eq(pending.epoch, sql.placeholder('epoch'))))
    .orderBy(asc(pending.track), asc(pending.seq))
    .prepare();
  // A sum of whole numbers is a decimal in PostgreSQL, which arrives as text.
  const sumOf = (table: typeof tracks | typeof pending, where: SQL) =>
    sql`CAST((SELECT COALESCE(SUM(bytes), 0) FROM ${table} WHERE ${where}) AS BIGINT)`;
  const bytesOf = db
    .select({
      bytes: sql<number>`${sumOf(tracks, sql`recording_id = ${sql.placeholder('id')}`)} + ${sumOf(pending, sql`recording_id = ${sql.placeholder('id')}`)}`,
    })
    .from(sql`(SELECT 1) AS one`)
    .prepare();
  const isOfExam = sql`recording_id IN (SELECT id FROM recordings WHERE exam_id = ${sql.placeholder('examId')})`;
  const bytesOfExam = db
    .select({ bytes: sql<number>`${sumOf(tracks, isOfExam)} + ${sumOf(pending, isOfExam)}` })
    .from(sql`(SELECT 1) AS one`)
    .prepare();
  const idle = db
    .select()
    .from(recordings)
    .where(
      // Two look-ups, because an OR would read every open recording. The state is a literal and not a parameter: only so
      // does SQLite see that the partial indexes serve.
      sql`${recordings.id} IN (
        SELECT id FROM recordings WHERE state = 'open' AND seen_ms < ${sql.placeholder('seenBefore')}
        UNION ALL SELECT id FROM recordings WHERE state = 'open' AND uploads_until_ms < ${sql.placeholder('endedBefore')})`,
    )
    .orderBy(asc(recordings.seenMs), asc(recordings.id))
    .limit(limited())
    .prepare();

  return {
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
    notes: (id) => notesOf.all({ id }),
    recordings: (examId, limit, cursor = '') => ofExam.all({ examId, limit, cursor }),

    pending: (id, epoch) => pendingOf.all({ id, epoch }),
    bytesOf: async (id) => (await bytesOf.get({ id }))?.bytes ?? 0,
    bytesOfExam: async (examId) => (await bytesOfExam.get({ examId }))?.bytes ?? 0,
    idle: (seenBefore, endedBefore, limit) => idle.all({ seenBefore, endedBefore, limit }),
  };
}
