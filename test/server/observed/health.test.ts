/** What health and readiness say is so: each part is broken for real, and found out by its name. */
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLogSigner } from '../../../src/server/adapters/keyring.ts';
import { startEmbeddedBucket } from '../../../src/server/adapters/embedded-bucket/index.ts';
import { createApp } from '../../../src/server/app.ts';
import { listen } from '../../../src/server/adapters/http-server.ts';
import type { Ports } from '../../../src/server/ports.ts';
import { StoreError } from '../../../src/server/store.ts';
import { startProxy } from '../proxy.ts';
import { expectRefusal } from '../refusal.ts';
import { call, DAY_MS, HOUR_MS, MINUTE_MS, Stage } from '../stage.ts';

let stage: Stage;
beforeEach(async () => {
  stage = await Stage.start();
});
afterEach(() => stage.stop());

const WELL = { store: true, vault: true, bucket: true, clock: true, log_key: true, room: true };
const health = () => stage.call('GET', '/health');
const ready = () => stage.call('GET', '/ready');

async function expectWell(): Promise<void> {
  expect(await health()).toMatchObject({ status: 200, body: { healthy: true, ...WELL } });
  expect(await ready()).toMatchObject({ status: 200, body: { ready: true, state: 'serving', ...WELL } });
}

async function expectIll(part: keyof typeof WELL): Promise<void> {
  expect(await health()).toMatchObject({ status: 503, body: { healthy: false, ...WELL, [part]: false } });
  expect(await ready()).toMatchObject({ status: 503, body: { ready: false, ...WELL, [part]: false } });
}

/** The same ports with one call that fails. */
function withFailing(door: 'store' | 'vault', name: string, error: Error): Ports {
  const { ports } = stage.server;
  const failing = new Proxy(ports[door], {
    get: (target, property) =>
      property === name ? () => Promise.reject(error) : (Reflect.get(target, property) as unknown),
  });
  return { ...ports, [door]: failing };
}

async function partsOf(ports: Ports): Promise<unknown> {
  const response = await createApp(ports).request('/ready');
  return { status: response.status, body: (await response.json()) as unknown };
}

describe('a server is well, and ready', () => {
  test('when everything works', async () => {
    await expectWell();
  });

  test('not while its bucket does not answer; it is forgotten when it does again', async () => {
    const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'a secret of this test' };
    const embedded = await startEmbeddedBucket({ dir: join(stage.dataDir, 'other'), credentials, buckets: ['health'] });
    const proxy = await startProxy(embedded.endpoint);
    const { endpoint } = proxy;
    const own = stage;
    stage = await Stage.start({ storage: { endpoint, region: 'us-east-1', credentials, bucket: 'health' } });
    await expectWell();
    proxy.mischief = (request, response) => {
      request.resume();
      response.writeHead(503).end();
      return 'handled';
    };
    await expectIll('bucket');
    proxy.mischief = () => undefined;
    await expectWell();
    await stage.stop();
    stage = own;
    await proxy.close();
    await embedded.close();
  });

  test('not while its clock is behind what its own log says', async () => {
    stage.clock.advance(2 * DAY_MS);
    await stage.exam();
    stage.clock.advance(-DAY_MS);
    // The embedded bucket lives by the same clock, and refuses nobody.
    await expectIll('clock');
    stage.clock.advance(DAY_MS);
    await expectWell();
  });

  test('not while the log’s key is another than the one that published', async () => {
    await expectWell();
    const path = join(stage.dataDir, 'log.key');
    renameSync(path, `${path}.away`);
    const other = openLogSigner(stage.dataDir, 'test.example/zeroreel');
    expect(existsSync(path)).toBe(true);
    expect(await partsOf({ ...stage.server.ports, signer: other })).toMatchObject({
      status: 503,
      body: { ready: false, ...WELL, log_key: false },
    });
  });

  test('not while its database takes no write, though it reads well: a full disk, a standby', async () => {
    for (const code of ['full', 'unavailable'] as const) {
      expect(await partsOf(withFailing('store', 'setBookmark', new StoreError(code, 'x')))).toMatchObject({
        status: 503,
        body: { ready: false, ...WELL, store: false },
      });
    }
  });

  test('not while the vault does not answer', async () => {
    expect(await partsOf(withFailing('vault', 'get', new StoreError('unavailable', 'x')))).toMatchObject({
      status: 503,
      body: { ready: false, ...WELL, vault: false },
    });
  });

  test('not while a backup is being put back into its folder', async () => {
    const copy = join(stage.dataDir, 'zeroreel.db.restoring');
    writeFileSync(copy, '');
    expect(await ready()).toMatchObject({ status: 503, body: { ready: false, state: 'restoring', ...WELL } });
    rmSync(copy);
    await expectWell();
  });
});

test('a server that is starting says so to everybody, and nothing else', async () => {
  const http = await listen({ host: '127.0.0.1', port: 0 });
  try {
    expect(await call(http.url, 'GET', '/ready')).toMatchObject({ status: 503, body: { state: 'starting' } });
    const answer = await call(http.url, 'GET', '/v1/exams');
    expectRefusal(answer, 503, 'busy');
    expect(answer.headers.get('retry-after')).toBe('1');
    http.serve(createApp(stage.server.ports));
    expect(await call(http.url, 'GET', '/ready')).toMatchObject({ status: 200, body: { state: 'serving' } });
  } finally {
    await http.close();
  }
});

test('however many ask, the parts are tried once at a time, and written to every few seconds', async () => {
  let writes = 0;
  let tries = 0;
  const { store, vault } = stage.server.ports;
  const counted = { ...stage.server.ports };
  counted.store = new Proxy(store, {
    get: (target, property) => {
      if (property === 'setBookmark') writes++;
      return Reflect.get(target, property) as unknown;
    },
  });
  counted.vault = { ...vault, get: (...words) => (tries++, vault.get(...words)) };
  const app = createApp(counted);
  await Promise.all(Array.from({ length: 200 }, () => Promise.resolve(app.request('/ready'))));
  expect({ writes, tries }).toEqual({ writes: 1, tries: 1 });
  await app.request('/health');
  expect({ writes, tries }).toEqual({ writes: 1, tries: 2 });
  stage.clock.advance(MINUTE_MS);
  await app.request('/health');
  expect({ writes, tries }).toEqual({ writes: 2, tries: 3 });
  stage.clock.advance(-HOUR_MS);
  await app.request('/health');
  expect(writes).toBe(3);
});
