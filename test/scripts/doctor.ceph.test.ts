/**
 * The doctor against real stores, as they are and as they may be set, and each of its probes against a store that fails it: the real
 * one, behind a proxy that misbehaves in exactly that respect.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../crypto/format/ids.ts';
import { probeBucket } from '../../src/server/adapters/bucket-probe.ts';
import { startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { judge, type StorageFinding } from '../../src/server/core/attestation.ts';
import { gateway, gatewayAbsence } from '../ceph.ts';
import { type Mischief, type Proxy, startProxy } from '../server/proxy.ts';
import { Stage } from '../server/stage.ts';
import { CommandLine } from './command-line.ts';

const MINUTE_MS = 60_000;

interface Store {
  endpoint: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
  close(): Promise<void>;
}

async function embedded(): Promise<Store> {
  const dir = mkdtempSync(join(tmpdir(), 'zeroreel-doctor-'));
  const credentials = { accessKeyId: 'AKDOCTOR', secretAccessKey: 'SKDOCTOR' };
  const running = await startEmbeddedBucket({ dir, credentials });
  const close = async () => {
    await running.close();
    rmSync(dir, { recursive: true, force: true });
  };
  return { endpoint: running.endpoint, region: 'us-east-1', credentials, close };
}

const ceph = (): Promise<Store> => Promise.resolve({ ...gateway()!, close: () => Promise.resolve() });

const newName = (): string =>
  `doctor-${newId()
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '0')}`;

/** Answers in the store's place, once the body is in. */
function answer(status: number, body = '', headers: Record<string, string> = {}): Mischief {
  return (request, response) => {
    request.resume().on('end', () => response.writeHead(status, headers).end(body));
    return 'handled';
  };
}

/** Does this to requests that `isMeant`, and passes on the rest. */
function only(isMeant: (request: IncomingMessage) => boolean, mischief: Mischief): Mischief {
  return (request, response) => (isMeant(request) ? mischief(request, response) : undefined);
}

const takes = (mark: string) => only(({ method, url }) => method === 'PUT' && url!.includes(mark), answer(200));
const says = (query: string, body: string, status = 200) =>
  only(({ method, url }) => method === 'GET' && new RegExp(`[?&]${query}(=|&|$)`).test(url!), answer(status, body));

/** Every second PUT of the probe's object is the one that must be refused. */
function takesTwice(): Mischief {
  let count = 0;
  return only(({ method, url }) => method === 'PUT' && url!.includes('/object?') && ++count === 2, answer(200));
}

const XML = '<?xml version="1.0" encoding="UTF-8"?>';
const EMPTY_LIST = `${XML}<ListBucketResult><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>`;
const NOTHING_DELETED = `${XML}<DeleteResult></DeleteResult>`;
const SUSPENDED = `${XML}<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>`;
const LOCKED = `${XML}<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>`;
const SHORT_LIFE = `${XML}<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter><Expiration><Days>7</Days></Expiration></Rule></LifecycleConfiguration>`;

const UNFIT: [what: string, check: string, state: string, mischief: () => Mischief][] = [
  ['takes a forged signature', 'bucket.signature', 'bad', () => takes('/forged?')],
  ['takes an expired URL', 'bucket.expiry', 'bad', () => takes('/late?')],
  ['takes a URL for another key', 'bucket.key', 'bad', () => takes('/there?')],
  ['takes another length', 'bucket.length', 'weak', () => takes('/longer?')],
  ['takes another body', 'bucket.sha256', 'weak', () => takes('/wrong-body?')],
  ['overwrites', 'bucket.create-only', 'weak', takesTwice],
  [
    'fails in place of a refusal',
    'bucket.sha256',
    'unknown',
    () => only(({ url }) => url!.includes('/wrong-body?'), answer(500)),
  ],
  ['takes no upload', 'bucket.write', 'bad', () => only(({ method }) => method === 'PUT', answer(403))],
  ['gives other bytes back', 'bucket.read', 'bad', () => only(isObjectRead, answer(200, 'other bytes'))],
  [
    'serves no ranges',
    'bucket.range',
    'weak',
    () => only((request) => isObjectRead(request) && request.headers.range !== undefined, answer(200, 'all')),
  ],
  ['lists late', 'bucket.list', 'bad', () => says('list-type', EMPTY_LIST)],
  [
    'deletes nothing',
    'bucket.delete',
    'bad',
    () => only(({ method }) => method === 'POST', answer(200, NOTHING_DELETED)),
  ],
  ['lets no page upload', 'bucket.cors', 'weak', () => only(({ method }) => method === 'OPTIONS', answer(403))],
  ['suspended versioning', 'bucket.versioning', 'bad', () => says('versioning', SUSPENDED)],
  ['locks objects', 'bucket.lock', 'bad', () => says('object-lock', LOCKED)],
  ['deletes after a week', 'bucket.lifecycle', 'bad', () => says('lifecycle', SHORT_LIFE)],
];

function isObjectRead({ method, url }: IncomingMessage): boolean {
  return method === 'GET' && url!.includes('/object?');
}

for (const [name, open, absence] of [
  ['embedded bucket', embedded, undefined],
  ['Ceph Object Gateway', ceph, gatewayAbsence()],
] as const) {
  describe.skipIf(absence !== undefined)(
    `the doctor and the ${name}${absence === undefined ? '' : ` (${absence})`}`,
    () => {
      const cli = new CommandLine();
      let store: Store;
      let client: S3Client;
      let proxy: Proxy;
      let bucket: string;
      let stage: Stage;

      beforeAll(async () => {
        store = await open();
        const { endpoint, region, credentials } = store;
        client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
        proxy = await startProxy(endpoint);
        bucket = await make();
        stage = await Stage.start({ storage: { ...store, bucket } });
      });
      afterAll(async () => {
        if (absence !== undefined) return;
        await stage.stop();
        await proxy.close();
        client.destroy();
        await store.close();
        cli.remove();
      });

      async function make(more: { ObjectLockEnabledForBucket?: boolean } = {}): Promise<string> {
        const Bucket = newName();
        await client.send(new CreateBucketCommand({ Bucket, ...more }));
        return Bucket;
      }

      async function doctor(of: string, ...words: readonly string[]) {
        const { exit, output, error } = await cli.run(['doctor', '--server', stage.server.url, '--json', ...words], {
          environment: {
            ZEROREEL_S3_ENDPOINT: store.endpoint,
            ZEROREEL_S3_REGION: store.region,
            ZEROREEL_S3_BUCKET: of,
            ZEROREEL_S3_ACCESS_KEY_ID: store.credentials.accessKeyId,
            ZEROREEL_S3_SECRET_ACCESS_KEY: store.credentials.secretAccessKey,
          },
        });
        if (output === '') throw new Error(error);
        const findings = JSON.parse(output) as StorageFinding[];
        return { exit, unwell: unwell(findings.filter(({ check }) => check.startsWith('bucket'))) };
      }

      const unwell = (findings: readonly StorageFinding[]) =>
        Object.fromEntries(findings.filter(({ state }) => state !== 'ok').map(({ check, state }) => [check, state]));

      async function probe(): Promise<Record<string, string>> {
        const through = createS3Bucket({ ...store, bucket, endpoint: proxy.endpoint, attempts: 1 });
        return unwell(judge(await probeBucket(through, { now: () => Date.now() })));
      }

      it('finds all promises kept; --fix sets CORS and the rule behind the purge, and leaves nothing to say', async () => {
        const before = await doctor(bucket, '--bucket');
        expect(before).toEqual({ exit: 0, unwell: { 'bucket.cors': 'weak', 'bucket.lifecycle': 'weak' } });
        const ours = ['--origin', 'https://exams.example.edu'];
        expect(await doctor(bucket, '--fix', ...ours)).toEqual({ exit: 0, unwell: {} });
        expect(await doctor(bucket, '--bucket', ...ours)).toEqual({ exit: 0, unwell: {} });
        expect(await doctor(bucket, '--bucket')).toEqual({ exit: 0, unwell: { 'bucket.cors': 'weak' } });
        expect(await doctor(bucket, '--fix')).toEqual({ exit: 0, unwell: {} });
        const settings = await createS3Bucket({ ...store, bucket }).settings();
        expect(settings.lifecycle).toEqual([{ id: 'zeroreel-backstop', prefix: '', days: 31 }]);
        expect(await stage.holdings()).toMatchObject({ objects: {} });
      });

      it('finds nothing wrong through a proxy that passes everything on', async () => {
        proxy.mischief = () => undefined;
        expect(await probe()).toEqual({});
      });

      it.each(UNFIT)('finds out a store that %s', async (_what, check, state, mischief) => {
        proxy.mischief = mischief();
        const found = await probe();
        proxy.mischief = () => undefined;
        expect(found[check]).toBe(state);
        // What cannot be written cannot be read, listed or judged; everything else fails in one respect only.
        if (check !== 'bucket.write' && check !== 'bucket.read') expect(Object.keys(found)).toEqual([check]);
      });

      it.each([
        ['ahead', 5, 'weak'],
        ['behind', -12, 'bad'],
      ])('finds out a store whose clock is %s, by %i minutes', async (_where, minutes, state) => {
        proxy.clockMs = minutes * MINUTE_MS;
        const found = await probe();
        proxy.clockMs = 0;
        expect(found).toEqual({ 'bucket.clock': state });
      });

      it.skipIf(name === 'embedded bucket')(
        'tells of a bucket with versions, and refuses suspended ones and a lock',
        async () => {
          const versioned = await make();
          const set = (Status: 'Enabled' | 'Suspended') =>
            client.send(new PutBucketVersioningCommand({ Bucket: versioned, VersioningConfiguration: { Status } }));
          await set('Enabled');
          expect(await doctor(versioned, '--bucket')).toMatchObject({
            exit: 0,
            unwell: { 'bucket.versioning': 'weak' },
          });
          await set('Suspended');
          expect(await doctor(versioned, '--bucket')).toMatchObject({
            exit: 1,
            unwell: { 'bucket.versioning': 'bad' },
          });
          const locked = await make({ ObjectLockEnabledForBucket: true });
          expect(await doctor(locked, '--bucket')).toMatchObject({ exit: 1, unwell: { 'bucket.lock': 'bad' } });
        },
      );

      it('says of a bucket that is not there that it cannot be used', async () => {
        expect(await doctor(newName(), '--bucket')).toEqual({ exit: 1, unwell: { bucket: 'bad' } });
      });
    },
  );
}
