/**
 * Probes a bucket with real objects: stores differ in what they enforce, and none of it can be read off a version number. Every
 * refusal is asked for, by a request that must not succeed. What was written is deleted, and a listing shows that it is.
 */
import { equal, type Bytes } from '../../crypto/format/bytes.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { newId } from '../../crypto/format/ids.ts';
import { randomBytes } from '../../crypto/format/random.ts';
import type { Bucket, PresignedPut } from '../../src/server/ports.ts';
import { found, type Finding } from './finding.ts';

const OBJECT_BYTES = 4096;
const MINUTE_MS = 60_000;
const TIMEOUT_MS = 15_000;
/** A lifecycle rule that ends objects sooner than this loses recordings. */
const LONGEST_RETENTION_DAYS = 30;

export async function probeBucket(bucket: Bucket, now: number): Promise<Finding[]> {
  const prefix = `${newId()}/doctor/`;
  const body = randomBytes(OBJECT_BYTES);
  try {
    return [
      ...(await probeWrites(bucket, prefix, body, now)),
      ...(await probeReads(bucket, prefix, body, now)),
      ...(await probeSettings(bucket)),
    ];
  } finally {
    const versions = [];
    for await (const version of bucket.listVersions(prefix)) versions.push(version);
    if (versions.length > 0) await bucket.deleteVersions(versions);
  }
}

async function probeWrites(bucket: Bucket, prefix: string, body: Bytes, now: number): Promise<Finding[]> {
  const promise = { key: `${prefix}object`, bytes: body.length, sha256: await sha256(body) };
  const url = bucket.presignPut(promise, now, 300);
  const stored = await put(url, body);
  const findings = [
    found('bucket.write', stored.status === 200, 'takes a presigned PUT', {
      state: 'bad',
      message: `a presigned PUT was answered with ${stored.status}`,
      hint: 'credentials, region, path style, or a clock that is wrong',
    }),
  ];
  const refusals: [check: string, what: string, url: PresignedPut, body: Bytes][] = [
    ['bucket.create-only', 'the same PUT again', url, body],
    [
      'bucket.sha256',
      'another body of the same length',
      bucket.presignPut({ ...promise, key: `${prefix}wrong-body` }, now, 300),
      randomBytes(body.length),
    ],
    [
      'bucket.length',
      'a longer body',
      bucket.presignPut({ ...promise, key: `${prefix}longer` }, now, 300),
      randomBytes(body.length + 1),
    ],
    [
      'bucket.signature',
      'a forged signature',
      forged(bucket.presignPut({ ...promise, key: `${prefix}forged` }, now, 300)),
      body,
    ],
    [
      'bucket.expiry',
      'a URL that has expired',
      bucket.presignPut({ ...promise, key: `${prefix}late` }, now - 20 * MINUTE_MS, 300),
      body,
    ],
    [
      'bucket.key',
      'a URL for another key',
      elsewhere(bucket.presignPut({ ...promise, key: `${prefix}here` }, now, 300)),
      body,
    ],
  ];
  for (const [check, what, refusable, content] of refusals) {
    const { status } = await put(refusable, content);
    findings.push(
      found(check, status >= 400 && status < 500, `refuses ${what} (${status})`, {
        state: 'bad',
        message: `${what} was answered with ${status}`,
        hint: 'uploads to this store are not bound to what the server signed',
      }),
    );
  }
  const skewMs = stored.dateMs === undefined ? undefined : Math.abs(stored.dateMs - now);
  findings.push(
    skewMs === undefined
      ? { check: 'bucket.clock', state: 'unknown', message: 'the store does not tell its time' }
      : found('bucket.clock', skewMs < MINUTE_MS, 'its clock agrees within a minute', {
          state: 'weak',
          message: `its clock is ${Math.round(skewMs / 1000)} s away from this machine's`,
        }),
  );
  return findings;
}

async function probeReads(bucket: Bucket, prefix: string, body: Bytes, now: number): Promise<Finding[]> {
  const url = bucket.presignGet(`${prefix}object`, now, 300);
  const whole = await get(url);
  const part = await get(url, 'bytes=100-199');
  const listed = [];
  for await (const object of bucket.list(prefix)) listed.push(object);
  const preflight = await request(url, {
    method: 'OPTIONS',
    headers: {
      origin: 'https://zeroreel.example',
      'access-control-request-method': 'PUT',
      'access-control-request-headers': 'content-type,if-none-match',
    },
  });
  const findings = [
    found('bucket.read', whole.status === 200 && equal(whole.bytes, body), 'gives an object back whole', {
      state: 'bad',
      message: `a presigned GET was answered with ${whole.status}`,
    }),
    found('bucket.range', part.status === 206 && equal(part.bytes, body.subarray(100, 200)), 'serves ranges', {
      state: 'weak',
      message: 'no ranges: seeking will read whole chunks',
    }),
    found(
      'bucket.list',
      listed.length === 1 && listed[0]!.bytes === body.length,
      'lists exactly what was stored, at once',
      {
        state: 'bad',
        message: `expected one object in the listing, found ${listed.length}`,
        hint: 'deletion is proven by listings; this one cannot be relied on, or it took what it should have refused',
      },
    ),
    found('bucket.cors', preflight.headers.has('access-control-allow-origin'), 'lets browsers upload (CORS)', {
      state: 'weak',
      message: 'no CORS: browsers cannot record to this bucket',
      hint: 'allow PUT and GET from the origin of the pages',
    }),
  ];
  const versions = [];
  for await (const version of bucket.listVersions(prefix)) versions.push(version);
  await bucket.deleteVersions(versions);
  let left = 0;
  for await (const _version of bucket.listVersions(prefix)) left++;
  findings.push(
    found('bucket.delete', left === 0, 'a listing after the delete is empty', {
      state: 'bad',
      message: `${left} versions are left after a delete`,
    }),
  );
  return findings;
}

async function probeSettings(bucket: Bucket): Promise<Finding[]> {
  const { versioning, objectLock, lifecycle } = await bucket.settings();
  const shortest = Array.isArray(lifecycle) ? Math.min(...lifecycle.map(({ days }) => days)) : undefined;
  return [
    versioning === 'unknown'
      ? { check: 'bucket.versioning', state: 'unknown', message: 'the store does not say whether it keeps versions' }
      : found('bucket.versioning', versioning === 'off', 'keeps no versions', {
          state: versioning === 'enabled' ? 'weak' : 'bad',
          message:
            versioning === 'enabled'
              ? 'versioning is on: every version is deleted by its id'
              : 'versioning is suspended: null versions hide what was there before',
        }),
    objectLock === 'unknown'
      ? { check: 'bucket.lock', state: 'unknown', message: 'the store does not say whether objects can be locked' }
      : found('bucket.lock', !objectLock, 'has no object lock', {
          state: 'bad',
          message: 'object lock is on: nothing can be hard-deleted after 30 days',
        }),
    shortest === undefined
      ? {
          check: 'bucket.lifecycle',
          state: lifecycle === 'none' ? 'weak' : 'unknown',
          message: 'no lifecycle rule stands behind the purge',
          hint: 'a rule of 31 days is a backstop',
        }
      : found(
          'bucket.lifecycle',
          shortest > LONGEST_RETENTION_DAYS,
          `a lifecycle rule of ${shortest} days stands behind the purge`,
          {
            state: 'bad',
            message: `a lifecycle rule deletes after ${shortest} days: recordings would be lost before their time`,
          },
        ),
  ];
}

interface Answer {
  /** 0 where the connection was cut instead of an answer: also a refusal, but not one to be relied on. */
  status: number;
  headers: Headers;
  bytes: Bytes;
  dateMs: number | undefined;
}

async function request(url: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
  const date = Date.parse(response.headers.get('date') ?? '');
  return {
    status: response.status,
    headers: response.headers,
    bytes: new Uint8Array(await response.arrayBuffer()),
    dateMs: Number.isNaN(date) ? undefined : date,
  };
}

function put({ url, headers }: PresignedPut, body: Bytes): Promise<Answer> {
  return request(url, { method: 'PUT', headers, body });
}

function get(url: string, range?: string): Promise<Answer> {
  return request(url, range === undefined ? {} : { headers: { range } });
}

function forged({ url, headers }: PresignedPut): PresignedPut {
  return {
    url: url.replace(
      /(X-Amz-Signature=)(.)/,
      (_all, name: string, digit: string) => `${name}${digit === '0' ? '1' : '0'}`,
    ),
    headers,
  };
}

function elsewhere({ url, headers }: PresignedPut): PresignedPut {
  return { url: url.replace('here?', 'there?'), headers };
}
