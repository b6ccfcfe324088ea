import { and, asc, desc, eq, gte, lte, sql } from 'drizzle-orm';
import { checkpoints, cosignatures, logEntries, tiles } from '../../../../schema/tables.ts';
import { toHex } from '../../../../crypto/format/bytes.ts';
import type { Store } from '../../store.ts';
import type { SqlDriver } from './driver.ts';
import { appendEntry, guard, insertInto, limited, number, type Reads, statement } from './statements.ts';

export type LogStore = Pick<
  Store,
  | 'append'
  | 'appendAbout'
  | 'logSize'
  | 'entries'
  | 'entriesOf'
  | 'newestCheckpoint'
  | 'checkpointAt'
  | 'checkpoints'
  | 'publish'
  | 'cosign'
  | 'tile'
>;

export function logStore(driver: SqlDriver, db: Reads): LogStore {
  const insertCheckpoint = insertInto(db, checkpoints);
  const insertCosignature = insertInto(db, cosignatures);
  const size = statement('SELECT COALESCE(MAX(position) + 1, 0) FROM log_entries');
  const indexed = { index: logEntries.index, bytes: logEntries.bytes };
  const from = db
    .select(indexed)
    .from(logEntries)
    .where(gte(logEntries.index, sql.placeholder('from')))
    .orderBy(asc(logEntries.index))
    .limit(limited())
    .prepare();
  const ofRecording = db
    .select(indexed)
    .from(logEntries)
    .where(eq(logEntries.recordingId, sql.placeholder('recordingId')))
    .orderBy(asc(logEntries.index))
    .prepare();
  // A note's signature lines are its end, so further ones follow as they are (C2SP signed-note).
  const cosigned = {
    size: checkpoints.size,
    note: sql<string>`note || COALESCE(
      (SELECT group_concat(line, '') FROM cosignatures WHERE cosignatures.size = checkpoints.size), '')`,
    publishedMs: checkpoints.publishedMs,
  };
  const newest = db.select(cosigned).from(checkpoints).orderBy(desc(checkpoints.size)).limit(limited(1)).prepare();
  const atMost = db
    .select(cosigned)
    .from(checkpoints)
    .where(lte(checkpoints.size, sql.placeholder('size')))
    .orderBy(desc(checkpoints.size))
    .limit(limited(1))
    .prepare();
  const checkpointsFrom = db
    .select(cosigned)
    .from(checkpoints)
    .where(gte(checkpoints.size, sql.placeholder('from')))
    .orderBy(asc(checkpoints.size))
    .limit(limited())
    .prepare();
  const tile = db
    .select()
    .from(tiles)
    .where(and(eq(tiles.level, sql.placeholder('level')), eq(tiles.index, sql.placeholder('index'))))
    .prepare();

  async function logSize(): Promise<number> {
    const [row] = await driver.all(size);
    return row?.[0] as number;
  }

  return {
    async append(entries) {
      // D1 refuses an empty list of statements.
      if (entries.length === 0) return logSize();
      const appended = await driver.batch(entries.map((entry) => appendEntry(entry)));
      return appended?.[0]?.[0]?.[0] as number;
    },

    async appendAbout(subject, known, entries) {
      const done = await driver.batch([
        guard('(SELECT COUNT(*) FROM log_entries WHERE recording_id = ?) = ?', subject, known),
        ...entries.map((entry) => appendEntry(entry, subject)),
      ]);
      return done !== undefined;
    },

    logSize,
    entries: (first, limit) => from.all({ from: first, limit }),
    entriesOf: (recordingId) => ofRecording.all({ recordingId }),
    newestCheckpoint: () => newest.get(),
    checkpointAt: (atMostSize) => atMost.get({ size: atMostSize }),
    checkpoints: (first, limit) => checkpointsFrom.all({ from: first, limit }),

    async publish(checkpoint, rows, previousSize) {
      const done = await driver.batch([
        guard('(SELECT COALESCE(MAX(size), 0) FROM checkpoints) = ?', previousSize),
        insertCheckpoint(checkpoint),
        statement(
          `INSERT INTO tiles (level, position, hashes)
            SELECT ${number('level')}, ${number('index')}, unhex(value ->> 'hashesHex') FROM json_each(?) WHERE true
            ON CONFLICT (level, position) DO UPDATE SET hashes = excluded.hashes`,
          JSON.stringify(rows.map(({ level, index, hashes }) => ({ level, index, hashesHex: toHex(hashes) }))),
        ),
      ]);
      return done !== undefined;
    },

    async cosign(checkpointSize, witness, line) {
      const done = await driver.batch([
        guard(
          `EXISTS (SELECT 1 FROM checkpoints WHERE size = ?)
            AND NOT EXISTS (SELECT 1 FROM cosignatures WHERE size = ? AND witness = ?)`,
          checkpointSize,
          checkpointSize,
          witness,
        ),
        insertCosignature({ size: checkpointSize, witness, line }),
      ]);
      return done !== undefined;
    },

    tile: (level, index) => tile.get({ level, index }),
  };
}
