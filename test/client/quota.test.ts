/** A recording that becomes as large or as long as it may be: its recorder says so before, ends it while everything still fits, and has a receipt for all of it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { concat, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { parseReceipt, RECEIPT_CLOSED } from '../../crypto/format/receipt.ts';
import { systemEnvironment, type Environment } from '../../src/client/environment.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import type { Outbox } from '../../src/client/outbox.ts';
import { QuotaWatch } from '../../src/client/quota.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { Recorder, type RecorderProgress } from '../../src/client/recorder.ts';
import { ApiSource } from '../../src/client/source.ts';
import { isKnown, knownStream, TRACKS } from './known-media.ts';
import { TestService, type TestExam } from './service.ts';

const RULES = { chunk_bytes: 8192, head_seconds: 1 };
const PIECE = 4096;
let service: TestService;
const opened: { outbox: Outbox; directory: string }[] = [];

beforeAll(async () => {
  service = await TestService.start();
});
afterAll(() => service.stop());
afterEach(async () => {
  for (const { outbox, directory } of opened.splice(0)) {
    await outbox.close();
    await rm(directory, { recursive: true, force: true });
  }
});

async function newOutbox(): Promise<Outbox> {
  const directory = await mkdtemp(join(tmpdir(), 'zeroreel-outbox-'));
  const outbox = await openFolderOutbox({ directory });
  opened.push({ outbox, directory });
  return outbox;
}

interface Heard {
  news: NonNullable<RecorderProgress['quota']>[];
}

/** Records without an end; answers how many bytes were taken until the recorder took no more, and what it said before. */
async function recordUntilFull(recorder: Recorder, track: number): Promise<number> {
  for (let at = 0; ; at += PIECE) {
    try {
      await recorder.track(track).write(knownStream(recorder.epoch, track, at, PIECE));
    } catch (error) {
      expect(error).toMatchObject({ code: 'quota' });
      return at;
    }
  }
}

async function optionsOf(exam: TestExam, seat: string, outbox: Outbox, heard: Heard, environment?: Environment) {
  return {
    ...{ api: service.api(environment), link: await exam.link(seat), outbox, tracks: TRACKS },
    onProgress: ({ quota }: RecorderProgress) => {
      if (quota) heard.news.push(quota);
    },
  };
}

async function readAll(exam: TestExam, recordingId: string) {
  await service.server.jobs.publish();
  const { key } = exam.instructors[0]!;
  const api = service.staff();
  const source = new ApiSource({ api, recordingId, keyIdB64: toBase64Url(key.keyId), purpose: 'review' });
  const reader = await RecordingReader.open({ source, pins: exam.pins, key, nowMs: Date.now() });
  const findings = await reader.verify('plaintext');
  const track = async (epoch: number, id: number): Promise<Bytes> => {
    const parts: Bytes[] = [];
    for await (const { bytes } of reader.readTrack(epoch, id)) parts.push(bytes);
    return concat(...parts);
  };
  return { findings, track };
}

test('it ends by itself within its bytes, says so before, and everything that was sealed is acknowledged', async () => {
  const most = 600_000;
  const exam = await service.exam({ capture: { ...RULES, most_bytes: most } });
  const heard: Heard = { news: [] };
  const outbox = await newOutbox();
  const recorder = await Recorder.open(await optionsOf(exam, 'seat-1', outbox, heard));
  const taken = await recordUntilFull(recorder, 1);
  const receipt = parseReceipt(await recorder.close());
  expect(receipt.state).toBe(RECEIPT_CLOSED);
  const { sealed, stored, backlog, quota } = recorder.progress();
  expect({ state: recorder.progress().state, left: sealed - stored, backlog }).toEqual({
    state: 'closed',
    left: 0,
    backlog: 0,
  });
  expect(quota).toMatchObject({ quota: 'bytes', isReached: true });

  const summary = await service.staff().recording(recorder.recordingId);
  expect(summary).toMatchObject({ state: 'closed', quota_reached: 'bytes' });
  expect(summary.bytes).toBeLessThanOrEqual(most);
  // What is kept back for the end is little beside a real limit; here it is a quarter.
  expect(summary.bytes).toBeGreaterThan(most / 2);
  const { findings, track } = await readAll(exam, recorder.recordingId);
  expect(findings.verdict).toBe('COMPLETE');
  const kept = await track(0, 1);
  expect(kept.length).toBeGreaterThanOrEqual(taken);
  expect(isKnown(kept, 0, 1, 0)).toBe(true);
});

test('it is told that the end is near while there is time to act', () => {
  let nowMs = 0;
  const watch = new QuotaWatch({ now: () => nowMs, monotonic: () => nowMs });
  expect(watch.look(0, 100)).toBeUndefined();
  watch.opened({ bytes: 10_000, bytes_left: 10_000, seconds_left: 3600 });
  expect(watch.look(0, 100)).toBeUndefined();
  expect(watch.look(8900, 100)).toMatchObject({ quota: 'bytes', isReached: false, bytesLeft: 1100 });
  watch.told(1000);
  expect(watch.look(0, 100)).toMatchObject({ quota: 'bytes', isReached: false, bytesLeft: 1000 });
  expect(watch.look(900, 100)).toMatchObject({ quota: 'bytes', isReached: true, bytesLeft: 100 });
  watch.told(9000);
  expect(watch.look(0, 100)).toBeUndefined();
  nowMs = 50 * 60_000;
  expect(watch.look(0, 100)).toMatchObject({ quota: 'time', isReached: false, secondsLeft: 600 });
  nowMs = 60 * 60_000;
  expect(watch.look(0, 100)).toMatchObject({ quota: 'time', isReached: true, secondsLeft: 0 });
  watch.refused();
  expect(watch.look(0, 100)).toMatchObject({ quota: 'bytes', isReached: true });
});

test('a service that names no limits has none', () => {
  const watch = new QuotaWatch({ now: () => 0, monotonic: () => 0 });
  watch.opened(undefined);
  watch.told(undefined);
  expect(watch.look(1e15, 1e9)).toBeUndefined();
  watch.opened({ bytes: null, bytes_left: null, seconds_left: null });
  expect(watch.look(1e15, 1e9)).toBeUndefined();
});

test('it ends when its time is up', async () => {
  const exam = await service.exam({ capture: { ...RULES, most_minutes: 30 } });
  const heard: Heard = { news: [] };
  let aheadMs = 0;
  const clock = { now: () => Date.now() + aheadMs, monotonic: () => systemEnvironment.clock.monotonic() + aheadMs };
  const environment: Environment = { ...systemEnvironment, clock };
  const recorder = await Recorder.open(await optionsOf(exam, 'seat-2', await newOutbox(), heard, environment));
  await recorder.track(1).write(knownStream(0, 1, 0, 20_000));
  aheadMs = 31 * 60_000;
  await expect.poll(() => recorder.progress().state, { timeout: 60_000 }).toBe('closed');
  expect(recorder.progress().quota).toMatchObject({ quota: 'time', isReached: true });
  expect(parseReceipt(await recorder.close()).state).toBe(RECEIPT_CLOSED);
  const { findings, track } = await readAll(exam, recorder.recordingId);
  expect(findings.verdict).toBe('COMPLETE');
  expect((await track(0, 1)).length).toBe(20_000);
});

test('where others have filled the exam, it closes with what was signed, and nothing acknowledged is lost', async () => {
  const exam = await service.exam({ capture: { ...RULES, most_exam_bytes: 700_000 } });
  const heard: Heard = { news: [] };
  const outbox = await newOutbox();
  // It learns what is left only when it is refused: as where many others take the rest between two calls.
  const deaf: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init);
    if (!answer.ok || !/\/(?:uploads|recordings)$/.test(input as string)) return answer;
    const { quota: _, bytes_left: __, ...rest } = (await answer.json()) as Record<string, unknown>;
    return Response.json(rest, { status: answer.status });
  };
  const environment = { ...systemEnvironment, fetch: deaf };
  const recorder = await Recorder.open(await optionsOf(exam, 'seat-3', outbox, heard, environment));
  await recordUntilFull(recorder, 1);
  const receipt = parseReceipt(await recorder.close());
  expect(receipt.state).toBe(RECEIPT_CLOSED);
  const summary = await service.staff().recording(recorder.recordingId);
  expect(summary).toMatchObject({ state: 'closed', quota_reached: 'exam-bytes' });
  expect(summary.bytes).toBeLessThanOrEqual(700_000);
  expect(summary.bytes).toBeGreaterThan(600_000);
  expect(outbox.backlogBytes).toBe(0);
  const { stored } = recorder.progress();
  expect(summary.objects).toBe(stored);
  const { findings, track } = await readAll(exam, recorder.recordingId);
  expect(findings.verdict).toBe('COMPLETE');
  const kept = await track(0, 1);
  expect(isKnown(kept, 0, 1, 0)).toBe(true);
  // Who comes next is told before anything is recorded, and has a receipt too.
  const late = await Recorder.open(await optionsOf(exam, 'seat-4', await newOutbox(), heard));
  expect(await recordUntilFull(late, 1)).toBeLessThan(3 * RULES.chunk_bytes);
  expect(parseReceipt(await late.close()).state).toBe(RECEIPT_CLOSED);
});

test('a recording that is full and was interrupted is closed by whoever finishes it', async () => {
  const exam = await service.exam({ capture: { ...RULES, most_bytes: 400_000 } });
  const heard: Heard = { news: [] };
  const outbox = await newOutbox();
  const options = await optionsOf(exam, 'seat-5', outbox, heard);
  const recorder = await Recorder.open(options);
  for (let at = 0; at < 200_000; at += PIECE) await recorder.track(1).write(knownStream(0, 1, at, PIECE));
  await recorder.suspend();
  const again = await Recorder.resume(options);
  const taken = await recordUntilFull(again, 1);
  expect(taken).toBeLessThan(200_000);
  expect(parseReceipt(await again.close()).state).toBe(RECEIPT_CLOSED);
  const { findings } = await readAll(exam, recorder.recordingId);
  expect(findings.verdict).toBe('COMPLETE');
  expect((await service.staff().recording(recorder.recordingId)).bytes).toBeLessThanOrEqual(400_000);
});
