/** The server on PostgreSQL: the suites of its API as they are, and two processes on two data folders behind a balancer. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromBase64Url } from '../../crypto/format/bytes.ts';
import { type RunningBucket, startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { openDatabases } from '../../src/server/adapters/databases.ts';
import type { Config } from '../../src/server/config.ts';
import { postgresAbsence, TestCluster } from '../postgres.ts';
import { stillBelow } from './adapters/residue.ts';
import { type Proxy, startProxy } from './proxy.ts';
import { read } from './reader.ts';
import { media, type TestExam, TestRecorder } from './recorder.ts';
import { expectStatus, Stage, stageOn } from './stage.ts';

const absence = postgresAbsence();
const clusters: TestCluster[] = [];

beforeAll(async () => {
  if (absence !== undefined) return;
  clusters.push(...(await Promise.all([TestCluster.make(), TestCluster.make()])));
});
afterAll(() => {
  for (const cluster of clusters) cluster.stop();
});

async function databases(): Promise<{ url: string; vaultUrl: string }> {
  const [url, vaultUrl] = await Promise.all(clusters.map((cluster) => cluster.database()));
  return { url: url!, vaultUrl: vaultUrl! };
}

describe.skipIf(absence !== undefined)(absence ?? 'two processes on one PostgreSQL, a request to each in turn', () => {
  let folder: string;
  let bucket: RunningBucket;
  let balancer: Proxy;
  let stage: Stage;
  let exam: TestExam;
  const nodes: { process: ChildProcess; url: string }[] = [];
  const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'a secret of this test' };

  async function startNode(dataDir: string, environment: Record<string, string>): Promise<void> {
    const child = spawn(process.execPath, ['--import', 'tsx', 'src/node.ts'], {
      env: {
        ...{ PATH: process.env['PATH'], ZEROREEL_DATA: dataDir, ZEROREEL_PORT: '0' },
        ZEROREEL_ADMIN_TOKEN_FILE: join(folder, 'admin.token'),
        ...environment,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    for await (const line of createInterface({ input: child.stderr })) {
      said += `${line}\n`;
      const url = /serving (http:\S+)/.exec(line)?.[1];
      if (url === undefined) continue;
      nodes.push({ process: child, url });
      child.stderr.resume();
      return;
    }
    throw new Error(`expected the server to start, found: ${said}`);
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'zeroreel-test-'));
    bucket = await startEmbeddedBucket({ dir: join(folder, 'bucket'), credentials, buckets: ['nodes'] });
    const { url, vaultUrl } = await databases();
    const environment = {
      ZEROREEL_DATABASE_URL: url,
      ZEROREEL_VAULT_URL: vaultUrl,
      ZEROREEL_S3_ENDPOINT: bucket.endpoint,
      ZEROREEL_S3_BUCKET: 'nodes',
      ZEROREEL_S3_ACCESS_KEY_ID: credentials.accessKeyId,
      ZEROREEL_S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    };
    const [first, second] = [join(folder, 'first'), join(folder, 'second')];
    await startNode(first, environment);
    // One log has one key: whoever adds a machine brings it there.
    mkdirSync(second, { mode: 0o700 });
    copyFileSync(join(first, 'log.key'), join(second, 'log.key'));
    await startNode(second, environment);
    balancer = await startProxy(nodes[0]!.url, nodes[1]!.url);
    stage = Stage.beside(balancer.endpoint, readFileSync(join(folder, 'admin.token'), 'utf8').trim());
    exam = await stage.exam();
  });
  afterAll(async () => {
    await balancer.close();
    for (const { process: node } of nodes) {
      if (node.exitCode !== null || node.signalCode !== null) continue;
      node.kill('SIGTERM');
      await once(node, 'exit');
    }
    await bucket.close();
    rmSync(folder, { recursive: true, force: true });
  });

  let recorder: TestRecorder;

  test('a life passes through both', async () => {
    recorder = await TestRecorder.begin(exam, { now: Date.now() });
    expectStatus(await stage.open(recorder), 201);
    for (let seq = 0; seq < 4; seq++) {
      await stage.upload(recorder, await recorder.chunk(1, media(100, seq + 1)));
      expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
    }
    expectStatus(await stage.sendHead(recorder, await recorder.close()), 200);
    expect((await read(stage, recorder.sessionId, exam.readers[0]!)).get('0/1')).toHaveLength(4);
  });

  test('an erasure leaves no byte of share or wraps in a file of either cluster', async () => {
    const secrets = [
      recorder.secrets.shred,
      ...recorder.openBody.wraps.map((wrap) => fromBase64Url(wrap).subarray(64)),
    ];
    for (const cluster of clusters) await cluster.asSuperuser('postgres', ['CHECKPOINT']);
    expect(clusters.reduce((sum, { dataDir }) => sum + stillBelow(dataDir, secrets), 0)).toBe(secrets.length);
    const path = `/v1/recordings/${recorder.sessionId}/erasure`;
    expectStatus(await stage.call('POST', path, { token: stage.admin, body: { reason: 'student' } }), 202);
    expect(clusters.map(({ dataDir }) => stillBelow(dataDir, secrets))).toEqual([0, 0]);
  });

  test('when one dies between two calls, the other goes on with what it acknowledged', async () => {
    const living = await TestRecorder.begin(exam, { now: Date.now() });
    expectStatus(await stage.open(living), 201);
    await stage.upload(living, await living.chunk(1, media(10)));
    nodes[0]!.process.kill('SIGKILL');
    await once(nodes[0]!.process, 'exit');
    const left = Stage.beside(nodes[1]!.url, stage.admin);
    expectStatus(await left.sendHead(living, await living.close()), 200);
    expect((await read(left, living.sessionId, exam.readers[0]!)).get('0/1')).toEqual([media(10)]);
  });
});

describe.skipIf(absence !== undefined)(absence ?? 'a start on PostgreSQL', () => {
  const open = async (database: Config['database']): Promise<unknown[]> => {
    const reported: unknown[] = [];
    const { store, vault } = await openDatabases({ database, vaultHorizonMs: 0 } as Config, '', (error) => {
      reported.push(error);
    });
    await Promise.all([store.close(), vault.close()]);
    return reported;
  };

  test('has nothing to complain of where everything is as it should be', async () => {
    expect(await open(await databases())).toEqual([]);
  });

  test('is refused where the vault would be in the backups of the database', async () => {
    const url = await clusters[0]!.database();
    const vaultUrl = await clusters[0]!.database();
    await expect(open({ url, vaultUrl })).rejects.toThrow(/same PostgreSQL cluster/);
  });

  test.each([
    ['wal_recycle', 'on', 'vault', /used again/],
    ['log_statement', 'all', 'vault', /shows parameters/],
    ['full_page_writes', 'off', 'database', /full_page_writes is off/],
    ['synchronous_commit', 'off', 'database', /synchronous_commit is off/],
  ] as const)('is refused where %s = %s breaks a promise of the %s', async (name, value, whose, message) => {
    const cluster = clusters[whose === 'vault' ? 1 : 0]!;
    const all = await databases();
    await cluster.withSetting(name, value, async () => {
      await expect(open(all)).rejects.toThrow(message);
    });
    expect(await open(all)).toEqual([]);
  });

  test('says of the database what does not keep it from starting', async () => {
    await clusters[0]!.withSetting('wal_keep_size', '16MB', async () => {
      expect(String(await open(await databases()))).toMatch(/the database: 16MB of WAL are kept/);
    });
  });
});

describe.skipIf(absence !== undefined)(absence ?? 'the API on PostgreSQL', () => {
  const byFolder = new Map<string, ReturnType<typeof databases>>();
  stageOn(async (dataDir) => {
    if (!byFolder.has(dataDir)) byFolder.set(dataDir, databases());
    return byFolder.get(dataDir);
  });
  describe('races', async () => {
    await import('./races.test.ts');
  });
  describe('opening', async () => {
    await import('./http/opening.test.ts');
  });
  describe('review', async () => {
    await import('./http/review.test.ts');
  });
  describe('a whole life, and the purge after 30 days', async () => {
    await import('./life.e2e.test.ts');
  });
});
