/**
 * The server's log is about the machine. A real server writes it at its most talkative, while recorders, staff and strangers use it and
 * its bucket fails; then everything that was secret or somebody's is looked for in it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toBase64Url } from '../../../crypto/format/bytes.ts';
import { encodeKeyDocument, KEY_ADD, type KeyDocumentFields } from '../../../crypto/format/keydoc.ts';
import { Api } from '../../../src/client/api.ts';
import { systemEnvironment } from '../../../src/client/environment.ts';
import { startEmbeddedBucket, type RunningBucket } from '../../../src/server/adapters/embedded-bucket/index.ts';
import { openLog, withoutSecrets } from '../../../src/server/adapters/log.ts';
import { BucketError } from '../../../src/server/ports.ts';
import { startProxy, type Proxy } from '../proxy.ts';
import { makeTicket, media, type TestExam, type TestRecorder } from '../recorder.ts';
import { expectStatus, Stage } from '../stage.ts';

const ADDRESS = '203.0.113.77';
const credentials = { accessKeyId: 'AKTESTOFTHISLOG', secretAccessKey: 'a secret of this test, which is long enough' };
const lines: string[] = [];
const secrets = new Map<string, string>();
let folder: string;
let embedded: RunningBucket;
let proxy: Proxy;
let stage: Stage;
let exam: TestExam;
let recorder: TestRecorder;

interface Line {
  level: string;
  msg: string;
  request?: string;
  route?: string;
  err?: { type: string; message: string; cause?: unknown };
}
const parsed = () => lines.map((line) => JSON.parse(line) as Line);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'zeroreel-log-'));
  embedded = await startEmbeddedBucket({ dir: folder, credentials, buckets: ['logged'] });
  proxy = await startProxy(embedded.endpoint);
  stage = await Stage.start({
    storage: { endpoint: proxy.endpoint, region: 'us-east-1', credentials, bucket: 'logged' },
    rateLimits: 'on',
    config: { clientAddressHeader: 'x-real-ip' },
    log: openLog('trace', { write: (line) => void lines.push(line) }),
  });
  exam = await stage.exam({ changes: { title: 'Forensic Toxicology, resit of Grace Example' } });
});
afterAll(async () => {
  await stage.stop();
  await proxy.close();
  await embedded.close();
  rmSync(folder, { recursive: true });
});

const from = { 'x-real-ip': ADDRESS, 'user-agent': 'Netscape 4 of the test', 'x-request-id': 'invented-by-a-client' };

test('a life with everything in it is lived, and the bucket fails in the middle of it', async () => {
  const ticket = await makeTicket(exam);
  recorder = await stage.recorder(exam, { ticket });
  const chunk = await recorder.chunk(1, media(3000));
  const upload = await stage.sign(recorder, chunk);
  const signature = new URL(upload.url).searchParams.get('X-Amz-Signature')!;
  await stage.upload(recorder, chunk);
  proxy.mischief = (request, response) => {
    request.resume();
    // A store that tells everything that it was told: what errors of libraries then carry.
    const said = `${request.url ?? ''} ${JSON.stringify(request.headers)}`.replaceAll(/[<&]/g, '');
    const body = `<Error><Code>InternalError</Code><Message>${said}</Message><Signature>${signature}</Signature></Error>`;
    response.writeHead(500, { 'content-type': 'application/xml' }).end(body);
    return 'handled';
  };
  const head = await recorder.head();
  const failed = await stage.call('POST', `/v1/recordings/${recorder.sessionId}/heads`, {
    ...{ token: recorder.token, body: { head }, headers: from },
  });
  expectStatus(failed, 503);
  expect(failed.headers.get('x-request-id')).not.toBe('invented-by-a-client');
  proxy.mischief = () => undefined;
  expectStatus(await stage.sendHead(recorder, head), 200);

  const [reader] = exam.readers;
  const { identity, key } = reader!;
  const fields: KeyDocumentFields = {
    ...{ identity: identity.publicKey, suite: key.suite, publicKey: key.publicKey, operation: KEY_ADD },
    ...{ createdMs: 1, expiresMs: stage.clock.now() * 2, prevKeyId: new Uint8Array(16) },
  };
  const document = toBase64Url(await encodeKeyDocument(fields, identity.signer));
  expectStatus(await stage.call('POST', '/v1/keys', { token: stage.admin, body: { document }, headers: from }), 201);
  let cookie = '';
  const fetchAndKeep = async (...request: Parameters<typeof fetch>) => {
    const answer = await fetch(...request);
    cookie = answer.headers.get('set-cookie')?.split(/[=;]/)[1] ?? cookie;
    return answer;
  };
  await new Api({ url: stage.server.url, environment: { ...systemEnvironment, fetch: fetchAndKeep } }).signIn(
    identity.signer,
  );
  const released = await stage.call('POST', `/v1/recordings/${recorder.sessionId}/release`, {
    ...{ token: stage.admin, body: { key_id: reader!.keyIdB64, purpose: 'review' }, headers: from },
  });
  const { epochs } = expectStatus<{ epochs: { shred: string; wraps: { wrap: string }[] }[] }>(released, 200);
  for (const path of [`/v1/exams?token=${stage.admin}`, `/nowhere/${recorder.token}`, `/v1/receipts/${stage.admin}`])
    await stage.call('GET', path, { headers: { ...from, authorization: `Bearer ${stage.admin}x` } });
  await stage.server.jobs.purge();
  await stage.server.jobs.publish();

  for (const [name, secret] of Object.entries({
    ...{ 'admin token': stage.admin, 'upload token': recorder.token, cookie, address: ADDRESS },
    ...{ 'URL signature': signature, 'access key': credentials.accessKeyId, 'secret key': credentials.secretAccessKey },
    ...{ 'shred share': epochs[0]!.shred, wrap: epochs[0]!.wraps[0]!.wrap.slice(0, 60), title: 'Grace Example' },
    ...{ 'ticket seed': toBase64Url(ticket.holder.seed), 'user agent': 'Netscape 4', 'request id': 'invented-by' },
    ...{ identity: toBase64Url(identity.publicKey), 'reader’s label': exam.policy.recipients[0]!.label, head },
    ...{ 'exam id': exam.policy.exam_id, 'recording id': recorder.sessionId, query: 'X-Amz-', path: '/nowhere/' },
  }))
    secrets.set(name, secret);
});

describe('its log', () => {
  test('has a line for each answer, with its route and the id that the answer carries', async () => {
    const answer = await stage.call('GET', `/v1/receipts/${recorder.sessionId}`);
    const id = answer.headers.get('x-request-id');
    expect(parsed().filter(({ request }) => request === id)).toMatchObject([
      { level: 'debug', msg: 'answered', method: 'GET', route: '/v1/receipts/:id', status: 200 },
    ]);
    expect(parsed().filter(({ msg }) => msg === 'answered').length).toBeGreaterThan(10);
  });

  test('says what failed, why, and which answer it was', () => {
    const failures = parsed().filter(({ msg }) => msg === 'failed');
    expect(failures).toHaveLength(1);
    const [failure] = failures;
    expect(failure).toMatchObject({ level: 'error', err: { type: 'BucketError', code: 'unavailable' } });
    expect(failure!.err!.cause).toBeDefined();
    expect(parsed().filter(({ request, msg }) => request === failure!.request && msg === 'answered')).toMatchObject([
      { status: 503, route: '/v1/recordings/:id/heads' },
    ]);
  });

  test('has nothing in it that is secret, or that is about somebody', () => {
    const written = lines.join('').toLowerCase();
    const found = [...secrets].filter(([, secret]) => written.includes(secret.toLowerCase())).map(([name]) => name);
    expect(found).toEqual([]);
    expect(secrets.size).toBe(20);
    for (const [name, secret] of secrets) expect(secret.length, name).toBeGreaterThan(5);
  });

  test('would lose what a library’s error carries, wherever it is', () => {
    const told: string[] = [];
    const log = openLog('trace', { write: (line) => void told.push(line) });
    const url = `https://store.example.org/b/k?X-Amz-Signature=${'ab'.repeat(32)}&X-Amz-Credential=AKIA`;
    const cause = Object.assign(new Error(`planted-0 ${url}`), {
      config: { headers: 'planted-1' },
    });
    const error = new BucketError(
      'unavailable',
      `GET ${url} postgres://user:planted-2@db/x ${recorder.token} Bearer planted-5`,
      { cause },
    );
    log.error({ err: error, authorization: 'planted-3', options: { token: 'planted-4' } }, 'failed');
    log.warn({ err: `thrown text with ${stage.admin}` }, 'failed');
    const written = told.join('');
    expect(written).toContain('store.example.org/b/k');
    expect(written).toContain('db/x');
    for (const planted of ['planted-', 'X-Amz-', 'abab', 'AKIA', recorder.token, stage.admin.slice(5)])
      expect(written).not.toContain(planted);
  });

  test('keeps what an operator needs to read', () => {
    for (const text of [
      'connect ECONNREFUSED 10.0.0.5:5432',
      'sqlite: database is locked (SQLITE_BUSY)',
      'list: SlowDown (503)',
      'migration 0006_notes.sql was applied with other contents than it has now',
    ])
      expect(withoutSecrets(text)).toBe(text);
  });
});
