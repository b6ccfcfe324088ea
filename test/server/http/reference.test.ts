/** The table of routes as it is shown: OpenAPI, a page, and the document in the repository. */
import { readFileSync } from 'node:fs';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withTables } from '../../../src/server/http/api-tables.ts';
import { deprecate } from '../../../src/server/http/deprecation.ts';
import { templateOf } from '../../../src/server/http/openapi.ts';
import { type Route, routeRows, ROUTES } from '../../../src/server/http/routes.ts';
import { expectStatus, Stage } from '../stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.stop());

interface Document {
  openapi: string;
  paths: Record<string, Record<string, { responses: Record<string, unknown>; security: unknown[] }>>;
  components: { schemas: Record<string, unknown> };
}

test('schema/API.md has the routes and codes of this server; scripts/api-document.ts writes them', () => {
  const document = readFileSync(new URL('../../../schema/API.md', import.meta.url), 'utf8');
  expect(document).toBe(withTables(document));
  expect(document).toContain('| `GET /v1/openapi.json` |');
  expect(document).toContain('| `rate-limited` | 429 |');
});

describe('OpenAPI', () => {
  let document: Document;
  beforeAll(async () => {
    document = expectStatus<Document>(await stage.call('GET', '/v1/openapi.json'), 200);
  });

  test('has every route, and every reference in it leads somewhere', () => {
    expect(document.openapi).toBe('3.1.0');
    const names = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(names.sort()).toEqual(routeRows.map(([name]) => templateOf(name)).sort());
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)];
    expect(references.length).toBeGreaterThan(100);
    for (const [, name] of references) expect(document.components.schemas).toHaveProperty(name!);
    expect(JSON.stringify(document)).not.toMatch(/"\$(?:id|schema)"/);
  });

  test('says of each operation what may come, and who may call', () => {
    for (const methods of Object.values(document.paths)) {
      for (const { responses, security } of Object.values(methods)) {
        expect(Object.keys(responses).some((status) => /^[23]/.test(status))).toBe(true);
        expect(responses).toHaveProperty('503');
        expect('401' in responses || security.length === 0).toBe(true);
      }
    }
  });
});

test('the page to read brings no script and passes its own policy', async () => {
  const answer = await stage.call('GET', '/v1/reference');
  const page = expectStatus<string>(answer, 200);
  expect(answer.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; base/);
  expect(page).not.toMatch(/<script|style="/);
  for (const [name] of routeRows) expect(page).toContain(name);
});

test.each(routeRows.filter(([, { isTagged }]) => isTagged === true).map(([name]) => name))(
  '%s answers 304 to who has it, and 200 once there is something new',
  async (name) => {
    const exam = await stage.exam();
    const recorder = await stage.recorder(exam);
    await stage.server.jobs.publish();
    const path = name.split(' ')[1]!.replace(':exam', exam.policy.exam_id).replace(':id', recorder.sessionId);
    const ask = (tag?: string) =>
      stage.call('GET', path, { token: stage.admin, headers: tag === undefined ? {} : { 'if-none-match': tag } });
    const first = await ask();
    const etag = first.headers.get('etag')!;
    expect(first.status).toBe(200);
    expect(first.headers.get('cache-control')).toMatch(/^(?:private|public), no-cache$/);
    for (const tag of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const again = await ask(tag);
      expect([again.status, again.body, again.headers.get('etag')]).toEqual([304, '', etag]);
    }
    expect((await ask('"other"')).status).toBe(200);
    if (/openapi|reference/.test(path)) return;
    const erasure = { token: stage.admin, body: { reason: 'owner' } };
    expectStatus(await stage.call('POST', `/v1/recordings/${recorder.sessionId}/erasure`, erasure), 202);
    await stage.server.jobs.publish();
    expect((await ask(etag)).status).toBe(200);
  },
);

test('a route that is to go says so; the others do not', async () => {
  const app = new Hono();
  const going: Route = {
    ...ROUTES['GET /health'],
    deprecated: { since: '2027-01-01T00:00:00Z', sunset: '2027-07-01T00:00:00Z', instead: '/v2/health' },
  };
  deprecate(app, [
    ['GET /health', going],
    ['GET /other', ROUTES['GET /health']],
  ]);
  for (const path of ['/health', '/other']) app.get(path, (c) => c.text('well'));
  const { headers } = await app.request('/health');
  expect(headers.get('deprecation')).toBe('@1798761600');
  expect(headers.get('sunset')).toBe('Thu, 01 Jul 2027 00:00:00 GMT');
  expect(headers.get('link')).toBe('</v2/health>; rel="successor-version"');
  expect((await app.request('/other')).headers.get('deprecation')).toBeNull();
});

test('a token that is asked for again with its key is the same; with another request the key is refused', async () => {
  const ask = (body: object, key: string, token = stage.admin) =>
    stage.call('POST', '/v1/tokens', { token, body, headers: { 'idempotency-key': key } });
  const body = { role: 'instructor', label: 'again', days: 9 };
  const key = 'k'.repeat(20);
  const before = (await stage.server.ports.store.tokens()).length;
  const first = expectStatus<{ token: string; prefix: string }>(await ask(body, key), 201);
  stage.clock.advance(5000);
  expect((await ask(body, key)).body).toEqual(first);
  expect(await stage.server.ports.store.tokens()).toHaveLength(before + 1);
  for (const change of [{ label: 'other' }, { days: 8 }, { exam_ids: ['A'.repeat(22)] }])
    expectStatus(await ask({ ...body, ...change }, key), 409);
  expect((await Promise.all([ask(body, key), ask(body, key)])).map(({ body: again }) => again)).toEqual([first, first]);
  const another = expectStatus<{ token: string }>(await ask(body, 'j'.repeat(20)), 201);
  expect(another.token).not.toBe(first.token);
  // Another administrator's key is another key.
  const colleague = await stage.token('admin');
  expect((await ask(body, key, colleague)).body).not.toMatchObject({ token: first.token });
  await stage.call('DELETE', `/v1/tokens/${first.prefix}`, { token: stage.admin });
  expectStatus(await ask(body, key), 409);
  for (const bad of ['short', 'x'.repeat(65), 'with spaces in it all']) expectStatus(await ask(body, bad), 400);
});
