/** Signing in: by an identity key, or by a token; what the cookie may do, and what no other site can make it do. */
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromBase64Url, toBase64Url } from '../../../crypto/format/bytes.ts';
import { encodeKeyDocument, KEY_ADD, KEY_REVOKE } from '../../../crypto/format/keydoc.ts';
import { sessionHash } from '../../../crypto/format/session.ts';
import { generateIdentity, type Identity } from '../../../crypto/seal/identity.ts';
import { Api } from '../../../src/client/api.ts';
import { systemEnvironment } from '../../../src/client/environment.ts';
import { CHALLENGE_MS, SESSION_MS } from '../../../src/server/http/sessions.ts';
import { bundleFor } from '../../crypto/runtimes/bundle.ts';
import { makeReader, nextPolicy, type TestExam, type TestReader } from '../recorder.ts';
import { expectRefusal } from '../refusal.ts';
import { type Answer, DAY_MS, expectStatus, HOUR_MS, Stage, stageFetch } from '../stage.ts';

let stage: Stage;
let reader: TestReader;
let exam: TestExam;

beforeAll(async () => {
  stage = await Stage.start();
  reader = await makeReader(1);
  exam = await stage.exam({ readers: [reader] });
  await enrol(reader);
});
afterAll(() => stage.stop());

async function enrol(
  { identity, key }: TestReader,
  operation: typeof KEY_ADD | typeof KEY_REVOKE = KEY_ADD,
  days = 300,
  at = stage,
) {
  const fields = {
    ...{ identity: identity.publicKey, suite: key.suite, publicKey: key.publicKey, operation },
    createdMs: at.clock.now() - 1,
    expiresMs: at.clock.now() + days * DAY_MS,
    prevKeyId: new Uint8Array(16),
  };
  const document = toBase64Url(await encodeKeyDocument(fields, identity.signer));
  expectStatus(await at.call('POST', '/v1/keys', { token: at.admin, body: { document } }), 200, 201);
}

const PAGE = { 'zeroreel-csrf': '1' };

async function challenge(at = stage): Promise<string> {
  return expectStatus<{ challenge: string }>(await at.call('POST', '/v1/sessions/challenges'), 201).challenge;
}

interface Proof {
  identity: string;
  challenge: string;
  origin: string;
  signature: string;
}

async function prove({ publicKey, signer }: Identity, changes: Partial<Proof> = {}, signed = changes): Promise<Proof> {
  const proof = {
    identity: toBase64Url(publicKey),
    challenge: await challenge(),
    origin: stage.server.url,
    ...changes,
  };
  const what = { ...proof, ...signed };
  const digest = await sessionHash(fromBase64Url(what.challenge), what.origin);
  return { ...proof, signature: changes.signature ?? toBase64Url(await signer.sign('session', digest)) };
}

const signIn = (body: unknown, headers: Record<string, string> = PAGE) =>
  stage.call('POST', '/v1/sessions', { body, headers });

/** The cookie as a browser would send it back. */
function cookieOf(answer: Answer): { cookie: string } {
  const [pair] = answer.headers.get('set-cookie')!.split(';');
  return { cookie: pair! };
}

/** A browser as far as cookies go, for the real client. */
function clientWithCookies(): Api {
  let cookie = '';
  return new Api({
    url: stage.server.url,
    environment: {
      ...systemEnvironment,
      fetch: async (url, init) => {
        const headers = { ...(init?.headers as Record<string, string>), ...(cookie !== '' && { cookie }) };
        const answer = await stageFetch(url, { ...init, headers });
        cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? cookie;
        return answer;
      },
    },
  });
}

describe('an enrolled identity', () => {
  test('signs in without a password, sees its exams and no others, and signs out', async () => {
    const foreign = await stage.exam();
    const api = clientWithCookies();
    expect(await api.session()).toBeUndefined();
    const session = await api.signIn(reader.identity.signer);
    const identity = toBase64Url(reader.identity.publicKey);
    expect(session).toEqual({
      role: 'instructor',
      identity,
      exam_ids: null,
      expires_ms: stage.clock.now() + SESSION_MS,
    });
    expect(await api.session()).toEqual(session);
    expect((await api.exams()).exams.map(({ exam_id: id }) => id)).toEqual([exam.policy.exam_id]);
    expect(await api.recordings(exam.policy.exam_id)).toEqual({ recordings: [] });
    await expect(api.recordings(foreign.policy.exam_id)).rejects.toMatchObject({ code: 'forbidden' });
    await api.signOut();
    expect(await api.session()).toBeUndefined();
    await expect(api.exams()).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  test('loses an exam whose newest policy no longer names it', async () => {
    const own = await stage.exam({ readers: [reader] });
    const api = clientWithCookies();
    await api.signIn(reader.identity.signer);
    expect(await api.recordings(own.policy.exam_id)).toEqual({ recordings: [] });
    const other = await makeReader(1);
    await stage.publish(await nextPolicy(own, { recipients: [other.recipient] }));
    await expect(api.recordings(own.policy.exam_id)).rejects.toMatchObject({ code: 'forbidden' });
  });

  test('publishes its own policies and enrols its own keys only', async () => {
    const owner = await makeReader(2);
    await enrol(owner);
    const own = await stage.exam({ owner: owner.identity, readers: [owner] });
    const api = clientWithCookies();
    await api.signIn(owner.identity.signer);
    const mine = await nextPolicy(own, { title: 'Renamed' });
    expect(await api.publishPolicy(mine.record)).toMatchObject({ seq: 1 });
    const others = await nextPolicy(exam, { title: 'Renamed' });
    await expect(api.publishPolicy(others.record)).rejects.toMatchObject({ code: 'forbidden' });
    const { keys } = await api.keys(toBase64Url(reader.identity.publicKey));
    await expect(api.enrolKey(fromBase64Url(keys[0]!.document))).rejects.toMatchObject({ code: 'forbidden' });
    expect(
      await api.enrolKey(fromBase64Url((await api.keys(toBase64Url(owner.identity.publicKey))).keys[0]!.document)),
    );
  });

  test('is not let in once its keys are revoked or expired, and its sessions end with a revocation', async () => {
    const leaving = await makeReader(1);
    await expect(clientWithCookies().signIn(leaving.identity.signer)).rejects.toMatchObject({ code: 'reader-unknown' });
    await enrol(leaving, KEY_ADD, 1);
    const api = clientWithCookies();
    await api.signIn(leaving.identity.signer);
    await enrol(leaving, KEY_REVOKE);
    expect(await api.session()).toBeUndefined();
    await expect(api.signIn(leaving.identity.signer)).rejects.toMatchObject({ code: 'reader-unknown' });
    const short = await makeReader(1);
    await enrol(short, KEY_ADD, 1);
    stage.clock.advance(DAY_MS);
    await expect(clientWithCookies().signIn(short.identity.signer)).rejects.toMatchObject({ code: 'reader-unknown' });
  });
});

describe('a proof is refused', () => {
  const cases: [what: string, make: () => Promise<unknown>, code: 'sign-in-refused' | 'origin-refused'][] = [
    [
      'without its challenge',
      async () => prove(reader.identity, { challenge: toBase64Url(new Uint8Array(32)) }),
      'sign-in-refused',
    ],
    [
      'by another key',
      async () => prove(reader.identity, { signature: toBase64Url(new Uint8Array(64)) }),
      'sign-in-refused',
    ],
    [
      'by the key of somebody else',
      async () => prove(await generateIdentity(), { identity: toBase64Url(reader.identity.publicKey) }, {}),
      'sign-in-refused',
    ],
    [
      'over another origin than it says',
      async () => prove(reader.identity, {}, { origin: 'http://localhost:1' }),
      'sign-in-refused',
    ],
    [
      'that another site asked for',
      async () => prove(reader.identity, { origin: 'https://evil.example' }),
      'origin-refused',
    ],
    [
      'for an origin that only looks local',
      async () => prove(reader.identity, { origin: 'http://127.0.0.1.evil.example' }),
      'origin-refused',
    ],
  ];
  test.each(cases)('%s', async (_, make, code) => {
    expectRefusal(await signIn(await make()), code === 'sign-in-refused' ? 401 : 403, code);
  });

  test('the second time, even when both come at once', async () => {
    const proof = await prove(reader.identity);
    const statuses = (await Promise.all([signIn(proof), signIn(proof)])).map(({ status }) => status);
    expect(statuses.sort()).toEqual([201, 401]);
  });

  test('when a wrong one used its challenge up', async () => {
    const proof = await prove(reader.identity);
    expectRefusal(await signIn({ ...proof, signature: toBase64Url(new Uint8Array(64)) }), 401, 'sign-in-refused');
    expectRefusal(await signIn(proof), 401, 'sign-in-refused');
  });

  test('when it is late', async () => {
    const proof = await prove(reader.identity);
    stage.clock.advance(CHALLENGE_MS);
    expectRefusal(await signIn(proof), 401, 'sign-in-refused');
  });

  test('by a service that knows its address, for any other', async () => {
    const publicUrl = 'https://zeroreel.example.edu';
    const known = await Stage.start({ config: { publicUrl } });
    try {
      await enrol(reader, KEY_ADD, 300, known);
      const ask = async (origin: string) => {
        const body = await prove(reader.identity, { origin, challenge: await challenge(known) });
        return known.call('POST', '/v1/sessions', { body, headers: PAGE });
      };
      expectStatus(await ask(publicUrl), 201);
      for (const origin of [
        'http://zeroreel.example.edu',
        known.server.url,
        'https://zeroreel.example.edu.evil.example',
      ])
        expectRefusal(await ask(origin), 403, 'origin-refused');
    } finally {
      await known.stop();
    }
  });
});

describe('a session', () => {
  test('by token has the token’s role and exams, and ends with it', async () => {
    const body = { role: 'compliance', label: 'registrar', days: 9, exam_ids: [exam.policy.exam_id] };
    const made = await stage.call('POST', '/v1/tokens', { token: stage.admin, body });
    const { token, prefix } = expectStatus<{ token: string; prefix: string }>(made, 201);
    const answer = await signIn({ token });
    expect(answer.body).toMatchObject({ role: 'compliance', identity: null, exam_ids: [exam.policy.exam_id] });
    const headers = cookieOf(answer);
    expectStatus(await stage.call('GET', `/v1/exams/${exam.policy.exam_id}/recordings`, { headers }), 200);
    expectRefusal(await stage.call('GET', '/v1/tokens', { headers }), 403, 'forbidden');
    await stage.call('DELETE', `/v1/tokens/${prefix}`, { token: stage.admin });
    expectRefusal(await stage.call('GET', '/v1/sessions/current', { headers }), 401, 'unauthenticated');
    expectRefusal(await signIn({ token }), 401, 'sign-in-refused');
  });

  test('ends after half a day, and sooner with its token; its secret is nowhere in the store', async () => {
    const answer = await signIn({ token: await stage.token('instructor') });
    const headers = cookieOf(answer);
    const secret = headers.cookie.split('=')[1]!;
    expect(answer.headers.get('set-cookie')).toBe(
      `__Host-zeroreel=${secret}; Path=/; Secure; HttpOnly; SameSite=Strict`,
    );
    expect(JSON.stringify(answer.body)).not.toContain(secret);
    stage.clock.advance(SESSION_MS - 1);
    expectStatus(await stage.call('GET', '/v1/sessions/current', { headers }), 200);
    stage.clock.advance(1);
    expectRefusal(await stage.call('GET', '/v1/sessions/current', { headers }), 401, 'unauthenticated');
    // Shown as a token it is none.
    expectRefusal(await stage.call('GET', '/v1/exams', { token: secret }), 401, 'unauthenticated');
  });

  test('and a token are noted as used, once an hour', async () => {
    const { store } = stage.server.ports;
    const token = await stage.token('instructor');
    const lastUsed = async () => (await store.tokens()).find(({ prefix }) => token.startsWith(prefix))!.lastUsedMs;
    expect(await lastUsed()).toBeNull();
    const first = stage.clock.now();
    for (let i = 0; i < 3; i++) expectStatus(await stage.call('GET', '/v1/exams', { token }), 200);
    expect(await lastUsed()).toBe(first);
    stage.clock.advance(HOUR_MS - 1);
    await stage.call('GET', '/v1/exams', { token });
    expect(await lastUsed()).toBe(first);
    stage.clock.advance(1);
    await stage.call('GET', '/v1/exams', { token });
    expect(await lastUsed()).toBe(first + HOUR_MS);
  });

  test('cannot be used to change anything without the header of a page, or from another site', async () => {
    const { cookie } = cookieOf(await signIn({ token: stage.admin }));
    const purge = (headers: Record<string, string>) =>
      stage.call('POST', '/v1/jobs/purge', { headers: { cookie, ...headers } });
    const own = new URL(stage.server.url).origin;
    for (const headers of [
      {},
      { origin: own },
      { ...PAGE, origin: 'https://evil.example' },
      { ...PAGE, origin: 'null' },
      { ...PAGE, 'sec-fetch-site': 'cross-site' },
      { ...PAGE, 'sec-fetch-site': 'same-site' },
      { ...PAGE, 'sec-fetch-site': 'none' },
    ]) {
      expectRefusal(await purge(headers), 403, 'origin-refused');
    }
    expectStatus(await purge(PAGE), 200);
    expectStatus(await purge({ ...PAGE, origin: own, 'sec-fetch-site': 'same-origin' }), 200);
    // Nor can another site make somebody sign in as whom it likes.
    expectRefusal(await signIn({ token: stage.admin }, {}), 403, 'origin-refused');
    expectRefusal(
      await signIn({ token: stage.admin }, { ...PAGE, 'sec-fetch-site': 'cross-site' }),
      403,
      'origin-refused',
    );
  });
});

const CHROMIUM = process.env['ZEROREEL_CHROMIUM'] ?? '/usr/bin/chromium';
const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync'],
];

test.skipIf(!existsSync(CHROMIUM) && process.env['ZEROREEL_REQUIRE_ALL'] !== '1')(
  'Chromium keeps the cookie over loopback, hides it from the page, and sends it for no other site',
  async () => {
    const script = await bundleFor(`
      import { Api } from '../../../src/client/api.ts';
      import { identityFromSeed } from '../../../crypto/seal/identity.ts';
      globalThis.signIn = async (seed) => {
        const api = new Api({ url: location.origin });
        await api.signIn((await identityFromSeed(Uint8Array.from(seed))).signer);
        return { ...(await api.session()), exams: (await api.exams()).exams.length, visible: document.cookie };
      };
      globalThis.signOut = async () => {
        const api = new Api({ url: location.origin });
        await api.signOut();
        return (await api.session()) ?? null;
      };`);
    const elsewhere = createServer((_, response) => {
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><title>elsewhere</title>');
    });
    await new Promise<void>((resolve) => elsewhere.listen(0, 'localhost', resolve));
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    try {
      const context = await browser.newContext({ bypassCSP: true });
      const page = await context.newPage();
      await page.goto(`${stage.server.url}/v1/service`);
      await page.addScriptTag({ content: script, type: 'module' });
      await page.waitForFunction('globalThis.signOut !== undefined');
      const seed = JSON.stringify([...reader.identity.seed]);
      expect(await page.evaluate(`signIn(${seed})`)).toMatchObject({ role: 'instructor', exams: 1, visible: '' });
      expect(await context.cookies()).toMatchObject([
        { name: '__Host-zeroreel', httpOnly: true, secure: true, sameSite: 'Strict', expires: -1 },
      ]);

      const other = await context.newPage();
      await other.goto(`http://localhost:${(elsewhere.address() as AddressInfo).port}/`);
      const steal = `fetch('${stage.server.url}/v1/sessions/current', { credentials: 'include' }).then((r) => r.text(), () => 'unreadable')`;
      expect(await other.evaluate(steal)).toBe('unreadable');
      // A form is what another site can send unasked, and follow to its answer.
      const [answer] = await Promise.all([
        other.waitForResponse((response) => response.url().endsWith('/v1/jobs/purge')),
        other.evaluate(`(() => {
          const form = Object.assign(document.createElement('form'), { method: 'post', action: '${stage.server.url}/v1/jobs/purge' });
          document.body.append(form);
          form.submit();
        })()`),
      ]);
      expect(answer.status()).toBe(401);
      expect((await answer.request().allHeaders())['cookie']).toBeUndefined();

      expect(await page.evaluate('signOut()')).toBeNull();
      expect(await context.cookies()).toEqual([]);
    } finally {
      await browser.close();
      await new Promise((resolve) => elsewhere.close(resolve));
    }
  },
  60_000,
);

test('none of this was a failure of the server', () => {
  expect(stage.reported).toEqual([]);
});
