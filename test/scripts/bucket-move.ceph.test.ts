/** Objects go to another bucket while a server records and is read from: the real command, real stores, a death half-way. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterEach, describe, expect, it } from 'vitest';
import { equal } from '../../crypto/format/bytes.ts';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { newId } from '../../crypto/format/ids.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { openBucketCredentials } from '../../src/server/adapters/keyring.ts';
import { readConfig } from '../../src/server/config.ts';
import { scrub } from '../../src/server/jobs/scrub.ts';
import { start, type RunningServer } from '../../src/node.ts';
import type { Bucket } from '../../src/server/ports.ts';
import { gateway, gatewayAbsence } from '../ceph.ts';
import { read } from '../server/reader.ts';
import { media } from '../server/recorder.ts';
import { expectStatus, put, Stage } from '../server/stage.ts';
import { CommandLine } from './command-line.ts';

const CHUNKS = 24;

const newName = () =>
  `move-${newId()
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '0')}`;

/** Settings of a server on the first bucket, and of the same server on the second one with the first behind it. */
interface Places {
  before: Record<string, string>;
  during: Record<string, string>;
  after: Record<string, string>;
  /** The two buckets, for whoever looks into them. */
  open: () => { former: Bucket; current: Bucket };
}

async function cephPlaces(): Promise<Places> {
  const { endpoint, region, credentials } = gateway()!;
  const [first, second] = [newName(), newName()];
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
  for (const Bucket of [first, second]) await client.send(new CreateBucketCommand({ Bucket }));
  client.destroy();
  const at = (prefix: string, bucket: string) => ({
    [`${prefix}ENDPOINT`]: endpoint,
    [`${prefix}BUCKET`]: bucket,
    [`${prefix}ACCESS_KEY_ID`]: credentials.accessKeyId,
    [`${prefix}SECRET_ACCESS_KEY`]: credentials.secretAccessKey,
  });
  const after = at('ZEROREEL_S3_', second);
  const open = () => ({
    former: createS3Bucket({ endpoint, region, credentials, bucket: first }),
    current: createS3Bucket({ endpoint, region, credentials, bucket: second }),
  });
  return {
    ...{ before: at('ZEROREEL_S3_', first), after, open },
    during: { ...after, ...at('ZEROREEL_FORMER_S3_', first) },
  };
}

async function embeddedPlaces(dataDir: string): Promise<Places> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  await new Promise((closed) => probe.close(closed));
  const here = { ZEROREEL_BUCKET_PORT: String(port) };
  const after = { ...here, ZEROREEL_S3_BUCKET: 'second' };
  const endpoint = `http://127.0.0.1:${port}`;
  const open = () => {
    const at = { endpoint, region: 'us-east-1', credentials: openBucketCredentials(dataDir) };
    return {
      former: createS3Bucket({ ...at, bucket: 'zeroreel' }),
      current: createS3Bucket({ ...at, bucket: 'second' }),
    };
  };
  return { before: here, after, during: { ...after, ZEROREEL_FORMER_S3_ENDPOINT: 'embedded' }, open };
}

async function keysOf(bucket: Bucket): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of bucket.list('')) keys.push(key);
  return keys;
}

describe.each([
  { name: 'Ceph Object Gateway', places: cephPlaces, skipped: gatewayAbsence() },
  { name: 'the embedded bucket', places: embeddedPlaces, skipped: undefined },
])('bucket move, on $name', ({ places, skipped }) => {
  const cli = new CommandLine();
  let server: RunningServer | undefined;
  afterEach(async () => {
    await server?.close();
    cli.remove();
  });

  it.skipIf(skipped)(
    'loses nothing while it is recorded and read, killed half-way, and shows the former one empty',
    async () => {
      const dataDir = cli.path('server');
      const { before, during, after, open } = await places(dataDir);
      const serve = async (settings: Record<string, string>): Promise<Stage> => {
        await server?.close();
        const environment = {
          ZEROREEL_DATA: dataDir,
          ZEROREEL_ADMIN_TOKEN_FILE: cli.path('admin.token'),
          ZEROREEL_PORT: '0',
          ...settings,
        };
        server = await start({ config: readConfig(environment), isScheduled: false, isProbed: true });
        for (const name of Object.keys(cli.environment)) {
          if (/^ZEROREEL_(?:FORMER_|S3_|DATA|BUCKET)/.test(name)) Reflect.deleteProperty(cli.environment, name);
        }
        Object.assign(cli.environment, environment, { ZEROREEL_SERVER: server.url });
        return Stage.beside(server.url, readFileSync(cli.path('admin.token'), 'utf8').trim());
      };

      // 1. On the first bucket: one recording that has ended, one under way, and an upload whose URL is still good.
      let stage = await serve(before);
      const exam = await stage.exam();
      const ended = await stage.recorder(exam);
      for (let count = 0; count < CHUNKS; count++) await stage.upload(ended, await ended.chunk(1, media(9000, count)));
      expectStatus(await stage.sendHead(ended, await ended.close()), 200);
      const live = await stage.recorder(exam);
      await stage.upload(live, await live.chunk(1, media(5000, 1)));
      const late = await live.chunk(1, media(5000, 2));
      const lateUpload = await stage.sign(live, late);
      const stranger = media(9);
      const { former, current } = open();
      const promise = { key: 'stranger.txt', bytes: stranger.length, sha256: await sha256(stranger) };
      const { url, headers } = former.presignPut(promise, Date.now(), 300);
      expect((await fetch(url, { method: 'PUT', headers, body: stranger })).status).toBe(200);
      const owed = (await keysOf(former)).filter((key) => key !== 'stranger.txt');

      // 2. On both: what is new goes to the second, what is old is read from the first, and a head counts both.
      stage = await serve(during);
      expect(await put(lateUpload, late.object)).toBe(200);
      await stage.upload(live, await live.chunk(1, media(5000, 3)));
      expectStatus(await stage.sendHead(live, await live.head()), 200);
      expect(await keysOf(current)).toHaveLength(1);
      expect((await read(stage, ended.sessionId, exam.readers[0]!)).get('0/1')).toHaveLength(CHUNKS);

      const told = JSON.parse(await cli.must(['bucket', 'move', '--dry-run', '--json'])) as Record<string, unknown>;
      expect(told).toMatchObject({
        dry_run: true,
        recordings: 2,
        objects: CHUNKS + 2,
        copied: 0,
        deleted: 0,
        left: CHUNKS + 3,
      });
      expect(await keysOf(current)).toHaveLength(1);

      // 3. Killed when some were copied and none deleted.
      const [node, ...words] = cli.program;
      const child = spawn(node!, [...words, 'bucket', 'move', '--wait', '600'], {
        cwd: cli.folder,
        env: { PATH: process.env['PATH'] ?? '', ...cli.environment },
        stdio: 'ignore',
      });
      const isDead = once(child, 'exit');
      await expect
        .poll(async () => (await keysOf(current)).length, { interval: 5, timeout: 60_000 })
        .toBeGreaterThan(2);
      child.kill('SIGKILL');
      await isDead;
      expect((await keysOf(former)).filter((key) => key !== 'stranger.txt')).toHaveLength(owed.length + 1);

      // 4. Again, while the recorder goes on. The stranger's object is nobody's to move.
      const running = cli.run(['bucket', 'move', '--wait', '0', '--json']);
      await stage.upload(live, await live.chunk(1, media(5000, 4)));
      const first = await running;
      expect(first.error).toBe('');
      expect(first.exit).toBe(1);
      expect(JSON.parse(first.output)).toMatchObject({
        damaged: 0,
        different: 0,
        deleted: CHUNKS + 2,
        left: 1,
        foreign: 1,
      });
      await former.deleteVersions([{ key: 'stranger.txt' }]);
      expect(await cli.must(['bucket', 'move', '--wait', '0'])).toMatch(/a listing of the former bucket is empty$/);
      expect(await keysOf(former)).toEqual([]);

      // 5. On the second alone: everything opens, the recorder ends, and the blind audit finds nothing amiss.
      stage = await serve(after);
      expectStatus(await stage.sendHead(live, await live.close()), 200);
      const opened = await read(stage, ended.sessionId, exam.readers[0]!);
      // Not by toEqual, which takes seconds for bytes: idle connections end meanwhile.
      expect(opened.get('0/1')!.map((bytes, count) => equal(bytes, media(9000, count)))).toEqual(
        Array.from({ length: CHUNKS }, () => true),
      );
      expect((await read(stage, live.sessionId, exam.readers[1]!)).get('0/1')).toHaveLength(4);
      expect(await scrub(server!.ports, { isDeep: true })).toMatchObject({
        recordings: 2,
        objects: CHUNKS + 4,
        found: {},
        failed: [],
      });
      const log = (await server!.ports.store.entries(0, 1000)).map(({ bytes }) => decodeEntry(bytes));
      expect(log.filter(({ type }) => type === 'storage.attested').length).toBeGreaterThan(1);
    },
  );

  it.skipIf(skipped)('leaves what is being destroyed to the purge, which deletes in both', async () => {
    const dataDir = cli.path('server');
    const { before, during, open } = await places(dataDir);
    const environment = {
      ZEROREEL_DATA: dataDir,
      ZEROREEL_ADMIN_TOKEN_FILE: cli.path('admin.token'),
      ZEROREEL_PORT: '0',
    };
    server = await start({ config: readConfig({ ...environment, ...before }), isScheduled: false });
    const admin = readFileSync(cli.path('admin.token'), 'utf8').trim();
    let stage = Stage.beside(server.url, admin);
    const recorder = await stage.recorder(await stage.exam());
    await stage.upload(recorder, await recorder.chunk(1, media(5000)));
    await server.close();
    server = await start({ config: readConfig({ ...environment, ...during }), isScheduled: false });
    stage = Stage.beside(server.url, admin);
    await stage.upload(recorder, await recorder.chunk(1, media(5000, 2)));
    const { former, current } = open();
    expect([await keysOf(former), await keysOf(current)].map(({ length }) => length)).toEqual([1, 1]);
    const path = `/v1/recordings/${recorder.sessionId}/erasure`;
    expectStatus(await stage.call('POST', path, { token: admin, body: { reason: 'student' } }), 202);
    expect([...(await keysOf(former)), ...(await keysOf(current))]).toEqual([]);
    const log = (await server.ports.store.entries(0, 1000)).map(({ bytes }) => decodeEntry(bytes));
    expect(log.find(({ type }) => type === 'deletion.completed')).toMatchObject({ objects: 2 });
  });
});
