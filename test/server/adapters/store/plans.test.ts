import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SqlDriver, Statement } from '../../../../src/server/adapters/sql/driver.ts';
import { sqlStore } from '../../../../src/server/adapters/sql-store.ts';
import { SqliteFile } from '../../../../src/server/adapters/sqlite/file.ts';
import type { Store } from '../../../../src/server/store.ts';
import {
  bring,
  enrolled,
  heartbeat,
  intended,
  keyRow,
  newBytes,
  newHash,
  newId,
  open,
  OPENED_MS,
  pendingRow,
  publish,
  sessionRow,
} from './rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-plans-'));

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** The statements that each call of the store sends, and what SQLite would do for them. */
describe('every read and write of the store finds its rows by an index', () => {
  const file = new SqliteFile({
    path: join(folder, 'store.db'),
    migrations: new URL('../../../../schema/migrations/store/', import.meta.url),
  });
  let sent: Statement[] = [];
  const watched: SqlDriver = {
    all: (statement) => {
      sent.push(statement);
      return file.all(statement);
    },
    batch: (statements) => {
      sent.push(...statements);
      return file.batch(statements);
    },
    scrub: () => file.scrub(),
    close: () => file.close(),
  };
  const store = sqlStore(watched);
  const ids: string[] = [];

  beforeAll(async () => {
    const policy = await publish(store);
    for (let i = 0; i < 20; i++) ids.push((await open(store, { ticket: newHash() }, policy)).recording.id);
    await bring(store, ids[0]!, 'deleted');
    // With statistics SQLite may prefer a scan of a tiny table; without them it plans as for a large one.
  });

  afterAll(async () => {
    await store.close();
  });

  const calls: [name: keyof Store, call: () => Promise<unknown>][] = [
    ['publishPolicy', () => publish(store)],
    ['latestPolicy', () => store.latestPolicy('x')],
    ['policyByHash', () => store.policyByHash('x', 'y')],
    ['exams', () => store.exams(10, 'x')],
    ['isNamed', () => store.isNamed('x', 'y')],
    ['openRecording', () => open(store)],
    ['recording', () => store.recording('x')],
    ['epoch', () => store.epoch('x', 0)],
    ['epochs', () => store.epochs('x')],
    ['tracks', () => store.tracks('x')],
    ['wraps', () => store.wraps('x')],
    ['grants', () => store.grants('x')],
    ['notes', () => store.notes('x')],
    ['recordings', () => store.recordings('x', 10, 'y')],
    ['pending', () => store.pending('x', 0)],
    ['rememberUploads', () => store.rememberUploads(ids[1]!, 0, [pendingRow(1, 0)], OPENED_MS, OPENED_MS)],
    [
      'acceptHead',
      () =>
        store.acceptHead(
          { recordingId: ids[1]!, epoch: 0, head: newBytes(9), headHash: newHash(), headSeq: 0 },
          null,
          [{ track: 1, count: 1, bytes: 1 }],
          OPENED_MS,
        ),
    ],
    ['declareExport', () => store.declareExport(ids[1]!, heartbeat(0))],
    ['idle', () => store.idle(OPENED_MS, OPENED_MS, 10)],
    ['due', () => store.due(OPENED_MS, 10, { deleteByMs: 0, id: '' })],
    ['intendDeletion', () => store.intendDeletion(ids[2]!, { objects: 0, bytes: 0 }, intended(ids[2]!))],
    ['completeDeletion', () => bring(store, ids[3]!, 'deleted')],
    ['unverified', () => store.unverified(OPENED_MS, OPENED_MS, 10, 'x')],
    ['append', () => store.append([heartbeat(0)])],
    ['appendAbout', () => store.appendAbout('x', 0, [heartbeat(0)])],
    ['logSize', () => store.logSize()],
    ['entries', () => store.entries(0, 10)],
    ['entriesOf', () => store.entriesOf('x')],
    ['checkpointAt', () => store.checkpointAt(1)],
    ['checkpoints', () => store.checkpoints(0, 10)],
    ['publish', () => store.publish({ size: 1, note: '', publishedMs: 0 }, [], 0)],
    ['cosign', () => store.cosign(1, 'w', '')],
    ['tile', () => store.tile(0, 0)],
    ['keys', () => store.keys('x')],
    ['tokenByHash', () => store.tokenByHash('x')],
    ['revokeToken', () => store.revokeToken('x', 0)],
    ['tokenUsed', () => store.tokenUsed('x', 0)],
    ['addSession', () => store.addSession(sessionRow())],
    ['sessionByHash', () => store.sessionByHash('x')],
    ['revokeSession', () => store.revokeSession('x', 0)],
    ['sessionUsed', () => store.sessionUsed('x', 0)],
    ['enrolKey', () => store.enrolKey(keyRow({ op: 3 }), enrolled(keyRow()))],
    ['issue', () => store.issue('challenge', newHash(), 1, 0)],
    ['redeem', () => store.redeem('challenge', 'x', 0)],
    ['lease', () => store.lease('x', 'y', 0, 1)],
    ['existingEpochs', () => store.existingEpochs([{ recordingId: newId(), epoch: 0 }])],
  ];

  async function plansOf(call: () => Promise<unknown>): Promise<string[]> {
    sent = [];
    await call();
    const plans: string[] = [];
    for (const { sql, params } of [...sent]) {
      const rows = await file.all({ sql: `EXPLAIN QUERY PLAN ${sql}`, params });
      plans.push(...rows.map((row) => String(row[3])));
    }
    return plans;
  }

  it.each(calls)('%s', async (_name, call) => {
    const plans = await plansOf(call);
    // A parameter in JSON is read through, of course.
    const scans = plans.filter((plan) => plan.startsWith('SCAN') && !plan.includes('VIRTUAL TABLE'));
    expect(scans.filter((plan) => plan !== 'SCAN CONSTANT ROW')).toEqual([]);
  });

  it.each(['due', 'recordings', 'unverified', 'entriesOf', 'exams'] as const)('%s needs no sorting', async (name) => {
    const plans = await plansOf(calls.find(([call]) => call === name)![1]);
    expect(plans.length).toBeGreaterThan(0);
    expect(plans.filter((plan) => plan.includes('TEMP B-TREE'))).toEqual([]);
  });
});
