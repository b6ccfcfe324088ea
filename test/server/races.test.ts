/** What happens at once: every race runs through two servers on one data folder and one bucket, a request to each in turn. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { parseCheckpoint } from '../../crypto/log/checkpoint.ts';
import { type RunningBucket, startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { makeTicket, media, TestRecorder, type TestExam } from './recorder.ts';
import { read } from './reader.ts';
import {
  type Answer,
  call,
  type CallOptions,
  expectStatus,
  HOUR_MS,
  put,
  Stage,
  TestClock,
  type UploadAnswer,
} from './stage.ts';

/** Enough tries for a race to come out both ways. */
const ROUNDS = 6;

let folder: string;
let bucket: RunningBucket;
let stages: Stage[];
let clock: TestClock;
let exam: TestExam;
let turn = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'zeroreel-test-'));
  clock = new TestClock();
  const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'a secret of this test' };
  bucket = await startEmbeddedBucket({ dir: join(folder, 'bucket'), credentials, buckets: ['races'] });
  const storage = { endpoint: bucket.endpoint, region: 'us-east-1', credentials, bucket: 'races' };
  const dataDir = join(folder, 'data');
  // Both start at once in an empty folder: one log key, one first token, one schema.
  stages = await Promise.all([0, 1].map(() => Stage.start({ clock, storage, dataDir })));
  exam = await stages[0]!.exam();
});
afterAll(async () => {
  for (const stage of stages) await stage.stop();
  await bucket.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The balancer. */
const next = () => stages[turn++ % stages.length]!;
const send = (method: string, path: string, options?: CallOptions) => call(next().server.url, method, path, options);
const codes = (answers: readonly Answer[]) =>
  answers.map(({ status, body }) => `${status} ${(body as { code?: string }).code ?? 'ok'}`).sort();
const entriesOf = async (id: string) =>
  (await stages[0]!.server.ports.store.entriesOf(id)).map(({ bytes }) => decodeEntry(bytes).type);

async function repeat(round: (index: number) => Promise<void>): Promise<void> {
  for (let index = 0; index < ROUNDS; index++) await round(index);
}

test('two servers that start at once agree on key and token, and know what the other wrote', async () => {
  const vkeys = await Promise.all(stages.map((stage) => stage.call('GET', '/log/vkey')));
  expect(vkeys[0]!.body).toBe(vkeys[1]!.body);
  expect(stages[0]!.admin).toBe(stages[1]!.admin);
  for (const stage of stages) expectStatus(await stage.call('GET', '/v1/tokens', { token: stages[0]!.admin }), 200);
});

test('a whole life passes through both servers, call by call', async () => {
  const recorder = await TestRecorder.begin(exam, { now: clock.now() });
  expectStatus(await next().open(recorder), 201);
  for (let seq = 0; seq < 4; seq++) {
    await next().upload(recorder, await recorder.chunk(1, media(100, seq + 1)));
    expectStatus(await next().sendHead(recorder, await recorder.head()), 200);
  }
  expectStatus(await next().sendHead(recorder, await recorder.close()), 200);
  const opened = await read(next(), recorder.sessionId, exam.readers[0]!);
  expect(opened.get('0/1')).toHaveLength(4);
});

describe('opening', () => {
  test('the same record from two sides at once is one recording and one entry, and both get its answer', () =>
    repeat(async () => {
      const recorder = await TestRecorder.begin(exam, { now: clock.now() });
      const answers = await Promise.all([0, 1, 2, 3].map(() => next().open(recorder)));
      expect(codes(answers)).toEqual(['200 ok', '200 ok', '200 ok', '201 ok']);
      expect(new Set(answers.map(({ body }) => JSON.stringify(body))).size).toBe(1);
      expect(await entriesOf(recorder.sessionId)).toEqual(['recording.opened']);
    }));

  test('two recordings with one ticket at once: one opens, and it can upload', () =>
    repeat(async () => {
      const ticket = await makeTicket(exam);
      const recorders = await Promise.all([0, 1].map(() => TestRecorder.begin(exam, { now: clock.now(), ticket })));
      const answers = await Promise.all(recorders.map((recorder) => next().open(recorder)));
      expect(codes(answers)).toEqual(['201 ok', '409 ticket-used']);
      const winner = recorders[answers.findIndex(({ status }) => status === 201)]!;
      await next().upload(winner, await winner.chunk(1, media(10)));
      expect((await stages[0]!.server.ports.vault.get(winner.sessionId)).get(0)).toEqual(winner.secrets.shred);
    }));

  test('two records for one recording at once: one stands, with its own share and wraps', () =>
    repeat(async () => {
      const ticket = await makeTicket(exam);
      const first = await TestRecorder.begin(exam, { now: clock.now(), ticket });
      const { sessionId } = first;
      const second = await TestRecorder.begin(exam, { now: clock.now(), ticket, sessionId });
      const answers = await Promise.all([first, second].map((recorder) => next().open(recorder)));
      expect(codes(answers)).toEqual(['201 ok', '409 open-conflict']);
      const winner = [first, second][answers.findIndex(({ status }) => status === 201)];
      expect(winner).toBeDefined();
      await next().upload(winner!, await winner!.chunk(1, media(33)));
      expect((await read(next(), sessionId, exam.readers[1]!)).get('0/1')).toEqual([media(33)]);
    }));
});

describe('uploading', () => {
  test('two contents for one sequence number at once: URLs are signed for at most one of them', () =>
    repeat(async () => {
      const stage = next();
      const recorder = await stage.recorder(exam);
      const rewind = recorder.fork();
      const a = await recorder.chunk(1, media(100, 1));
      rewind();
      const b = await recorder.chunk(1, media(100, 2));
      const answers = await Promise.all([a, b, a, b].map((chunk) => next().askUploads(recorder, [chunk.request])));
      expect(codes(answers)).toEqual(['200 ok', '200 ok', '409 chunk-conflict', '409 chunk-conflict']);
      const winner = answers[0]!.status === 200 ? a : b;
      const [upload] = (answers[winner === a ? 0 : 1]!.body as { uploads: UploadAnswer[] }).uploads;
      expect(upload?.state).toBe('signed');
      if (upload?.state === 'signed') expect(await put(upload, winner.object)).toBe(200);
      const pending = await stage.server.ports.store.pending(recorder.sessionId, 0);
      expect(pending).toEqual([winner.request]);
    }));

  test('one URL used by eight at once stores once', async () => {
    const recorder = await next().recorder(exam);
    const chunk = await recorder.chunk(1, media(100_000));
    const upload = await next().sign(recorder, chunk);
    const statuses = await Promise.all(Array.from({ length: 8 }, () => put(upload, chunk.object)));
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 412 || status === 409)).toHaveLength(7);
  });
});

describe('heads', () => {
  test('the same head from two sides at once: all are countersigned', () =>
    repeat(async () => {
      const recorder = await next().recorder(exam);
      await next().upload(recorder, await recorder.chunk(1, media(10)));
      const head = await recorder.head();
      const answers = await Promise.all([0, 1, 2].map(() => next().sendHead(recorder, head)));
      expect(codes(answers)).toEqual(['200 ok', '200 ok', '200 ok']);
    }));

  test('two heads with one number at once: one stands', () =>
    repeat(async () => {
      const recorder = await next().recorder(exam);
      const rewind = recorder.fork();
      const heads = [await recorder.head({ wallMs: 1 })];
      rewind();
      heads.push(await recorder.head({ wallMs: 2 }));
      const answers = await Promise.all(heads.map((head) => next().sendHead(recorder, head)));
      expect(codes(answers)).toEqual(['200 ok', '409 head-conflict']);
    }));

  test('a closing head from two sides at once closes once', () =>
    repeat(async () => {
      const recorder = await next().recorder(exam);
      const close = await recorder.close();
      const answers = await Promise.all([0, 1, 2].map(() => next().sendHead(recorder, close)));
      expect(codes(answers)).toEqual(['200 ok', '200 ok', '200 ok']);
      expect(await entriesOf(recorder.sessionId)).toEqual(['recording.opened', 'recording.closed']);
    }));

  test('a close racing an upload: a URL is signed before the end or not at all', () =>
    repeat(async () => {
      const recorder = await next().recorder(exam);
      const close = await recorder.close();
      const chunk = await recorder.chunk(1, media(10));
      const [asked, closed] = await Promise.all([
        next().askUploads(recorder, [chunk.request]),
        next().sendHead(recorder, close),
      ]);
      expectStatus(closed, 200);
      expect(['200 ok', '409 recording-ended']).toContain(codes([asked])[0]);
      expect(await entriesOf(recorder.sessionId)).toEqual(['recording.opened', 'recording.closed']);
      const late = await next().askUploads(recorder, [chunk.request]);
      expect(codes([late])).toEqual(['409 recording-ended']);
    }));
});

describe('the end', () => {
  test('a release racing an erasure: keys are released before it in the log, or not at all', () =>
    repeat(async () => {
      const recorder = await next().recorder(exam);
      await next().upload(recorder, await recorder.chunk(1, media(10)));
      const path = `/v1/recordings/${recorder.sessionId}`;
      const { admin: token } = stages[0]!;
      const body = { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' };
      const [released, erased] = await Promise.all([
        send('POST', `${path}/release`, { token, body }),
        send('POST', `${path}/erasure`, { token, body: { reason: 'student' } }),
      ]);
      expectStatus(erased, 202);
      expect(['200 ok', '410 recording-deleted']).toContain(codes([released])[0]);
      const types = await entriesOf(recorder.sessionId);
      const at = types.indexOf('access.released');
      expect(at >= 0).toBe(released.status === 200);
      expect(at).toBeLessThan(types.indexOf('deletion.intended'));
      expect(types).toContain('deletion.completed');
    }));

  test('an upload racing an erasure: what lands late is found and destroyed by the second look', async () => {
    const recorder = await next().recorder(exam);
    const chunk = await recorder.chunk(1, media(500));
    const upload = await next().sign(recorder, chunk);
    const { admin: token } = stages[0]!;
    const body = { reason: 'student' };
    expectStatus(await send('POST', `/v1/recordings/${recorder.sessionId}/erasure`, { token, body }), 202);
    expect(await put(upload, chunk.object)).toBe(200); // its URL lives on, and create-only finds nothing there
    clock.advance(25 * HOUR_MS);
    for (let run = 0; run < 3; run++) {
      await next().server.jobs.purge();
      clock.advance(HOUR_MS);
    }
    expect((await next().server.ports.store.recording(recorder.sessionId))?.state).toBe('verified');
    const { objects } = await next().holdings();
    expect(Object.keys(objects).filter((key) => key.startsWith(recorder.sessionId))).toEqual([]);
    const types = await entriesOf(recorder.sessionId);
    expect(types.slice(-3)).toEqual(['anomaly.found', 'anomaly.closed', 'deletion.verified']);
    clock.advance(-28 * HOUR_MS);
  });

  test('both servers purging and publishing at once make one deletion of each and one log', async () => {
    const recorders = await Promise.all([0, 1, 2].map(() => next().recorder(exam)));
    clock.advance(31 * 24 * HOUR_MS);
    await Promise.all(stages.flatMap(({ server: { jobs } }) => [jobs.purge(), jobs.publish(), jobs.purge()]));
    await Promise.all(stages.map(({ server: { jobs } }) => jobs.publish()));
    for (const { sessionId } of recorders) {
      const types = await entriesOf(sessionId);
      expect(types.filter((type) => type === 'deletion.completed')).toHaveLength(1);
      expect(types.filter((type) => type === 'deletion.intended')).toHaveLength(1);
    }
    const notes = await Promise.all(stages.map((stage) => stage.call('GET', '/log/checkpoint')));
    expect(notes[0]!.body).toBe(notes[1]!.body);
    const { size } = parseCheckpoint((notes[0]!.body as string).split('\n\n')[0]! + '\n');
    expect(size).toBe(await stages[0]!.server.ports.store.logSize());
    clock.advance(-31 * 24 * HOUR_MS);
  });

  test('nothing of this was a failure of the servers', () => {
    expect(stages.flatMap(({ reported }) => reported)).toEqual([]);
  });
});
