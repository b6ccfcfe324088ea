import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type RunningServer, start } from '../../src/node.ts';
import type { Config } from '../../src/server/config.ts';
import { openSqliteStore } from '../../src/server/adapters/sqlite.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { startProxy } from './proxy.ts';
import { media } from './recorder.ts';
import { read } from './reader.ts';
import { SETUP_MS } from '../../src/server/http/staff.ts';
import { expectRefusal } from './refusal.ts';
import { call, expectStatus, Stage, TestClock } from './stage.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'zeroreel-test-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const config = (changes: Partial<Config> = {}): Config => ({
  dataDir: folder,
  host: '127.0.0.1',
  port: 0,
  logOrigin: 'test.example/zeroreel',
  vaultHorizonMs: 0,
  witnesses: [],
  operator: { controller: null, privacyContact: null },
  bucket: 'zeroreel',
  region: 'us-east-1',
  storage: { kind: 'embedded', port: 0 },
  ...changes,
});

/** A raw connection, its text so far, and its end. */
function dial(url: string): { socket: Socket; text: () => string; ended: Promise<void> } {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', (piece: string) => (text += piece));
  socket.on('error', () => undefined);
  return {
    socket,
    text: () => text,
    ended: new Promise((ended) =>
      socket.on('close', () => {
        ended();
      }),
    ),
  };
}

const until = async (isTrue: () => boolean): Promise<void> => {
  while (!isTrue()) await new Promise((turn) => setImmediate(turn));
};

test('what a process left that died while it kept a checkpoint is removed at the next start, and what one that lives writes is not', async () => {
  const dead = spawn(process.execPath, ['-e', '']);
  await new Promise((ended) => dead.once('exit', ended));
  const left = join(folder, `log.checkpoint.${dead.pid}`);
  const living = join(folder, `log.checkpoint.${process.ppid}`);
  const stranger = join(folder, 'log.checkpoint.old');
  for (const path of [left, living, stranger]) writeFileSync(path, 'half a no');
  const server = await start({ config: config(), isScheduled: false });
  await server.close();
  expect([left, living, stranger].map((path) => existsSync(path))).toEqual([false, true, true]);
});

describe('a first start', () => {
  test('leaves secrets that only their owner can read', async () => {
    const server = await start({ config: config(), isScheduled: false });
    await server.close();
    for (const name of ['setup.link', 'log.key', 'bucket.key', 'zeroreel.db', 'vault.db']) {
      expect({ name, mode: statSync(join(folder, name)).mode & 0o777 }).toEqual({ name, mode: 0o600 });
    }
    expect(readFileSync(join(folder, 'setup.link'), 'utf8')).toMatch(
      /^http:\/\/127\.0\.0\.1:\d+\/setup#zrsetup_[A-Za-z0-9_-]{43}\n$/,
    );
  });

  test('gives one link to its administrator, which holds once and for a day; the next start makes another until somebody has a token', async () => {
    const clock = new TestClock();
    const redeem = (server: RunningServer, link: string) =>
      call(server.url, 'POST', '/v1/setup', { body: { secret: link.split('#')[1] } });
    const first = await start({ config: config(), clock, isScheduled: false });
    clock.advance(SETUP_MS);
    expectRefusal(await redeem(first, first.setupLink!), 401, 'sign-in-refused');
    await first.close();
    const second = await start({ config: config(), clock, isScheduled: false });
    const link = second.setupLink!;
    expect(link).not.toBe(first.setupLink);
    expect(readFileSync(join(folder, 'setup.link'), 'utf8')).toBe(`${link}\n`);
    const { token } = expectStatus<{ token: string }>(await redeem(second, link), 201);
    expectStatus(await call(second.url, 'GET', '/v1/tokens', { token }), 200);
    expectRefusal(await redeem(second, link), 401, 'sign-in-refused');
    await second.close();
    const third = await start({ config: config(), clock, isScheduled: false });
    expect(third.setupLink).toBeUndefined();
    expect(existsSync(join(folder, 'setup.link'))).toBe(false);
    await third.close();
  });

  test('that died between the token’s file and its row is finished by the next', async () => {
    const adminTokenFile = join(folder, 'admin.token');
    const first = await start({ config: config({ adminTokenFile }), isScheduled: false });
    expect(first.setupLink).toBeUndefined();
    const token = readFileSync(adminTokenFile, 'utf8').trim();
    await first.close();
    // What such a crash leaves: the file, and a database without a token.
    const database = new Database(join(folder, 'zeroreel.db'));
    expect(database.prepare('DELETE FROM tokens').run().changes).toBe(1);
    database.close();
    const second = await start({ config: config({ adminTokenFile }), isScheduled: false });
    expect(readFileSync(adminTokenFile, 'utf8').trim()).toBe(token);
    expectStatus(await call(second.url, 'GET', '/v1/tokens', { token }), 200);
    await second.close();
  });

  test('is not repeated: a second one finds key, token and log as they were', async () => {
    const adminTokenFile = join(folder, 'admin.token');
    const first = await start({ config: config({ adminTokenFile }), isScheduled: false });
    const files = ['admin.token', 'log.key', 'bucket.key'].map((name) => join(folder, name));
    const before = files.map((path) => readFileSync(path, 'utf8'));
    const size = await first.ports.store.logSize();
    await first.close();
    const second = await start({ config: config({ adminTokenFile }), isScheduled: false });
    expect(files.map((path) => readFileSync(path, 'utf8'))).toEqual(before);
    expect(await second.ports.store.logSize()).toBe(size);
    expect(await second.ports.store.tokens()).toHaveLength(1);
    await second.close();
  });
});

describe('a server at work', () => {
  test('publishes what is committed, unasked', async () => {
    const server = await start({ config: config(), isProbed: false });
    try {
      const { store, clock } = server.ports;
      const index = await store.append([{ v: 1, type: 'heartbeat', at: clock.now(), entries: await store.logSize() }]);
      const sizeOf = async () => Number(String((await call(server.url, 'GET', '/log/checkpoint')).body).split('\n')[1]);
      await expect.poll(sizeOf, { timeout: 20_000 }).toBeGreaterThan(index);
    } finally {
      await server.close();
    }
  });

  test('signs URLs for the origin under which its embedded bucket is seen from outside', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await new Promise((listening) => squatter.once('listening', listening));
    const { port } = squatter.address() as AddressInfo;
    await new Promise((closed) => squatter.close(closed));
    const proxy = await startProxy(`http://127.0.0.1:${port}`);
    const storage = { kind: 'embedded', port, publicEndpoint: proxy.endpoint } as const;
    const server = await start({ config: config({ storage }), isScheduled: false });
    try {
      const { bucket, clock } = server.ports;
      const body = new Uint8Array(1000).fill(7);
      const promise = { key: 'x/y', bytes: body.length, sha256: await sha256(body) };
      const { url, headers } = bucket.presignPut(promise, clock.now(), 300);
      expect(new URL(url).origin).toBe(proxy.endpoint);
      expect((await fetch(url, { method: 'PUT', headers, body })).status).toBe(200);
      const read = await fetch(bucket.presignGet('x/y', clock.now(), 300));
      expect(new Uint8Array(await read.arrayBuffer())).toEqual(body);
      // The URL is good for that origin alone: the host is signed.
      expect(
        (await fetch(url.replace(proxy.endpoint, `http://127.0.0.1:${port}`), { method: 'PUT', headers, body })).status,
      ).toBe(403);
      await bucket.deleteVersions([{ key: 'x/y' }]);
    } finally {
      await server.close();
      await proxy.close();
    }
  });
});

describe('a start that fails', () => {
  test('on a port that is taken leaves nothing open', async () => {
    const squatter = createServer().listen(0, '127.0.0.1');
    await new Promise((listening) => squatter.once('listening', listening));
    const { port } = squatter.address() as { port: number };
    await expect(start({ config: config({ port }), isScheduled: false })).rejects.toThrow(/EADDRINUSE/);
    squatter.close();
    // The folder is free again: store, vault and bucket were closed.
    const server = await start({ config: config({ port }), isScheduled: false });
    expectStatus(await call(server.url, 'GET', '/health'), 200);
    await server.close();
  });

  test.each([
    ['a setting that is wrong', { ZEROREEL_PORT: 'eighty' }, /^zeroreel: ZEROREEL_PORT: /],
    [
      'a store without credentials',
      { ZEROREEL_S3_ENDPOINT: 'http://127.0.0.1:1' },
      /^zeroreel: ZEROREEL_S3_ENDPOINT needs /,
    ],
  ])('on %s exits with 1, names the setting and not its value', async (_, environment, message) => {
    const child = spawn(process.execPath, ['--import', 'tsx', 'src/node.ts'], {
      env: { ...process.env, ZEROREEL_DATA: folder, ...environment },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    expect(await new Promise((exited) => child.once('exit', exited))).toBe(1);
    expect(text).toMatch(message);
    expect(text).not.toContain('eighty');
  });
});

describe('a stop', () => {
  test('finishes the request that is under way, refuses new ones, and loses nothing that was acknowledged', async () => {
    const stage = await Stage.start({ dataDir: folder });
    const exam = await stage.exam();
    const recorder = await stage.recorder(exam);
    await stage.upload(recorder, await recorder.chunk(1, media(400)));
    const body = JSON.stringify({ head: await recorder.head() });

    const { socket, text, ended } = dial(stage.server.url);
    socket.write(
      `POST /v1/recordings/${recorder.sessionId}/heads HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${recorder.token}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`,
    );
    await until(() => text().includes('100 Continue')); // the server waits for this body
    const stopping = stage.stop();
    await expect(call(stage.server.url, 'GET', '/v1/service')).rejects.toThrow();
    socket.write(body);
    await Promise.all([ended, stopping]);
    expect(text()).toContain('HTTP/1.1 200 OK');
    expect(text()).toContain('"receipt"');

    const again = await Stage.start({ dataDir: folder, clock: stage.clock });
    expect((await again.server.ports.store.epoch(recorder.sessionId, 0))?.epoch.headSeq).toBe(0);
    expect((await read(again, recorder.sessionId, exam.readers[0]!)).get('0/1')).toEqual([media(400)]);
    await again.stop();
  });

  test('does not wait for connections on which nothing is asked', async () => {
    const server = await start({ config: config(), isScheduled: false });
    const { socket, ended, text } = dial(server.url);
    socket.write('GET /v1/service HTTP/1.1\r\nHost: test\r\n\r\n');
    await until(() => text().includes('"zeroreel"'));
    const idle = dial(server.url);
    await new Promise((connected) => idle.socket.once('connect', connected));
    await server.close();
    await Promise.all([ended, idle.ended]);
  });

  test('twice is once', async () => {
    const server = await start({ config: config(), isScheduled: false });
    await Promise.all([server.close(), server.close()]);
  });

  test('publishes what was logged last', async () => {
    const stage = await Stage.start({ dataDir: folder });
    await stage.exam();
    const size = await stage.server.ports.store.logSize();
    await stage.stop();
    const store = openSqliteStore({ path: join(folder, 'zeroreel.db') });
    expect((await store.newestCheckpoint())?.size).toBe(size);
    await store.close();
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('by %s ends the process with 0', async (signal) => {
    const child = spawn(process.execPath, ['--import', 'tsx', 'src/node.ts'], {
      env: { ...process.env, ZEROREEL_DATA: folder, ZEROREEL_PORT: '0', ZEROREEL_BUCKET_PORT: '0' },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let text = '';
    child.stderr.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    await until(() => text.includes('serving http://127.0.0.1:'));
    await until(() => text.includes('/setup#zrsetup_'));
    const exited = new Promise((resolve) =>
      child.once('exit', (code) => {
        resolve(code);
      }),
    );
    child.kill(signal);
    expect(await exited).toBe(0);
  });
});

test('without cron nothing runs by itself; the clock is the one that was handed in', async () => {
  const clock = new TestClock();
  const server = await start({ config: config(), clock, isScheduled: false });
  clock.advance(1000);
  const answer = expectStatus<{ now_ms: number }>(await call(server.url, 'GET', '/v1/service'), 200);
  expect(answer.now_ms).toBe(clock.now());
  await server.close();
});
