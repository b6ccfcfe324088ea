/**
 * Probes a bucket with real objects: stores differ in what they enforce, and none of it can be read off a version number. Every
 * refusal is asked for, by a request that must not succeed. What was written is deleted, and a listing shows that it is.
 */
import { equal, type Bytes } from '../../../crypto/format/bytes.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { newId } from '../../../crypto/format/ids.ts';
import { randomBytes } from '../../../crypto/format/random.ts';
import type { Probe, Refusal } from '../core/attestation.ts';
import { type Bucket, BucketError, type Clock, type PresignedPut } from '../ports.ts';

const OBJECT_BYTES = 4096;
const URL_SECONDS = 300;
const MINUTE_MS = 60_000;
const TIMEOUT_MS = 15_000;

/** Stands for the pages of any origin. */
const ANY_ORIGIN = 'https://zeroreel.example';

/** How the probe's own requests leave. */
interface Sender {
  clock: Clock;
  send: typeof fetch;
}

/** Where nothing answers, it throws `BucketError`; everything else is a fact. `origin`: whose pages must be able to upload. */
export async function probeBucket(
  bucket: Bucket,
  clock: Clock,
  { origin = ANY_ORIGIN, send = fetch }: { origin?: string | undefined; send?: typeof fetch } = {},
): Promise<Probe> {
  const sender: Sender = { clock, send };
  // No recording has such a prefix: an id has 22 characters.
  const prefix = `probe-${newId()}/`;
  const body = randomBytes(OBJECT_BYTES);
  const promise = { key: `${prefix}object`, bytes: body.length, sha256: await sha256(body) };
  try {
    const settings = await bucket.settings();
    const url = bucket.presignPut(promise, clock.now(), URL_SECONDS);
    const stored = await put(url, body, sender);
    const promised = (name: string, at = clock.now()) =>
      bucket.presignPut({ ...promise, key: prefix + name }, at, URL_SECONDS);
    const attempts: Record<Refusal, [url: PresignedPut, body: Bytes]> = {
      signature: [forged(promised('forged')), body],
      expiry: [promised('late', clock.now() - 20 * MINUTE_MS), body],
      key: [elsewhere(promised('here')), body],
      length: [promised('longer'), randomBytes(body.length + 1)],
      sha256: [promised('wrong-body'), randomBytes(body.length)],
      'create-only': [url, body],
    };
    const refusals = {} as Record<Refusal, number>;
    for (const [refusal, [refusable, content]] of Object.entries(attempts) as [Refusal, [PresignedPut, Bytes]][]) {
      refusals[refusal] = await put(refusable, content, sender).then(({ status }) => status, ifCut);
    }
    const reads = await probeReads(bucket, promise.key, body, sender, origin);
    const isListed = await isIn(bucket, prefix, promise.key, body.length);
    await empty(bucket, prefix);
    const left = (await versionsUnder(bucket, prefix)).length;
    return { put: stored.status, refusals, ...reads, isListed, left, clockSkewMs: stored.skewMs, settings };
  } catch (error) {
    if (error instanceof BucketError) throw error;
    // What fetch throws has the URL in its cause at times, and a URL's query is a credential.
    throw new BucketError('unavailable', 'probe: no answer');
  } finally {
    await empty(bucket, prefix).catch(() => undefined);
  }
}

async function probeReads(bucket: Bucket, key: string, body: Bytes, sender: Sender, origin: string) {
  const url = bucket.presignGet(key, sender.clock.now(), URL_SECONDS);
  const whole = await request(url, {}, sender);
  const part = await request(url, { headers: { range: 'bytes=100-199' } }, sender);
  const preflight = await request(
    url,
    {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'PUT',
        'access-control-request-headers': 'content-type,if-none-match,x-amz-checksum-sha256,x-amz-content-sha256',
      },
    },
    sender,
  );
  return {
    isReadable: whole.status === 200 && equal(whole.bytes, body),
    isRangeServed: part.status === 206 && equal(part.bytes, body.subarray(100, 200)),
    isCorsOpen: preflight.headers.has('access-control-allow-origin'),
  };
}

async function isIn(bucket: Bucket, prefix: string, key: string, bytes: number): Promise<boolean> {
  for await (const object of bucket.list(prefix)) if (object.key === key) return object.bytes === bytes;
  return false;
}

async function versionsUnder(bucket: Bucket, prefix: string) {
  const versions = [];
  for await (const version of bucket.listVersions(prefix)) versions.push(version);
  return versions;
}

async function empty(bucket: Bucket, prefix: string): Promise<void> {
  await bucket.deleteVersions(await versionsUnder(bucket, prefix));
}

interface Answer {
  status: number;
  headers: Headers;
  bytes: Bytes;
  /** The store's Date less this machine's time; the middle of the request's travel stands for when it was answered. */
  skewMs: number | null;
}

async function request(url: string, init: RequestInit, { clock, send }: Sender): Promise<Answer> {
  const sentMs = clock.now();
  const response = await send(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) });
  const date = Date.parse(response.headers.get('date') ?? '');
  return {
    status: response.status,
    headers: response.headers,
    bytes: new Uint8Array(await response.arrayBuffer()),
    // The header has whole seconds.
    skewMs: Number.isNaN(date) ? null : Math.round(date + 500 - (sentMs + clock.now()) / 2),
  };
}

/** A store may cut the connection in place of an answer: for a refusal that is a fact too. A timeout is not. */
function ifCut(error: unknown): number {
  if (error instanceof TypeError) return 0;
  throw error;
}

function put({ url, headers }: PresignedPut, body: Bytes, sender: Sender): Promise<Answer> {
  return request(url, { method: 'PUT', headers, body }, sender);
}

function forged({ url, headers }: PresignedPut): PresignedPut {
  const forgery = url.replace(
    /(X-Amz-Signature=)(.)/,
    (_all, name: string, digit: string) => `${name}${digit === '0' ? '1' : '0'}`,
  );
  return { url: forgery, headers };
}

function elsewhere({ url, headers }: PresignedPut): PresignedPut {
  return { url: url.replace('/here?', '/there?'), headers };
}
