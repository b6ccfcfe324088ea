/**
 * The API against its own document, from outside: requests made from nothing but `/v1/openapi.json`, good and bad, by everybody; a machine
 * that fails; and one life of a recording. `call` holds each answer against the table (test/server/contract.ts).
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApp } from '../../../src/server/app.ts';
import { type RouteName, routeRows } from '../../../src/server/http/routes.ts';
import type { Ports } from '../../../src/server/ports.ts';
import { StoreError } from '../../../src/server/store.ts';
import { expectDocumented } from '../contract.ts';
import { media, nextPolicy, type TestExam, type TestRecorder } from '../recorder.ts';
import { SAMPLES } from '../samples.ts';
import { DAY_MS, expectStatus, Stage } from '../stage.ts';
import { toBase64Url } from '../../../crypto/format/bytes.ts';

const RUNS = Number(process.env['EXECUTIONS'] ?? 25);

interface JsonSchema {
  $ref?: string;
  type?: string;
  const?: unknown;
  enum?: unknown[];
  pattern?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
}
interface Operation {
  requestBody?: { content: { 'application/json': { schema: JsonSchema } } };
  parameters: { name: string; in: string; schema: JsonSchema }[];
}
interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, JsonSchema> };
}

let stage: Stage;
let exam: TestExam;
let recorder: TestRecorder;
let document: Document;
let tokens: (string | undefined)[];

beforeAll(async () => {
  stage = await Stage.start();
  exam = await stage.exam({ changes: { not_after: stage.clock.now() + 2 * DAY_MS } });
  recorder = await stage.recorder(exam);
  await stage.server.jobs.publish();
  tokens = [undefined, 'x'.repeat(30), recorder.token, stage.admin, await stage.token('instructor')];
  tokens.push(await stage.token('compliance'));
  document = expectStatus<Document>(await stage.call('GET', '/v1/openapi.json'), 200);
});
afterAll(() => stage.stop());

/** Values that the schema allows, as far as the document says; long texts are cut short. */
function valuesOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) return valuesOf(document.components.schemas[schema.$ref.split('/').at(-1)!]!);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return fc.oneof(...choices.map(valuesOf));
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema.type === 'integer')
    return fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 2 ** 31, 2 ** 31) });
  if (schema.type === 'array') {
    const limits = {
      minLength: schema.minItems ?? 0,
      maxLength: Math.min(schema.maxItems ?? 3, (schema.minItems ?? 0) + 2),
    };
    return fc.array(valuesOf(schema.items!), limits);
  }
  if (schema.type === 'object') {
    const { properties = {}, required = [] } = schema;
    const members = Object.fromEntries(Object.entries(properties).map(([name, of]) => [name, valuesOf(of)]));
    return fc.record(members, { requiredKeys: required });
  }
  const { minLength = 1, maxLength = 100_000 } = schema;
  const text =
    schema.pattern === undefined
      ? fc.string({ minLength, maxLength: Math.min(maxLength, 60) })
      : fc.stringMatching(new RegExp(schema.pattern, 'u'));
  return text.filter(({ length }) => length >= minLength && length <= maxLength);
}

/** Now and then something that the schema does not allow. */
const spoilt = (good: fc.Arbitrary<unknown>) =>
  fc.oneof(
    { weight: 4, arbitrary: good },
    { weight: 1, arbitrary: fc.jsonValue() },
    { weight: 1, arbitrary: good.map((value) => ({ ...(value as object), surplus: 1 })) },
  );

const KNOWN = () => ({
  exam: [exam.policy.exam_id],
  id: [recorder.sessionId],
  epoch: ['0'],
  index: ['0'],
  size: ['1'],
});

describe('requests made from the document alone are answered as it says', () => {
  test.each(routeRows.map(([name]) => name).filter((name) => name !== 'POST /v1/recordings/:id/erasure'))(
    '%s',
    async (name) => {
      const [method, path] = name.split(' ') as [string, string];
      const template = path.replaceAll(/:(\w+)/g, '{$1}').replace('*', '{path}');
      const { requestBody, parameters } = document.paths[template]![method.toLowerCase()]!;
      const known: Record<string, string[]> = KNOWN();
      const pathValue = ({ name: of }: { name: string }) =>
        fc.oneof(fc.constantFrom(...(known[of] ?? ['0'])), fc.stringMatching(/^[A-Za-z0-9_.~-]{1,24}$/));
      const values = fc.record({
        path: fc.record(
          Object.fromEntries(parameters.filter((p) => p.in === 'path').map((p) => [p.name, pathValue(p)])),
        ),
        query: fc.record(
          Object.fromEntries(
            parameters.filter((p) => p.in === 'query').map((p) => [p.name, fc.oneof(valuesOf(p.schema), fc.string())]),
          ),
          { requiredKeys: [] },
        ),
        body: requestBody ? spoilt(valuesOf(requestBody.content['application/json'].schema)) : fc.constant(undefined),
        token: fc.constantFrom(...tokens),
      });
      await fc.assert(
        fc.asyncProperty(values, async ({ path: inPath, query, body, token }) => {
          const filled = template.replaceAll(/\{(\w+)\}/g, (_, of: string) => encodeURIComponent(String(inPath[of])));
          const search = new URLSearchParams(query as Record<string, string>).toString();
          const answer = await stage.call(method, `${filled}${search === '' ? '' : `?${search}`}`, {
            ...(token !== undefined && { token }),
            ...(body !== undefined && { body: JSON.stringify(body) }),
            headers: { 'zeroreel-csrf': '1' },
          });
          expect(answer.status).toBeLessThan(500);
        }),
        { numRuns: RUNS },
      );
    },
  );
});

/** Routes that need nothing that could fail. */
const NEEDS_NOTHING: ReadonlySet<RouteName> = new Set([
  'GET /v1/service',
  'GET /health',
  'GET /ready',
  'GET /log/vkey',
  'GET /v1/openapi.json',
  'GET /v1/reference',
  'GET /lti/login',
  'POST /lti/login',
  'GET /lti/register',
  'GET /v1/oidc/login',
  'GET /v1/oidc/callback',
]);

describe('a machine that fails is told as it is, by every route', () => {
  test.each(routeRows.map(([name]) => name).filter((name) => !NEEDS_NOTHING.has(name)))('%s', async (name) => {
    const [method] = name.split(' ') as [string];
    const { path, body, form } = SAMPLES[name];
    for (const [thrown, code] of [
      [new StoreError('busy', 'x'), 'busy'],
      [new StoreError('unavailable', 'x'), 'database-unavailable'],
      [new Error('x'), 'internal'],
    ] as const) {
      const failing = new Proxy(stage.server.ports.store, {
        get: () => () => Promise.reject(thrown),
      });
      const ports: Ports = { ...stage.server.ports, store: failing };
      // The sample is good as far as the store, with one exception: this head names no epoch.
      const sent = name === 'POST /v1/recordings/:id/heads' ? { head: await recorder.head() } : body?.();
      const response = await createApp(ports).request(path({ exam, recorder }), {
        method,
        headers: {
          ...{ authorization: `Bearer ${stage.admin}`, 'zeroreel-csrf': '1' },
          'content-type': form ? 'application/x-www-form-urlencoded' : 'application/json',
        },
        ...(sent && { body: JSON.stringify(sent) }),
        ...(form && { body: new URLSearchParams(form).toString() }),
      });
      const answer = { status: response.status, headers: response.headers, body: (await response.json()) as unknown };
      expectDocumented(method, path({ exam, recorder }), answer);
      expect({ name, code: (answer.body as { code?: string }).code }).toEqual({ name, code });
    }
  });
});

test('one life of a recording meets what the document says of it', async () => {
  const living = await stage.recorder(exam);
  const key = exam.readers[0]!.keyIdB64;
  const staff = (path: string, body: object) => stage.call('POST', path, { token: stage.admin, body });
  const own = `/v1/recordings/${living.sessionId}`;
  const wider = await nextPolicy(exam, { title: 'Renamed' });
  await stage.publish(wider);
  expectStatus(await staff('/v1/exams', { policy: toBase64Url(wider.record) }), 200);
  expectStatus(await staff('/v1/exams', { policy: toBase64Url(exam.record) }), 409);
  expectStatus(await stage.open(living), 200);
  await stage.upload(living, await living.chunk(1, media(500)));
  expectStatus(await stage.sendHead(living, await living.head()), 200);
  for (const purpose of ['review', 'export'])
    expectStatus(await staff(`${own}/release`, { key_id: key, purpose }), 200);
  expectStatus(await staff(`${own}/downloads`, { objects: [{ epoch: 0, track: 1, seq: 0 }] }), 200);
  expectStatus(await staff(`${own}/exports`, { key_id: key, kind: 'sealed' }), 201);
  expectStatus(await staff(`${own}/erasure`, { reason: 'owner' }), 202);
  expectStatus(await staff(`${own}/release`, { key_id: key, purpose: 'review' }), 410);
  expectStatus(await stage.open(living), 410);
  expectStatus(await stage.sendHead(living, await living.head()), 410);
  await stage.server.jobs.publish();
  expectStatus(await stage.call('GET', `/v1/receipts/${living.sessionId}`), 200);
});

test('none of this was a failure of the server', () => {
  expect(stage.reported).toEqual([]);
});
