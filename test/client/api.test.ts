import { describe, expect, test } from 'vitest';
import { Api } from '../../src/client/api.ts';
import { systemEnvironment, type Environment } from '../../src/client/environment.ts';
import { ApiError, type ClientError } from '../../src/client/errors.ts';
import { getObject, putObject } from '../../src/client/object-store.ts';
import { backoff, DEFAULT_RETRY } from '../../src/client/transport.ts';

interface Wire {
  environment: Environment;
  requests: { url: string; init: RequestInit }[];
  waits: number[];
}

/** Answers in turn; the last one stays. `lost` is a connection that failed. */
function wire(...answers: (Response | 'lost')[]): Wire {
  const requests: Wire['requests'] = [];
  const waits: number[] = [];
  const environment: Environment = {
    ...systemEnvironment,
    clock: { now: () => Date.parse('2026-11-23T07:00:00Z'), monotonic: () => 0 },
    uniform: () => 1,
    sleep: async (ms) => {
      waits.push(ms);
    },
    fetch: async (input, init) => {
      const answer = answers[Math.min(requests.length, answers.length - 1)]!;
      requests.push({ url: input as string, init: init! });
      if (answer === 'lost') throw new TypeError('fetch failed');
      return answer.clone();
    },
  };
  return { environment, requests, waits };
}

function problem(status: number, code: string, more: Record<string, unknown> = {}): Response {
  const body = { type: `urn:zeroreel:error:${code}`, title: code, status, code, detail: 'no', ...more };
  return new Response(JSON.stringify(body), { status });
}

/** What the promise was rejected with. */
async function caught(attempt: Promise<unknown>): Promise<ClientError> {
  try {
    await attempt;
  } catch (error) {
    return error as ClientError;
  }
  throw new Error('expected a rejection');
}

const TOKENS = { tokens: [] };
const well = (): Response => new Response(JSON.stringify(TOKENS));

function api({ environment }: Wire): Api {
  return new Api({ url: 'https://exams.example.org/ignored', token: 'secret-token', environment });
}

describe('what is tried again', () => {
  test('a failed connection, 429, 502, 503 and 504, until an answer comes', async () => {
    const flaky = wire('lost', problem(429, 'busy'), problem(502, 'x'), problem(503, 'busy'), well());
    expect(await api(flaky).tokens()).toEqual(TOKENS);
    expect(flaky.requests).toHaveLength(5);
  });

  test('five times in all, and then it is told as it was', async () => {
    const dead = wire('lost');
    await expect(api(dead).tokens()).rejects.toMatchObject({ name: 'ClientError', code: 'unreachable' });
    expect(dead.requests).toHaveLength(5);
    const busy = wire(problem(503, 'busy'));
    await expect(api(busy).tokens()).rejects.toMatchObject({ name: 'ApiError', code: 'busy', status: 503 });
    expect(busy.requests).toHaveLength(5);
  });

  test('after waits with full jitter below a doubling ceiling', async () => {
    const dead = wire('lost');
    await expect(api(dead).tokens()).rejects.toThrow();
    expect(dead.waits).toEqual([250, 500, 1000, 2000]);
    const { environment } = wire();
    expect(backoff({ ...environment, uniform: () => 0.5 }, DEFAULT_RETRY, 30)).toBe(DEFAULT_RETRY.capMs / 2);
    expect(backoff({ ...environment, uniform: () => 0 }, DEFAULT_RETRY, 3)).toBe(0);
  });

  test.each([
    ['seconds', '7', 7000],
    ['a date', 'Mon, 23 Nov 2026 07:00:09 GMT', 9000],
    ['a date that is over', 'Mon, 23 Nov 2026 06:00:00 GMT', 250],
    ['no time at all', 'soon', 250],
    ['a year', '31536000', 120_000],
  ])('honouring Retry-After in %s', async (_what, header, expected) => {
    const busy = wire(new Response('', { status: 503, headers: { 'retry-after': header } }), well());
    await api(busy).tokens();
    expect(busy.waits).toEqual([expected]);
  });

  test('making a token, under one Idempotency-Key: one whose answer was lost is not made twice', async () => {
    const dead = wire('lost');
    await expect(api(dead).createToken({ role: 'compliance', label: 'x', days: 1 })).rejects.toThrow();
    const keys = dead.requests.map(({ init }) => new Headers(init.headers).get('idempotency-key'));
    expect(keys).toHaveLength(5);
    expect(keys[0]).toMatch(/^.{16,}$/);
    expect(new Set(keys).size).toBe(1);
  });
});

describe('what is not', () => {
  test.each([400, 401, 403, 404, 409, 410, 413, 422, 500, 507])('%d is told at once', async (status) => {
    const refusing = wire(problem(status, 'refused', { hint: 'do', missing: [1] }));
    const error: unknown = await api(refusing)
      .tokens()
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ code: 'refused', status, detail: 'no', hint: 'do', extensions: { missing: [1] } });
    expect(refusing.requests).toHaveLength(1);
  });
});

describe('what comes back', () => {
  test('an answer of another shape is `answer`, with the member’s name', async () => {
    const strange = wire(new Response(JSON.stringify({ tokens: [{ prefix: 7 }] })));
    await expect(api(strange).tokens()).rejects.toMatchObject({
      code: 'answer',
      message: expect.stringContaining('tokens.0') as string,
    });
    await expect(api(wire(new Response('<html>'))).tokens()).rejects.toMatchObject({ code: 'answer' });
  });

  test('a refusal that is no problem document still has a code', async () => {
    await expect(api(wire(new Response('<html>', { status: 403 }))).tokens()).rejects.toMatchObject({
      code: 'http-403',
    });
  });

  test('a log without a checkpoint is undefined and not an error', async () => {
    expect(await api(wire(problem(404, 'not-published'))).checkpoint()).toBeUndefined();
    await expect(api(wire(problem(500, 'internal'))).checkpoint()).rejects.toMatchObject({ code: 'internal' });
  });

  test('the token travels as a bearer and is in no message', async () => {
    const refusing = wire(problem(401, 'unauthenticated'));
    const error = await caught(api(refusing).tokens());
    expect(new Headers(refusing.requests[0]!.init.headers).get('authorization')).toBe('Bearer secret-token');
    expect(JSON.stringify(error) + error.message).not.toContain('secret-token');
  });
});

describe('objects by presigned URL', () => {
  const url = 'https://bucket.example.org/zeroreel/x?X-Amz-Signature=very-secret';
  const grant = { url, headers: { 'if-none-match': '*' } };
  const body = Uint8Array.of(1);

  test.each([
    [200, 'stored'],
    [412, 'stored'],
    [403, 'expired'],
    [408, 'later'],
    [409, 'later'],
    [429, 'later'],
    [500, 'later'],
    [503, 'later'],
    [400, 'refused'],
  ])('a PUT that is answered by %d is %s', async (status, outcome) => {
    const { environment, requests } = wire(new Response('', { status }));
    expect(await putObject(environment, grant, body, 1000)).toBe(outcome);
    expect(requests[0]!.init.headers).toEqual(grant.headers);
  });

  test('a PUT or GET that is not answered names no query', async () => {
    const { environment } = wire('lost');
    for (const attempt of [putObject(environment, grant, body, 1000), getObject(environment, url, 1000)]) {
      const error = await caught(attempt);
      expect(error).toMatchObject({ code: 'unreachable' });
      expect(error.message).toContain('bucket.example.org/zeroreel/x');
      expect(error.message).not.toContain('very-secret');
    }
  });

  test('a range is asked for, and a store that ignores it is caught', async () => {
    const { environment, requests } = wire(new Response('bcd', { status: 206 }));
    expect(await getObject(environment, url, 1000, { from: 1, to: 3 })).toMatchObject({ state: 'found' });
    expect(requests[0]!.init.headers).toEqual({ range: 'bytes=1-3' });
    const ignoring = wire(new Response('abcdef', { status: 200 }));
    await expect(getObject(ignoring.environment, url, 1000, { from: 1, to: 3 })).rejects.toMatchObject({
      code: 'storage',
    });
  });
});
