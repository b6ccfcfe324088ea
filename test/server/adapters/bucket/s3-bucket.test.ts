/** The adapter against stores that fail, hang or lie. What it cannot know it must not claim: a purge believes it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createS3Bucket, type S3BucketOptions } from '../../../../src/server/adapters/s3-bucket.ts';
import { type Bucket, BucketError } from '../../../../src/server/ports.ts';
import { keysOf, promiseOf } from './wire.ts';

const CREDENTIALS = { accessKeyId: 'LIAR', secretAccessKey: 'liar-secret' };
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

type Script = (request: IncomingMessage, response: ServerResponse) => void;

/** A store that answers what the test says. */
async function storeThat(script: Script, over: Partial<S3BucketOptions> = {}): Promise<Bucket> {
  const server = createServer(script);
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return createS3Bucket({ endpoint, region: 'us-east-1', bucket: 'b', credentials: CREDENTIALS, attempts: 1, ...over });
}

const page = (keys: readonly string[], more = ''): string =>
  `<ListBucketResult><IsTruncated>${more !== ''}</IsTruncated>${more}${keys
    .map((key) => `<Contents><Key>${key}</Key><Size>1</Size></Contents>`)
    .join('')}</ListBucketResult>`;

const answerWith =
  (body: string, status = 200): Script =>
  (_, response) => {
    response.writeHead(status, { 'content-type': 'application/xml' }).end(body);
  };

async function codeOf(call: Promise<unknown>): Promise<string> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(BucketError);
  return (error as BucketError).code;
}

describe('a store that fails', () => {
  for (const [what, script, code] of [
    ['answers 500', answerWith('<Error><Code>InternalError</Code></Error>', 500), 'unavailable'],
    ['answers 503', answerWith('<Error><Code>SlowDown</Code></Error>', 503), 'unavailable'],
    ['answers 403', answerWith('<Error><Code>AccessDenied</Code></Error>', 403), 'refused'],
    ['has no such bucket', answerWith('<Error><Code>NoSuchBucket</Code></Error>', 404), 'missing-bucket'],
    ['does not know the call', answerWith('<Error><Code>InvalidRequest</Code></Error>', 400), 'invalid'],
    ['cuts the connection', (_: IncomingMessage, response: ServerResponse) => response.destroy(), 'unavailable'],
  ] as [string, Script, string][]) {
    it(`and ${what} is ${code} in every call, never empty and never done`, async () => {
      const bucket = await storeThat(script);
      expect(await codeOf(keysOf(bucket.list('a/')))).toBe(code);
      expect(await codeOf(keysOf(bucket.listVersions('a/')))).toBe(code);
      expect(await codeOf(bucket.deleteVersions([{ key: 'a/1' }]))).toBe(code);
      expect(await codeOf(bucket.abortMultiparts('a/'))).toBe(code);
      expect(await codeOf(bucket.get('a/1'))).toBe(code);
    });
  }

  it('and never answers is unavailable after the timeout', async () => {
    const bucket = await storeThat(() => undefined, { timeoutMs: 80 });
    expect(await codeOf(keysOf(bucket.list('a/')))).toBe('unavailable');
    expect(await codeOf(bucket.get('a/1'))).toBe('unavailable');
  });

  it('and stops in the middle of an object is unavailable, not a short object', async () => {
    const bucket = await storeThat((_, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('half', () => response.destroy());
    });
    expect(await codeOf(bucket.get('a/1'))).toBe('unavailable');
  });

  it('and hangs in the middle of an object is unavailable after the timeout', async () => {
    const bucket = await storeThat(
      (_, response) => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('half');
      },
      { timeoutMs: 80 },
    );
    expect(await codeOf(bucket.get('a/1'))).toBe('unavailable');
  });

  it('and recovers is asked again, as often as the options say', async () => {
    let count = 0;
    const bucket = await storeThat(
      (request, response) => {
        count += 1;
        answerWith(count < 3 ? '<Error><Code>InternalError</Code></Error>' : page(['a/1']), count < 3 ? 500 : 200)(
          request,
          response,
        );
      },
      { attempts: 3 },
    );
    expect(await keysOf(bucket.list('a/'))).toEqual(['a/1']);
    expect(count).toBe(3);
  });

  it('shows in its message neither the signature nor the secret', async () => {
    const bucket = await storeThat(answerWith('<Error><Code>AccessDenied</Code></Error>', 403));
    const error = await bucket.get('a/secret-name').catch((thrown: unknown) => thrown as Error);
    expect((error as Error).message).toBe('get: AccessDenied (403)');
  });
});

describe('a listing that lies', () => {
  for (const [what, body] of [
    ['is truncated without a next page', page(['a/1'], ' ')],
    ['goes back', page(['a/2', 'a/1'])],
    ['repeats a key', page(['a/1', 'a/1'])],
    ['leaves the prefix', page(['a/1', 'b/1'])],
  ] as const) {
    it(`and ${what} is invalid`, async () => {
      const bucket = await storeThat(answerWith(body));
      expect(await codeOf(keysOf(bucket.list('a/')))).toBe('invalid');
    });
  }

  it('and gives the same page for ever is invalid', async () => {
    const bucket = await storeThat(answerWith(page(['a/1'], '<NextContinuationToken>again</NextContinuationToken>')));
    expect(await codeOf(keysOf(bucket.list('a/')))).toBe('invalid');
  });

  it('and that names versions or multiparts outside of the prefix is invalid, and aborts nothing', async () => {
    const methods: string[] = [];
    const upload = '<Upload><Key>b/1</Key><UploadId>u</UploadId></Upload>';
    const bucket = await storeThat((request, response) => {
      methods.push(request.method!);
      const isUploads = request.url!.includes('uploads');
      answerWith(
        isUploads
          ? `<ListMultipartUploadsResult>${upload}</ListMultipartUploadsResult>`
          : '<ListVersionsResult><Version><Key>b/1</Key></Version></ListVersionsResult>',
      )(request, response);
    });
    expect(await codeOf(bucket.abortMultiparts('a/'))).toBe('invalid');
    expect(await codeOf(keysOf(bucket.listVersions('a/')))).toBe('invalid');
    expect(methods).toEqual(['GET', 'GET']);
  });
});

describe('a store with less than all of S3', () => {
  it('and without versions lists its objects instead', async () => {
    const bucket = await storeThat((request, response) => {
      if (request.url!.includes('versions'))
        answerWith('<Error><Code>NotImplemented</Code></Error>', 501)(request, response);
      else answerWith(page(['a/1', 'a/2']))(request, response);
    });
    const versions = [];
    for await (const version of bucket.listVersions('a/')) versions.push(version);
    expect(versions).toEqual(['a/1', 'a/2'].map((key) => ({ key, bytes: 1, kind: 'current' })));
  });

  it('and that will not tell its settings has unknown ones', async () => {
    const silent = await storeThat(answerWith('<Error><Code>NotImplemented</Code></Error>', 501));
    const unknown = { versioning: 'unknown', objectLock: 'unknown', lifecycle: 'unknown' };
    expect(await silent.settings()).toEqual(unknown);
    const strict = await storeThat(answerWith('<Error><Code>AccessDenied</Code></Error>', 403));
    expect(await strict.settings()).toEqual(unknown);
    const broken = await storeThat(answerWith('<Error><Code>InternalError</Code></Error>', 500));
    expect(await codeOf(broken.settings())).toBe('unavailable');
  });

  it('answers which keys of a batch it refused', async () => {
    const bucket = await storeThat(
      answerWith('<DeleteResult><Error><Key>a/1</Key><Code>AccessDenied</Code></Error></DeleteResult>'),
    );
    expect(await bucket.deleteVersions([{ key: 'a/1' }, { key: 'a/2' }])).toEqual([
      { key: 'a/1', code: 'AccessDenied' },
    ]);
  });
});

describe('the URLs', () => {
  const options = { region: 'auto', bucket: 'recordings', credentials: CREDENTIALS };

  it('name the public endpoint, in path style or with the bucket as a host', () => {
    const at = { endpoint: 'http://10.0.0.1:9000', publicEndpoint: 'https://s3.example', ...options };
    expect(new URL(createS3Bucket(at).presignGet('a/1', 0, 60))).toMatchObject({
      host: 's3.example',
      pathname: '/recordings/a/1',
    });
    expect(new URL(createS3Bucket({ ...at, pathStyle: false }).presignGet('a/1', 0, 60))).toMatchObject({
      host: 'recordings.s3.example',
      pathname: '/a/1',
    });
  });

  it('hide no header in the query, where it would bind nothing', () => {
    const bucket = createS3Bucket({ endpoint: 'https://s3.example', ...options });
    const { url, headers } = bucket.presignPut(promiseOf('a/1', Buffer.from('x')), 0, 60);
    const names = [...new URL(url).searchParams.keys()];
    expect(names.sort()).toEqual([
      'X-Amz-Algorithm',
      'X-Amz-Credential',
      'X-Amz-Date',
      'X-Amz-Expires',
      'X-Amz-Signature',
      'X-Amz-SignedHeaders',
    ]);
    const signed = new URL(url).searchParams.get('X-Amz-SignedHeaders')!.split(';');
    expect(signed).toEqual(['content-length', 'host', ...Object.keys(headers)].sort());
  });
});
