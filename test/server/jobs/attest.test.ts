/** The probe against real buckets, and against one real bucket behind a gateway that lets through what it should refuse. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sha256 } from '../../../crypto/format/hash.ts';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import { probeBucket } from '../../../src/server/adapters/bucket-probe.ts';
import { startEmbeddedBucket, type RunningBucket } from '../../../src/server/adapters/embedded-bucket/index.ts';
import { createS3BucketAdmin } from '../../../src/server/adapters/s3-bucket-admin.ts';
import { createS3Bucket } from '../../../src/server/adapters/s3-bucket.ts';
import { judge } from '../../../src/server/core/attestation.ts';
import { attest } from '../../../src/server/jobs/attest.ts';
import { purge } from '../../../src/server/jobs/purge.ts';
import { BucketError, type Bucket, type Ports } from '../../../src/server/ports.ts';
import { StartRefusal } from '../../../src/server/start-refusal.ts';
import { media } from '../recorder.ts';
import { DAY_MS, expectStatus, MINUTE_MS, put, Stage } from '../stage.ts';

const CLOCK = { now: () => Date.now() };
const folder = mkdtempSync(join(tmpdir(), 'zeroreel-attest-'));
const where = {
  bucket: 'zeroreel',
  region: 'us-east-1',
  credentials: { accessKeyId: 'PROBE', secretAccessKey: 'probe-secret' },
};
let embedded: RunningBucket;
let bucket: Bucket;
const servers: Server[] = [];

beforeAll(async () => {
  embedded = await startEmbeddedBucket({ dir: folder, credentials: where.credentials, buckets: [where.bucket] });
  bucket = createS3Bucket({ ...where, endpoint: embedded.endpoint });
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});
afterAll(async () => {
  await embedded.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The real bucket, whose settings are told otherwise. */
function told(changes: Partial<Awaited<ReturnType<Bucket['settings']>>>): Bucket {
  return { ...bucket, settings: async () => ({ ...(await bucket.settings()), ...changes }) };
}

/** The real bucket, whose presigned PUTs go to a gateway that stores whatever `isTaken`, and asks nobody. */
async function gullible(isTaken: (request: IncomingMessage) => boolean): Promise<Bucket> {
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const pass = async () => {
        const headers = new Headers(request.headers as Record<string, string>);
        for (const name of ['host', 'connection', 'transfer-encoding', 'content-length']) headers.delete(name);
        const body = Buffer.concat(chunks);
        const isBodiless = request.method === 'GET' || request.method === 'OPTIONS';
        const answer = await fetch(embedded.endpoint + request.url!, {
          method: request.method!,
          headers,
          ...(!isBodiless && { body }),
        });
        const isLie = request.method === 'PUT' && answer.status >= 400 && isTaken(request);
        response.writeHead(isLie ? 200 : answer.status, Object.fromEntries(answer.headers));
        response.end(Buffer.from(await answer.arrayBuffer()));
      };
      pass().catch(() => response.destroy());
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const port = (server.address() as AddressInfo).port;
  const at = (url: string): string => url.replace(embedded.endpoint, `http://127.0.0.1:${port}`);
  return {
    ...bucket,
    presignPut: (...given) => {
      const { url, headers } = bucket.presignPut(...given);
      return { url: at(url), headers };
    },
  };
}

async function keys(): Promise<string[]> {
  const found = [];
  for await (const { key } of bucket.list('')) found.push(key);
  return found;
}

describe('the probe', () => {
  it('finds the embedded bucket to enforce everything, and leaves nothing behind', async () => {
    const findings = judge(await probeBucket(bucket, CLOCK));
    expect(findings.filter(({ state }) => state !== 'ok').map(({ check }) => check)).toEqual(['bucket.lifecycle']);
    expect(await keys()).toEqual([]);
  });

  it.each([
    ['a forged signature', '/forged?', 'bucket.signature', 'bad'],
    ['an expired URL', '/late?', 'bucket.expiry', 'bad'],
    ['a URL for another key', '/there?', 'bucket.key', 'bad'],
    ['another body', '/wrong-body?', 'bucket.sha256', 'weak'],
    ['another length', '/longer?', 'bucket.length', 'weak'],
    ['an overwrite', '/object?', 'bucket.create-only', 'weak'],
  ])('finds a store out that takes %s', async (_, mark, check, state) => {
    const liar = await gullible(({ url }) => url!.includes(mark));
    const unwell = judge(await probeBucket(liar, CLOCK)).filter((finding) => finding.state !== 'ok');
    expect(unwell.map((one) => [one.check, one.state])).toEqual(expect.arrayContaining([[check, state]]));
    expect(unwell).toHaveLength(2); // and the lifecycle rule that is not there
    expect(await keys()).toEqual([]);
  });

  it('knows nothing of a store that does not answer, and says so without the URL', async () => {
    const nobody = createS3Bucket({ ...where, endpoint: 'http://127.0.0.1:9', attempts: 1 });
    const error: unknown = await probeBucket(nobody, CLOCK).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(BucketError);
    expect((error as BucketError).code).toBe('unavailable');
    expect(String(error)).not.toMatch(/X-Amz/);
  });

  it('is well after the fix, which leaves the rules that were there', async () => {
    const admin = createS3BucketAdmin({ ...where, endpoint: embedded.endpoint });
    await admin.keepBackstop(31);
    await admin.keepBackstop(31);
    await admin.allowOrigins(['https://exams.example.edu']);
    admin.close();
    expect(judge(await probeBucket(bucket, CLOCK)).filter(({ state }) => state !== 'ok')).toEqual([]);
    expect((await bucket.settings()).lifecycle).toEqual([{ id: 'zeroreel-backstop', prefix: '', days: 31 }]);
  });
});

describe('the server', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await Stage.start();
  });
  afterAll(() => stage.stop());

  const portsWith = (other: Bucket): Ports => ({ ...stage.server.ports, bucket: other });
  const about = async (...types: string[]) =>
    (await stage.server.ports.store.entriesOf(''))
      .map(({ bytes }) => decodeEntry(bytes))
      .filter(({ type }) => types.includes(type));

  it('logs what it found once, again when it changed, and again after a day', async () => {
    await attest(stage.server.ports, probeBucket);
    await attest(stage.server.ports, probeBucket);
    expect(await about('storage.attested')).toHaveLength(1);
    await attest(portsWith(told({ versioning: 'enabled' })), () => probeBucket(told({ versioning: 'enabled' }), CLOCK));
    expect(await about('storage.attested')).toHaveLength(2);
    stage.clock.advance(DAY_MS);
    await attest(portsWith(told({ versioning: 'enabled' })), () => probeBucket(told({ versioning: 'enabled' }), CLOCK));
    expect(await about('storage.attested')).toHaveLength(3);
  });

  it('refuses suspended versioning in words, with what to do, and the log knows', async () => {
    const unfit = told({ versioning: 'suspended' });
    const error: unknown = await attest(portsWith(unfit), () => probeBucket(unfit, CLOCK)).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(StartRefusal);
    expect((error as StartRefusal).message).toMatch(/versioning is suspended/);
    expect((error as StartRefusal).hint).not.toBe('');
    expect((await about('storage.attested')).at(-1)).toMatchObject({ versioning: 'suspended' });
  });

  it('opens one anomaly for a weak store, closes it when the store was mended, and meanwhile hashes what it counts', async () => {
    const liar = await gullible(({ url }) => url!.includes('/wrong-body?'));
    const probeLiar = () => probeBucket(liar, CLOCK);
    await attest(stage.server.ports, probeLiar);
    await attest(stage.server.ports, probeLiar);
    expect(await about('anomaly.found', 'anomaly.closed')).toMatchObject([{ kind: 'store-weak', count: 1 }]);

    stage.clock.advance(MINUTE_MS);
    const exam = await stage.exam();
    const recorder = await stage.recorder(exam);
    const honest = await recorder.chunk(1, media(3000));
    await stage.upload(recorder, honest);
    expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);

    // What this bucket refuses, a weak one would take: so other bytes of the right length are put there by its own key.
    const forgotten = await recorder.chunk(1, media(3000, 2));
    const upload = await stage.sign(recorder, forgotten);
    const { bucket: own, clock } = stage.server.ports;
    const other = new Uint8Array(forgotten.object).fill(7);
    const key = new URL(upload.url).pathname.split('/').slice(2).join('/');
    const direct = own.presignPut({ key, bytes: other.length, sha256: await sha256(other) }, clock.now(), 300);
    expect(await put({ ...upload, ...direct }, other)).toBe(200);
    const refused = await stage.sendHead(recorder, await recorder.head());
    expect(refused).toMatchObject({ status: 422, body: { code: 'chunk-refused', altered: [{ track: 1, seq: 1 }] } });

    await attest(stage.server.ports, () => probeBucket(bucket, CLOCK));
    expect((await about('anomaly.closed')).at(-1)).toMatchObject({ resolution: 'repaired' });
    expect(stage.reported).toEqual([]);
  });

  it('begins no deletion by a clock that runs ahead of its bucket’s, until the two agree', async () => {
    const { ports } = stage.server;
    const recorder = await stage.recorder(await stage.exam());
    expectStatus(await stage.sendHead(recorder, await recorder.close()), 200);
    const probeAt = (clockSkewMs: number) => async () => ({ ...(await probeBucket(bucket, CLOCK)), clockSkewMs });
    await expect(attest(ports, probeAt(-31 * DAY_MS))).rejects.toThrow(StartRefusal);
    await expect(attest(ports, probeAt(-31 * DAY_MS))).rejects.toThrow(/its clock is \d+ s behind/);
    expect((await about('anomaly.found')).at(-1)).toMatchObject({ kind: 'clock-stepped', count: 1 });
    stage.clock.advance(30 * DAY_MS + MINUTE_MS);
    expect(await purge(ports)).toMatchObject({ due: 0 });
    expect((await ports.store.recording(recorder.sessionId))?.state).toBe('closed');
    await attest(ports, probeAt(0));
    expect((await about('anomaly.closed')).at(-1)).toMatchObject({ resolution: 'repaired' });
    expect(await purge(ports)).toMatchObject({ failed: [] });
    expect((await ports.store.recording(recorder.sessionId))?.state).toBe('deleted');
  });
});
