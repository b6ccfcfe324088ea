/** The blind audit on demand: the command, a real server, a real bucket in which something is wrong. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { withLease } from '../../src/server/jobs/lease.ts';
import { media, type TestRecorder } from '../server/recorder.ts';
import { expectStatus, Stage } from '../server/stage.ts';
import { CommandLine } from './command-line.ts';

const cli = new CommandLine();
let stage: Stage;
let recorder: TestRecorder;

beforeAll(async () => {
  stage = await Stage.start();
  const exam = await stage.exam();
  for (let count = 0; count < 3; count++) {
    recorder = await stage.recorder(exam);
    await stage.upload(recorder, await recorder.chunk(1, media(2000, count)));
    expectStatus(await stage.sendHead(recorder, await recorder.close()), 200);
  }
  cli.environment['ZEROREEL_SERVER'] = stage.server.url;
  cli.environment['ZEROREEL_TOKEN_FILE'] = join(stage.dataDir, 'admin.token');
});
afterAll(async () => {
  await stage.stop();
  cli.remove();
});

it('walks everything, tells what it found, and the log knows of the run and of the finding', async () => {
  expect(await cli.must(['scrub'])).toBe('3 recordings, 3 objects');
  const { bucket, clock, store } = stage.server.ports;
  const body = media(9);
  const promise = { key: `${recorder.sessionId}/notes.txt`, bytes: body.length, sha256: await sha256(body) };
  const upload = bucket.presignPut(promise, clock.now(), 300);
  expect((await fetch(upload.url, { method: 'PUT', headers: upload.headers, body })).status).toBe(200);
  const { exit, output } = await cli.run(['scrub', '--deep', '--json']);
  expect(exit).toBe(1);
  expect(JSON.parse(output)).toEqual({ recordings: 3, objects: 4, found: { 'object-foreign': 1 }, failed: [] });
  const log = (await store.entries(0, 1000)).map(({ bytes }) => decodeEntry(bytes));
  expect(log.filter((entry) => entry.type === 'run.finished' && entry.job === 'scrub')).toMatchObject([
    { due: 3, done: 3, failed: 0 },
    { due: 3, done: 3, failed: 0 },
  ]);
  expect(log.filter(({ type }) => type === 'anomaly.found')).toMatchObject([{ kind: 'object-foreign', count: 1 }]);
});

it('tells its progress before it ends', async () => {
  const answer = await stage.call('POST', '/v1/jobs/scrub', { token: stage.admin, body: { depth: 'heads' } });
  const lines = (answer.body as string)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { state: string });
  expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
  expect(lines.map(({ state }) => state)).toEqual([...lines.slice(1).map(() => 'running'), 'finished']);
  expect(lines.length).toBeGreaterThan(1);
});

it('says that another walk is under way, and does nothing', async () => {
  const { ports } = stage.server;
  await withLease(ports, 'scrub', async () => {
    const size = await ports.store.logSize();
    const { exit, error } = await cli.run(['scrub']);
    expect(exit).toBe(1);
    expect(error).toMatch(/another walk of this bucket is under way/);
    expect(await ports.store.logSize()).toBe(size);
  });
});

it('is for administrators', async () => {
  const token = await stage.token('instructor');
  expect((await stage.call('POST', '/v1/jobs/scrub', { token, body: { depth: 'heads' } })).status).toBe(403);
});
