import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { newId } from '../../../crypto/format/ids.ts';
import { objectKey } from '../../../src/server/core/names.ts';
import { purge } from '../../../src/server/jobs/purge.ts';
import { scrub } from '../../../src/server/jobs/scrub.ts';
import type { TestExam } from '../recorder.ts';
import { DAY_MS, Desk, MINUTE_MS, type TestRecording } from './desk.ts';

let desk: Desk;
let exam: TestExam;

beforeAll(async () => {
  desk = await Desk.embedded();
  exam = await desk.exam();
});
afterAll(() => desk.close());

const keyOf = ({ id }: TestRecording, track: number, seq = 0) => objectKey(id, { epoch: 0, track, seq });

async function overwrite(key: string, change: (bytes: Uint8Array) => Uint8Array): Promise<Uint8Array> {
  const original = (await desk.bucket.get(key))!;
  await write(key, change(original.slice()));
  return original;
}

async function write(key: string, body: Uint8Array): Promise<void> {
  await desk.client.send(new PutObjectCommand({ Bucket: desk.bucketName, Key: key, Body: body }));
}

async function remove(key: string): Promise<void> {
  await desk.client.send(new DeleteObjectCommand({ Bucket: desk.bucketName, Key: key }));
}

function flipped(at: number) {
  return (bytes: Uint8Array) => {
    bytes[at]! ^= 1;
    return bytes;
  };
}

it('finds nothing where nothing is wrong, at every depth', async () => {
  const recording = await desk.record(exam);
  const open = await desk.record(exam, true);
  for (const isDeep of [false, true]) {
    expect(await scrub(desk.ports, { isDeep })).toMatchObject({ recordings: 2, objects: 4, found: {}, failed: [] });
  }
  expect((await scrub(desk.ports, { sample: 5 })).found).toEqual({});
  for (const { id } of [recording, open])
    expect((await desk.death(id)).filter((type) => type.startsWith('anomaly'))).toEqual([]);
});

it('finds every planted anomaly, logs each once, and closes it when it is gone', async () => {
  const [rotten, cut, moved, gap, shareless] = [
    await desk.record(exam),
    await desk.record(exam),
    await desk.record(exam),
    await desk.record(exam),
    await desk.record(exam),
  ];
  const undo: (() => Promise<void>)[] = [];
  const plant = async (key: string, change: (bytes: Uint8Array) => Uint8Array) => {
    const original = await overwrite(key, change);
    undo.push(() => write(key, original));
  };
  await plant(keyOf(rotten, 1), flipped(50)); // in the signed header
  await plant(keyOf(rotten, 4), flipped(250)); // in the signature
  await plant(keyOf(cut, 1), (bytes) => bytes.subarray(0, bytes.length - 1));
  const other = (await desk.bucket.get(keyOf(rotten, 1)))!;
  await plant(keyOf(moved, 1), () => other); // another recording's chunk
  const missing = (await desk.bucket.get(keyOf(gap, 1)))!;
  await remove(keyOf(gap, 1));
  undo.push(() => write(keyOf(gap, 1), missing));
  const foreign = [
    keyOf(gap, 1, 77),
    keyOf(gap, 9),
    `${gap.id}/notes.txt`,
    `${newId()}/0000/00001/0000000000`,
    'readme.txt',
  ];
  for (const key of foreign) {
    await write(key, new Uint8Array(10));
    undo.push(() => remove(key));
  }
  const [share] = (await desk.vault.get(shareless.id)).values();
  await desk.vault.destroy(shareless.id);
  undo.push(() => desk.vault.put(shareless.id, 0, share!, Date.now()));

  const planted = { 'object-damaged': 4, 'object-missing': 1, 'object-foreign': 5, 'share-missing': 1 };
  expect((await scrub(desk.ports)).found).toEqual(planted);
  expect((await scrub(desk.ports)).found).toEqual(planted);
  const logged = (await desk.log()).filter((entry) => entry.type === 'anomaly.found');
  expect(logged.reduce((sum, { count }) => sum + count, 0)).toBe(11);
  process.stderr.write('11 of 11 planted anomalies found\n');

  for (const repair of undo) await repair();
  expect((await scrub(desk.ports)).found).toEqual({});
  expect(await desk.audit()).toMatchObject({ openAnomalies: 0, violations: 0 });
});

it('finds a flipped bit of ciphertext when it reads whole objects, and only then', async () => {
  const recording = await desk.record(exam);
  const original = await overwrite(keyOf(recording, 1), flipped(90_000));
  expect((await scrub(desk.ports)).found).toEqual({});
  expect((await scrub(desk.ports, { isDeep: true })).found).toEqual({ 'object-damaged': 1 });
  await write(keyOf(recording, 1), original);
  expect((await scrub(desk.ports, { isDeep: true })).found).toEqual({});
});

it('counts what was damaged until the end as lost', async () => {
  const recording = await desk.record(exam);
  await remove(keyOf(recording, 1));
  await scrub(desk.ports);
  desk.pass(30 * DAY_MS + MINUTE_MS);
  await purge(desk.ports);
  desk.pass(2 * MINUTE_MS);
  await purge(desk.ports);
  const closed = (await desk.store.entriesOf(recording.id)).length;
  expect(closed).toBeGreaterThan(0);
  expect((await desk.log()).filter((entry) => entry.type === 'anomaly.closed').at(-1)).toMatchObject({
    resolution: 'lost',
  });
  expect((await desk.audit()).findings.map(({ code }) => code)).toContain('lost');
});
