/** A bucket that fails, hangs or lies, and a disk that is full: a stable code, no inside in it, and what was acknowledged stays. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type RunningBucket, startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { createApp } from '../../src/server/app.ts';
import { BucketError, type Ports } from '../../src/server/ports.ts';
import { StoreError } from '../../src/server/store.ts';
import { media, type SealedChunk, type TestExam, TestRecorder } from './recorder.ts';
import { type Mischief, type Proxy, startProxy } from './proxy.ts';
import { expectRefusal } from './refusal.ts';
import { read } from './reader.ts';
import { DAY_MS, expectStatus, type Holdings, MINUTE_MS, put, Stage, TestClock } from './stage.ts';

const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'a secret of this test' };
let folder: string;
let bucket: RunningBucket;
let proxy: Proxy;
let stage: Stage;
let exam: TestExam;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'zeroreel-test-'));
  bucket = await startEmbeddedBucket({ dir: folder, credentials, buckets: ['failing'] });
  proxy = await startProxy(bucket.endpoint);
  const { endpoint } = proxy;
  stage = await Stage.start({ storage: { endpoint, region: 'us-east-1', credentials, bucket: 'failing' } });
  exam = await stage.exam();
});
afterAll(async () => {
  await stage.stop();
  await proxy.close();
  await bucket.close();
  rmSync(folder, { recursive: true, force: true });
});

const passOn: Mischief = () => undefined;

/** Answers every request of a method whose path and query fit. */
const answering =
  (fits: RegExp, status: number, body: string): Mischief =>
  (request, response) => {
    if (!fits.test(`${request.method ?? ''} ${request.url ?? ''}`)) return undefined;
    request.resume();
    response.writeHead(status, { 'content-type': 'application/xml' }).end(body);
    return 'handled';
  };

const LIST = /^GET .*list-type=2/;
const emptyListing = `<ListBucketResult><Name>failing</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>`;

describe('a bucket that', () => {
  let recorder: TestRecorder;
  let stored: SealedChunk;
  let next: SealedChunk;
  let before: Holdings;

  beforeEach(async () => {
    recorder = await stage.recorder(exam);
    stored = await recorder.chunk(1, media(9000));
    await stage.upload(recorder, stored);
    expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
    next = await recorder.chunk(1, media(500));
    await stage.upload(recorder, next);
    before = await stage.holdings();
    stage.reported.length = 0;
  });
  afterEach(() => {
    proxy.mischief = passOn;
  });

  /** The head that came too early is good later, and everything opens: no matter what the bucket said in between. */
  const expectRecovery = async (head: string) => {
    proxy.mischief = passOn;
    expect(await stage.holdings()).toEqual(before);
    expectStatus(await stage.sendHead(recorder, head), 200);
    const opened = await read(stage, recorder.sessionId, exam.readers[0]!);
    expect(opened.get('0/1')).toEqual([stored.plaintext, next.plaintext]);
  };

  test.each([
    ['answers 500', answering(LIST, 500, '<Error><Code>InternalError</Code></Error>')],
    ['answers 503', answering(LIST, 503, '<Error><Code>SlowDown</Code></Error>')],
    ['refuses the credentials', answering(LIST, 403, '<Error><Code>AccessDenied</Code></Error>')],
    ['has lost the bucket', answering(LIST, 404, '<Error><Code>NoSuchBucket</Code></Error>')],
    ['answers garbage', answering(LIST, 200, 'this is no XML <<<')],
    ['answers a page of somebody’s website', answering(LIST, 200, '<html><body>hello</body></html>')],
    [
      'lists what is not under the prefix',
      answering(
        LIST,
        200,
        emptyListing.replace(
          '<IsTruncated>',
          `<Contents><Key>${'Z'.repeat(22)}/0000/00001/0000000001</Key><Size>1</Size></Contents><IsTruncated>`,
        ),
      ),
    ],
    ['lists without an end', answering(LIST, 200, emptyListing.replace('false', 'true'))],
    [
      'cuts the connection',
      (request, response) => {
        request.resume();
        response.destroy();
        return 'handled';
      },
    ],
  ] satisfies [string, Mischief][])('%s acknowledges no head', async (_, mischief) => {
    const head = await recorder.head();
    proxy.mischief = mischief;
    const answer = await stage.sendHead(recorder, head);
    // A web page parses as an empty listing: then chunks count as missing, which acknowledges nothing either.
    if ((answer.body as { code: string }).code === 'chunks-missing') expectRefusal(answer, 409, 'chunks-missing');
    else {
      expectRefusal(answer, 503, 'storage-unavailable');
      expect(answer.headers.get('retry-after')).toBe('1');
      expect(stage.reported).toHaveLength(1);
      expect(stage.reported[0]).toBeInstanceOf(BucketError);
      expect(String(stage.reported[0])).not.toMatch(/X-Amz-Signature|Credential=/);
    }
    await expectRecovery(head);
  });

  test('lies that nothing is there: no head is acknowledged, and the chunks are named', async () => {
    const head = await recorder.head();
    proxy.mischief = answering(LIST, 200, emptyListing);
    const answer = await stage.sendHead(recorder, head);
    expectRefusal(answer, 409, 'chunks-missing');
    expect(answer.body).toMatchObject({ missing: [{ track: 1, seq: 1 }] });
    await expectRecovery(head);
  });

  test('lies about a chunk’s length: no head is acknowledged', async () => {
    const head = await recorder.head();
    const key = `${recorder.sessionId}/0000/00001/0000000001`;
    const contents = `<Contents><Key>${key}</Key><Size>${next.object.length - 1}</Size></Contents>`;
    proxy.mischief = answering(LIST, 200, emptyListing.replace('<IsTruncated>', `${contents}<IsTruncated>`));
    expectRefusal(await stage.sendHead(recorder, head), 409, 'chunks-missing');
    await expectRecovery(head);
  });

  test('does not answer: the request ends all the same, and says so', async () => {
    const hanging: Mischief = (request) => {
      request.resume();
      return 'handled';
    };
    const { endpoint } = proxy;
    const impatient = createS3Bucket({
      ...{ endpoint, region: 'us-east-1', bucket: 'failing', credentials, timeoutMs: 300, attempts: 1 },
    });
    const ports: Ports = { ...stage.server.ports, bucket: impatient };
    const head = await recorder.head();
    proxy.mischief = hanging;
    const response = await createApp(ports).request(`/v1/recordings/${recorder.sessionId}/heads`, {
      method: 'POST',
      headers: { authorization: `Bearer ${recorder.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ head }),
    });
    expectRefusal(
      { status: response.status, headers: response.headers, body: await response.json() },
      503,
      'storage-unavailable',
    );
    await expectRecovery(head);
  });

  test('is away lets nothing be lost: opening and asking for URLs go on, health says what is wrong', async () => {
    proxy.mischief = answering(/./, 503, '');
    const other = await stage.recorder(exam);
    const upload = await stage.sign(other, await other.chunk(1, media(10)));
    expect(upload.url).toContain(proxy.endpoint);
    const health = await stage.call('GET', '/health');
    expect(health).toMatchObject({ status: 503, body: { healthy: false, store: true, bucket: false } });
  });

  test('is away at a release: it is not logged, and no key leaves', async () => {
    proxy.mischief = answering(LIST, 500, '');
    const answer = await stage.call('POST', `/v1/recordings/${recorder.sessionId}/release`, {
      token: stage.admin,
      body: { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' },
    });
    expectRefusal(answer, 503, 'storage-unavailable');
    expect(JSON.stringify(answer.body)).not.toContain(recorder.openBody.shred);
    proxy.mischief = passOn;
    expect(await stage.holdings()).toEqual(before);
  });

  test('is away at an erasure: the keys die at once, and the next purge destroys the objects', async () => {
    proxy.mischief = answering(/./, 500, '');
    const path = `/v1/recordings/${recorder.sessionId}`;
    const answer = await stage.call('POST', `${path}/erasure`, { token: stage.admin, body: { reason: 'student' } });
    expectStatus(answer, 202);
    proxy.mischief = passOn;
    const { vault, store } = stage.server.ports;
    expect([...(await vault.get(recorder.sessionId)), ...(await store.wraps(recorder.sessionId))]).toEqual([]);
    const { deleteByMs } = (await store.recording(recorder.sessionId))!;
    expect(deleteByMs).toBe(stage.clock.now());
    expect(await stage.server.jobs.purge()).toMatchObject({ deleted: 1, failed: [] });
    const keys = Object.keys((await stage.holdings()).objects);
    expect(keys.filter((key) => key.startsWith(recorder.sessionId))).toEqual([]);
  });

  test('refuses a PUT keeps the promise open: the same content is signed again', async () => {
    const chunk = await recorder.chunk(1, media(70));
    const upload = await stage.sign(recorder, chunk);
    proxy.mischief = answering(/^PUT/, 500, '');
    expect(await put(upload, chunk.object)).toBe(500);
    proxy.mischief = passOn;
    stage.clock.advance(MINUTE_MS);
    await stage.upload(recorder, chunk);
    expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
    stage.clock.advance(-MINUTE_MS);
  });

  test('claims to have deleted what it has not: the purge believes the listing and not the claim', async () => {
    const now = stage.clock.now();
    stage.clock.advance(30 * DAY_MS);
    proxy.mischief = answering(/^POST .*delete/, 200, '<DeleteResult></DeleteResult>');
    const lied = (await stage.server.jobs.purge()) as { deleted: number; failed: { recordingId: string }[] };
    expect(lied.failed.map(({ recordingId }) => recordingId)).toContain(recorder.sessionId);
    const row = await stage.server.ports.store.recording(recorder.sessionId);
    expect(row?.state).toBe('purging');
    expect((await stage.server.ports.vault.get(recorder.sessionId)).size).toBe(0); // the keys died first
    proxy.mischief = passOn;
    expect(await stage.server.jobs.purge()).toMatchObject({ failed: [] });
    expect((await stage.holdings()).objects).toEqual({});
    stage.clock.advance(now - stage.clock.now());
  });
});

describe('a failure inside', () => {
  const secret = 'SELECT token FROM /srv/private/zeroreel.db; key=5f4dcc3b';
  const failing = (error: Error): Ports => ({
    ...stage.server.ports,
    store: { ...stage.server.ports.store, latestPolicy: () => Promise.reject(error) },
  });

  test.each([
    ['an unknown error', new TypeError(secret), 500, 'internal'],
    ['a store that is damaged', new StoreError('damaged', secret), 500, 'internal'],
    ['a store that refuses', new StoreError('refused', secret), 500, 'internal'],
    ['a store that is busy', new StoreError('busy', secret), 503, 'busy'],
    ['a store that does not answer', new StoreError('unavailable', secret), 503, 'database-unavailable'],
    ['a store that is full', new StoreError('full', secret), 507, 'storage-full'],
    ['a bucket that is away', new BucketError('unavailable', secret), 503, 'storage-unavailable'],
  ] as const)('says nothing of itself: %s', async (_, error, status, code) => {
    const reported: unknown[] = [];
    const app = createApp(failing(error), { report: (thrown) => reported.push(thrown) });
    const response = await app.request(`/v1/exams/${exam.policy.exam_id}/policy`);
    const text = await response.text();
    expect(text).not.toMatch(/SELECT|srv|5f4dcc3b|stack|at /);
    const { status: found, headers } = response;
    expectRefusal({ status: found, headers, body: JSON.parse(text) }, status, code);
    expect(reported).toEqual([error]);
  });
});

/** A file system of 8 MiB. Only root may mount one. */
function mountSmall(): string | undefined {
  const place = mkdtempSync(join(tmpdir(), 'zeroreel-full-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', place], { stdio: 'ignore' });
    return place;
  } catch {
    rmSync(place, { recursive: true });
    return undefined;
  }
}

const small = mountSmall();

describe.skipIf(small === undefined)('a full disk (a mount of 8 MiB, which wants root)', () => {
  const place = small!;
  const ballast = () => join(place, 'ballast');
  let crowded: Stage;

  beforeAll(async () => {
    mkdirSync(join(place, 'data'));
    crowded = await Stage.start({ dataDir: join(place, 'data'), clock: new TestClock() });
  });
  afterAll(async () => {
    rmSync(ballast(), { force: true });
    await crowded.stop();
    execFileSync('umount', [place]);
    rmSync(place, { recursive: true });
  });

  test('refuses with a code of its own, keeps what was acknowledged, and goes on once there is room', async () => {
    const own = await crowded.exam();
    const kept = await crowded.recorder(own);
    const chunk = await kept.chunk(1, media(50_000));
    await crowded.upload(kept, chunk);
    expectStatus(await crowded.sendHead(kept, await kept.head()), 200);

    const { bavail, bsize } = statfsSync(place);
    writeFileSync(ballast(), new Uint8Array(bavail * bsize));
    const opened: TestRecorder[] = [];
    let refusals = 0;
    for (let attempt = 0; attempt < 60 && refusals < 3; attempt++) {
      const recorder = await TestRecorder.begin(own, { now: crowded.clock.now() });
      const answer = await crowded.open(recorder);
      if (answer.status === 201) opened.push(recorder);
      else {
        expectRefusal(answer, 507, 'storage-full');
        refusals++;
      }
    }
    expect(refusals).toBe(3);
    // Reading goes on, but a release that cannot be logged gives no key away.
    const late = await crowded.call('POST', `/v1/recordings/${kept.sessionId}/release`, {
      token: crowded.admin,
      body: { key_id: own.readers[0]!.keyIdB64, purpose: 'review' },
    });
    if (late.status !== 200) expectRefusal(late, 507, 'storage-full');

    rmSync(ballast());
    expect((await read(crowded, kept.sessionId, own.readers[0]!)).get('0/1')).toEqual([chunk.plaintext]);
    const ids = (await crowded.server.ports.store.recordings(own.policy.exam_id, 1000)).map(({ id }) => id);
    expect(ids.sort()).toEqual([kept, ...opened].map(({ sessionId }) => sessionId).sort());
    for (const recorder of opened) await crowded.upload(recorder, await recorder.chunk(1, media(10)));
    await crowded.recorder(own);
  });
});
