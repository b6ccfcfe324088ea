import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { z } from 'zod';
import { openSqliteStore } from '../../src/server/adapters/sqlite.ts';
import type * as api from '../../schema/api.ts';
import { media, type TestExam, TestRecorder } from '../server/recorder.ts';
import { type Acknowledged, RealServer } from './real-server.ts';

/** KILLS=n as many as asked, SLOW=1 what is claimed in the README; the default is what every commit can afford. */
const ROUNDS = Number(process.env['KILLS'] ?? (process.env['SLOW'] === '1' ? 1_000 : 15));
const RECORDERS = 4;

const dir = mkdtempSync(join(tmpdir(), 'zeroreel-kill-'));
let server: RealServer;

beforeAll(async () => {
  server = await RealServer.open(dir);
});

afterAll(async () => {
  await server.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Records until the server dies under it. */
async function recordUntilDeath(exam: TestExam, acknowledged: Acknowledged[]): Promise<void> {
  try {
    const own = await server.open(exam, acknowledged);
    for (;;) await server.upload(own);
  } catch (error) {
    // The connection was cut: that is the point, and fetch's own error. Anything that the server answered wrongly is not.
    if (!(error instanceof TypeError)) throw error;
  }
}

it(`loses nothing that it acknowledged in ${ROUNDS} rounds of kill -9 under load`, { timeout: 7_200_000 }, async () => {
  const exam = await server.publishExam();
  let chunks = 0;
  let recordings = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const acknowledged: Acknowledged[] = [];
    // A moment of the work and not of the clock: the kill comes after so many answers, while three more are under way.
    let answersLeft = 1 + ((round * 29) % 48);
    let death: Promise<void> | undefined;
    server.answered = () => {
      if (--answersLeft === 0) death = server.kill();
    };
    await Promise.all(Array.from({ length: RECORDERS }, () => recordUntilDeath(exam, acknowledged)));
    await death;
    server.answered = () => undefined;
    await server.start();
    for (const one of acknowledged) chunks += await server.requireReadable(one);
    recordings += acknowledged.length;
    if (round % 50 === 49) process.stderr.write(`${round + 1} kills, ${chunks} chunks\n`);
  }
  await server.kill();
  const store = openSqliteStore({ path: join(dir, 'zeroreel.db') });
  const entries = await store.entries(0, 1_000_000);
  await store.close();
  expect(entries.map(({ index }) => index)).toEqual(entries.map((_, index) => index));
  process.stderr.write(
    `${ROUNDS} rounds of kill -9: ${recordings} recordings and ${chunks} acknowledged chunks, all there\n`,
  );
  expect(recordings).toBeGreaterThan(ROUNDS);
  expect(chunks).toBeGreaterThan(ROUNDS);
});

const hasStrace = (() => {
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    process.stderr.write('\n*** NO strace HERE: fsyncs per acknowledged request are NOT counted ***\n\n');
    return false;
  }
})();

it.skipIf(!hasStrace)(
  'syncs to the disk before every acknowledgement of a request that came alone',
  { timeout: 120_000 },
  async () => {
    await server.start();
    const exam = await server.publishExam();
    const recorder = await TestRecorder.begin(exam, { now: Date.now() });
    const trace = join(dir, 'trace');
    const tracer = spawn('strace', ['-f', '-y', '-e', 'trace=fsync,fdatasync', '-o', trace, '-p', String(server.pid)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await new Promise((attached) => tracer.stderr.once('data', attached));
    const syncs = (file: string) =>
      readFileSync(trace, 'utf8')
        .split('\n')
        .filter((line) => line.includes(file)).length;
    const during = async (work: () => Promise<unknown>) => {
      const before = { store: syncs('zeroreel.db'), vault: syncs('vault.db'), bucket: syncs('/bucket/') };
      await work();
      return {
        store: syncs('zeroreel.db') - before.store,
        vault: syncs('vault.db') - before.vault,
        bucket: syncs('/bucket/') - before.bucket,
      };
    };
    const path = `/recordings/${recorder.sessionId}`;
    const chunk = await recorder.chunk(1, media(20_000));
    const open = await during(() =>
      server.post(`/exams/${exam.policy.exam_id}/recordings`, recorder.token, recorder.openBody),
    );
    let asked: Awaited<ReturnType<typeof server.post>> | undefined;
    const upload = await during(
      async () => (asked = await server.post(`${path}/uploads`, recorder.token, { epoch: 0, chunks: [chunk.request] })),
    );
    const [signed] = (asked!.json as z.infer<typeof api.uploadsResponse>).uploads;
    const stored = await during(async () => {
      if (signed?.state !== 'signed') throw new Error('expected a URL');
      const answer = await fetch(signed.url, { method: 'PUT', headers: signed.headers, body: chunk.object });
      expect(answer.status).toBe(200);
    });
    const head = await during(async () =>
      server.post(`${path}/heads`, recorder.token, { head: await recorder.head() }),
    );
    tracer.kill('SIGINT');
    await new Promise((done) => tracer.once('exit', done));
    process.stderr.write(`fsyncs: ${JSON.stringify({ open, upload, stored, head })}\n`);
    expect(Math.min(open.vault, open.store, upload.store, stored.bucket, head.store)).toBeGreaterThan(0);
  },
);
