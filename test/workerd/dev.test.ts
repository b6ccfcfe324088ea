/** The Worker as `wrangler dev` runs it from wrangler.toml: its pages, its limits, its first administrator, its triggers, its first exam. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { randomBytes } from '../../crypto/format/random.ts';
import { PAGES } from '../../schema/pages.ts';
import { type RunningBucket, startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { RATE_LIMITS } from '../../src/server/adapters/limiter-binding.ts';
import { makeExam, makeReader, TestRecorder } from '../server/recorder.ts';
import { call, expectStatus } from '../server/stage.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const WRANGLER = join(ROOT, 'node_modules/.bin/wrangler');
const SETUP_SECRET = `zrsetup_${toBase64Url(randomBytes(32))}`;
const BUCKET = 'zeroreel';
/** The pages are built, and wrangler is started twice. */
const STARTING_MS = 600_000;
const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'a secret of this test' };

let folder: string;
let bucket: RunningBucket;
let wrangler: ChildProcess;
let url: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'zeroreel-dev-'));
  bucket = await startEmbeddedBucket({ dir: join(folder, 'bucket'), credentials, buckets: [BUCKET] });
  const persisted = ['--persist-to', join(folder, 'state')];
  const env = {
    ...process.env,
    ...{ CI: '1', WRANGLER_SEND_METRICS: 'false', XDG_CONFIG_HOME: folder, WRANGLER_LOG_PATH: folder },
  };
  const migrate = ['d1', 'migrations', 'apply', 'zeroreel', '--local', ...persisted];
  await promisify(execFile)(WRANGLER, migrate, { cwd: ROOT, env });
  const variables = {
    ZEROREEL_LOG_KEY: toBase64Url(randomBytes(32)),
    ZEROREEL_SETUP_SECRET: SETUP_SECRET,
    ZEROREEL_CONTROLLER: 'University of Example',
    ZEROREEL_S3_ENDPOINT: bucket.endpoint,
    ZEROREEL_S3_REGION: 'us-east-1',
    ZEROREEL_S3_ACCESS_KEY_ID: credentials.accessKeyId,
    ZEROREEL_S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  };
  const settings = Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
  const serve = ['dev', '--ip', '127.0.0.1', '--port', '0', '--inspector-port', '0', '--test-scheduled', ...persisted];
  wrangler = spawn(WRANGLER, [...serve, ...settings], { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  wrangler.stderr!.on('data', (text: Buffer) => (said += text.toString()));
  for await (const line of createInterface({ input: wrangler.stdout! })) {
    said += `${line}\n`;
    const ready = /Ready on (http:\S+)/.exec(line)?.[1];
    if (ready === undefined) continue;
    url = ready;
    wrangler.stdout!.resume();
    return;
  }
  throw new Error(`expected wrangler to serve, found: ${said}`);
}, STARTING_MS);
afterAll(async () => {
  wrangler.kill('SIGINT');
  if (wrangler.exitCode === null) await once(wrangler, 'exit');
  await bucket.close();
  rmSync(folder, { recursive: true, force: true });
});

test('the limits of wrangler.toml are those of the server', () => {
  const settings = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8');
  const found = [
    ...settings.matchAll(
      /\[\[ratelimits\]\]\nname = "(\w+)"\nnamespace_id = "\d+"\nsimple = \{ limit = (\d+), period = (\d+) \}/g,
    ),
  ].map(([, name, limit, period]) => [name, { limit: Number(limit), period: Number(period) }]);
  expect(Object.fromEntries(found)).toEqual(RATE_LIMITS);
});

test.each(PAGES.map(({ path }) => path))(
  'the page %s comes with a policy that names this bucket, and its files',
  async (path) => {
    const page = await fetch(url + path);
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    expect(page.headers.get('content-security-policy')).toContain(`connect-src 'self' ${bucket.endpoint};`);
    expect(page.headers.get('cache-control')).toBe('no-cache');
    const [, asset] = /(?:src|href)="(\/assets\/[^"]+\.js)"/.exec(await page.text())!;
    const script = await fetch(url + asset!);
    expect(script.status).toBe(200);
    expect(script.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    expect(script.headers.get('content-security-policy')).toContain(`connect-src 'self' ${bucket.endpoint};`);
    await script.arrayBuffer();
  },
);

test('nothing else is served as a page: unknown paths are the API’s', async () => {
  for (const path of ['/nowhere', '/.assetsignore', '/.built', '/assets/none.js']) {
    const { status, headers } = await call(url, 'GET', path);
    expect([path, status, headers.get('content-type')]).toEqual([path, 404, 'application/problem+json']);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  }
});

test('from the setup link to the first recording: one administrator, a trigger that looks at the bucket, an exam', async () => {
  const redeem = () => call(url, 'POST', '/v1/setup', { body: { secret: SETUP_SECRET } });
  const { token } = expectStatus<{ token: string }>(await redeem(), 201);
  expectStatus(await redeem(), 401);
  const { log, operator } = expectStatus<{ log: { origin: string; vkey: string }; operator: unknown }>(
    await call(url, 'GET', '/v1/service'),
    200,
  );
  expect(operator).toEqual({ controller: 'University of Example', privacy_contact: null });
  const exam = await makeExam({ now: Date.now(), log, readers: [await makeReader(1)] });
  const body = { policy: toBase64Url(exam.record) };
  expectStatus(await call(url, 'POST', '/v1/exams', { token, body }), 201);
  const recorder = await TestRecorder.begin(exam, { now: Date.now() });
  const path = `/v1/exams/${exam.policy.exam_id}/recordings`;
  const open = () => call(url, 'POST', path, { body: recorder.openBody });
  expect(expectStatus<{ code: string }>(await open(), 503).code).toBe('storage-unattested');
  // Where wrangler serves assets, its simulator of triggers asks the router of these; this one asks the Worker.
  const minute = await fetch(`${url}/__scheduled?cron=${encodeURIComponent('* * * * *')}`);
  expect([minute.status, await minute.text()]).toEqual([200, 'Ran scheduled event']);
  expectStatus(await open(), 201);
});
