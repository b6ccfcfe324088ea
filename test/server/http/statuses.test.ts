/** Every status that the document promises is reached, route by route: what no test can bring about has no place in it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromBase64Url, toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { parseOpen } from '../../../crypto/format/open.ts';
import { encodeKeyDocument, KEY_ADD, KEY_REVOKE, type KeyDocumentFields } from '../../../crypto/format/keydoc.ts';
import { makeGrant } from '../../../crypto/seal/grant.ts';
import { NOTE_REVIEW, sealNote } from '../../../crypto/seal/note.ts';
import { openEpochKeys } from '../../../crypto/seal/schedule.ts';
import { start } from '../../../src/node.ts';
import { readConfig } from '../../../src/server/config.ts';
import { listen } from '../../../src/server/adapters/http-server.ts';
import { type AppOptions, createApp } from '../../../src/server/app.ts';
import { ERRORS } from '../../../src/server/errors.ts';
import { refusalsOf, type Route, type RouteName, routeRows } from '../../../src/server/http/routes.ts';
import type { Ports } from '../../../src/server/ports.ts';
import { StoreError } from '../../../src/server/store.ts';
import { BY_PLATFORMS, BY_PROVIDERS, expectDocumented, reached } from '../contract.ts';
import { makeReader, media, nextPolicy, type TestExam, type TestReader, TestRecorder } from '../recorder.ts';
import { SAMPLES } from '../samples.ts';
import { answerOf, call, type CallOptions, DAY_MS, expectStatus, HOUR_MS, Stage } from '../stage.ts';

let stage: Stage;
let exam: TestExam;
let recorder: TestRecorder;
let instructor: string;

beforeAll(async () => {
  stage = await Stage.start();
  exam = await stage.exam({ changes: { not_after: stage.clock.now() + 2 * DAY_MS } });
  recorder = await stage.recorder(exam);
  instructor = await stage.token('instructor');
  await stage.server.jobs.publish();
});
afterAll(() => stage.stop());

const names = routeRows.map(([name]) => name);
const CSRF = { 'zeroreel-csrf': '1' };
const staff = (method: string, path: string, more: CallOptions = {}) =>
  stage.call(method, path, { token: stage.admin, headers: CSRF, ...more });

/** The body of a route's sample, as it is sent. */
function sampleOf(name: RouteName): { body?: string; headers: Record<string, string> } {
  const { body, form } = SAMPLES[name];
  if (form) {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { body: new URLSearchParams(form).toString(), headers };
  }
  return { ...(body && { body: JSON.stringify(body()) }), headers: { 'content-type': 'application/json' } };
}

/** The sample of a route at an app of its own, by whoever the route admits. */
async function ask(name: RouteName, ports: Ports, options: AppOptions = {}): Promise<void> {
  const [method] = name.split(' ') as [string];
  const { path } = SAMPLES[name];
  const token = ROUTES_OF_RECORDERS.has(name) ? recorder.token : stage.admin;
  const sample = sampleOf(name);
  if (name === 'POST /v1/recordings/:id/heads') sample.body = JSON.stringify({ head: await recorder.head() });
  const response = await createApp(ports, options).request(path({ exam, recorder }), {
    method,
    ...sample,
    headers: { authorization: `Bearer ${token}`, ...CSRF, ...sample.headers },
  });
  expectDocumented(method, path({ exam, recorder }), await answerOf(response));
}
const ROUTES_OF_RECORDERS = new Set(routeRows.filter(([, { access }]) => access === 'recorder').map(([name]) => name));

describe('whatever the route', () => {
  test('a machine that fails, is full, or is only starting', async () => {
    const starting = await listen({ host: '127.0.0.1', port: 0 });
    for (const name of names) {
      const isSafe = name.startsWith('GET ');
      const faults = [new StoreError('busy', 'x'), new Error('x'), ...(isSafe ? [] : [new StoreError('full', 'x')])];
      for (const thrown of faults) {
        const failing = new Proxy({}, { get: () => () => Promise.reject(thrown) });
        const clock = {
          now: () => {
            if (name === 'GET /v1/service' && !(thrown instanceof StoreError)) throw thrown;
            return stage.clock.now();
          },
        };
        await ask(name, { ...stage.server.ports, clock, store: failing as Ports['store'] });
      }
      const [method] = name.split(' ') as [string];
      const path = SAMPLES[name].path({ exam, recorder });
      const response = await fetch(`${starting.url}${path}`, { method });
      expectDocumented(method, path, await answerOf(response));
    }
    await starting.close();
  });

  test('a caller who calls too often, or whose body is too large or no JSON', async () => {
    const limited = { limiter: { take: () => Promise.resolve(1000) }, addressOf: () => '192.0.2.1' };
    for (const [name, { request }] of routeRows) {
      await ask(name, stage.server.ports, limited);
      const [method] = name.split(' ') as [string];
      const path = SAMPLES[name].path({ exam, recorder });
      if (SAMPLES[name].form) {
        const { headers } = sampleOf(name);
        await stage.call(method, path, { headers, body: 'x'.repeat(600 * 1024) });
        await stage.call(method, path, { headers: { 'content-type': 'text/plain' }, body: 'x' });
      }
      if (!request) continue;
      const token = ROUTES_OF_RECORDERS.has(name) ? recorder.token : stage.admin;
      const headers = { authorization: `Bearer ${token}`, ...CSRF };
      await stage.call(method, path, { headers, body: 'x'.repeat(600 * 1024) });
      await stage.call(method, path, { headers: { ...headers, 'content-type': 'text/plain' }, body: 'x' });
      await stage.call(method, path, { headers, body: '{"surplus":1}' });
    }
  });

  test('nobody, somebody of another role, and another site’s page', async () => {
    const compliance = await stage.token('compliance');
    for (const name of names) {
      const [method] = name.split(' ') as [string];
      const { path, body } = SAMPLES[name];
      for (const headers of [
        {},
        { authorization: `Bearer ${compliance}` },
        { authorization: `Bearer ${instructor}` },
      ]) {
        await stage.call(method, path({ exam, recorder }), { headers, ...(body && { body: body() }) });
      }
    }
    // Bound to another exam.
    const bound = await staff('POST', '/v1/tokens', {
      body: { role: 'instructor', label: 'bound', days: 1, exam_ids: ['A'.repeat(22)] },
    });
    const { token } = expectStatus<{ token: string }>(bound, 201);
    for (const name of names) {
      const [method] = name.split(' ') as [string];
      const { path, body } = SAMPLES[name];
      await stage.call(method, path({ exam, recorder }), { token, ...(body && { body: body() }) });
    }
  });

  test('what is not there, a query that is none, and what the caller has already', async () => {
    for (const [name, { query, isTagged }] of routeRows as readonly (readonly [RouteName, Route])[]) {
      const [method, template] = name.split(' ') as [string, string];
      const { path, body } = SAMPLES[name];
      const unknown = template.replaceAll(/:\w+/g, 'nothing').replace('*', 'nothing');
      const missing = template.replaceAll(/:\w+/g, 'B'.repeat(21) + 'A').replace('*', '0/999');
      for (const there of [unknown, missing]) await staff(method, there, { ...(body && { body: body() }) });
      if (query) await staff(method, `${path({ exam, recorder })}?limit=x&hash=x&cursor=x`);
      if (!isTagged) continue;
      const first = await staff(method, path({ exam, recorder }));
      await staff(method, path({ exam, recorder }), { headers: { 'if-none-match': first.headers.get('etag')! } });
    }
  });
});

describe('one by one', () => {
  const document = async ({ identity, key }: TestReader, operation: typeof KEY_ADD | typeof KEY_REVOKE) => {
    const fields: KeyDocumentFields = {
      ...{ identity: identity.publicKey, suite: key.suite, publicKey: key.publicKey, operation },
      ...{ createdMs: 1, expiresMs: stage.clock.now() * 2, prevKeyId: new Uint8Array(16) },
    };
    return toBase64Url(await encodeKeyDocument(fields, identity.signer));
  };

  test('the life of an exam and of a recording, and each of its ends', async () => {
    const wider = await nextPolicy(exam, { title: 'Renamed' });
    await staff('POST', '/v1/exams', { body: { policy: toBase64Url(wider.record) } });
    await staff('POST', '/v1/exams', { body: { policy: toBase64Url(wider.record) } });
    await staff('POST', '/v1/exams', { body: { policy: toBase64Url(exam.record) } });
    const over = await stage.exam({ changes: { not_before: 1, not_after: 2 } });
    await stage.open(await TestRecorder.begin(over, { now: stage.clock.now() }));
    const current = await stage.exam();
    const living = await stage.recorder(current);
    await stage.open(living);
    await stage.open(living, { token_hash: 'A'.repeat(43) });
    const own = `/v1/recordings/${living.sessionId}`;
    const chunk = await living.chunk(1, media(500));
    await stage.upload(living, chunk);
    await stage.askUploads(living, [{ ...chunk.request, sha256: 'A'.repeat(43) }]);
    await stage.askUploads(living, [{ ...chunk.request, track: 9 }]);
    expectStatus(await stage.sendHead(living, await living.head()), 200);
    await stage.sendHead(living, await living.head({ headSeq: 9 }));
    await stage.call('POST', `${own}/heads`, { token: recorder.token, body: { head: await living.head() } });
    await stage.call('POST', '/v1/recordings/nothing/heads', {
      token: living.token,
      body: { head: await living.head() },
    });
    await stage.open(await living.resume({ now: stage.clock.now() }), { previous_token: 'x'.repeat(20) });
    await stage.call('GET', `${own}/epochs/0`, { token: living.token });
    const key = current.readers[0]!.keyIdB64;
    for (const path of ['', '/notes']) await staff('GET', `${own}${path}`);
    await staff('POST', `${own}/release`, { body: { key_id: key, purpose: 'review' } });
    await staff('POST', `${own}/release`, { body: { key_id: 'A'.repeat(22), purpose: 'review' } });
    await staff('POST', `${own}/downloads`, { body: { objects: [{ epoch: 0, track: 1, seq: 0 }] } });
    await staff('POST', `${own}/exports`, { body: { key_id: key, kind: 'sealed' } });
    await staff('POST', `${own}/erasure`, { body: { reason: 'owner' } });
    await staff('POST', `${own}/erasure`, { body: { reason: 'owner' } });
    for (const [path, body] of [
      ['/release', { key_id: key, purpose: 'review' }],
      ['/downloads', { objects: [{ epoch: 0, track: 1, seq: 0 }] }],
      ['/grants', { grant: 'AAAA', wrap: 'AAAA' }],
      ['/notes', { note: 'AAAA' }],
      ['/exports', { key_id: key, kind: 'sealed' }],
    ] as const)
      await staff('POST', `${own}${path}`, { body });
    await staff('GET', `${own}/notes`);
    await stage.open(living);
    await stage.askUploads(living, [chunk.request]);
    await stage.sendHead(living, await living.head());
    await stage.call('GET', `${own}/epochs/0`, { token: living.token });
    await stage.server.jobs.publish();
    await stage.call('GET', `/v1/receipts/${living.sessionId}`);
  });

  test('a grant, and notes until there are enough', async () => {
    const first = await stage.exam();
    const living = await stage.recorder(first);
    const own = `/v1/recordings/${living.sessionId}`;
    const colleague = await makeReader(2, 'a colleague');
    const newest = await nextPolicy(first, { recipients: [...first.policy.recipients, colleague.recipient] });
    expectStatus(await staff('POST', '/v1/exams', { body: { policy: toBase64Url(newest.record) } }), 201);
    const open = parseOpen(fromBase64Url(living.openBody.open));
    const now = stage.clock.now();
    const times = { grantedMs: now, expiresMs: now + DAY_MS };
    const { grant, wrap } = await makeGrant(
      { open, secrets: living.secrets, policy: newest, toKeyId: colleague.key.keyId, ...times },
      first.readers[0]!.identity.signer,
    );
    const body = { grant: toBase64Url(grant), wrap: toBase64Url(wrap) };
    for (let i = 0; i < 2; i++) await staff('POST', `${own}/grants`, { body });
    const { metadataKey } = await openEpochKeys(living.secrets, open);
    const at = { sessionId: living.sessionId, epoch: 0, purpose: NOTE_REVIEW } as const;
    const note = toBase64Url(await sealNote(metadataKey, at, utf8('seen')));
    for (let i = 0; i < 2; i++) await staff('POST', `${own}/notes`, { body: { note } });
    const { store } = stage.server.ports;
    const full = new Proxy(store, {
      get: (target, name) => (name === 'addNote' ? async () => false : (Reflect.get(target, name) as unknown)),
    });
    const another = toBase64Url(await sealNote(metadataKey, at, utf8('another')));
    const sent = { method: 'POST', body: JSON.stringify({ note: another }) };
    const headers = { authorization: `Bearer ${stage.admin}`, 'content-type': 'application/json' };
    const refused = await createApp({ ...stage.server.ports, store: full }).request(`${own}/notes`, {
      ...sent,
      headers,
    });
    expectDocumented('POST', `${own}/notes`, await answerOf(refused));
  });

  test('a first start, and a log that has published nothing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'zeroreel-first-'));
    const settings = {
      ZEROREEL_DATA: folder,
      ZEROREEL_PORT: '0',
      ZEROREEL_BUCKET_PORT: '0',
      ZEROREEL_LOG_LEVEL: 'error',
    };
    const first = await start({ config: readConfig(settings), isScheduled: false });
    const secret = first.setupLink!.split('#')[1]!;
    for (let i = 0; i < 2; i++) await call(first.url, 'POST', '/v1/setup', { body: { secret } });
    await first.close();
    rmSync(folder, { recursive: true });
    const { store } = stage.server.ports;
    const unpublished = new Proxy(store, {
      get: (target, name) =>
        name === 'newestCheckpoint' ? async () => undefined : (Reflect.get(target, name) as unknown),
    });
    await ask('GET /log/checkpoint', { ...stage.server.ports, store: unpublished });
    const newest = await store.newestCheckpoint();
    await stage.call('GET', `/log/checkpoints/${newest!.size}`);
  });

  test('keys, tokens and sessions', async () => {
    const [reader] = exam.readers;
    const added = await document(reader!, KEY_ADD);
    for (let i = 0; i < 2; i++) await staff('POST', '/v1/keys', { body: { document: added } });
    await staff('POST', '/v1/keys', { body: { document: 'AAAA' } });
    await staff('GET', `/v1/keys/${toBase64Url(reader!.identity.publicKey)}`);
    await staff('GET', '/v1/keys/x');
    const [, second] = exam.readers;
    await staff('POST', '/v1/keys', { body: { document: await document(second!, KEY_REVOKE) } });
    await staff('POST', '/v1/keys', { body: { document: await document(second!, KEY_ADD) } });
    const body = { role: 'instructor', label: 'twice', days: 1 };
    const once = { ...CSRF, 'idempotency-key': 'a'.repeat(20) };
    for (const label of ['twice', 'other'])
      await staff('POST', '/v1/tokens', { headers: once, body: { ...body, label } });
    const { prefix } = expectStatus<{ prefix: string }>(await staff('POST', '/v1/tokens', { body }), 201);
    await staff('DELETE', `/v1/tokens/${encodeURIComponent(prefix)}`);
    await staff('GET', '/v1/tokens');
    await staff('GET', '/v1/exams');
    await stage.call('POST', '/v1/sessions/challenges');
    const headers = { ...CSRF, origin: stage.server.url };
    const opened = await stage.call('POST', '/v1/sessions', { headers, body: { token: stage.admin } });
    const cookie = opened.headers.get('set-cookie')!.split(';')[0]!;
    await stage.call('GET', '/v1/sessions/current', { headers: { cookie, ...CSRF } });
    for (const name of names.filter((each) => !each.startsWith('GET '))) {
      const [method] = name.split(' ') as [string];
      await stage.call(method, SAMPLES[name].path({ exam, recorder }), {
        headers: { cookie, origin: 'https://elsewhere.example' },
        ...(SAMPLES[name].body && { body: SAMPLES[name].body() }),
      });
    }
    await stage.call('DELETE', '/v1/sessions/current', { headers: { cookie, ...CSRF } });
    await staff('DELETE', '/v1/sessions/current');
  });

  test('jobs', async () => {
    stage.clock.advance(HOUR_MS);
    await staff('POST', '/v1/jobs/purge', { body: {} });
    await staff('POST', '/v1/jobs/scrub', { body: { depth: 'heads', sample: 1 } });
  });
});

/** What takes a learning platform or an OpenID provider is reached in `lti.test.ts` and `oidc.test.ts`, which say so themselves. */
const ELSEWHERE = new Set([...BY_PLATFORMS, ...BY_PROVIDERS]);

/** Statuses that a row has, its own answers and its refusals. */
function documented(name: RouteName, { answers, isTagged }: Route): Set<number> {
  const refused = [...refusalsOf(name)].map((code) => ERRORS[code][0]);
  return new Set([...Object.keys(answers).map(Number), ...refused, ...(isTagged ? [304] : [])]);
}

test('every documented status was reached', () => {
  const never = (routeRows as readonly (readonly [RouteName, Route])[]).flatMap(([name, row]) =>
    [...documented(name, row)]
      .map((status) => `${name} ${status}`)
      .filter((each) => !reached.has(each) && !ELSEWHERE.has(each)),
  );
  expect(never.sort()).toEqual([]);
});
