/**
 * Many nodes: two real server processes on one data folder, with a store outside of both, behind a balancer that hands each request to the
 * other one. Nothing may depend on what a process remembers, and one may be killed at any time.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { z } from 'zod';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { audit } from '../../crypto/log/audit.ts';
import { openCheckpoint } from '../../crypto/log/checkpoint.ts';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { Frontier, leafHash } from '../../crypto/log/tree.ts';
import type * as api from '../../schema/api.ts';
import { type RunningBucket, startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { openSqliteStore } from '../../src/server/adapters/sqlite.ts';
import { makeExam, media, type TestExam, TestRecorder } from './recorder.ts';
import { call, type CallOptions, DAY_MS, expectStatus, MINUTE_MS, put, type UploadAnswer } from './stage.ts';

const BUCKET = 'nodes';
const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'a secret of this test' };
const PROGRAM = new URL('node-process.ts', import.meta.url).pathname;

interface Node {
  child: ChildProcess;
  url: string;
}

let folder: string;
let bucket: RunningBucket;
let nodes: Node[] = [];
let balancer: Server;
let url: string;
let token: string;
let exam: TestExam;
let aheadMs = 0;
const served: number[] = [];
const reported: string[] = [];

async function startNode(): Promise<Node> {
  const child = fork(PROGRAM, {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: {
      ...process.env,
      ZEROREEL_DATA: join(folder, 'data'),
      ZEROREEL_ADMIN_TOKEN_FILE: join(folder, 'admin.token'),
      ZEROREEL_PORT: '0',
      ZEROREEL_LOG_ORIGIN: 'nodes.invalid/log',
      ZEROREEL_S3_ENDPOINT: bucket.endpoint,
      ZEROREEL_S3_BUCKET: BUCKET,
      ZEROREEL_S3_ACCESS_KEY_ID: credentials.accessKeyId,
      ZEROREEL_S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    },
  });
  const [told] = (await once(child, 'message')) as [{ url: string }];
  child.on('message', (message: { reported?: string }) => {
    if (message.reported !== undefined) reported.push(message.reported);
  });
  const node = { child, ...told };
  await setClock(node);
  return node;
}

async function setClock({ child }: Node): Promise<void> {
  child.send({ aheadMs });
  await once(child, 'message');
}

async function pass(ms: number): Promise<void> {
  aheadMs += ms;
  for (const node of nodes) await setClock(node);
}

/** Each request goes to the next process that is alive. */
function startBalancer(): Promise<Server> {
  let turn = 0;
  const server = createServer((request, response) => {
    void (async () => {
      const chosen = turn++ % nodes.length;
      served[chosen] = (served[chosen] ?? 0) + 1;
      const body: Uint8Array[] = [];
      for await (const chunk of request) body.push(chunk as Uint8Array);
      const { authorization, 'content-type': contentType } = request.headers;
      const answer = await fetch(nodes[chosen]!.url + request.url!, {
        method: request.method!,
        headers: {
          ...(authorization !== undefined && { authorization }),
          ...(contentType !== undefined && { 'content-type': contentType }),
        },
        ...(body.length > 0 && { body: Buffer.concat(body) }),
      });
      response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
      response.end(Buffer.from(await answer.arrayBuffer()));
    })().catch(() => response.writeHead(502).end());
  });
  return new Promise((listening) => {
    server.listen(0, '127.0.0.1', () => {
      listening(server);
    });
  });
}

const send = (method: string, path: string, options: CallOptions = {}) => call(url, method, path, options);
const store = () => openSqliteStore({ path: join(folder, 'data', 'zeroreel.db') });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'zeroreel-nodes-'));
  bucket = await startEmbeddedBucket({ dir: join(folder, 'bucket'), credentials, buckets: [BUCKET] });
  nodes = await Promise.all([startNode(), startNode()]);
  balancer = await startBalancer();
  url = `http://127.0.0.1:${(balancer.address() as AddressInfo).port}`;
  token = readFileSync(join(folder, 'admin.token'), 'utf8').trim();
  const { log } = expectStatus<z.infer<typeof api.serviceSchema>>(await send('GET', '/v1/service'), 200);
  exam = await makeExam({ now: Date.now(), log });
  const body = { policy: toBase64Url(exam.record) };
  expectStatus(await send('POST', '/v1/exams', { token, body }), 201);
});
afterAll(async () => {
  for (const { child } of nodes) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  balancer.close();
  await bucket.close();
  rmSync(folder, { recursive: true, force: true });
});

async function record(chunks: number): Promise<TestRecorder> {
  const recorder = await TestRecorder.begin(exam, { now: Date.now() });
  const path = `/v1/exams/${exam.policy.exam_id}/recordings`;
  expectStatus(await send('POST', path, { body: recorder.openBody }), 201);
  await upload(recorder, chunks);
  return recorder;
}

async function upload(recorder: TestRecorder, chunks: number): Promise<void> {
  const path = `/v1/recordings/${recorder.sessionId}`;
  for (let index = 0; index < chunks; index++) {
    const chunk = await recorder.chunk(1, media(5000, index + 1));
    const body = { epoch: recorder.epoch, chunks: [chunk.request] };
    const answer = await send('POST', `${path}/uploads`, { token: recorder.token, body });
    const [signed] = expectStatus<{ uploads: UploadAnswer[] }>(answer, 200).uploads;
    if (signed?.state !== 'signed') throw new Error('expected a URL');
    expect(await put(signed, chunk.object)).toBe(200);
    expectStatus(
      await send('POST', `${path}/heads`, { token: recorder.token, body: { head: await recorder.head() } }),
      200,
    );
  }
}

const release = async ({ sessionId }: TestRecorder) => {
  const body = { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' };
  return send('POST', `/v1/recordings/${sessionId}/release`, { token, body });
};
const purgeAt = (node: Node) => call(node.url, 'POST', '/v1/jobs/purge', { token });

async function entriesOf(id: string): Promise<string[]> {
  const open = store();
  try {
    return (await open.entriesOf(id)).map(({ bytes }) => decodeEntry(bytes).type);
  } finally {
    await open.close();
  }
}

let first: TestRecorder;
let second: TestRecorder;

test('a recording passes through both processes call by call, also when one is killed in the middle', async () => {
  first = await record(3);
  const [dying] = nodes as [Node];
  dying.child.kill('SIGKILL');
  await once(dying.child, 'exit');
  nodes = nodes.slice(1);
  await upload(first, 2);
  nodes = [await startNode(), ...nodes];
  await upload(first, 2);
  const closing = await send('POST', `/v1/recordings/${first.sessionId}/heads`, {
    token: first.token,
    body: { head: await first.close() },
  });
  expect(expectStatus<{ state: string }>(closing, 200).state).toBe('closed');
  second = await record(1);
  for (const recorder of [first, second]) {
    const { epochs } = expectStatus<api.Release>(await release(recorder), 200);
    expect(epochs.flatMap(({ tracks }) => tracks.map(({ end }) => end))).toEqual([recorder === first ? 7 : 1]);
  }
  expect(Math.min(...served)).toBeGreaterThan(5);
});

test('both purge at once: one deletion of each recording, and one log', async () => {
  await pass(30 * DAY_MS + 5 * MINUTE_MS);
  for (const recorder of [first, second]) expect((await release(recorder)).status).toBe(410);
  await Promise.all([...nodes, ...nodes].map(purgeAt));
  await pass(2 * MINUTE_MS);
  await Promise.all(nodes.map(purgeAt));
  for (const { sessionId } of [first, second]) {
    const types = await entriesOf(sessionId);
    expect(types.filter((type) => type.startsWith('deletion'))).toEqual([
      'deletion.intended',
      'deletion.completed',
      'deletion.verified',
    ]);
  }
});

test('what they published is one log, whole and signed by one key', async () => {
  // A process that ends in order publishes what it wrote.
  for (const { child } of nodes) {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  const open = store();
  try {
    const entries = await open.entries(0, 10_000);
    const frontier = new Frontier();
    for (const { bytes } of entries) frontier.append(leafHash(bytes));
    const { vkey, origin } = exam.policy.log;
    const checkpoint = await openCheckpoint((await open.newestCheckpoint())!.note, vkey, origin);
    expect([checkpoint.size, toBase64Url(checkpoint.root)]).toEqual([entries.length, toBase64Url(frontier.root())]);
    const { findings } = audit(entries, Date.now() + aheadMs, { heartbeatMs: 100 * DAY_MS, runMs: 100 * DAY_MS });
    expect(findings.filter(({ severity }) => severity === 'violation')).toEqual([]);
    const types = entries.map(({ bytes }) => decodeEntry(bytes).type);
    const started = types.filter((type) => type === 'run.started').length;
    expect(types.filter((type) => type === 'run.finished')).toHaveLength(started);
  } finally {
    await open.close();
  }
  expect(reported).toEqual([]);
});
