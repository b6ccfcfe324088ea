/** What is deployed, by the tool that deploys it: the bundle, its bindings, the migrations, the timetable. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { randomBytes } from '../../crypto/format/random.ts';
import { RATE_LIMITS } from '../../src/server/adapters/limiter-binding.ts';
import { SCHEDULE } from '../../src/server/edge.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const WRANGLER = join(ROOT, 'node_modules/.bin/wrangler');
const settings = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8');

/** What of Node the bundle may ask workerd for. */
const OF_NODE = ['crypto', 'node:async_hooks', 'node:crypto'];

let folder: string;

const wrangler = (...parameters: string[]) =>
  promisify(execFile)(WRANGLER, parameters, {
    cwd: ROOT,
    timeout: 170_000,
    env: {
      ...process.env,
      CI: '1',
      WRANGLER_SEND_METRICS: 'false',
      XDG_CONFIG_HOME: folder,
      WRANGLER_LOG_PATH: folder,
    },
  });

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'zeroreel-deploy-'));
  await wrangler('deploy', '--dry-run', '--outdir', join(folder, 'out'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('the bundle that wrangler builds', () => {
  const sources = () =>
    (JSON.parse(readFileSync(join(folder, 'out/worker.js.map'), 'utf8')) as { sources: string[] }).sources;
  const script = () => readFileSync(join(folder, 'out/worker.js'), 'utf8');

  test('is made of the server, and of nothing that seals, opens, or holds keys', () => {
    const own = sources().filter((path) => !path.includes('node_modules'));
    expect(own.some((path) => path.endsWith('src/server/app.ts'))).toBe(true);
    expect(own.some((path) => path.endsWith('crypto/format/open.ts'))).toBe(true);
    expect(own.filter((path) => /crypto\/seal\/|src\/(?:client|web)\/|scripts\/|test\//.test(path))).toEqual([]);
    const packages = sources().filter((path) => path.includes('node_modules'));
    expect(packages.filter((path) => /@noble\/(?:ciphers|curves|post-quantum)|hash-wasm/.test(path))).toEqual([]);
  });

  test('asks for nothing of Node that workerd lacks', () => {
    const asked = [...script().matchAll(/\b(?:from|import|require)\s*\(?\s*["']([a-z:_/@-]+)["']/g)].map(
      ([, name]) => name!,
    );
    const ofNode = asked.filter((name) => name.startsWith('node:') || builtinModules.includes(name));
    expect([...new Set(ofNode)].sort()).toEqual(OF_NODE);
    expect(sources().filter((path) => /better-sqlite3|embedded-bucket|node-cron|node-server/.test(path))).toEqual([]);
  });

  test('serves over the database that wrangler’s own migrations made', { timeout: 180_000 }, async () => {
    const persisted = join(folder, 'state');
    await wrangler('d1', 'migrations', 'apply', 'zeroreel', '--local', '--persist-to', persisted);
    const id = /database_id = "(.*)"/.exec(settings)![1]!;
    const miniflare = new Miniflare({
      modules: true,
      script: script(),
      compatibilityDate: /compatibility_date = "(.*)"/.exec(settings)![1]!,
      compatibilityFlags: ['nodejs_compat'],
      d1Databases: { DB: id },
      d1Persist: join(persisted, 'v3/d1'),
      kvNamespaces: ['VAULT'],
      ratelimits: Object.fromEntries(Object.entries(RATE_LIMITS).map(([binding, simple]) => [binding, { simple }])),
      bindings: {
        ZEROREEL_LOG_KEY: toBase64Url(randomBytes(32)),
        ZEROREEL_LOG_ORIGIN: 'deploy.invalid/log',
        ZEROREEL_S3_ENDPOINT: 'http://127.0.0.1:1',
        ZEROREEL_S3_ACCESS_KEY_ID: 'AKTEST',
        ZEROREEL_S3_SECRET_ACCESS_KEY: 'SKTEST',
        ZEROREEL_FIRST_TOKEN: 'zra_the-first-token-of-this-test',
      },
    });
    try {
      const ask = (path: string) =>
        miniflare.dispatchFetch(`http://worker.invalid${path}`, {
          headers: { authorization: 'Bearer zra_the-first-token-of-this-test' },
        });
      const service = await ask('/v1/service');
      expect(await service.json()).toMatchObject({ name: 'zeroreel', log: { origin: 'deploy.invalid/log' } });
      const tokens = await ask('/v1/tokens');
      expect(await tokens.json()).toMatchObject({ tokens: [{ role: 'admin', label: 'first administrator' }] });
      // The bucket is not there, and is not taken for well.
      const health = await ask('/health');
      expect(health.status).toBe(503);
      const found = { store: true, vault: true, bucket: false, clock: true, log_key: true, room: true };
      expect(await health.json()).toEqual({ healthy: false, ...found });
    } finally {
      await miniflare.dispose();
    }
  });
});

test('every trigger of the timetable has its jobs, and every job its trigger', () => {
  const crons = JSON.parse(/^crons = (\[.*\])$/m.exec(settings)![1]!) as string[];
  expect(crons.sort()).toEqual(Object.keys(SCHEDULE).sort());
  // A free account has five triggers.
  expect(crons.length).toBeLessThanOrEqual(5);
});

test('no secret is in the settings', () => {
  for (const name of [
    'ZEROREEL_LOG_KEY',
    'ZEROREEL_S3_ACCESS_KEY_ID',
    'ZEROREEL_S3_SECRET_ACCESS_KEY',
    'ZEROREEL_FIRST_TOKEN',
  ])
    expect(settings).not.toMatch(new RegExp(`^${name}\\s*=`, 'm'));
});
