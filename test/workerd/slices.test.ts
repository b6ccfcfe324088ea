/** Work in slices: whatever there is to destroy, no trigger uses more than it may, and whatever ends one, the next goes on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { audit } from '../../crypto/log/audit.ts';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { type RunningBucket, startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import type { Limits } from '../../src/server/budget.ts';
import { SCHEDULE, type Usage } from '../../src/server/edge.ts';
import { vkeyOf } from '../../src/server/signing.ts';
import { makeExam, makeReader, type TestExam, TestRecorder } from '../server/recorder.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS, TestClock } from '../server/stage.ts';
import { TestWitness } from '../server/witness.ts';
import { type RunningWorker, startWorker } from './running.ts';
import type { Appointment, Left } from './strings.ts';

const EVERY_MINUTE = '* * * * *';
/** What is kept back for the end is 100 and 150: 24 calls are left to work with, about two small recordings' worth. */
const LIMITS: Limits = { subrequests: 124, statements: 1000, wallMs: 10 * MINUTE_MS };
const FEW_STATEMENTS: Limits = { subrequests: 1000, statements: 170, wallMs: 10 * MINUTE_MS };
/** More than one DeleteObjects, and more than one trigger can list and delete. */
const OBJECTS = 1050;
const BUCKET = 'slices';

vi.setConfig({ testTimeout: 240_000 });

const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'a secret of this test' };

let folder: string;
let bucket: RunningBucket;
let clock: TestClock;

beforeEach(async () => {
  clock = new TestClock();
  folder = mkdtempSync(join(tmpdir(), 'zeroreel-slices-'));
  bucket = await startEmbeddedBucket({ dir: folder, credentials, buckets: [BUCKET], clock });
});
afterEach(async () => {
  await bucket.close();
  rmSync(folder, { recursive: true, force: true });
});

async function deploy(
  limits: Limits,
  settings: Readonly<Record<string, string>> = {},
): Promise<{ worker: RunningWorker; exam: TestExam }> {
  const address = { endpoint: bucket.endpoint, credentials, name: BUCKET, isMoved: true };
  const worker = await startWorker({
    clock,
    bucket: address,
    logOrigin: 'slices.invalid/log',
    limits,
    settings,
    isolates: 2,
  });
  const { signer } = worker.ports;
  const log = { origin: signer.origin, vkey: vkeyOf(signer) };
  const exam = await makeExam({ now: clock.now(), log, readers: [await makeReader(1)] });
  const body = { policy: toBase64Url(exam.record) };
  await worker.isolates[0]!.send('POST', '/v1/exams', { token: worker.adminToken, body });
  return { worker, exam };
}

async function open({ isolates }: RunningWorker, exam: TestExam): Promise<string> {
  const recorder = await TestRecorder.begin(exam, { now: clock.now() });
  const path = `/v1/exams/${exam.policy.exam_id}/recordings`;
  const { status } = await isolates[0]!.send('POST', path, { body: recorder.openBody });
  expect(status).toBe(201);
  return recorder.sessionId;
}

async function fill(id: string, count: number): Promise<void> {
  const client = new S3Client({ endpoint: bucket.endpoint, region: 'us-east-1', credentials, forcePathStyle: true });
  (client.config as unknown as { systemClockOffset: number }).systemClockOffset = clock.now() - Date.now();
  const queue = Array.from({ length: count }, (_, seq) => seq).values();
  const worker = async () => {
    for (const seq of queue) {
      const Key = `${id}/0000/00001/${String(seq).padStart(10, '0')}`;
      await client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: 'x' }));
    }
  };
  await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(worker));
  client.destroy();
}

async function stored({ ports }: RunningWorker, id: string): Promise<number> {
  let count = 0;
  for await (const _ of ports.bucket.list(`${id}/`)) count++;
  return count;
}

async function stateOf({ ports: { store } }: RunningWorker, id: string): Promise<string> {
  return (await store.recording(id))!.state;
}

/** What the log says of each deletion, and that nothing in it is a violation. */
async function expectClean({ ports: { store } }: RunningWorker, ids: readonly string[]): Promise<void> {
  const entries = await store.entries(0, 100_000);
  for (const id of ids) {
    const types = (await store.entriesOf(id)).map(({ bytes }) => decodeEntry(bytes).type);
    expect(types.filter((type) => type.startsWith('deletion'))).toEqual([
      'deletion.intended',
      'deletion.completed',
      'deletion.verified',
    ]);
  }
  const { findings } = audit(entries, clock.now(), {
    graceMs: 12 * HOUR_MS,
    heartbeatMs: 400 * DAY_MS,
    runMs: 400 * DAY_MS,
  });
  expect(findings.filter(({ severity }) => severity === 'violation')).toEqual([]);
  expect((await store.newestCheckpoint())!.size).toBe(entries.length);
}

/** The meter misses nothing: it says what an independent count at the bindings and at `fetch` says. */
function expectAllCounted(usage: Usage | undefined, left: Left | undefined): void {
  expect(usage).toMatchObject(left!);
}

/** Triggers until `isDone`; answers what each used. */
async function triggerUntil(worker: RunningWorker, isDone: () => Promise<boolean>, most: number) {
  const usages = [];
  while (!(await isDone())) {
    if (usages.length === most) throw new Error(`not done after ${most} triggers`);
    const { usage, left } = await worker.isolates[usages.length % 2]!.trigger(EVERY_MINUTE);
    expectAllCounted(usage, left);
    usages.push(usage!);
    clock.advance(MINUTE_MS);
  }
  return usages;
}

test('a recording of more objects than one trigger can handle, and others behind it, are destroyed trigger by trigger', async () => {
  const { worker, exam } = await deploy(LIMITS);
  try {
    const large = await open(worker, exam);
    await fill(large, OBJECTS);
    const ids = [large, ...(await Promise.all(Array.from({ length: 7 }, () => open(worker, exam))))];
    clock.advance(30 * DAY_MS);
    const areVerified = async () =>
      (await Promise.all(ids.map((id) => stateOf(worker, id)))).every((state) => state === 'verified');
    const usages = await triggerUntil(worker, areVerified, 60);
    process.stderr.write(`slices: ${usages.length} triggers, ${JSON.stringify(usages)}\n`);
    expect(usages.length).toBeGreaterThan(3);
    for (const { subrequests, statements } of usages) {
      expect(subrequests).toBeLessThanOrEqual(LIMITS.subrequests);
      expect(statements).toBeLessThanOrEqual(LIMITS.statements);
    }
    expect(await stored(worker, large)).toBe(0);
    expect((await worker.ports.store.recording(large))!.objects).toBe(OBJECTS);
    await expectClean(worker, ids);
  } finally {
    await worker.close();
  }
});

test('statements are counted too, and end a trigger before D1 does', async () => {
  const { worker, exam } = await deploy(FEW_STATEMENTS);
  try {
    const ids = await Promise.all(Array.from({ length: 6 }, () => open(worker, exam)));
    clock.advance(30 * DAY_MS);
    const areVerified = async () =>
      (await Promise.all(ids.map((id) => stateOf(worker, id)))).every((state) => state === 'verified');
    const usages = await triggerUntil(worker, areVerified, 60);
    expect(usages.length).toBeGreaterThan(2);
    for (const { statements } of usages) expect(statements).toBeLessThanOrEqual(FEW_STATEMENTS.statements);
    await expectClean(worker, ids);
  } finally {
    await worker.close();
  }
});

test('every call of every trigger is counted: probes, witnesses, and the first opening of an isolate too', async () => {
  const witness = await new TestWitness({ path: join(folder, 'witness.json') }).start();
  const { url, vkey } = { url: witness.address.url, vkey: witness.vkey };
  const { worker, exam } = await deploy(LIMITS, { ZEROREEL_WITNESSES: `${url} ${vkey}` });
  try {
    witness.logs.push(vkeyOf(worker.ports.signer));
    const id = await open(worker, exam);
    await fill(id, 3);
    const spent: Record<string, unknown> = {};
    for (const cron of Object.keys(SCHEDULE)) {
      // The second isolate has not answered anything before.
      const { usage, left, told } = await worker.isolates[1]!.trigger(cron);
      expect(told.reported).toEqual([]);
      expectAllCounted(usage, left);
      spent[cron] = left;
    }
    process.stderr.write(`a trigger's calls where little is to do: ${JSON.stringify(spent)}\n`);
    expect(witness.answers).toContain(200);
    expect((spent['7 * * * *'] as Left).subrequests).toBeGreaterThan(20);
  } finally {
    await worker.close();
    await witness.close();
  }
});

describe('whatever becomes of a trigger', () => {
  const ends: (Appointment | 'two at once')[] = [
    'two at once',
    ...[4, 9, 14, 19, 25, 31].map((at) => ({ at, end: 'dies' as const, isDone: at % 2 === 1 })),
    ...[3, 7, 12, 16, 22, 28].map((at) => ({ at, end: 'fails' as const, isDone: at % 2 === 1 })),
    'two at once',
  ];

  test('two at once, one that dies half-way, a D1, KV or store that fails: each recording dies once, and all do', async () => {
    const { worker, exam } = await deploy(LIMITS);
    try {
      const ids = await Promise.all(Array.from({ length: 16 }, () => open(worker, exam)));
      for (const id of ids.slice(0, 4)) await fill(id, 3);
      clock.advance(30 * DAY_MS);
      for (const end of ends) {
        const [left, right] = worker.isolates as [RunningWorker['isolates'][0], RunningWorker['isolates'][0]];
        if (end === 'two at once') await Promise.all([left.trigger(EVERY_MINUTE), right.trigger(EVERY_MINUTE)]);
        else await left.trigger(EVERY_MINUTE, end);
        // A lease that a dead trigger left behind ends by itself.
        clock.advance(11 * MINUTE_MS);
      }
      const areVerified = async () =>
        (await Promise.all(ids.map((id) => stateOf(worker, id)))).every((state) => state === 'verified');
      await triggerUntil(worker, areVerified, 60);
      for (const id of ids) {
        expect(await stored(worker, id)).toBe(0);
        expect((await worker.ports.vault.get(id)).size).toBe(0);
        expect(await worker.ports.store.wraps(id)).toEqual([]);
      }
      await expectClean(worker, ids);
    } finally {
      await worker.close();
    }
  });
});
