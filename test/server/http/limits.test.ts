/** How often somebody may call: by address, by token, by ticket; what every answer has, whatever it is. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createMemoryLimiter } from '../../../src/server/adapters/limiter-memory.ts';
import { createApp } from '../../../src/server/app.ts';
import { answerHeaders } from '../../../src/server/http/answer-headers.ts';
import { type LimitKind, LIMITS } from '../../../src/server/http/limits.ts';
import { makeTicket, TestRecorder } from '../recorder.ts';
import { expectRefusal } from '../refusal.ts';
import { type Answer, runtime, Stage } from '../stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start({ rateLimits: 'on', config: { clientAddressHeader: 'x-real-ip' } });
});
afterAll(() => stage.stop());

/** The app with other limits than the service has, called as from an address. */
function limitedApp(limits: Partial<Record<LimitKind, number>>) {
  const calls = (kind: LimitKind) => ({ calls: limits[kind] ?? 1e9, seconds: 60 });
  const limiter = createMemoryLimiter({ address: calls('address'), token: calls('token'), ticket: calls('ticket') });
  const addressOf = (c: { req: { header(name: string): string | undefined } }) => c.req.header('x-real-ip');
  return createApp(stage.server.ports, { limiter, addressOf });
}

async function answerOf(response: Response | Promise<Response>): Promise<Answer> {
  const answer = await response;
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as unknown };
}

function expectLimited(answer: Answer, kind: LimitKind): void {
  expectRefusal(answer, 429, 'rate-limited');
  const wait = Number(answer.headers.get('retry-after'));
  expect(wait).toBeGreaterThan(0);
  expect(wait).toBeLessThanOrEqual(60);
  expect(answer.headers.get('ratelimit')).toBe(`"${kind}";r=0;t=${wait}`);
  expect(answer.headers.get('ratelimit-policy')).toMatch(new RegExp(`^"${kind}";q=\\d+;w=\\d+$`));
}

describe('too many calls', () => {
  test('by one token are refused, whatever they ask; another token goes on', async () => {
    const app = limitedApp({ token: 3 });
    const other = await stage.token('instructor');
    const ask = (token: string, path = '/v1/exams') =>
      answerOf(app.request(path, { headers: { authorization: `Bearer ${token}` } }));
    for (let i = 0; i < 3; i++) expect((await ask(stage.admin)).status).toBe(200);
    expectLimited(await ask(stage.admin), 'token');
    expectLimited(await ask(stage.admin, '/v1/tokens'), 'token');
    expect((await ask(other)).status).toBe(200);
  });

  test('from one address are refused, with whatever tokens it invents; another address goes on', async () => {
    const app = limitedApp({ address: 25 });
    const ask = (address: string, headers: Record<string, string> = {}) =>
      answerOf(app.request('/v1/service', { headers: { 'x-real-ip': address, ...headers } }));
    // Without a token a call costs ten.
    expect((await ask('192.0.2.1')).status).toBe(200);
    for (let i = 0; i < 15; i++)
      expect((await ask('192.0.2.1', { authorization: `Bearer invented-${i}` })).status).toBe(200);
    expectLimited(await ask('192.0.2.1', { authorization: 'Bearer invented-99' }), 'address');
    expect((await ask('192.0.2.2')).status).toBe(200);
  });

  test('under one seat ticket are refused before a second recording could be tried', async () => {
    const app = limitedApp({ ticket: 2 });
    const exam = await stage.exam();
    const ticket = await makeTicket(exam);
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) {
      const recorder = await TestRecorder.begin(exam, { now: stage.clock.now(), ticket });
      const response = await app.request(`/v1/exams/${exam.policy.exam_id}/recordings`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(recorder.openBody),
      });
      statuses.push(response.status);
    }
    expect(statuses).toEqual([201, 409, 429, 429]);
  });

  test('to sign in are refused by the service as it runs, behind a proxy that says where they come from', async () => {
    const ask = (address: string) =>
      stage.call('POST', '/v1/sessions/challenges', { headers: { 'x-real-ip': `10.0.0.1, ${address}` } });
    let answer = await ask('198.51.100.7');
    let well = 0;
    for (; answer.status === 201; well++) answer = await ask('198.51.100.7');
    const most = LIMITS.address.calls / 200;
    expect(well).toBeGreaterThanOrEqual(most);
    // Cloudflare's counters begin anew with each minute of the clock, wherever the calls lie in it.
    expect(well).toBeLessThanOrEqual(runtime.name === 'workerd' ? 2 * most : most);
    expectLimited(answer, 'address');
    expect((await ask('198.51.100.8')).status).toBe(201);
  });
});

describe('every answer', () => {
  test.each(['/v1/service', '/v1/exams', '/log/vkey', '/nowhere', '/health'])(
    'of %s says what it is not',
    async (path) => {
      const { headers } = await stage.call('GET', path);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('content-security-policy')).toBe(`default-src 'none'; frame-ancestors 'none'`);
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
      expect(headers.get('strict-transport-security')).toBeNull();
    },
  );

  test('asks for TLS from then on where the service is reached over it, and only there', () => {
    const names = (url?: string) => answerHeaders(url).map(([name]) => name);
    expect(names('https://zeroreel.example.edu')).toContain('strict-transport-security');
    expect(names('http://127.0.0.1:8600')).not.toContain('strict-transport-security');
  });

  test('of the reference has its own policy, which lets its style in', async () => {
    const { headers } = await stage.call('GET', '/v1/reference');
    expect(headers.get('content-security-policy')).toMatch(/style-src 'sha256-/);
  });
});

test('none of this was a failure of the server', () => {
  expect(stage.reported).toEqual([]);
});
