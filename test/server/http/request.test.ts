/**
 * What every route owes to a request it does not like: a stable code, one sentence, and nothing written. Routes are taken from the
 * app itself, so one that is added without a row here fails.
 */
import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { MAX_BODY_BYTES } from '../../../src/server/http/request.ts';
import { routeRows } from '../../../src/server/http/routes.ts';
import { HASH, SAMPLES } from '../samples.ts';
import { media, type TestExam, type TestRecorder } from '../recorder.ts';
import { expectRefusal } from '../refusal.ts';
import { DAY_MS, type Holdings, nodeOnly, Stage } from '../stage.ts';

let stage: Stage;
let exam: TestExam;
let recorder: TestRecorder;
let tokens: Record<'admin' | 'instructor' | 'compliance' | 'expired' | 'revoked', string>;
let before: Holdings;

beforeAll(async () => {
  stage = await Stage.start();
  // Open for longer than a token lives.
  exam = await stage.exam({ changes: { not_after: stage.clock.now() + 3 * DAY_MS } });
  recorder = await stage.recorder(exam);
  await stage.upload(recorder, await recorder.chunk(1, media(1000)));
  await stage.sendHead(recorder, await recorder.head());
  const expired = await stage.call('POST', '/v1/tokens', {
    token: stage.admin,
    body: { role: 'admin', label: 'short', days: 1 },
  });
  const revoked = await stage.call('POST', '/v1/tokens', {
    token: stage.admin,
    body: { role: 'admin', label: 'revoked', days: 9 },
  });
  const { token, prefix } = revoked.body as { token: string; prefix: string };
  await stage.call('DELETE', `/v1/tokens/${prefix}`, { token: stage.admin });
  tokens = {
    admin: stage.admin,
    instructor: await stage.token('instructor'),
    compliance: await stage.token('compliance'),
    expired: (expired.body as { token: string }).token,
    revoked: token,
  };
  stage.clock.advance(DAY_MS);
  before = await stage.holdings();
});
afterAll(() => stage.stop());

// Whatever a test below sends is refused, so after each the server holds what it held before.
afterEach(async () => {
  expect(await stage.holdings()).toEqual(before);
});

const recording = (rest = '') => `/v1/recordings/${recorder.sessionId}${rest}`;

const named = routeRows.map(([name, { access }]) => {
  const [method, route] = name.split(' ') as ['GET' | 'POST' | 'DELETE', string];
  const sample = SAMPLES[name];
  return [
    name,
    { method, route, access, path: () => sample.path({ exam, recorder }), ...(sample.body && { body: sample.body }) },
  ] as const;
});
type Row = (typeof named)[number][1];
const withBody = named.filter(([, { body }]) => body);
const forStaff = named.filter(([, { access }]) => typeof access !== 'string');
/** Admission of a kind that gets a request as far as its body. */
const admission = ({ access }: Row): { token?: string } => {
  if (access === 'recorder') return { token: recorder.token };
  return access === 'anybody' ? {} : { token: stage.admin };
};

describe('who may call', () => {
  test.each(forStaff)(
    '%s is refused without a token, with a malformed, an unknown, an expired and a revoked one',
    async (_, row) => {
      const { method, path, body } = row;
      const send = (headers: Record<string, string>) =>
        stage.call(method, path(), { headers, ...(body && { body: body() }) });
      const { expired, revoked } = tokens;
      const unknown = `zra_${'x'.repeat(43)}`;
      for (const authorization of [
        '',
        'Bearer',
        'Bearer ',
        `Basic ${stage.admin}`,
        `bearer${stage.admin}`,
        `Bearer ${'x'.repeat(201)}`,
        `Bearer ${stage.admin} x`,
        ...[unknown, expired, revoked, recorder.token].map((token) => `Bearer ${token}`),
      ]) {
        expectRefusal(await send({ authorization }), 401, 'unauthenticated');
      }
    },
  );

  test.each(forStaff)('%s is refused to the roles that it is not for', async (_, { method, path, access, body }) => {
    for (const role of ['instructor', 'compliance'] as const) {
      if ((access as readonly string[]).includes(role)) continue;
      const answer = await stage.call(method, path(), { token: tokens[role], ...(body && { body: body() }) });
      expectRefusal(answer, 403, 'forbidden');
    }
  });

  test.each(named.filter(([name, { access }]) => access === 'recorder' && name !== 'POST /v1/recordings/:id/heads'))(
    '%s is refused without this epoch’s upload token',
    async (_, { method, path, body }) => {
      for (const token of [undefined, stage.admin, 'zru_somebody-elses-token']) {
        const answer = await stage.call(method, path(), {
          ...(token !== undefined && { token }),
          ...(body && { body: body() }),
        });
        expectRefusal(answer, 401, 'unauthenticated');
      }
    },
  );

  test('an upload token is of one epoch and one recording', async () => {
    const other = await stage.recorder(exam);
    before = await stage.holdings();
    const { token } = other;
    expectRefusal(await stage.call('GET', recording('/epochs/0'), { token }), 401, 'unauthenticated');
    const body = { epoch: 1, chunks: [{ track: 1, seq: 1, bytes: 1000, sha256: HASH }] };
    const wrongEpoch = await stage.call('POST', recording('/uploads'), { token: recorder.token, body });
    expectRefusal(wrongEpoch, 401, 'unauthenticated');
  });
});

describe('bodies', () => {
  const malformed: [what: string, body: string | Uint8Array<ArrayBuffer>][] = [
    ['nothing', ''],
    ['no JSON', '{'],
    ['two values', '{}{}'],
    ['JSON with a comment', '{/**/}'],
    ['null', 'null'],
    ['an array', '[]'],
    ['a string', '"x"'],
    ['an empty object', '{}'],
    ['arrays in arrays, 100,000 deep', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['objects in objects, 50,000 deep', '{"a":'.repeat(50_000) + '1' + '}'.repeat(50_000)],
    ['bytes that are no UTF-8', Uint8Array.of(0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d)],
    ['UTF-8 that is cut', Uint8Array.of(0x22, 0xe2, 0x82)],
    ['a lone surrogate, coded', Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)],
    ['UTF-16', new Uint8Array(Buffer.from('{"a":1}', 'utf16le'))],
  ];

  test.each(withBody)('%s refuses what is no JSON object of its own', async (_, row) => {
    for (const [what, body] of malformed) {
      const answer = await stage.call(row.method, row.path(), { ...admission(row), body });
      expect({ what, body: answer.body }).toMatchObject({ what, body: { code: 'malformed' } });
    }
    const last = await stage.call(row.method, row.path(), { ...admission(row), body: '{' });
    expectRefusal(last, 400, 'malformed');
  });

  test.each(withBody)('%s refuses each member missing, of each wrong type, and one that is unknown', async (_, row) => {
    const good = row.body!();
    const send = async (body: Record<string, unknown>) =>
      (await stage.call(row.method, row.path(), { ...admission(row), body })).body as Record<string, string>;
    for (const member of Object.keys(good)) {
      const { [member]: _left, ...rest } = good;
      expect(await send(rest)).toMatchObject({ code: 'malformed' });
      for (const wrong of [null, true, -1, 1.5, 1e300, '', '\u0000', '\n', [], {}, [[]], [null], { length: 1 }]) {
        expect({ member, wrong, ...(await send({ ...good, [member]: wrong })) }).toMatchObject({ code: 'malformed' });
      }
    }
    for (const unknown of ['__proto__', 'constructor', 'extra', 'x'.repeat(10_000)]) {
      const body = JSON.stringify(good).replace('{', `{${JSON.stringify(unknown)}: {},`);
      const answer = await stage.call(row.method, row.path(), { ...admission(row), body });
      expect(answer.body).toMatchObject({ code: 'malformed' });
      expect((answer.body as { detail: string }).detail.length).toBeLessThan(221);
    }
    expectRefusal(
      await stage.call(row.method, row.path(), { ...admission(row), body: { ...good, extra: 1 } }),
      400,
      'malformed',
    );
  });

  test.each(withBody)('%s refuses other content types', async (_, row) => {
    for (const type of ['text/plain', 'application/jsonp', 'application/json-patch+json', 'multipart/form-data', '']) {
      const headers = { 'content-type': type };
      const answer = await stage.call(row.method, row.path(), { ...admission(row), body: row.body!(), headers });
      expectRefusal(answer, 415, 'not-json');
    }
  });

  test('a content type with a charset is JSON all the same', async () => {
    const headers = { 'content-type': 'Application/JSON; charset=utf-8' };
    const answer = await stage.call('POST', '/v1/keys', { token: stage.admin, body: {}, headers });
    expectRefusal(answer, 400, 'malformed');
  });

  test.each(withBody)('%s refuses a body above the limit, declared', async (_, row) => {
    const body = `{"x":"${'x'.repeat(MAX_BODY_BYTES)}"}`;
    const answer = await stage.call(row.method, row.path(), { ...admission(row), body });
    expectRefusal(answer, 413, 'too-large');
  });

  test.each(withBody)('%s refuses a body above the limit that comes in pieces of unknown number', async (_, row) => {
    const { token } = admission(row);
    const answer = await raw(
      `${row.method} ${row.path()} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n` +
        `${token === undefined ? '' : `Authorization: Bearer ${token}\r\n`}Transfer-Encoding: chunked\r\n\r\n`,
      `10000\r\n${' '.repeat(0x10000)}\r\n`.repeat(12),
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('"code":"too-large"');
  });

  test('a declared length is believed before a byte is read', async () => {
    const answer = await raw(
      'POST /v1/exams/AAAAAAAAAAAAAAAAAAAAAA/recordings HTTP/1.1\r\nHost: test\r\n' +
        'Content-Type: application/json\r\nContent-Length: 999999999999\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  const framing = nodeOnly('where Cloudflare’s own servers parse HTTP before the Worker is called');
  test.skipIf(framing.isSkipped).each([
    ['a negative length', 'Content-Length: -1'],
    ['a length that is no number', 'Content-Length: abc'],
    ['two lengths', 'Content-Length: 2\r\nContent-Length: 3'],
    ['length and chunks at once', 'Content-Length: 2\r\nTransfer-Encoding: chunked'],
    ['an unknown coding', 'Transfer-Encoding: gzip'],
    ['headers of 20 KB', `X-Large: ${'x'.repeat(20_000)}`],
  ])(`%s never gets as far as a route${framing.why}`, async (_, headers) => {
    const answer = await raw(
      `POST /v1/jobs/purge HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${stage.admin}\r\n${headers}\r\n\r\n{}`,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 4(?:00|31) /);
  });

  test('a server goes on answering after all of that', async () => {
    expect((await stage.call('GET', '/health')).body).toMatchObject({ healthy: true });
    expect(stage.reported).toEqual([]);
  });
});

describe('paths and queries', () => {
  const odd = [
    'x',
    'A'.repeat(21),
    'A'.repeat(23),
    `${'A'.repeat(21)}B`,
    '%00'.repeat(22),
    '..%2f..%2fetc',
    '%ff',
    'é'.repeat(22),
  ];

  test.each(named.filter(([, { route }]) => /:(?:id|exam)\b/.test(route)))('%s knows no odd id', async (_, row) => {
    for (const id of odd) {
      const path = row.path().replace(/(recordings|exams|receipts)\/[^/]+/, `$1/${encodeURI(id)}`);
      const answer = await stage.call(row.method, path, { ...admission(row), ...(row.body && { body: row.body() }) });
      expect({ id, status: answer.status }).toEqual({ id, status: row.route.includes('/heads') ? 422 : 404 });
      const unknown = ['not-found', 'recording-unknown', 'exam-unknown', 'record-refused'];
      expect(unknown).toContain((answer.body as { code: string }).code);
    }
  });

  test.each(['-1', '1.0', '01', '1e3', '0x0', ' 0', 'NaN', 'Infinity', '9'.repeat(20), '', '%20'])(
    'a number in a path has one text, which is not %j',
    async (text) => {
      for (const path of [recording(`/epochs/${text}`), `/v1/log/proofs/${text}`, `/log/checkpoints/${text}`]) {
        expectRefusal(await stage.call('GET', path, { token: recorder.token }), 404, 'not-found');
      }
    },
  );

  test.each(['0', '-1', '1.5', '1001', '1e2', ' 5', '', 'all', '9'.repeat(30)])(
    'no page has %j rows',
    async (limit) => {
      for (const path of ['/v1/exams', `/v1/exams/${exam.policy.exam_id}/recordings`]) {
        const answer = await stage.call('GET', `${path}?limit=${encodeURIComponent(limit)}`, { token: stage.admin });
        expectRefusal(answer, 400, 'malformed');
      }
    },
  );

  test.each(['x', "' OR 1=1 --", '%00', 'A'.repeat(4000)])('no page begins after %j', async (cursor) => {
    for (const path of ['/v1/exams', `/v1/exams/${exam.policy.exam_id}/recordings`]) {
      const answer = await stage.call('GET', `${path}?cursor=${encodeURIComponent(cursor)}`, { token: stage.admin });
      expectRefusal(answer, 400, 'malformed');
    }
  });

  test.each(['x', '', 'A'.repeat(42), '%'])('no policy has the hash %j', async (hash) => {
    const answer = await stage.call('GET', `/v1/exams/${exam.policy.exam_id}/policy?hash=${hash}`);
    expectRefusal(answer, 400, 'malformed');
  });

  test.each([
    '/log/tile/0/x',
    '/log/tile/64/000',
    '/log/tile/0/000.p/0',
    '/log/tile/0/000.p/256',
    '/log/tile/0/0',
    '/log/tile/entries/999',
    '/log/tile/0/x999/x999/999',
    '/log/tile/../../../etc/passwd',
    '/log/tile/%2e%2e/%2e%2e',
  ])('there is no tile %s', async (path) => {
    const answer = await stage.call('GET', path);
    expect(answer.status).toBe(404);
  });

  test.each([
    '/',
    '/v1',
    '/v1/',
    '/v1/exam',
    '/v1/exams/',
    '/v2/exams',
    '//v1/exams',
    '/V1/EXAMS',
    '/v1/exams/../tokens/x/y',
  ])('there is no route %s', async (path) => {
    expectRefusal(await stage.call('GET', path, { token: stage.admin }), 404, 'not-found');
  });

  test('pages come in order, each row once, and end', async () => {
    const path = `/v1/exams/${exam.policy.exam_id}/recordings`;
    const ids: string[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < 5; page++) {
      const answer = await stage.call('GET', `${path}?limit=1${cursor === undefined ? '' : `&cursor=${cursor}`}`, {
        token: stage.admin,
      });
      const body = answer.body as { recordings: { recording_id: string }[]; cursor?: string };
      ids.push(...body.recordings.map(({ recording_id }) => recording_id));
      cursor = body.cursor;
      if (cursor === undefined) break;
    }
    expect(cursor).toBeUndefined();
    expect(ids).toEqual([...new Set(ids)].sort());
    expect(ids).toContain(recorder.sessionId);
  });
});

describe('methods', () => {
  test.each(named)('%s says which methods there are', async (_, row) => {
    const allowed = named
      .map(([, other]) => other)
      .filter((other) => other.route === row.route || other.path() === row.path())
      .map(({ method }) => method);
    for (const method of ['PUT', 'PATCH', 'OPTIONS', 'GET', 'POST', 'DELETE']) {
      if ((allowed as string[]).includes(method)) continue;
      const answer = await stage.call(method, row.path(), { token: stage.admin });
      expectRefusal(answer, 405, 'method-unknown');
      const allow = answer.headers.get('allow')!.split(', ');
      expect(allow).toEqual(expect.arrayContaining(allowed));
      expect(allow.includes('HEAD')).toBe(allow.includes('GET'));
    }
  });

  test('HEAD answers as GET does, without a body', async () => {
    for (const path of ['/v1/service', '/log/checkpoint', `/v1/exams/${exam.policy.exam_id}/policy`]) {
      const head = await fetch(`${stage.server.url}${path}`, { method: 'HEAD' });
      const get = await stage.call('GET', path);
      expect(head.status).toBe(200);
      expect(await head.text()).toBe('');
      expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'));
    }
    expect((await fetch(`${stage.server.url}/v1/tokens`, { method: 'HEAD' })).status).toBe(401);
  });

  test('no other origin is let in: pages are served from this one, so the API answers no CORS', async () => {
    const answer = await stage.call('GET', '/v1/service', { headers: { origin: 'https://elsewhere.example' } });
    expect([...answer.headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([]);
    const preflight = await stage.call('OPTIONS', '/v1/service', {
      headers: { origin: 'https://elsewhere.example', 'access-control-request-method': 'GET' },
    });
    expectRefusal(preflight, 405, 'method-unknown');
    expect(preflight.headers.has('access-control-allow-origin')).toBe(false);
  });
});

/** Sends bytes that no HTTP client would, and answers what came back until the end or a complete answer. */
function raw(head: string, body = ''): Promise<string> {
  const { hostname, port } = new URL(stage.server.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (piece: string) => {
      text += piece;
      // One answer is enough; a server that keeps the connection does not end it.
      const [headers, content] = text.split('\r\n\r\n', 2);
      const length = /content-length: (\d+)/i.exec(headers ?? '')?.[1];
      const isWhole = /transfer-encoding: chunked/i.test(headers ?? '')
        ? text.endsWith('0\r\n\r\n')
        : content !== undefined && content.length >= Number(length ?? 0);
      if (isWhole) {
        socket.destroy();
        resolve(text);
      }
    });
    socket.on('close', () => {
      resolve(text);
    });
    // A refused body may be cut off while it is still being sent: what was answered before counts.
    socket.on('error', () => {
      if (text === '') reject(new Error('the connection was cut without an answer'));
      else resolve(text);
    });
    socket.write(head);
    if (body !== '') socket.write(body);
  });
}
