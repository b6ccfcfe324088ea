/** Signing in with an OpenID provider that nobody here wrote: `oidc-provider`, over real HTTP. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApp } from '../../../src/server/app.ts';
import type { OidcSettings } from '../../../src/server/config.ts';
import { roleBy } from '../../../src/server/http/oidc.ts';
import { BY_PROVIDERS, expectDocumented, reached } from '../contract.ts';
import { answerOf, expectStatus, Stage } from '../stage.ts';

let stage: Stage;
let server: Server;
let settings: OidcSettings;

const GROUPS: Record<string, string[]> = {
  'jane-doe-1': ['staff', 'teachers'],
  'jane-doe-2': ['auditors'],
  'jane-doe-3': ['teachers', 'exam-admins'],
  'jane-doe-4': ['students'],
};

beforeAll(async () => {
  server = createServer();
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const roles = [
    { claim: 'groups', value: 'teachers', role: 'instructor' },
    { claim: 'groups', value: 'auditors', role: 'compliance' },
    { claim: 'groups', value: 'exam-admins', role: 'admin' },
  ] as const;
  settings = { issuer, clientId: 'zeroreel', clientSecret: 'a secret of this test', scope: 'openid groups', roles };
  stage = await Stage.start({ oidc: settings });
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: settings.clientId,
        client_secret: settings.clientSecret,
        redirect_uris: [`${stage.server.url}/v1/oidc/callback`],
        grant_types: ['authorization_code'],
        response_types: ['code'],
      },
    ],
    scopes: ['openid', 'groups'],
    claims: { openid: ['sub'], groups: ['groups', 'name'] },
    findAccount: (_, accountId) => ({
      accountId,
      claims: () => ({ sub: accountId, groups: GROUPS[accountId] ?? [], name: 'Jane Marie Doe' }),
    }),
    pkce: { required: () => true },
    cookies: { keys: ['a secret of this test'] },
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: 'one' }] },
  });
  const answer = provider.callback();
  server.on('request', (request, response) => void answer(request, response));
});
afterAll(async () => {
  await stage.stop();
  server.closeAllConnections();
  await new Promise((closed) => server.close(closed));
});

/** A browser as far as redirects, forms and cookies go. */
class Browser {
  readonly #jar = new Map<string, Map<string, string>>();

  cookies(origin: string): string {
    return [...(this.#jar.get(origin) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  async send(url: string, form?: Record<string, string>): Promise<Response> {
    const { origin } = new URL(url);
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: this.cookies(origin) },
      ...(form && { method: 'POST', body: new URLSearchParams(form) }),
    });
    if (origin === stage.server.url) expectDocumented('GET', url, await answerOf(response.clone()));
    const jar = this.#jar.get(origin) ?? new Map<string, string>();
    this.#jar.set(origin, jar);
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line)!;
      if (value === '' || /max-age=0|expires=thu, 01 jan 1970/i.test(line)) jar.delete(name!);
      else jar.set(name!, value!);
    }
    return response;
  }

  /** Follows redirects, and fills in the provider's forms, until `until` is about to be asked. */
  async follow(url: string, account: string, until = '/v1/oidc/callback'): Promise<string> {
    let next = url;
    for (let step = 0; step < 20; step++) {
      if (new URL(next).pathname === until) return next;
      let response = await this.send(next);
      if (response.status === 200) {
        const page = await response.text();
        const [, action] = /action="([^"]+)"/.exec(page)!;
        const [, prompt] = /name="prompt" value="(\w+)"/.exec(page)!;
        response = await this.send(new URL(action!, next).href, { prompt: prompt!, login: account, password: 'x' });
      }
      next = new URL(response.headers.get('location') ?? '', next).href;
    }
    throw new Error(`the provider does not lead to ${until}`);
  }
}

async function signIn(account: string): Promise<{ browser: Browser; answer: Response }> {
  const browser = new Browser();
  const callback = await browser.follow(`${stage.server.url}/v1/oidc/login`, account);
  return { browser, answer: await browser.send(callback) };
}

const current = (browser: Browser) =>
  stage.call('GET', '/v1/sessions/current', { headers: { cookie: browser.cookies(stage.server.url) } });

describe('a member of the staff signs in, and has the role that the claims make', () => {
  test.each([
    [
      'a teacher enrols keys, and reaches no exam by this',
      'jane-doe-1',
      '/review',
      { role: 'instructor', exam_ids: [] },
    ],
    ['an auditor lists everything', 'jane-doe-2', '/compliance', { role: 'compliance', exam_ids: null }],
    ['of several roles the one that may do most', 'jane-doe-3', '/review', { role: 'admin', exam_ids: null }],
  ])('%s', async (_, account, place, session) => {
    const { browser, answer } = await signIn(account);
    expect(answer.status).toBe(303);
    expect(answer.headers.get('location')).toBe(place);
    expect(expectStatus(await current(browser), 200)).toMatchObject({ ...session, identity: null });
  });

  test('and without one of them does not get in', async () => {
    const { browser, answer } = await signIn('jane-doe-4');
    expect(answer.status).toBe(403);
    expect(await answer.text()).toContain('gives you no role');
    expect((await current(browser)).status).toBe(401);
  });

  test('the session is what it is after a sign-in by key: HttpOnly, Strict, and changes want the page’s own header', async () => {
    const { browser, answer } = await signIn('jane-doe-1');
    const [cookie] = answer.headers.getSetCookie();
    expect(cookie).toMatch(/^__Host-zeroreel=zrs_[\w-]+; Path=\/; Secure; HttpOnly; SameSite=Strict$/);
    const headers = { cookie: browser.cookies(stage.server.url) };
    const body = { document: 'AAAA' };
    expect((await stage.call('POST', '/v1/keys', { headers, body })).body).toMatchObject({ code: 'origin-refused' });
    const own = { ...headers, 'zeroreel-csrf': '1' };
    expect((await stage.call('POST', '/v1/keys', { headers: own, body })).body).toMatchObject({
      code: 'record-refused',
    });
    const erasure = await stage.call('POST', `/v1/recordings/${'A'.repeat(22)}/erasure`, {
      ...{ headers: own, body: { reason: 'student' } },
    });
    expect(erasure.body).toMatchObject({ code: 'forbidden', hint: 'sign in with your key' });
  });
});

describe('an answer lets nobody in', () => {
  test('in a browser that did not begin the login', async () => {
    const callback = await new Browser().follow(`${stage.server.url}/v1/oidc/login`, 'jane-doe-3');
    const stranger = new Browser();
    expect((await stranger.send(callback)).status).toBe(403);
    // Nor in one that began another.
    await stranger.send(`${stage.server.url}/v1/oidc/login`);
    expect((await stranger.send(callback)).status).toBe(403);
    expect((await current(stranger)).status).toBe(401);
  });

  test('twice', async () => {
    const browser = new Browser();
    const callback = await browser.follow(`${stage.server.url}/v1/oidc/login`, 'jane-doe-1');
    expect((await browser.send(callback)).status).toBe(303);
    expect((await browser.send(callback)).status).toBe(403);
  });

  test('that the provider did not give', async () => {
    const browser = new Browser();
    const callback = new URL(await browser.follow(`${stage.server.url}/v1/oidc/login`, 'jane-doe-1'));
    callback.searchParams.set('code', 'another');
    expect((await browser.send(callback.href)).status).toBe(403);
  });
});

test('nothing that the provider said of a person is kept or reported', async () => {
  const kept = JSON.stringify([await stage.server.ports.store.tokens(), stage.reported.map(String)]);
  expect(kept).not.toMatch(/jane|Doe/i);
  expect(stage.reported.map(String)).toEqual([
    expect.stringContaining('an OpenID sign-in failed'),
    expect.stringContaining('an OpenID sign-in failed'),
  ]);
});

test('a claim makes a role as one value or in a list, and never as a part of a value', () => {
  const rules = { roles: [{ claim: 'groups', value: 'teachers', role: 'instructor' }] } as const;
  expect(roleBy(rules, { groups: 'teachers' })).toBe('instructor');
  expect(roleBy(rules, { groups: ['x', 'teachers'] })).toBe('instructor');
  for (const groups of ['teachers2', ['teachers '], { teachers: true }, null, undefined, [['teachers']]]) {
    expect(roleBy(rules, { groups })).toBeUndefined();
  }
});

test('while the provider does not answer, or the database, nobody gets in, and is told why', async () => {
  const silent = await Stage.start({
    oidc: { issuer: 'http://127.0.0.1:1', clientId: 'x', clientSecret: 'x', scope: 'openid', roles: [] },
  });
  for (const route of ['login', 'callback']) {
    const answer = await silent.call('GET', `/v1/oidc/${route}`);
    expect(answer).toMatchObject({ status: 502, body: { code: 'platform-unreachable' } });
  }
  await silent.stop();

  const browser = new Browser();
  const callback = await browser.follow(`${stage.server.url}/v1/oidc/login`, 'jane-doe-1');
  const store = new Proxy(stage.server.ports.store, { get: () => () => Promise.reject(new Error('broken')) });
  const broken = createApp({ ...stage.server.ports, store }, { oidc: settings, publicUrl: stage.server.url });
  const response = await broken.request(callback, { headers: { cookie: browser.cookies(stage.server.url) } });
  expect(response.status).toBe(500);
  expectDocumented('GET', callback, await answerOf(response));
});

test('without a provider there is no such way in', async () => {
  const plain = await Stage.start();
  expect((await plain.call('GET', '/v1/oidc/login')).body).toMatchObject({ code: 'not-found' });
  await plain.stop();
});

test('every documented status that takes a provider was reached', () => {
  expect(BY_PROVIDERS.filter((each) => !reached.has(each))).toEqual([]);
});
