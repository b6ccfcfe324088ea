/** A job that may do next to nothing in one run does the same in many. */
import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../../crypto/format/ids.ts';
import { createS3Bucket } from '../../../src/server/adapters/s3-bucket.ts';
import { objectKey } from '../../../src/server/core/names.ts';
import { purge } from '../../../src/server/jobs/purge.ts';
import { resumeScrub, scrub, type ScrubSummary } from '../../../src/server/jobs/scrub.ts';
import type { Ports } from '../../../src/server/ports.ts';
import { media, type TestExam } from '../recorder.ts';
import { DAY_MS, Desk, MINUTE_MS, put } from './desk.ts';

let desk: Desk;
let exam: TestExam;

beforeAll(async () => {
  desk = await Desk.embedded();
  exam = await desk.exam();
});
afterAll(() => desk.close());

/** Ports of runs that are asked to stop after so many requests to the bucket. */
class Rationed {
  used = 0;
  readonly ports: Ports;

  constructor(most: number) {
    const count = () => {
      this.used++;
      return undefined;
    };
    const bucket = createS3Bucket({ ...desk.address, bucket: desk.bucketName, watch: count });
    this.ports = { ...desk.ports, bucket, budget: { isSpent: () => this.used >= most, count } };
  }
}

async function write(key: string, body: Uint8Array | string): Promise<void> {
  await desk.client.send(new PutObjectCommand({ Bucket: desk.bucketName, Key: key, Body: body }));
}

/** A closed recording of so many chunks in one track, of which two are damaged and one is missing; and a stranger's object in it. */
async function damagedRecording(chunks: number): Promise<string> {
  const recording = await desk.record(exam, true);
  const { recorder, id } = recording;
  const sealed = [];
  for (let seq = 1; seq < chunks; seq++) sealed.push(await recorder.chunk(1, media(10, seq)));
  for (const [index, upload] of (await desk.sign(recording, sealed)).entries()) {
    if (upload.state === 'signed') expect(await put(upload, sealed[index]!.object)).toBe(200);
  }
  const closing = await desk.post(`/recordings/${id}/heads`, recorder.token, { head: await recorder.close() });
  expect(closing.status).toBe(200);
  const keyOf = (seq: number) => objectKey(id, { epoch: 0, track: 1, seq });
  // Another chunk of the same recorder is whole in itself, and breaks the chain.
  await write(keyOf(3), (await desk.bucket.get(keyOf(8)))!);
  await write(keyOf(chunks - 1), new Uint8Array(300));
  await desk.client.send(new DeleteObjectCommand({ Bucket: desk.bucketName, Key: keyOf(6) }));
  await write(keyOf(chunks + 5), 'foreign');
  return id;
}

test('a walk of the whole bucket finds the same, in however many runs, also inside a recording', async () => {
  await damagedRecording(12);
  await damagedRecording(9);
  await desk.record(exam);
  for (let i = 0; i < 5; i++) await write(`${newId()}/0000/00001/000000000${i}`, 'stranger');
  const whole = await scrub(desk.ports);
  expect(whole).toMatchObject({ isFinished: true, recordings: 3, failed: [] });
  expect(whole.found).toEqual({ 'object-damaged': 4, 'object-missing': 2, 'object-foreign': 7 });
  const logged = await anomalies();
  for (const most of [1, 2, 3, 7, 20]) {
    const rationed = new Rationed(most);
    let last: ScrubSummary | undefined = await scrub(rationed.ports);
    let runs = 1;
    for (; !last.isFinished && runs < 200; runs++) {
      // Four recordings at once may each be at an object when the last call is made.
      expect(rationed.used).toBeLessThanOrEqual(most + 8);
      rationed.used = 0;
      last = await resumeScrub(rationed.ports);
      if (!last) throw new Error('expected the walk to be unfinished');
    }
    expect(last).toMatchObject({ isFinished: true, recordings: whole.recordings, found: whole.found, failed: [] });
    expect(last.objects).toBe(whole.objects);
    if (most < 7) expect(runs).toBeGreaterThan(3);
    expect(await resumeScrub(rationed.ports)).toBeUndefined();
  }
  // None was logged twice, and none was taken back in between.
  expect(await anomalies()).toEqual(logged);
});

async function anomalies(): Promise<unknown[]> {
  return (await desk.log()).filter(({ type }) => type.startsWith('anomaly'));
}

test('a sample goes on where it was, and a walk through everything is not ended by a sample’s turn', async () => {
  const rationed = new Rationed(2);
  const first = await scrub(rationed.ports);
  expect(first.isFinished).toBe(false);
  rationed.used = 0;
  const next = await scrub(rationed.ports, { sample: 1 });
  expect(next.objects).toBeGreaterThan(first.objects);
  const rest = await scrub(desk.ports, { sample: 1 });
  expect(rest).toMatchObject({ isFinished: true, recordings: 3 });
  // What was asked for in more depth begins anew.
  rationed.used = 0;
  await scrub(rationed.ports, { sample: 3 });
  expect(await scrub(desk.ports, { isDeep: true })).toMatchObject({ isFinished: true, recordings: 3 });
});

test(
  'a prefix that no run can list, nor delete, in one go is empty in the end, and its objects are all counted',
  { timeout: 400_000 },
  async () => {
    const objects = 1_050;
    const { id } = await desk.record(exam);
    const behind = await desk.record(exam);
    const seqs = Array.from({ length: objects - 2 }, (_, index) => index + 1).values();
    const fill = async () => {
      for (const seq of seqs) await write(objectKey(id, { epoch: 0, track: 1, seq }), 'x');
    };
    await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(fill));
    desk.pass(30 * DAY_MS + MINUTE_MS);
    const rationed = new Rationed(1);
    const states = async () => (await desk.store.recordings(exam.policy.exam_id, 1000)).map(({ state }) => state);
    const used: number[] = [];
    while ((await states()).some((state) => state !== 'verified')) {
      expect(used.length).toBeLessThan(100);
      rationed.used = 0;
      await purge(rationed.ports);
      used.push(rationed.used);
      desk.pass(2 * MINUTE_MS);
    }
    process.stderr.write(`a purge of one call a run: ${used.length} runs of at most ${Math.max(...used)} calls\n`);
    expect(Math.max(...used)).toBeLessThanOrEqual(40);
    expect(await desk.stored(id)).toBe(0);
    expect(await desk.store.recording(id)).toMatchObject({ objects });
    expect(await desk.store.recording(behind.id)).toMatchObject({ objects: 2 });
    expect(await desk.store.bookmark(`purge: ${id}`)).toBeUndefined();
    expect((await desk.audit()).findings.filter(({ code }) => code === 'late' || code === 'overdue')).toEqual([]);
  },
);
