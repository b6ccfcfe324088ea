/** Traces reach a collector as OTLP says, hang together, and tell nothing of who or what; without a collector nothing is loaded. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readConfig } from '../../../src/server/config.ts';
import { media } from '../recorder.ts';
import { expectStatus, Stage } from '../stage.ts';

interface Value {
  stringValue?: string;
  intValue?: number;
}
interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: Value }[];
  status: { code?: number };
}
interface Sent {
  resourceSpans: { resource: { attributes: { key: string; value: Value }[] }; scopeSpans: { spans: Span[] }[] }[];
}

/** A collector: takes what is posted to `/v1/traces`, and answers as one does. */
let collector: Server;
let url: string;
let bodies: string[];
let paths: string[];

beforeEach(async () => {
  [bodies, paths] = [[], []];
  collector = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    request.on('end', () => {
      paths.push(`${request.method ?? ''} ${request.url ?? ''} ${request.headers['content-type'] ?? ''}`);
      bodies.push(text);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((listening) => collector.listen(0, '127.0.0.1', listening));
  url = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
});
afterEach(async () => {
  collector.closeAllConnections();
  await new Promise((closed) => collector.close(closed));
});

const spans = () =>
  bodies.flatMap((body) =>
    (JSON.parse(body) as Sent).resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
  );
const attribute = ({ attributes }: Pick<Span, 'attributes'>, name: string): string | number | undefined => {
  const { stringValue, intValue } = attributes.find(({ key }) => key === name)?.value ?? {};
  return stringValue ?? intValue;
};

test('a request is a span with its route and status, and what it asks of the bucket hangs from it', async () => {
  const { traces } = readConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/`, OTEL_TRACES_SAMPLER_ARG: '1' });
  const stage = await Stage.start({ config: { traces: traces! } });
  const exam = await stage.exam();
  const recorder = await stage.recorder(exam);
  await stage.upload(recorder, await recorder.chunk(1, media(500)));
  expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
  const invented = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  await stage.call('GET', `/v1/receipts/${recorder.sessionId}?x=${recorder.token}`, {
    headers: { traceparent: invented, 'x-real-ip': '203.0.113.7' },
  });
  await stage.server.jobs.sweep();
  await stage.stop();

  expect(new Set(paths)).toEqual(new Set(['POST /v1/traces application/json']));
  const [head] = spans().filter(({ name }) => name === 'POST /v1/recordings/:id/heads');
  expect(head).toMatchObject({ kind: 2 });
  expect(head!.parentSpanId ?? '').toBe('');
  expect(attribute(head!, 'http.route')).toBe('/v1/recordings/:id/heads');
  expect(attribute(head!, 'http.response.status_code')).toBe(200);
  const parts = spans().filter(
    ({ traceId, parentSpanId }) => traceId === head!.traceId && parentSpanId === head!.spanId,
  );
  expect(parts.map(({ name, kind }) => ({ name, kind }))).toEqual([{ name: 'S3/ListObjectsV2', kind: 3 }]);
  expect(BigInt(parts[0]!.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(head!.startTimeUnixNano));
  expect(BigInt(parts[0]!.endTimeUnixNano)).toBeLessThanOrEqual(BigInt(head!.endTimeUnixNano));
  expect(spans().map(({ name }) => name)).toContain('job sweep');

  const [sent] = bodies.map((body) => (JSON.parse(body) as Sent).resourceSpans[0]!.resource);
  expect(attribute(sent!, 'service.name')).toBe('zeroreel');
  for (const secret of [
    ...[recorder.sessionId, recorder.token, exam.policy.exam_id, stage.admin, '203.0.113.7'],
    // What a client sends as its trace is not believed.
    '0af7651916cd43dd8448eb211c80319c',
  ])
    expect(bodies.join()).not.toContain(secret);
});

test('a failure of the server is a span that says so', async () => {
  const stage = await Stage.start({ config: { traces: { url: `${url}/v1/traces`, ratio: 1 } } });
  const exam = await stage.exam();
  const store = stage.server.ports.store as { policyByHash: unknown };
  store.policyByHash = () => Promise.reject(new Error('broken for this test'));
  await stage.call('GET', `/v1/exams/${exam.policy.exam_id}/policy?hash=${'A'.repeat(43)}`);
  await stage.stop();
  const [failed] = spans().filter(({ name }) => name === 'GET /v1/exams/:exam/policy');
  expect(attribute(failed!, 'http.response.status_code')).toBe(500);
  expect(failed!.status.code).toBe(2);
  expect(bodies.join()).not.toContain('broken for this test');
});

test('a collector that is away costs no answer and delays no stop for long', async () => {
  const stage = await Stage.start({ config: { traces: { url: 'http://127.0.0.1:1/v1/traces', ratio: 1 } } });
  expectStatus(await stage.call('GET', '/v1/service'), 200);
  await stage.stop();
  expect(stage.reported).toEqual([]);
});

test('nothing is traced unless a collector is named, and then the share that was asked for', async () => {
  expect(readConfig({}).traces).toBeUndefined();
  const whole = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://otel.example.org/custom' };
  expect(readConfig(whole).traces).toEqual({ url: 'https://otel.example.org/custom', ratio: 0.05 });
  const stage = await Stage.start({ config: { traces: { url: `${url}/v1/traces`, ratio: 0 } } });
  expectStatus(await stage.call('GET', '/v1/service'), 200);
  await stage.stop();
  expect(spans()).toEqual([]);
});
