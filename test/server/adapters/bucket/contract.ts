/**
 * What every store behind the Bucket port has to keep, each promise with its negative sibling. It runs against the embedded
 * bucket and against a Ceph Object Gateway, through the one adapter and by plain HTTP. A store that breaks a promise is excused by
 * name, with the reason in the test's title.
 */
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  PutBucketCorsCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createS3Bucket } from '../../../../src/server/adapters/s3-bucket.ts';
import type { Credentials } from '../../../../src/server/adapters/sigv4.ts';
import { type Bucket, BucketError, type ObjectVersion, type PresignedPut } from '../../../../src/server/ports.ts';
import { errorCode, keysOf, promiseOf, put, sample, send, sha256, store } from './wire.ts';

export interface StoreUnderTest {
  endpoint: string;
  region: string;
  credentials: Credentials;
  close: () => Promise<void>;
}

export interface ContractOptions {
  name: string;
  start: () => Promise<StoreUnderTest>;
  /** Promises that this store is known to break: title, reason. */
  excused?: Record<string, string>;
  /** Why nothing of this can run here, if so. */
  skipped?: string | undefined;
}

const LIFE = 300;

export function describeBucketContract({ name, start, excused = {}, skipped }: ContractOptions): void {
  describe.skipIf(skipped !== undefined)(
    `bucket contract: ${name}${skipped === undefined ? '' : ` (${skipped})`}`,
    () => {
      let subject: StoreUnderTest;
      let bucket: Bucket;
      let client: S3Client;
      const bucketName = `contract-${randomBytes(4).toString('hex')}`;
      const unused = new Set(Object.keys(excused));

      const promise = (title: string, keep: () => Promise<void>): void => {
        unused.delete(title);
        const reason = excused[title];
        if (reason === undefined) it(title, keep);
        else it.skip(`${title} [excused: ${reason}]`, keep);
      };

      const adapter = (over: Partial<Parameters<typeof createS3Bucket>[0]> = {}): Bucket =>
        createS3Bucket({
          endpoint: subject.endpoint,
          region: subject.region,
          bucket: bucketName,
          credentials: subject.credentials,
          ...over,
        });

      const signedPut = (key: string, body: Uint8Array, now = Date.now()): PresignedPut =>
        bucket.presignPut(promiseOf(key, body), now, LIFE);

      const empty = async (): Promise<void> => {
        const versions: ObjectVersion[] = [];
        for await (const version of bucket.listVersions('')) versions.push(version);
        for (let at = 0; at < versions.length; at += 1_000) await bucket.deleteVersions(versions.slice(at, at + 1_000));
      };

      beforeAll(async () => {
        subject = await start();
        const { endpoint, region, credentials } = subject;
        client = new S3Client({
          endpoint,
          region,
          credentials,
          forcePathStyle: true,
          requestChecksumCalculation: 'WHEN_REQUIRED',
        });
        bucket = adapter();
        await client.send(new CreateBucketCommand({ Bucket: bucketName }));
      });

      afterAll(async () => {
        if (skipped !== undefined) return;
        await empty();
        await bucket.abortMultiparts('');
        await client.send(new DeleteBucketCommand({ Bucket: bucketName }));
        client.destroy();
        await subject.close();
      });

      describe('a presigned PUT', () => {
        const body = sample(70_000);

        for (const bytes of [0, 1, 65_536, 5 * 1024 * 1024 + 1]) {
          promise(`stores ${bytes} bytes, which come back as they were`, async () => {
            const content = sample(bytes);
            expect((await put(signedPut(`put/${bytes}`, content), content)).status).toBe(200);
            expect(sha256((await bucket.get(`put/${bytes}`))!)).toEqual(sha256(content));
          });
        }

        promise('asks a client for no header that a browser forbids', async () => {
          const names = Object.keys(signedPut('put/headers', body).headers);
          expect(names.filter((header) => ['content-length', 'host'].includes(header))).toEqual([]);
          expect(names.length).toBeGreaterThan(0);
        });

        promise('refuses other bytes of the same length, and stores nothing', async () => {
          const other = Buffer.from(body);
          other[69_999]! ^= 1;
          expect((await put(signedPut('put/other', body), other)).status).toBe(400);
          expect(await bucket.get('put/other')).toBeUndefined();
        });

        for (const [what, content] of [
          ['a shorter', body.subarray(0, 69_999)],
          ['a longer', Buffer.concat([body, Buffer.alloc(1)])],
          ['an empty', Buffer.alloc(0)],
        ] as const) {
          promise(`refuses ${what} body, and stores nothing`, async () => {
            expect((await put(signedPut('put/length', body), content)).status).toBe(403);
            expect(await bucket.get('put/length')).toBeUndefined();
          });
        }

        promise('stores nothing of a body that ends before its declared length', async () => {
          const { url, headers } = signedPut('put/cut', body);
          const cut = new AbortController();
          const stream = new ReadableStream({
            start: (controller) => {
              controller.enqueue(body.subarray(0, 30_000));
            },
            pull: () => {
              cut.abort();
            },
          });
          const length = { 'content-length': String(body.length) };
          await expect(
            fetch(url, {
              method: 'PUT',
              headers: { ...headers, ...length },
              body: stream,
              signal: cut.signal,
              duplex: 'half',
            } as RequestInit),
          ).rejects.toThrow();
          expect(await bucket.get('put/cut')).toBeUndefined();
        });

        promise('refuses a body that comes with its own hash instead of the promised one', async () => {
          const other = sample(body.length, 'other');
          const { url, headers } = signedPut('put/rehash', body);
          const forged = { ...headers, 'x-amz-content-sha256': sha256(other).toString('hex') };
          expect((await put({ url, headers: forged }, other)).status).toBe(403);
          expect(await bucket.get('put/rehash')).toBeUndefined();
        });

        for (const missing of [
          'if-none-match',
          'x-amz-content-sha256',
          'x-amz-checksum-sha256',
          'x-amz-sdk-checksum-algorithm',
        ]) {
          promise(`refuses a request without the signed header ${missing}`, async () => {
            const { url, headers } = signedPut('put/missing', body);
            const rest = Object.fromEntries(Object.entries(headers).filter(([header]) => header !== missing));
            expect((await put({ url, headers: rest }, body)).status).toBe(403);
            expect(await bucket.get('put/missing')).toBeUndefined();
          });
        }

        promise('refuses a request whose body has no declared length', async () => {
          const { url, headers } = signedPut('put/chunked', body);
          const answer = await send(url, {
            method: 'PUT',
            headers: { ...headers, 'transfer-encoding': 'chunked' },
            body,
          });
          expect([403, 411]).toContain(answer.status);
          expect(await bucket.get('put/chunked')).toBeUndefined();
        });

        promise('creates and never overwrites: the second PUT is answered 412 and changes nothing', async () => {
          const other = sample(body.length, 'other');
          expect((await put(signedPut('put/twice', body), body)).status).toBe(200);
          for (const again of [body, other]) {
            const answer = await put(signedPut('put/twice', again), again);
            expect([answer.status, errorCode(answer)]).toEqual([412, 'PreconditionFailed']);
          }
          expect(sha256((await bucket.get('put/twice'))!)).toEqual(sha256(body));
        });

        promise('has one winner among eight that race for a key, whose bytes stay', async () => {
          const bodies = Array.from({ length: 8 }, (_, racer) => sample(200_000, `racer ${racer}`));
          const answers = await Promise.all(bodies.map((content) => put(signedPut('put/race', content), content)));
          const statuses = answers.map(({ status }) => status);
          expect(statuses.filter((status) => status === 200)).toHaveLength(1);
          // S3 may answer 409 to a conditional write that meets another one.
          expect(statuses.filter((status) => status === 412 || status === 409)).toHaveLength(7);
          expect(sha256((await bucket.get('put/race'))!)).toEqual(sha256(bodies[statuses.indexOf(200)]!));
        });

        promise('refuses a forged signature', async () => {
          const { url, headers } = signedPut('put/forged', body);
          const forged = url.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
          expect((await put({ url: forged, headers }, body)).status).toBe(403);
          expect(await bucket.get('put/forged')).toBeUndefined();
        });

        promise('refuses another key, another bucket, another life and another method', async () => {
          const { url, headers } = signedPut('put/bound', body);
          for (const [from, to] of [
            ['put/bound', 'put/bounc'],
            [bucketName, `${bucketName}x`],
            ['X-Amz-Expires=300', 'X-Amz-Expires=301'],
          ] as const) {
            expect(url).toContain(from);
            expect([403, 404]).toContain((await put({ url: url.replace(from, to), headers }, body)).status);
          }
          expect((await send(url, { method: 'DELETE', headers })).status).toBe(403);
          expect((await send(url, { method: 'GET', headers })).status).toBe(403);
          expect(await keysOf(bucket.list('put/boun'))).toEqual([]);
        });

        promise('refuses what unknown keys and a wrong secret have signed', async () => {
          const { accessKeyId, secretAccessKey } = subject.credentials;
          for (const credentials of [
            { accessKeyId: 'NOBODY', secretAccessKey },
            { accessKeyId, secretAccessKey: 'guessed' },
          ]) {
            const stranger = adapter({ credentials });
            expect(
              (await put(stranger.presignPut(promiseOf('put/stranger', body), Date.now(), LIFE), body)).status,
            ).toBe(403);
          }
          expect(await bucket.get('put/stranger')).toBeUndefined();
        });

        promise('refuses a request that comes after the end of its life', async () => {
          expect((await put(signedPut('put/late', body, Date.now() - 301_000), body)).status).toBe(403);
          expect((await put(signedPut('put/late', body, Date.now() - 240_000), body)).status).toBe(200);
        });

        promise('refuses a request that comes before the beginning of its life', async () => {
          expect((await put(signedPut('put/early', body, Date.now() + 3_600_000), body)).status).toBe(403);
          expect(await bucket.get('put/early')).toBeUndefined();
        });

        promise('can store its object again after a delete, as long as it lives', async () => {
          const again = signedPut('put/again', body);
          expect((await put(again, body)).status).toBe(200);
          await bucket.deleteVersions([{ key: 'put/again' }]);
          expect((await put(again, body)).status).toBe(200);
        });

        promise('is never signed for longer than seven days, nor for less than a second', async () => {
          for (const life of [0, 604_801, 1.5]) {
            expect(() => bucket.presignPut(promiseOf('put/life', body), Date.now(), life)).toThrow(RangeError);
          }
        });
      });

      describe('a presigned GET', () => {
        const body = sample(100_000);
        const read = (headers: Record<string, string> = {}) =>
          send(bucket.presignGet('get/object', Date.now(), LIFE), { method: 'GET', headers });

        beforeAll(async () => {
          await store(bucket, 'get/object', body);
          await store(bucket, 'get/other', body);
        });

        promise('gives the whole object', async () => {
          const answer = await read();
          expect([answer.status, answer.headers['content-length']]).toEqual([200, '100000']);
          expect(sha256(answer.body)).toEqual(sha256(body));
        });

        for (const [range, from, to] of [
          ['bytes=0-0', 0, 0],
          ['bytes=10-19', 10, 19],
          ['bytes=99990-', 99_990, 99_999],
          ['bytes=-7', 99_993, 99_999],
          ['bytes=65530-65550', 65_530, 65_550],
          ['bytes=5-200000', 5, 99_999],
        ] as const) {
          promise(`gives the range ${range} and says which`, async () => {
            const answer = await read({ range });
            expect([answer.status, answer.headers['content-range']]).toEqual([206, `bytes ${from}-${to}/100000`]);
            expect(answer.body.equals(body.subarray(from, to + 1))).toBe(true);
          });
        }

        promise('refuses a range behind the end', async () => {
          expect((await read({ range: 'bytes=100000-' })).status).toBe(416);
        });

        promise('answers 404 to an absent key', async () => {
          const answer = await send(bucket.presignGet('get/absent', Date.now(), LIFE), { method: 'GET' });
          expect([answer.status, errorCode(answer)]).toEqual([404, 'NoSuchKey']);
        });

        promise('refuses late, forged, for another key and for another method', async () => {
          const url = bucket.presignGet('get/object', Date.now(), LIFE);
          const late = bucket.presignGet('get/object', Date.now() - 301_000, LIFE);
          const forged = url.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
          for (const refused of [late, forged, url.replace('get/object', 'get/other')]) {
            const answer = await send(refused, { method: 'GET' });
            expect(answer.status).toBe(403);
            expect(answer.body.includes(body.subarray(0, 64))).toBe(false);
          }
          expect((await send(url, { method: 'DELETE' })).status).toBe(403);
          expect(
            (await send(url, { method: 'PUT', headers: { 'content-length': '1' }, body: Buffer.alloc(1) })).status,
          ).toBe(403);
          expect((await bucket.get('get/object'))?.length).toBe(100_000);
        });

        promise('answers nobody who has no signature', async () => {
          expect((await send(`${subject.endpoint}/${bucketName}/get/object`, { method: 'GET' })).status).toBe(403);
          expect((await send(`${subject.endpoint}/${bucketName}?list-type=2`, { method: 'GET' })).status).toBe(403);
        });
      });

      describe('get', () => {
        promise('gives a range, the rest of one, nothing behind the end, and undefined for an absent key', async () => {
          const body = sample(1_000);
          await store(bucket, 'read/object', body);
          expect(
            Buffer.from((await bucket.get('read/object', { from: 10, to: 19 }))!).equals(body.subarray(10, 20)),
          ).toBe(true);
          expect((await bucket.get('read/object', { from: 990, to: 5_000 }))?.length).toBe(10);
          expect((await bucket.get('read/object', { from: 1_000, to: 1_001 }))?.length).toBe(0);
          expect(await bucket.get('read/absent')).toBeUndefined();
          expect(await bucket.get('read/absent', { from: 0, to: 1 })).toBeUndefined();
        });
      });

      describe('a listing', () => {
        // In the order of UTF-8 bytes, in which the last two stand the other way round than in UTF-16.
        const awkward = ['%41', '+plus', '&<>"\'', 'a b', 'a=b?c#d', 'a~b', 'é', '\u{ff5e}', '\u{1f511}'].sort((a, b) =>
          Buffer.compare(Buffer.from(a), Buffer.from(b)),
        );

        beforeAll(async () => {
          for (const key of ['order/a', 'order/a/b', 'order/a0', 'order/B', 'order/b', 'orders', 'order']) {
            await store(bucket, key, Buffer.from(key));
          }
          for (const key of awkward) await store(bucket, `awkward/${key}`, Buffer.from(key));
        });

        promise('has exactly the keys under the prefix, in byte order, with their sizes', async () => {
          const listed = [];
          for await (const object of bucket.list('order/')) listed.push(object);
          expect(listed).toEqual(
            ['order/B', 'order/a', 'order/a/b', 'order/a0', 'order/b'].map((key) => ({ key, bytes: key.length })),
          );
        });

        promise('goes on after a key, also after one that does not exist', async () => {
          expect(await keysOf(bucket.list('order/', 'order/a'))).toEqual(['order/a/b', 'order/a0', 'order/b']);
          expect(await keysOf(bucket.list('order/', 'order/aZ'))).toEqual(['order/b']);
          expect(await keysOf(bucket.list('order/', 'order/b'))).toEqual([]);
        });

        promise('is empty where nothing is', async () => {
          expect(await keysOf(bucket.list('nowhere/'))).toEqual([]);
          expect(await keysOf(bucket.listVersions('nowhere/'))).toEqual([]);
        });

        promise('gives every key back as it was written', async () => {
          expect(await keysOf(bucket.list('awkward/'))).toEqual(awkward.map((key) => `awkward/${key}`));
          expect((await keysOf(bucket.listVersions('awkward/'))).sort()).toEqual(
            awkward.map((key) => `awkward/${key}`).sort(),
          );
          for (const key of awkward) expect(Buffer.from((await bucket.get(`awkward/${key}`))!).toString()).toBe(key);
        });

        promise('crosses pages, of objects and of versions, and two batches delete it all', async () => {
          const keys = Array.from({ length: 1_005 }, (_, at) => `pages/${String(at).padStart(4, '0')}`);
          for (let at = 0; at < keys.length; at += 16) {
            await Promise.all(keys.slice(at, at + 16).map((key) => store(bucket, key, Buffer.from(key))));
          }
          await store(bucket, 'pagesafter', Buffer.alloc(1));
          expect(await keysOf(bucket.list('pages/'))).toEqual(keys);
          const versions: ObjectVersion[] = [];
          for await (const version of bucket.listVersions('pages/')) versions.push(version);
          expect(versions.map(({ key }) => key)).toEqual(keys);
          expect(await bucket.deleteVersions(versions.slice(0, 1_000))).toEqual([]);
          expect(await keysOf(bucket.list('pages/'))).toEqual(keys.slice(1_000));
          expect(await bucket.deleteVersions(versions.slice(1_000))).toEqual([]);
          expect(await keysOf(bucket.list('pages/'))).toEqual([]);
          expect(await keysOf(bucket.listVersions('pages/'))).toEqual([]);
          expect(await keysOf(bucket.list('pagesafter'))).toEqual(['pagesafter']);
        });
      });

      describe('a delete', () => {
        promise('removes exactly what it names, and an absent key is no error', async () => {
          for (const key of ['del/1', 'del/2', 'del/3 & <four>']) await store(bucket, key, Buffer.from(key));
          expect(
            await bucket.deleteVersions([{ key: 'del/1' }, { key: 'del/3 & <four>' }, { key: 'del/never' }]),
          ).toEqual([]);
          expect(await keysOf(bucket.list('del/'))).toEqual(['del/2']);
          expect(await bucket.get('del/1')).toBeUndefined();
          expect((await send(bucket.presignGet('del/1', Date.now(), LIFE), { method: 'GET' })).status).toBe(404);
        });

        promise('takes at most 1,000 and nothing at all without a request', async () => {
          await expect(
            bucket.deleteVersions(Array.from({ length: 1_001 }, (_, at) => ({ key: `x${at}` }))),
          ).rejects.toThrow(RangeError);
          expect(await bucket.deleteVersions([])).toEqual([]);
        });

        promise('removes every version and marker of a versioned bucket', async () => {
          const Bucket = `${bucketName}-v`;
          await client.send(new CreateBucketCommand({ Bucket }));
          const setVersioning = (Status: 'Enabled' | 'Suspended') =>
            client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
          const versioned = adapter({ bucket: Bucket });
          await client.send(new PutObjectCommand({ Bucket, Key: 'v/null', Body: 'before versioning' }));
          await setVersioning('Enabled');
          expect((await versioned.settings()).versioning).toBe('enabled');
          for (const Body of ['one', 'two']) await client.send(new PutObjectCommand({ Bucket, Key: 'v/key', Body }));
          // A delete without version only adds a marker: the listing is empty and everything is still there.
          await versioned.deleteVersions([{ key: 'v/key' }, { key: 'v/null' }]);
          expect(await keysOf(versioned.list('v/'))).toEqual([]);
          await setVersioning('Suspended');
          expect((await versioned.settings()).versioning).toBe('suspended');
          const versions: ObjectVersion[] = [];
          for await (const version of versioned.listVersions('v/')) versions.push(version);
          expect(versions.map(({ key }) => key).sort()).toEqual(['v/key', 'v/key', 'v/key', 'v/null', 'v/null']);
          expect(await versioned.deleteVersions(versions)).toEqual([]);
          expect(await keysOf(versioned.listVersions(''))).toEqual([]);
          await client.send(new DeleteBucketCommand({ Bucket }));
        });
      });

      describe('unfinished multipart uploads', () => {
        promise('are aborted under the prefix and nowhere else', async () => {
          const begin = async (Key: string): Promise<string> => {
            const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket: bucketName, Key }));
            await client.send(
              new UploadPartCommand({ Bucket: bucketName, Key, UploadId, PartNumber: 1, Body: sample(6_000) }),
            );
            return UploadId!;
          };
          for (const key of ['multi/a', 'multi/a', 'multi/b', 'multiple']) await begin(key);
          expect(await bucket.abortMultiparts('multi/')).toBe(3);
          expect(await bucket.abortMultiparts('multi/')).toBe(0);
          expect(await bucket.abortMultiparts('multiple')).toBe(1);
          expect(await keysOf(bucket.list('multi'))).toEqual([]);
        });
      });

      describe('settings', () => {
        promise('say that a fresh bucket has no versioning, no lock and no lifecycle', async () => {
          expect(await bucket.settings()).toEqual({ versioning: 'off', objectLock: false, lifecycle: 'none' });
        });

        promise('show the lifecycle rules', async () => {
          const Rules = [
            { ID: 'backstop', Status: 'Enabled', Filter: { Prefix: 'far/' }, Expiration: { Days: 31 } },
            { ID: 'off', Status: 'Disabled', Filter: { Prefix: 'off/' }, Expiration: { Days: 1 } },
          ] as const;
          await client.send(
            new PutBucketLifecycleConfigurationCommand({
              Bucket: bucketName,
              LifecycleConfiguration: { Rules: [...Rules] },
            }),
          );
          expect((await bucket.settings()).lifecycle).toEqual([{ id: 'backstop', prefix: 'far/', days: 31 }]);
        });
      });

      describe('a page of another origin', () => {
        const origin = 'https://exam.example';
        const body = sample(10);

        beforeAll(async () => {
          const CORSRules = [
            {
              AllowedOrigins: [origin],
              AllowedMethods: ['GET', 'PUT'],
              AllowedHeaders: ['*'],
              ExposeHeaders: ['etag', 'content-range'],
              MaxAgeSeconds: 600,
            },
          ];
          await client.send(new PutBucketCorsCommand({ Bucket: bucketName, CORSConfiguration: { CORSRules } }));
        });

        promise('may PUT with the signed headers, and read the answer', async () => {
          const signed = signedPut('cors/object', body);
          const preflight = await send(signed.url, {
            method: 'OPTIONS',
            headers: {
              origin,
              'access-control-request-method': 'PUT',
              'access-control-request-headers': Object.keys(signed.headers).join(','),
            },
          });
          expect(preflight.status).toBeLessThan(300);
          expect([origin, '*']).toContain(preflight.headers['access-control-allow-origin']);
          expect(preflight.headers['access-control-allow-methods']).toContain('PUT');
          for (const header of Object.keys(signed.headers)) {
            expect(preflight.headers['access-control-allow-headers']?.toLowerCase()).toContain(header);
          }
          const answer = await put({ url: signed.url, headers: { ...signed.headers, origin } }, body);
          expect(answer.status).toBe(200);
          expect([origin, '*']).toContain(answer.headers['access-control-allow-origin']);
          expect(answer.headers['access-control-expose-headers']?.toLowerCase()).toContain('content-range');
        });

        promise('gets no leave from a rule that does not name it', async () => {
          const { url } = signedPut('cors/object', body);
          const preflight = await send(url, {
            method: 'OPTIONS',
            headers: { origin: 'https://evil.example', 'access-control-request-method': 'PUT' },
          });
          expect(preflight.headers['access-control-allow-origin']).toBeUndefined();
          const remove = await send(url, {
            method: 'OPTIONS',
            headers: { origin, 'access-control-request-method': 'DELETE' },
          });
          expect(remove.headers['access-control-allow-origin']).toBeUndefined();
        });
      });

      describe('the adapter', () => {
        const failure = async (over: Partial<Parameters<typeof createS3Bucket>[0]>): Promise<unknown> => {
          const broken = adapter({ attempts: 1, timeoutMs: 5_000, ...over });
          return keysOf(broken.list('')).then(
            () => 'no error',
            (error: unknown) => (error instanceof BucketError ? error.code : error),
          );
        };

        promise('tells refused, missing and unreachable apart', async () => {
          const { accessKeyId } = subject.credentials;
          expect(await failure({ credentials: { accessKeyId, secretAccessKey: 'guessed' } })).toBe('refused');
          expect(await failure({ bucket: `${bucketName}-missing` })).toBe('missing-bucket');
          expect(await failure({ endpoint: 'http://127.0.0.1:1' })).toBe('unavailable');
        });
      });

      it('excuses no promise that does not exist', () => {
        expect([...unused]).toEqual([]);
      });
    },
  );
}
