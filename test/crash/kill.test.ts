import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { z } from 'zod';
import { equal, toBase64Url } from '../../crypto/format/bytes.ts';
import { openSqliteStore } from '../../src/server/adapters/sqlite.ts';
import type * as api from '../../schema/api.ts';
import { type Bundle, bundle } from '../bundle.ts';
import { makeExam, makeReader, media, type SealedChunk, type TestExam, TestRecorder } from '../server/recorder.ts';

/** KILLS=n as many as asked, SLOW=1 what is claimed in the README; the default is what every commit can afford. */
const ROUNDS = Number(process.env['KILLS'] ?? (process.env['SLOW'] === '1' ? 1_000 : 15));
const RECORDERS = 4;

const dir = mkdtempSync(join(tmpdir(), 'zeroreel-kill-'));
let program: Bundle;
let child: ChildProcess | undefined;
let url: string;
let token: string;
let environment: Record<string, string | undefined>;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as { port: number };
  await new Promise((closed) => server.close(closed));
  return port;
}

/** Starts the real process and waits until it says that it serves. */
async function startServer(): Promise<void> {
  const started = spawn(process.execPath, [program.path], {
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child = started;
  let said = '';
  await new Promise<void>((resolve, reject) => {
    started.stderr.on('data', (text: Buffer) => {
      said += text.toString();
      if (said.includes('serving')) resolve();
    });
    started.once('exit', () => {
      reject(new Error(`the server did not start: ${said}`));
    });
  });
}

/** Called after every answer of the server or the bucket. */
let answered = (): void => undefined;

async function killServer(): Promise<void> {
  const dying = child!;
  const gone = new Promise((resolve) => dying.once('exit', resolve));
  dying.kill('SIGKILL');
  await gone;
}

beforeAll(async () => {
  program = await bundle('src/node.ts');
  const [port, bucketPort] = [await freePort(), await freePort()];
  environment = {
    ...process.env,
    ZEROREEL_DATA: dir,
    ZEROREEL_ADMIN_TOKEN_FILE: join(dir, 'admin.token'),
    ZEROREEL_PORT: String(port),
    ZEROREEL_BUCKET_PORT: String(bucketPort),
  };
  url = `http://127.0.0.1:${port}`;
  await startServer();
  token = readFileSync(join(dir, 'admin.token'), 'utf8').trim();
});

afterAll(async () => {
  if (child?.exitCode === null && child.signalCode === null) await killServer();
  program.remove();
  rmSync(dir, { recursive: true, force: true });
});

async function post(path: string, bearer: string, body: unknown): Promise<{ status: number; json: unknown }> {
  const answer = await fetch(`${url}/v1${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const json: unknown = await answer.json();
  answered();
  return { status: answer.status, json };
}

interface Acknowledged {
  recorder: TestRecorder;
  chunks: SealedChunk[];
}

/** Records until the server dies under it; what a receipt has counted is acknowledged. */
async function recordUntilDeath(exam: TestExam, acknowledged: Acknowledged[]): Promise<void> {
  const recorder = await TestRecorder.begin(exam, { now: Date.now() });
  const own: Acknowledged = { recorder, chunks: [] };
  try {
    const opened = await post(`/exams/${exam.policy.exam_id}/recordings`, recorder.token, recorder.openBody);
    if (opened.status !== 201) throw new Error(`expected 201, found ${opened.status}`);
    acknowledged.push(own);
    for (let seed = 1; ; seed++) {
      const chunk = await recorder.chunk(1, media(20_000, seed));
      const path = `/recordings/${recorder.sessionId}`;
      const asked = await post(`${path}/uploads`, recorder.token, { epoch: 0, chunks: [chunk.request] });
      const [upload] = (asked.json as z.infer<typeof api.uploadsResponse>).uploads;
      if (upload?.state !== 'signed') throw new Error('expected a URL');
      const stored = await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: chunk.object });
      if (stored.status !== 200) throw new Error(`expected 200, found ${stored.status}`);
      answered();
      const receipt = await post(`${path}/heads`, recorder.token, { head: await recorder.head() });
      if (receipt.status !== 200) throw new Error(`expected 200, found ${receipt.status}`);
      own.chunks.push(chunk);
    }
  } catch (error) {
    // The connection was cut: that is the point. Anything that the server answered wrongly is not.
    if (!(error instanceof TypeError)) throw error;
  }
}

async function requireReadable({ recorder, chunks }: Acknowledged): Promise<number> {
  const { exam, sessionId } = recorder;
  const path = `/recordings/${sessionId}`;
  const released = await post(`${path}/release`, token, { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' });
  expect(released.status).toBe(200);
  const [epoch] = (released.json as api.Release).epochs;
  expect(epoch?.shred).toBe(toBase64Url(recorder.secrets.shred));
  if (chunks.length === 0) return 0;
  for (let at = 0; at < chunks.length; at += 64) {
    const some = chunks.slice(at, at + 64);
    const objects = some.map(({ track, seq }) => ({ epoch: 0, track, seq }));
    const answer = await post(`${path}/downloads`, token, { objects });
    for (const [index, download] of (answer.json as z.infer<typeof api.downloadsResponse>).downloads.entries()) {
      const got = new Uint8Array(await (await fetch(download.url)).arrayBuffer());
      expect(equal(got, some[index]!.object)).toBe(true);
    }
  }
  return chunks.length;
}

it(`loses nothing that it acknowledged in ${ROUNDS} rounds of kill -9 under load`, { timeout: 7_200_000 }, async () => {
  const service = (await (await fetch(`${url}/v1/service`)).json()) as { log: { origin: string; vkey: string } };
  const exam = await makeExam({
    now: Date.now(),
    log: service.log,
    readers: [await makeReader(1)],
    changes: { admission: 'link' },
  });
  expect((await post('/exams', token, { policy: toBase64Url(exam.record) })).status).toBe(201);
  let chunks = 0;
  let recordings = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const acknowledged: Acknowledged[] = [];
    // A moment of the work and not of the clock: the kill comes after so many answers, while three more are under way.
    let answersLeft = 1 + ((round * 29) % 48);
    let death: Promise<void> | undefined;
    answered = () => {
      if (--answersLeft === 0) death = killServer();
    };
    await Promise.all(Array.from({ length: RECORDERS }, () => recordUntilDeath(exam, acknowledged)));
    await death;
    answered = () => undefined;
    await startServer();
    for (const one of acknowledged) chunks += await requireReadable(one);
    recordings += acknowledged.length;
    if (round % 50 === 49) process.stderr.write(`${round + 1} kills, ${chunks} chunks\n`);
  }
  await killServer();
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
    await startServer();
    const service = (await (await fetch(`${url}/v1/service`)).json()) as { log: { origin: string; vkey: string } };
    const exam = await makeExam({
      now: Date.now(),
      log: service.log,
      readers: [await makeReader(1)],
      changes: { admission: 'link' },
    });
    expect((await post('/exams', token, { policy: toBase64Url(exam.record) })).status).toBe(201);
    const recorder = await TestRecorder.begin(exam, { now: Date.now() });
    const trace = join(dir, 'trace');
    const tracer = spawn('strace', ['-f', '-y', '-e', 'trace=fsync,fdatasync', '-o', trace, '-p', String(child!.pid)], {
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
      post(`/exams/${exam.policy.exam_id}/recordings`, recorder.token, recorder.openBody),
    );
    let asked: Awaited<ReturnType<typeof post>> | undefined;
    const upload = await during(
      async () => (asked = await post(`${path}/uploads`, recorder.token, { epoch: 0, chunks: [chunk.request] })),
    );
    const [signed] = (asked!.json as z.infer<typeof api.uploadsResponse>).uploads;
    const stored = await during(async () => {
      if (signed?.state !== 'signed') throw new Error('expected a URL');
      const answer = await fetch(signed.url, { method: 'PUT', headers: signed.headers, body: chunk.object });
      expect(answer.status).toBe(200);
    });
    const head = await during(async () => post(`${path}/heads`, recorder.token, { head: await recorder.head() }));
    tracer.kill('SIGINT');
    await new Promise((done) => tracer.once('exit', done));
    process.stderr.write(`fsyncs: ${JSON.stringify({ open, upload, stored, head })}\n`);
    expect(Math.min(open.vault, open.store, upload.store, stored.bucket, head.store)).toBeGreaterThan(0);
  },
);
