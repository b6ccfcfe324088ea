/** What the metrics say is what happened: a real server is used and scraped, and `promtool` finds nothing to complain about. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Api } from '../../../src/client/api.ts';
import { readConfig } from '../../../src/server/config.ts';
import { media, type TestExam, type TestRecorder } from '../recorder.ts';
import { DAY_MS, expectStatus, HOUR_MS, Stage } from '../stage.ts';

const TOKEN = 'the-scraper-of-this-test';
const DEPLOY = new URL('../../../scripts/deploy/', import.meta.url).pathname;
let stage: Stage;
let exam: TestExam;
let recorder: TestRecorder;

beforeAll(async () => {
  stage = await Stage.start({
    config: { metrics: { token: TOKEN, listen: { host: '127.0.0.1', port: 0 } } },
  });
  exam = await stage.exam();
  recorder = await stage.recorder(exam);
});
afterAll(() => stage.stop());

async function scrape(): Promise<string> {
  const response = await fetch(stage.server.metricsUrl!, { headers: { authorization: `Bearer ${TOKEN}` } });
  expect(response.status).toBe(200);
  return response.text();
}

/** By series, such as `name{label="value"}`. */
async function series(): Promise<Map<string, number>> {
  const lines = (await scrape()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

/** What `work` adds to these series. */
async function growth(names: readonly string[], work: () => Promise<unknown>): Promise<number[]> {
  const before = await series();
  await work();
  const after = await series();
  return names.map((name) => (after.get(name) ?? 0) - (before.get(name) ?? 0));
}

const requests = (method: string, route: string, status: number) =>
  `zeroreel_http_requests_total{method="${method}",route="${route}",status="${status}"}`;

describe('metrics', () => {
  test('are for who shows the token, on their own port and on the API’s', async () => {
    for (const url of [stage.server.metricsUrl!, `${stage.server.url}/metrics`]) {
      for (const shown of [undefined, `Bearer ${stage.admin}`, TOKEN, 'Bearer ']) {
        const answer = await fetch(url, shown === undefined ? {} : { headers: { authorization: shown } });
        expect({ shown, status: answer.status }).toEqual({ shown, status: 401 });
      }
      expect((await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(200);
    }
    expect((await fetch(new URL('/v1/service', stage.server.metricsUrl))).status).toBe(404);
  });

  test('are nowhere unless they were asked for, and then for this machine alone', async () => {
    const silent = await Stage.start();
    expect((await silent.call('GET', '/metrics')).status).toBe(404);
    expect(silent.server.metricsUrl).toBeUndefined();
    await silent.stop();
    expect(readConfig({}).metrics).toBeUndefined();
    const port = { ZEROREEL_METRICS_PORT: '9464' };
    expect(readConfig(port).metrics).toEqual({ listen: { host: '127.0.0.1', port: 9464 } });
    const everywhere = { ...port, ZEROREEL_METRICS_HOST: '0.0.0.0' };
    expect(() => readConfig(everywhere)).toThrow(/ZEROREEL_METRICS_HOST: .*ZEROREEL_METRICS_TOKEN/);
    expect(readConfig({ ...everywhere, ZEROREEL_METRICS_TOKEN: TOKEN }).metrics?.token).toBe(TOKEN);
  });

  test('count requests by route, never by what they are about', async () => {
    const { exam_id: id } = exam.policy;
    const route = '/v1/exams/:exam/policy';
    const grown = await growth(
      [requests('GET', route, 200), requests('GET', route, 404), requests('GET', 'other', 404)],
      async () => {
        for (let i = 0; i < 3; i++) await stage.call('GET', `/v1/exams/${id}/policy?hash=${'A'.repeat(43)}`);
        await stage.call('GET', `/v1/exams/${id}/policy`);
        await stage.call('GET', `/nowhere/${id}`);
      },
    );
    expect(grown).toEqual([1, 3, 1]);
    const text = await scrape();
    for (const secret of [id, recorder.sessionId, recorder.token, stage.admin, TOKEN])
      expect(text).not.toContain(secret);
    expect(text).not.toMatch(/127\.0\.0\.1|localhost/);
  });

  test('count chunks and bytes when a receipt covers them, once', async () => {
    const chunks = [await recorder.chunk(1, media(3000)), await recorder.chunk(1, media(5000))];
    const names = ['zeroreel_chunks_acknowledged_total', 'zeroreel_bytes_acknowledged_total'];
    expect(await growth(names, () => stage.upload(recorder, ...chunks))).toEqual([0, 0]);
    const head = await recorder.head();
    const bytes = chunks.reduce((sum, { object }) => sum + object.length, 0);
    const send = async () => expectStatus(await stage.sendHead(recorder, head), 200);
    expect(await growth(names, send)).toEqual([2, bytes]);
    expect(await growth(names, send)).toEqual([0, 0]);
  });

  test('count for how long recorders say that their chunks have waited, and no nonsense', async () => {
    const names = ['zeroreel_recorder_outbox_age_seconds_count', 'zeroreel_recorder_outbox_age_seconds_sum'];
    const api = new Api({ url: stage.server.url });
    const other = await stage.recorder(exam);
    const chunk = (await other.chunk(1, media(100))).request;
    const ask = (waitedMs?: number) =>
      api.uploads(other.sessionId, other.token, { epoch: 0, chunks: [chunk] }, undefined, waitedMs);
    expect(await growth(names, () => ask(42_900))).toEqual([1, 42]);
    expect(await growth(names, () => ask())).toEqual([0, 0]);
    for (const told of ['-1', '1e3', '99999999', 'x', '1.5']) {
      const body = { epoch: 0, chunks: [chunk] };
      const sent = { token: other.token, body, headers: { 'zeroreel-outbox-age': told } };
      const call = async () =>
        expectStatus(await stage.call('POST', `/v1/recordings/${other.sessionId}/uploads`, sent), 200);
      expect(await growth(names, call)).toEqual([0, 0]);
    }
  });

  test('say how the bucket answers, operation by operation', async () => {
    const count = (operation: string, outcome: string) =>
      `zeroreel_bucket_request_duration_seconds_count{operation="${operation}",outcome="${outcome}"}`;
    const names = [count('ListObjectsV2', 'ok'), count('GetObject', 'ok'), count('GetObject', 'failed')];
    const [listed, got, failed] = await growth(names, async () => {
      await stage.upload(recorder, await recorder.chunk(1, media(100)));
      expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
      expectStatus(await stage.call('GET', '/health'), 200);
    });
    expect([listed! > 0, got, failed]).toEqual([true, 1, 0]);
  });

  test('say what is overdue, and since when; and nothing once it is gone', async () => {
    const doomed = await Stage.start({ config: { metrics: { token: TOKEN, listen: { host: '127.0.0.1', port: 0 } } } });
    const shortExam = await doomed.exam({ changes: { retention_days: 1 } });
    await doomed.recorder(shortExam);
    const read = async (name: string) => {
      const answer = await fetch(doomed.server.metricsUrl!, { headers: { authorization: `Bearer ${TOKEN}` } });
      return Number(new RegExp(`^${name} (.*)$`, 'm').exec(await answer.text())![1]);
    };
    expect([await read('zeroreel_recordings_overdue'), await read('zeroreel_purge_lag_seconds')]).toEqual([0, 0]);
    doomed.clock.advance(DAY_MS + HOUR_MS);
    expect([await read('zeroreel_recordings_overdue'), await read('zeroreel_purge_lag_seconds')]).toEqual([1, 3600]);
    await doomed.server.jobs.purge();
    expect([await read('zeroreel_recordings_overdue'), await read('zeroreel_purge_lag_seconds')]).toEqual([0, 0]);
    await doomed.stop();
  });

  test('say how old the oldest entry is that was not published', async () => {
    await stage.server.jobs.publish();
    expect((await series()).get('zeroreel_log_oldest_unpublished_seconds')).toBe(0);
    await stage.exam();
    stage.clock.advance(90_000);
    const late = await series();
    expect(late.get('zeroreel_log_oldest_unpublished_seconds')).toBe(90);
    expect(late.get('zeroreel_log_entries')! - late.get('zeroreel_log_published_entries')!).toBe(1);
    await stage.server.jobs.publish();
    expect((await series()).get('zeroreel_log_oldest_unpublished_seconds')).toBe(0);
  });

  test('say when each job last ended well, and count those that did not', async () => {
    const name = 'zeroreel_job_duration_seconds_count{task="sweep"}';
    expect(await growth([name], () => stage.server.jobs.sweep())).toEqual([1]);
    const ended = (await series()).get('zeroreel_job_last_success_timestamp_seconds{task="sweep"}')!;
    expect(ended * 1000).toBeGreaterThan(Date.now() - HOUR_MS);
  });
});

/** Names that an expression of PromQL, or a label's query of Grafana, asks for. */
const namesIn = (text: string) => new Set(text.match(/\b(?:zeroreel|process|nodejs)_\w+/g) ?? []);

describe('what is handed to an operator', () => {
  test('asks for metrics that this server has', async () => {
    expectStatus(await stage.call('GET', '/v1/service'), 200);
    const text = await scrape();
    const exported = new Set(
      [...text.matchAll(/^# TYPE (\w+) (\w+)/gm)].flatMap(([, name, type]) =>
        type === 'histogram' ? [`${name!}_bucket`, `${name!}_sum`, `${name!}_count`] : [name!],
      ),
    );
    for (const file of ['grafana.json', 'alerts.yml']) {
      const asked = namesIn(readFileSync(join(DEPLOY, file), 'utf8'));
      const missing = [...asked].filter((name) => !exported.has(name) && !RECORDED.has(name));
      expect({ file, missing }).toEqual({ file, missing: [] });
      expect(asked.size).toBeGreaterThan(5);
    }
  });

  test('is a dashboard as Grafana imports it: every panel has a query, and a place of its own', () => {
    const dashboard = JSON.parse(readFileSync(join(DEPLOY, 'grafana.json'), 'utf8')) as {
      uid: string;
      panels: {
        id: number;
        type: string;
        targets?: { expr: string }[];
        gridPos: { x: number; y: number; w: number };
      }[];
    };
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { type, targets } of panels)
      if (type !== 'row') expect(targets?.every(({ expr }) => expr !== '')).toBe(true);
    for (const { gridPos } of panels) expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
  });

  const hasPromtool = spawnSync('promtool', ['--version']).status === 0;
  if (!hasPromtool)
    process.stderr.write('\n*** NO promtool HERE: alert rules and the format of metrics are NOT checked ***\n\n');

  test.skipIf(!hasPromtool)(
    'is in the form that Prometheus reads, and its alerts go off when they should, and only then',
    async () => {
      // First: promtool keeps this process busy for longer than a connection is kept.
      const ours = (await scrape())
        .split('\n')
        .filter((line) => /zeroreel_/.test(line))
        .join('\n');
      const promtool = (words: readonly string[], input?: string) => {
        const { status, stdout, stderr } = spawnSync('promtool', words, {
          encoding: 'utf8',
          ...(input !== undefined && { input }),
        });
        return { status, said: `${stdout}${stderr}` };
      };
      expect(promtool(['check', 'rules', join(DEPLOY, 'alerts.yml')])).toMatchObject({ status: 0 });
      const tested = promtool(['test', 'rules', join(DEPLOY, 'alerts.test.yml')]);
      expect(tested).toMatchObject({ status: 0 });

      expect(promtool(['check', 'metrics'], `${ours}\n`)).toEqual({ status: 0, said: '' });
    },
  );

  test('tests every alert that it has', () => {
    const alerts = [...readFileSync(join(DEPLOY, 'alerts.yml'), 'utf8').matchAll(/- alert: (\w+)/g)].map(
      ([, name]) => name!,
    );
    const tests = readFileSync(join(DEPLOY, 'alerts.test.yml'), 'utf8');
    const asked = alerts.filter((name) => tests.split(`alertname="${name}"`).length > 3);
    expect(asked).toEqual(alerts);
  });
});

/** Computed by recording rules, not by the server. */
const RECORDED: ReadonlySet<string> = new Set([]);
