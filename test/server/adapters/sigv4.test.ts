import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { SignatureV4 } from '@smithy/signature-v4';
import { createHash, createHmac } from 'node:crypto';
import { describe, expect, it, test } from 'vitest';
import { toHex } from '../../../crypto/format/bytes.ts';
import {
  amzDate,
  canonicalQuery,
  createPresigner,
  type Pair,
  parseAmzDate,
  requestSignature,
  signingKey,
  uriEncode,
} from '../../../src/server/adapters/sigv4.ts';

// The examples of "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference: their key is public.
const EXAMPLE = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
const SCOPE = { day: '20130524', region: 'us-east-1', service: 's3' };
const DATE = '20130524T000000Z';
const HOST: Pair = ['host', 'examplebucket.s3.amazonaws.com'];
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('the examples of the reference', () => {
  const key = signingKey(EXAMPLE.secretAccessKey, SCOPE);

  it('GET with a range has the published signature', () => {
    const headers: Pair[] = [HOST, ['range', 'bytes=0-9'], ['x-amz-content-sha256', EMPTY], ['x-amz-date', DATE]];
    const request = { method: 'GET', path: '/test.txt', query: [], headers, payloadHash: EMPTY };
    expect(requestSignature(key, DATE, SCOPE, request)).toBe(
      'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
    );
  });

  it('PUT of a key with a dollar sign has the published signature', () => {
    const payloadHash = '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072';
    const headers: Pair[] = [
      HOST,
      ['date', 'Fri, 24 May 2013 00:00:00 GMT'],
      ['x-amz-content-sha256', payloadHash],
      ['x-amz-date', DATE],
      ['x-amz-storage-class', 'REDUCED_REDUNDANCY'],
    ];
    const request = { method: 'PUT', path: '/test$file.text', query: [], headers, payloadHash };
    expect(requestSignature(key, DATE, SCOPE, request)).toBe(
      '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
    );
  });

  it('a listing with parameters has the published signature', () => {
    const query: Pair[] = [
      ['prefix', 'J'],
      ['max-keys', '2'],
    ];
    const headers: Pair[] = [HOST, ['x-amz-content-sha256', EMPTY], ['x-amz-date', DATE]];
    expect(requestSignature(key, DATE, SCOPE, { method: 'GET', path: '/', query, headers, payloadHash: EMPTY })).toBe(
      '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
    );
  });

  it('a presigned GET is the published URL', () => {
    const presign = createPresigner({
      credentials: EXAMPLE,
      region: 'us-east-1',
      endpoint: 'https://examplebucket.s3.amazonaws.com',
    });
    expect(presign({ method: 'GET', path: '/test.txt' }, Date.UTC(2013, 4, 24), 86_400)).toBe(
      'https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256' +
        '&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z' +
        '&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
        '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
    );
  });
});

function keyBytes(secret: string | ArrayBuffer | ArrayBufferView): Buffer {
  if (typeof secret === 'string') return Buffer.from(secret);
  if (ArrayBuffer.isView(secret)) return Buffer.from(secret.buffer, secret.byteOffset, secret.byteLength);
  return Buffer.from(secret);
}

/** The SDK takes its hash as a constructor; node's, so that nothing is shared with what is tested. */
class NodeSha256 {
  readonly #hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', keyBytes(secret));
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    throw new Error('the signer does not reset');
  }
}

describe("equality with the SDK's signer", () => {
  const credentials = { accessKeyId: 'AKID', secretAccessKey: 'secret/with+signs', sessionToken: 'token/+=' };
  const now = Date.UTC(2026, 10, 23, 23, 59, 59);
  const payloadHash = createHash('sha256').update('body').digest('hex');
  const cases: { what: string; method: 'GET' | 'PUT'; path: string; query: Pair[]; headers: Pair[] }[] = [
    { what: 'a plain GET', method: 'GET', path: '/bucket/key', query: [], headers: [] },
    {
      what: 'a GET with overrides',
      method: 'GET',
      path: "/bucket/a b/ü+%/!'()*~",
      query: [
        ['response-content-type', 'video/webm; codecs="vp8, opus"'],
        ['response-cache-control', 'no-store'],
      ],
      headers: [],
    },
    {
      what: 'a PUT that binds length, hash and create-only',
      method: 'PUT',
      path: '/bucket/session/0/1/7',
      query: [],
      headers: [
        ['content-length', '4'],
        ['if-none-match', '*'],
        ['x-amz-checksum-sha256', Buffer.from(payloadHash, 'hex').toString('base64')],
        ['x-amz-content-sha256', payloadHash],
        ['x-amz-sdk-checksum-algorithm', 'SHA256'],
      ],
    },
  ];

  for (const { what, method, path, query, headers } of cases) {
    it(`signs ${what} as it does`, async () => {
      const signer = new SignatureV4({
        service: 's3',
        region: 'eu-central-1',
        credentials,
        sha256: NodeSha256,
        uriEscapePath: false,
        applyChecksum: false,
      });
      const names = new Set(headers.map(([name]) => name));
      const body = names.has('x-amz-content-sha256') ? payloadHash : 'UNSIGNED-PAYLOAD';
      const signed = await signer.presign(
        {
          method,
          protocol: 'https:',
          hostname: 's3.example',
          path: uriEncode(path, true),
          query: Object.fromEntries(query),
          // The SDK reads the body's hash from here; as a header that is not signed it changes nothing else.
          headers: { host: 's3.example', 'x-amz-content-sha256': body, ...Object.fromEntries(headers) },
        },
        {
          expiresIn: 300,
          signingDate: new Date(now),
          signableHeaders: new Set(['host', ...names]),
          unsignableHeaders: names.has('x-amz-content-sha256') ? new Set() : new Set(['x-amz-content-sha256']),
          unhoistableHeaders: new Set(['x-amz-content-sha256', ...names]),
        },
      );
      const presign = createPresigner({ credentials, region: 'eu-central-1', endpoint: 'https://s3.example' });
      const url = new URL(presign({ method, path, query, headers, payloadHash: body }, now, 300));
      expect(url.pathname).toBe(signed.path);
      expect(Object.fromEntries(url.searchParams)).toEqual(signed.query);
    });
  }
});

test("a URL for the same request has the presigner's signature", async () => {
  const credentials = { accessKeyId: 'AKID', secretAccessKey: 'secret/with+signs' };
  const endpoint = 'https://s3.example';
  const client = new S3Client({ region: 'eu-central-1', endpoint, credentials, forcePathStyle: true });
  const request = new GetObjectCommand({ Bucket: 'bucket', Key: "a b/ü+%/!'()*~", ResponseContentType: 'video/webm' });
  const now = Date.UTC(2026, 10, 23, 23, 59, 59);
  const theirs = new URL(await getSignedUrl(client, request, { expiresIn: 300, signingDate: new Date(now) }));
  client.destroy();
  const own = /^X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature)$/;
  const query = [...theirs.searchParams].filter(([name]) => !own.test(name));
  const presign = createPresigner({ credentials, region: 'eu-central-1', endpoint });
  const ours = new URL(presign({ method: 'GET', path: "/bucket/a b/ü+%/!'()*~", query }, now, 300));
  expect(Object.fromEntries(ours.searchParams)).toEqual(Object.fromEntries(theirs.searchParams));
});

describe('the parts of a signature', () => {
  it('encodes everything but the unreserved characters', () => {
    expect(uriEncode("AZaz09-_.~ /+%!'()*é")).toBe('AZaz09-_.~%20%2F%2B%25%21%27%28%29%2A%C3%A9');
    expect(uriEncode('/a b/c', true)).toBe('/a%20b/c');
  });

  it('sorts a query by name and then by value, after encoding', () => {
    const query: Pair[] = [
      ['b', '2'],
      ['a', 'z'],
      ['b', '1'],
      ['a-', ''],
      ['A', ''],
    ];
    expect(canonicalQuery(query)).toBe('A=&a=z&a-=&b=1&b=2');
  });

  it('reads back the dates that it writes, and no others', () => {
    const at = Date.UTC(2028, 1, 29, 23, 59, 59);
    expect(amzDate(at)).toBe('20280229T235959Z');
    expect(parseAmzDate('20280229T235959Z')).toBe(at);
    for (const text of ['20270229T000000Z', '20280229T240000Z', '20280229T235959', '2028-02-29T23:59:59Z', '']) {
      expect(parseAmzDate(text)).toBeUndefined();
    }
  });

  it("changes the key with the day, so that yesterday's cached one is not used", () => {
    const presign = createPresigner({ credentials: EXAMPLE, region: 'us-east-1', endpoint: 'https://s3.example' });
    const midnight = Date.UTC(2026, 10, 24);
    const request = { method: 'GET', path: '/b/k' } as const;
    for (const now of [midnight - 1_000, midnight, midnight - 1_000]) {
      const fresh = createPresigner({ credentials: EXAMPLE, region: 'us-east-1', endpoint: 'https://s3.example' });
      expect(presign(request, now, 60)).toBe(fresh(request, now, 60));
    }
    const keys = ['20261123', '20261124'].map((day) => toHex(signingKey('secret', { ...SCOPE, day })));
    expect(keys[0]).not.toBe(keys[1]);
  });
});
