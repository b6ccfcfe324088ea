/** What the embedded bucket promises beyond the Bucket port: the rest of S3's protocol, the folder, the limits. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetBucketCorsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  ListPartsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
  type S3ServiceException,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ChunkDecoder } from '../../../../src/server/adapters/embedded-bucket/chunked.ts';
import {
  type EmbeddedBucketOptions,
  type RunningBucket,
  startEmbeddedBucket,
} from '../../../../src/server/adapters/embedded-bucket/index.ts';
import { parseXml } from '../../../../src/server/adapters/embedded-bucket/xml.ts';
import { createS3Bucket } from '../../../../src/server/adapters/s3-bucket.ts';
import { createPresigner, signingKey } from '../../../../src/server/adapters/sigv4.ts';
import type { Bucket } from '../../../../src/server/ports.ts';
import { isAnywhere, viewFolder } from './folder-view.ts';
import { signChunks } from './signed-chunks.ts';
import { errorCode, keysOf, promiseOf, put, sample, send, store } from './wire.ts';

const CREDENTIALS = { accessKeyId: 'EMBEDDED', secretAccessKey: 'embedded-secret' };
const Bucket = 'zeroreel';
const clock = { at: 0, now: () => clock.at };

let dir: string;
let running: RunningBucket;
let bucket: Bucket;
let client: S3Client;

async function start(over: Partial<EmbeddedBucketOptions> = {}): Promise<void> {
  running = await startEmbeddedBucket({ dir, credentials: CREDENTIALS, buckets: [Bucket], clock, ...over });
  const at = { endpoint: running.endpoint, region: 'us-east-1', credentials: CREDENTIALS };
  bucket = createS3Bucket({ ...at, bucket: Bucket, clock });
  client = new S3Client({ ...at, forcePathStyle: true, maxAttempts: 1 });
}

async function restart(over: Partial<EmbeddedBucketOptions>): Promise<void> {
  await running.close();
  await start(over);
}

beforeEach(async () => {
  clock.at = Date.now();
  dir = await mkdtemp(join(tmpdir(), 'zeroreel-embedded-'));
  await start();
});

afterEach(async () => {
  client.destroy();
  await running.close();
  await rm(dir, { recursive: true, force: true });
});

/** The code with which the SDK's call was refused. */
function refusal(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'none',
    (error: unknown) => (error as S3ServiceException).name,
  );
}

describe('authentication', () => {
  const body = sample(100);

  it('ends the life of a URL with the second that it names, by the given clock', async () => {
    const signed = bucket.presignPut(promiseOf('life', body), clock.at, 300);
    const signedAt = Math.floor(clock.at / 1_000) * 1_000;
    clock.at = signedAt + 300_001;
    const late = await put(signed, body);
    expect([late.status, errorCode(late)]).toEqual([403, 'AccessDenied']);
    clock.at = signedAt + 300_000;
    expect((await put(signed, body)).status).toBe(200);
  });

  it('takes a URL from a clock that is 15 minutes fast, and from none that is faster', async () => {
    const url = bucket.presignGet('absent', clock.at, 3_600);
    clock.at -= 14 * 60_000;
    expect((await send(url, { method: 'GET' })).status).toBe(404);
    clock.at -= 2 * 60_000;
    expect((await send(url, { method: 'GET' })).status).toBe(403);
  });

  it('refuses a signed header request from more than 15 minutes away', async () => {
    const skewed = createS3Bucket({
      endpoint: running.endpoint,
      region: 'us-east-1',
      bucket: Bucket,
      credentials: CREDENTIALS,
      attempts: 1,
      clock: { now: () => clock.at - 16 * 60_000 },
    });
    await expect(keysOf(skewed.list(''))).rejects.toMatchObject({ code: 'refused' });
    expect(await keysOf(bucket.list(''))).toEqual([]);
  });

  it('serves the same adapter thirty days later, when the clock of both has moved', async () => {
    await store(bucket, 'old', body, clock.at);
    clock.at += 30 * 86_400_000;
    expect(await keysOf(bucket.list(''))).toEqual(['old']);
    expect(await bucket.deleteVersions([{ key: 'old' }])).toEqual([]);
  });

  it('refuses a life of more than seven days, a parameter given twice and one that is missing', async () => {
    const url = bucket.presignGet('absent', clock.at, 300);
    for (const broken of [
      url.replace('X-Amz-Expires=300', 'X-Amz-Expires=604801'),
      `${url}&X-Amz-Expires=300`,
      url.replace(/&X-Amz-Date=[^&]+/, ''),
      url.replace('AWS4-HMAC-SHA256', 'AWS4-HMAC-SHA1'),
    ]) {
      const answer = await send(broken, { method: 'GET' });
      expect([answer.status, errorCode(answer)]).toEqual([400, 'AuthorizationQueryParametersError']);
    }
  });

  it('refuses an x-amz header that is not under the signature', async () => {
    const { url, headers } = bucket.presignPut(promiseOf('added', body), clock.at, 300);
    expect((await put({ url, headers: { ...headers, 'x-amz-meta-added': 'by somebody' } }, body)).status).toBe(403);
    expect((await put({ url, headers: { ...headers, 'x-amz-tagging': 'a=b' } }, body)).status).toBe(403);
    expect(await keysOf(bucket.list(''))).toEqual([]);
  });

  it('refuses a key of another region', async () => {
    const presign = createPresigner({ credentials: CREDENTIALS, region: 'eu-west-1', endpoint: running.endpoint });
    const url = presign({ method: 'GET', path: `/${Bucket}/absent` }, clock.at, 60);
    expect(errorCode(await send(url, { method: 'GET' }))).toBe('AuthorizationHeaderMalformed');
  });

  it('refuses before the body is sent, where the client asks first', async () => {
    const { url, headers } = bucket.presignPut(promiseOf('expect', body), clock.at, 300);
    const ask = async (target: string): Promise<string> => {
      const asked = httpRequest(target, {
        method: 'PUT',
        headers: { ...headers, 'content-length': '100', expect: '100-continue' },
        agent: false,
      });
      asked.flushHeaders();
      const first = await Promise.race([
        once(asked, 'continue').then(() => 'continue'),
        once(asked, 'response').then(([response]) => String((response as { statusCode: number }).statusCode)),
      ]);
      asked.on('error', () => undefined);
      asked.destroy();
      return first;
    };
    expect(await ask(url)).toBe('continue');
    expect(await ask(url.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')))).toBe('403');
    await store(bucket, 'expect', body, clock.at);
    expect(await ask(url)).toBe('412');
  });
});

describe('a body in chunks', () => {
  const url = (): URL => new URL(`${running.endpoint}/${Bucket}/chunked`);

  it('has the published signatures in the example of the reference', () => {
    const scope = { day: '20130524', region: 'us-east-1', service: 's3' };
    const decoder = ChunkDecoder.for({
      payloadHash: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      signingKey: signingKey('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', scope),
      date: '20130524T000000Z',
      scope,
      signature: '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
    })!;
    const body = [
      `10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n${'a'.repeat(65_536)}\r\n`,
      `400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n${'a'.repeat(1_024)}\r\n`,
      '0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n',
    ].join('');
    // Every piece ends in the middle of something.
    let decoded = '';
    for (let at = 0; at < body.length; at += 77) {
      decoded += Buffer.concat(decoder.push(Buffer.from(body.slice(at, at + 77)))).toString();
    }
    decoder.finish();
    expect(decoded).toBe('a'.repeat(66_560));
  });

  it('is stored when every chunk is signed, with and without a trailer', async () => {
    const chunks = [sample(70_000, 'one'), sample(9_000, 'two')];
    const whole = Buffer.concat(chunks);
    const sha = createHash('sha256').update(whole).digest('base64');
    for (const trailer of [undefined, ['x-amz-checksum-sha256', sha] as const]) {
      const { headers, framed } = signChunks({
        url: url(),
        credentials: CREDENTIALS,
        now: clock.at,
        chunks,
        ...(trailer && { trailer }),
      });
      expect((await send(url().href, { method: 'PUT', headers, body: Buffer.concat(framed) })).status).toBe(200);
      expect(Buffer.from((await bucket.get('chunked'))!).equals(whole)).toBe(true);
      const head = await client.send(new HeadObjectCommand({ Bucket, Key: 'chunked' }));
      expect(head.ContentEncoding).toBeUndefined();
    }
  });

  it('is refused with a changed, a swapped, a missing chunk, a wrong trailer and a wrong length', async () => {
    const chunks = [sample(8_192, 'one'), sample(8_192, 'two')];
    const honest = signChunks({ url: url(), credentials: CREDENTIALS, now: clock.at, chunks });
    const [one, two, last] = honest.framed as [Buffer, Buffer, Buffer];
    const changed = Buffer.from(one);
    changed[200]! ^= 1;
    const wrong = signChunks({
      url: url(),
      credentials: CREDENTIALS,
      now: clock.at,
      chunks,
      trailer: ['x-amz-checksum-crc32', 'AAAAAA=='],
    });
    const attempts: [string, Record<string, string>, Buffer[], string][] = [
      ['changed', honest.headers, [changed, two, last], 'SignatureDoesNotMatch'],
      ['swapped', honest.headers, [two, one, last], 'SignatureDoesNotMatch'],
      ['missing', honest.headers, [one, last], 'SignatureDoesNotMatch'],
      ['cut', honest.headers, [one, two], 'IncompleteBody'],
      ['trailer', wrong.headers, wrong.framed, 'XAmzContentChecksumMismatch'],
    ];
    for (const [what, headers, frames, code] of attempts) {
      const body = Buffer.concat(frames);
      const answer = await send(url().href, {
        method: 'PUT',
        headers: { ...headers, 'content-length': String(body.length) },
        body,
      });
      expect(errorCode(answer), what).toBe(code);
    }
    expect(await keysOf(bucket.list(''))).toEqual([]);
    expect(viewFolder(dir)).toMatchObject({ incoming: [], files: [] });
  });

  for (const ChecksumAlgorithm of ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'] as const) {
    it(`comes from the SDK as a stream with a trailing ${ChecksumAlgorithm}; a wrong checksum in a header is refused`, async () => {
      const body = sample(200_000);
      const Body = Readable.from([body.subarray(0, 90_000), body.subarray(90_000)], { objectMode: false });
      await client.send(
        new PutObjectCommand({ Bucket, Key: 'stream', Body, ContentLength: body.length, ChecksumAlgorithm }),
      );
      expect(Buffer.from((await bucket.get('stream'))!).equals(body)).toBe(true);
      const bytes = { CRC32: 4, CRC32C: 4, CRC64NVME: 8, SHA1: 20, SHA256: 32 }[ChecksumAlgorithm];
      const wrong = { [`Checksum${ChecksumAlgorithm}`]: Buffer.alloc(bytes, 7).toString('base64') };
      expect(await refusal(client.send(new PutObjectCommand({ Bucket, Key: 'wrong', Body: body, ...wrong })))).toBe(
        'XAmzContentChecksumMismatch',
      );
      expect(await keysOf(bucket.list(''))).toEqual(['stream']);
    });
  }
});

describe('a body that does not come', () => {
  /** Sends half a body and then nothing; resolves when the server has ended it. */
  function stall(url: string, headers: Record<string, string>, body: Buffer): Promise<number> {
    return new Promise((resolve) => {
      const length = { 'content-length': String(body.length) };
      const request = httpRequest(url, { method: 'PUT', headers: { ...headers, ...length }, agent: false });
      request.on('response', (response) => {
        resolve(response.statusCode ?? 0);
      });
      request.on('error', () => {
        resolve(0);
      });
      request.write(body.subarray(0, body.length / 2));
    });
  }

  for (const [limit, limits] of [
    ['silence', { stallMs: 40 }],
    ['length', { longestMs: 40 }],
  ] as const) {
    it(`is cut at the limit of its ${limit}, and nothing of it stays`, async () => {
      await restart({ limits });
      const body = sample(100_000);
      const { url, headers } = bucket.presignPut(promiseOf('stalled', body), clock.at, 300);
      expect(await stall(url, headers, body)).toBe(0);
      expect(await keysOf(bucket.list(''))).toEqual([]);
      await running.close();
      expect(viewFolder(dir)).toMatchObject({ incoming: [], files: [] });
      await start();
    });
  }

  it('is finished after its URL has expired, as S3 does: who deletes has to list again', async () => {
    const body = sample(100_000);
    const { url, headers } = bucket.presignPut(promiseOf('slow', body), clock.at, 300);
    const request = httpRequest(url, {
      method: 'PUT',
      headers: { ...headers, 'content-length': '100000', expect: '100-continue' },
    });
    const answered = once(request, 'response');
    // The head has been verified once the server asks for the body.
    request.flushHeaders();
    await once(request, 'continue');
    clock.at += 3_600_000;
    request.end(body);
    const [response] = (await answered) as [{ statusCode: number; resume: () => void }];
    response.resume();
    expect(response.statusCode).toBe(200);
    expect(await keysOf(bucket.list(''))).toEqual(['slow']);
  });
});

describe('conditions, overrides and sub-resources', () => {
  it('overwrites under If-Match only what it names', async () => {
    const first = await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'one' }));
    const overwrite = (IfMatch: string, Key = 'k') =>
      client.send(new PutObjectCommand({ Bucket, Key, Body: 'two', IfMatch }));
    expect(await refusal(overwrite('"0123456789abcdef"'))).toBe('PreconditionFailed');
    expect(await refusal(overwrite(first.ETag!, 'absent'))).toBe('NoSuchKey');
    await overwrite(first.ETag!);
    expect(await refusal(overwrite(first.ETag!))).toBe('PreconditionFailed');
    expect(viewFolder(dir).files).toHaveLength(1);
  });

  it('gives metadata back and takes the overrides of a signed URL', async () => {
    await client.send(
      new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ContentType: 'video/webm', Metadata: { 'made-by': 'test' } }),
    );
    const found = await client.send(new GetObjectCommand({ Bucket, Key: 'k' }));
    expect([found.ContentType, found.Metadata]).toEqual(['video/webm', { 'made-by': 'test' }]);
    const presign = createPresigner({ credentials: CREDENTIALS, region: 'us-east-1', endpoint: running.endpoint });
    const query = [['response-content-type', 'text/plain']] as const;
    const answer = await send(presign({ method: 'GET', path: `/${Bucket}/k`, query }, clock.at, 60), { method: 'GET' });
    expect(answer.headers['content-type']).toBe('text/plain');
  });

  it('answers 304 to who has it already', async () => {
    const { ETag } = await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x' }));
    const url = bucket.presignGet('k', clock.at, 60);
    expect((await send(url, { method: 'GET', headers: { 'if-none-match': ETag! } })).status).toBe(304);
    expect((await send(url, { method: 'GET', headers: { 'if-none-match': '"other"' } })).status).toBe(200);
  });

  it('takes no unknown sub-resource for the object itself', async () => {
    await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'kept' }));
    const presign = createPresigner({ credentials: CREDENTIALS, region: 'us-east-1', endpoint: running.endpoint });
    for (const method of ['PUT', 'GET', 'DELETE'] as const) {
      const url = presign({ method, path: `/${Bucket}/k`, query: [['tagging', '']] }, clock.at, 60);
      const answer = await send(url, { method, headers: { 'content-length': '0' } });
      expect([answer.status, errorCode(answer)]).toEqual([501, 'NotImplemented']);
    }
    expect(Buffer.from((await bucket.get('k'))!).toString()).toBe('kept');
  });

  it('refuses versioning, so that what is deleted here is gone', async () => {
    const enable = new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } });
    expect(await refusal(client.send(enable))).toBe('NotImplemented');
    expect((await bucket.settings()).versioning).toBe('off');
    expect(await bucket.deleteVersions([{ key: 'k', versionId: 'made-up' }])).toEqual([
      { key: 'k', code: 'NoSuchVersion' },
    ]);
  });

  it('lets any page use a signed URL of a bucket that the server made', async () => {
    const { CORSRules } = await client.send(new GetBucketCorsCommand({ Bucket }));
    expect(CORSRules?.[0]?.AllowedOrigins).toEqual(['*']);
    const answer = await send(bucket.presignGet('absent', clock.at, 60), {
      method: 'GET',
      headers: { origin: 'https://exam.example' },
    });
    expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([404, '*']);
  });
});

describe('listing by folders', () => {
  it('gives each folder once, whatever the size of a page', async () => {
    for (const key of ['a/1', 'a/2', 'b', 'c/1/x', 'c/2/y', 'c0', 'd/1'])
      await store(bucket, key, Buffer.alloc(1), clock.at);
    for (const MaxKeys of [1, 2, 3, 1_000]) {
      const found: string[] = [];
      let ContinuationToken: string | undefined;
      do {
        const page: ListObjectsV2CommandOutput = await client.send(
          new ListObjectsV2Command({ Bucket, Delimiter: '/', MaxKeys, ContinuationToken }),
        );
        const names = [
          ...(page.Contents ?? []).map(({ Key }) => Key!),
          ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix!),
        ];
        expect(names.length).toBeLessThanOrEqual(MaxKeys);
        found.push(...names);
        ContinuationToken = page.NextContinuationToken;
      } while (ContinuationToken !== undefined);
      expect(found.sort()).toEqual(['a/', 'b', 'c/', 'c0', 'd/']);
    }
    const { CommonPrefixes } = await client.send(new ListObjectsV2Command({ Bucket, Delimiter: '/', Prefix: 'c/' }));
    expect(CommonPrefixes?.map(({ Prefix }) => Prefix)).toEqual(['c/1/', 'c/2/']);
  });
});

describe('multipart', () => {
  const PART = 5 * 1024 * 1024;
  const Key = 'multi';

  async function upload(): Promise<{ UploadId: string; parts: { PartNumber: number; ETag: string }[]; whole: Buffer }> {
    const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const bodies = [sample(PART, 'one'), sample(PART + 3, 'two'), sample(10, 'three')];
    const parts = [];
    for (const [at, Body] of bodies.entries()) {
      const PartNumber = 2 * at + 1;
      const { ETag } = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }));
      parts.push({ PartNumber, ETag: ETag! });
    }
    return { UploadId: UploadId!, parts, whole: Buffer.concat(bodies) };
  }

  const complete = (UploadId: string, Parts: { PartNumber: number; ETag: string }[], IfNoneMatch?: '*') =>
    client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts }, IfNoneMatch }));

  it('becomes one object, whose ranges cross its parts; parts that are not named are gone', async () => {
    const { UploadId, parts, whole } = await upload();
    await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 9, Body: 'not named' }));
    const replaced = await client.send(
      new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 5, Body: sample(10, 'three') }),
    );
    const listed = await client.send(new ListPartsCommand({ Bucket, Key, UploadId }));
    expect(listed.Parts?.map(({ PartNumber, Size }) => [PartNumber, Size])).toEqual([
      [1, PART],
      [3, PART + 3],
      [5, 10],
      [9, 9],
    ]);
    expect(await keysOf(bucket.list(''))).toEqual([]);
    await complete(UploadId, [...parts.slice(0, 2), { PartNumber: 5, ETag: replaced.ETag! }]);
    expect(Buffer.from((await bucket.get(Key))!).equals(whole)).toBe(true);
    for (const [from, to] of [
      [PART - 5, PART + 5],
      [0, 0],
      [PART, PART],
      [PART - 1, 2 * PART + 12],
    ] as const) {
      expect(Buffer.from((await bucket.get(Key, { from, to }))!).equals(whole.subarray(from, to + 1))).toBe(true);
    }
    expect(viewFolder(dir).files).toHaveLength(3);
    await bucket.deleteVersions([{ key: Key }]);
    expect(viewFolder(dir)).toEqual({ incoming: [], files: [], indexed: [], doomed: 0 });
  });

  it('is refused with a wrong tag, a wrong order, a small part, over an existing object, and stays open then', async () => {
    const { UploadId, parts } = await upload();
    const [one, two, three] = parts as [(typeof parts)[0], (typeof parts)[0], (typeof parts)[0]];
    expect(await refusal(complete(UploadId, [one, { PartNumber: 3, ETag: one.ETag }]))).toBe('InvalidPart');
    expect(await refusal(complete(UploadId, [two, one]))).toBe('InvalidPartOrder');
    const { ETag } = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 6, Body: 'x' }));
    expect(await refusal(complete(UploadId, [one, three, { PartNumber: 6, ETag: ETag! }]))).toBe('EntityTooSmall');
    await store(bucket, Key, Buffer.from('first'), clock.at);
    expect(await refusal(complete(UploadId, parts, '*'))).toBe('PreconditionFailed');
    expect(Buffer.from((await bucket.get(Key))!).toString()).toBe('first');
    await complete(UploadId, parts);
    expect(await refusal(complete(UploadId, parts))).toBe('NoSuchUpload');
  });

  it('is gone with its bytes when it is aborted', async () => {
    const { UploadId } = await upload();
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
    expect(viewFolder(dir)).toEqual({ incoming: [], files: [], indexed: [], doomed: 0 });
    expect(await refusal(client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: 'x' })))).toBe(
      'NoSuchUpload',
    );
  });
});

describe('XML', () => {
  it('is refused with a document type, an unknown entity, the wrong root and when it is cut', () => {
    for (const text of [
      '<!DOCTYPE Delete [<!ENTITY x SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&x;</Key></Object></Delete>',
      '<Delete><Object><Key>&x;</Key></Object></Delete>',
      '<Other/>',
      '<Delete><Object>',
      '',
    ]) {
      expect(() => parseXml(text, 'Delete'), text).toThrow(expect.objectContaining({ code: 'MalformedXML' }));
    }
  });

  it('is read with numeric entities, as the writers of other languages make them', () => {
    expect(parseXml('<Tag>&#34;a&#x22;&amp;&lt;&#x1F511;</Tag>', 'Tag')).toBe('"a"&<\u{1f511}');
  });

  it('deletes at most 1,000 keys at once', async () => {
    const Objects = Array.from({ length: 1_001 }, (_, at) => ({ Key: `k${at}` }));
    expect(await refusal(client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } })))).toBe('MalformedXML');
  });
});

describe('what is deleted', () => {
  it('is gone from every file of the folder, and so is its name', async () => {
    const canary = sample(64, 'canary');
    const body = Buffer.concat([sample(9_000), canary, sample(9_000)]);
    const keys = Array.from({ length: 40 }, (_, at) => `session-${at}/canary-name-${at}`);
    for (const key of keys) await store(bucket, key, body, clock.at);
    expect(isAnywhere(dir, canary, readFileSync)).toBe(true);
    expect(isAnywhere(dir, Buffer.from('canary-name'), readFileSync)).toBe(true);
    await bucket.deleteVersions(keys.map((key) => ({ key })));
    expect(isAnywhere(dir, canary, readFileSync)).toBe(false);
    await running.close();
    expect(isAnywhere(dir, Buffer.from('canary-name'), readFileSync)).toBe(false);
    await start();
  });
});

describe('a full disk', () => {
  const mountPoint = join(tmpdir(), `zeroreel-full-${process.pid}`);
  const mount = (() => {
    try {
      execFileSync('sh', ['-c', `mkdir -p ${mountPoint} && mount -t tmpfs -o size=3m none ${mountPoint}`], {
        stdio: 'ignore',
      });
      execFileSync('umount', [mountPoint]);
      return true;
    } catch {
      return false;
    }
  })();

  it.skipIf(!mount)(
    `is answered 507 and loses nothing${mount ? '' : ' (skipped: needs the right to mount a tmpfs)'}`,
    async () => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'none', mountPoint]);
      const here = dir;
      try {
        dir = mountPoint;
        await restart({});
        const stored: string[] = [];
        let status = 200;
        for (let at = 0; status === 200 && at < 100; at++) {
          const body = sample(150_000, String(at));
          const answer = await put(bucket.presignPut(promiseOf(`full/${at}`, body), clock.at, 300), body);
          ({ status } = answer);
          if (status === 200) stored.push(`full/${at}`);
          else expect(errorCode(answer)).toBe('InsufficientStorage');
        }
        expect(status).toBe(507);
        expect(stored.length).toBeGreaterThan(5);
        expect((await keysOf(bucket.list(''))).sort()).toEqual([...stored].sort());
        for (const key of stored) {
          expect(Buffer.from((await bucket.get(key))!).equals(sample(150_000, key.slice(5)))).toBe(true);
        }
        expect(viewFolder(dir).incoming).toEqual([]);
        // Room again: deleting works on a full disk, and so does the next upload.
        expect(await bucket.deleteVersions(stored.slice(0, 2).map((key) => ({ key })))).toEqual([]);
        await store(bucket, 'full/again', sample(100_000), clock.at);
      } finally {
        await running.close();
        execFileSync('umount', [mountPoint]);
        dir = here;
        await start();
      }
    },
  );
});
