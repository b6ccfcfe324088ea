/** How large and how long recordings may become: held before a URL is signed, told before it is reached, and never at the cost of what was acknowledged. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { limitsOf } from '../../../src/server/core/quota.ts';
import { RESUME_WINDOW_MS } from '../../../src/server/core/retention.ts';
import type { Quotas } from '../../../src/server/core/quota.ts';
import { makeTicket, media, type SealedChunk, type TestExam, TestRecorder } from '../recorder.ts';
import { expectRefusal } from '../refusal.ts';
import { read } from '../reader.ts';
import { DAY_MS, expectStatus, HOUR_MS, MINUTE_MS, Stage, type UploadAnswer } from '../stage.ts';

const CHUNK = 10_000;
const QUOTAS: Quotas = { recordingBytes: 50_000, recordingMs: 2 * HOUR_MS, examBytes: 120_000, tracks: 2 };
let stage: Stage;
let exam: TestExam;

beforeAll(async () => {
  stage = await Stage.start({ config: { quotas: QUOTAS } });
});
afterAll(() => stage.stop());

interface Granted {
  uploads: UploadAnswer[];
  bytes_left: number;
}
const ask = (recorder: TestRecorder, ...chunks: SealedChunk['request'][]) => stage.askUploads(recorder, chunks);
const chunk = (seq: number, bytes = CHUNK): SealedChunk['request'] => ({
  track: 1,
  seq,
  bytes,
  sha256: 'A'.repeat(43),
});
const listed = async (recorder: TestRecorder) =>
  expectStatus<{ quota_reached: string | null; state: string }>(
    await stage.call('GET', `/v1/recordings/${recorder.sessionId}`, { token: stage.admin }),
    200,
  );

describe('a recording', () => {
  beforeAll(async () => {
    exam = await stage.exam();
  });

  test('is told at its opening how large it may become, and with every URL how much is left', async () => {
    const recorder = await TestRecorder.begin(exam, { now: stage.clock.now() });
    const opened = await stage.open(recorder);
    expect(opened.body).toMatchObject({ quota: { bytes: 50_000, bytes_left: 50_000, seconds_left: 7200 } });
    expect(expectStatus<Granted>(await ask(recorder, chunk(0), chunk(1)), 200).bytes_left).toBe(30_000);
    expect(expectStatus<Granted>(await ask(recorder, chunk(2)), 200).bytes_left).toBe(20_000);
    expect(expectStatus<Granted>(await ask(recorder, chunk(3), chunk(4)), 200).bytes_left).toBe(0);
    // An open that is sent again gets what is true now.
    stage.clock.advance(MINUTE_MS);
    expect((await stage.open(recorder)).body).toMatchObject({ quota: { bytes_left: 0, seconds_left: 7140 } });
  });

  test('that is full is signed nothing more; nothing is written, and what was signed before is signed again', async () => {
    const recorder = await stage.recorder(await stage.exam());
    const kept = await recorder.chunk(1, media(40_000));
    await stage.upload(recorder, kept);
    const written = async () => {
      const { log, shares, objects } = await stage.holdings();
      return { log, shares, objects, pending: await stage.server.ports.store.pending(recorder.sessionId, 0) };
    };
    const before = await written();
    const refused = await ask(recorder, chunk(1));
    expectRefusal(refused, 409, 'quota-reached');
    expect(refused.body).toMatchObject({ quota: 'bytes', bytes_left: 50_000 - kept.object.length });
    expect(await written()).toEqual(before);
    expectStatus(await ask(recorder, kept.request), 200);
    // What is left may still be used.
    expectStatus(await ask(recorder, chunk(1, 1000)), 200);
    expect(await listed(recorder)).toMatchObject({ quota_reached: 'bytes', state: 'open' });
    // Acknowledged, closed, and opened in full.
    const alone = await stage.recorder(await stage.exam());
    const whole = await alone.chunk(1, media(49_000));
    await stage.upload(alone, whole);
    expectRefusal(await ask(alone, chunk(1)), 409, 'quota-reached');
    const closed = await stage.sendHead(alone, await alone.head({ isClose: true, reason: 1 }));
    expect(expectStatus<{ state: string }>(closed, 200).state).toBe('closed');
    expect((await read(stage, alone.sessionId, alone.exam.readers[0]!)).get('0/1')).toEqual([whole.plaintext]);
  });

  test('does not become larger by being opened again', async () => {
    const own = await stage.exam();
    const first = await stage.recorder(own);
    expectStatus(await ask(first, chunk(0, 40_000)), 200);
    const second = await first.resume({ now: stage.clock.now() });
    const opened = await stage.open(second);
    expect(expectStatus<{ quota: { bytes_left: number } }>(opened, 201).quota.bytes_left).toBe(10_000);
    expectRefusal(await ask(second, chunk(0, 10_001)), 409, 'quota-reached');
    expect(expectStatus<Granted>(await ask(second, chunk(0, 10_000)), 200).bytes_left).toBe(0);
  });

  test('has at most so many tracks', async () => {
    const wide = await stage.exam({
      changes: { tracks: [1, 2, 3].map((id) => ({ id, kind: 1 as const, required: false })) },
    });
    const recorder = await TestRecorder.begin(wide, { now: stage.clock.now() });
    const refused = await stage.open(recorder);
    expectRefusal(refused, 409, 'quota-reached');
    expect(refused.body).toMatchObject({ quota: 'tracks' });
  });

  test('uploads for a day after its time what was recorded in it, and nothing later', async () => {
    const long = await stage.exam({ changes: { not_after: stage.clock.now() + 3 * DAY_MS } });
    const recorder = await stage.recorder(long);
    stage.clock.advance(2 * HOUR_MS + RESUME_WINDOW_MS - 1000);
    expectStatus(await ask(recorder, chunk(0)), 200);
    stage.clock.advance(1000);
    const late = await ask(recorder, chunk(1));
    expectRefusal(late, 409, 'quota-reached');
    expect(late.body).toMatchObject({ quota: 'time', bytes_left: 0 });
    expect(await listed(recorder)).toMatchObject({ quota_reached: 'time' });
  });

  test('that its recorder ended for a limit is listed as one', async () => {
    const recorder = await stage.recorder(await stage.exam());
    expectStatus(await stage.sendHead(recorder, await recorder.head({ isClose: true, reason: 3 })), 200);
    expect(await listed(recorder)).toMatchObject({ quota_reached: 'bytes', state: 'closed' });
    const other = await stage.recorder(await stage.exam());
    expectStatus(await stage.sendHead(other, await other.head({ isClose: true, reason: 1 })), 200);
    expect(await listed(other)).toMatchObject({ quota_reached: null, state: 'closed' });
  });
});

describe('an exam', () => {
  test('that is full takes no more, of old recordings or new ones, until something is destroyed', async () => {
    const own = await stage.exam();
    const three = [await stage.recorder(own), await stage.recorder(own), await stage.recorder(own)];
    for (const recorder of three.slice(0, 2)) expectStatus(await ask(recorder, chunk(0, 45_000)), 200);
    expect(expectStatus<Granted>(await ask(three[2]!, chunk(0, 10_000)), 200).bytes_left).toBe(20_000);
    const refused = await ask(three[2]!, chunk(1, 30_000));
    expectRefusal(refused, 409, 'quota-reached');
    expect(refused.body).toMatchObject({ quota: 'exam-bytes', bytes_left: 20_000 });
    expectStatus(await ask(three[2]!, chunk(1, 20_000)), 200);
    const late = await TestRecorder.begin(own, { now: stage.clock.now() });
    expectRefusal(await stage.open(late), 409, 'quota-reached');
    expect(await listed(three[2]!)).toMatchObject({ quota_reached: 'exam-bytes' });

    const path = `/v1/recordings/${three[0]!.sessionId}/erasure`;
    expectStatus(await stage.call('POST', path, { token: stage.admin, body: { reason: 'owner' } }), 202);
    stage.clock.advance(MINUTE_MS);
    const again = await TestRecorder.begin(own, { now: stage.clock.now() });
    expect(expectStatus<{ quota: { bytes_left: number } }>(await stage.open(again), 201).quota.bytes_left).toBe(45_000);
  });

  test('narrows by its policy what the operator allows, and cannot widen it', async () => {
    const rules = { most_bytes: 20_000, most_minutes: 30, most_exam_bytes: 1_000_000 };
    const narrow = await stage.exam({ changes: { capture: rules } });
    const opened = await stage.open(await TestRecorder.begin(narrow, { now: stage.clock.now() }));
    expect(opened.body).toMatchObject({ quota: { bytes: 20_000, bytes_left: 20_000, seconds_left: 1800 } });
    const wide = await stage.exam({ changes: { capture: { most_bytes: 1e12, most_minutes: 9999 } } });
    const wideOpened = await stage.open(await TestRecorder.begin(wide, { now: stage.clock.now() }));
    expect(wideOpened.body).toMatchObject({ quota: { bytes: 50_000, seconds_left: 7200 } });
    // A seat's extra minutes are added to the policy's.
    const ticket = await makeTicket(narrow, { accommodations: '{"extra_minutes":15}' });
    const granted = await stage.open(await TestRecorder.begin(narrow, { now: stage.clock.now(), ticket }));
    expect(granted.body).toMatchObject({ quota: { seconds_left: 45 * 60 } });
  });

  test('of an operator who limits nothing has the limits of its policy alone', () => {
    expect(limitsOf(undefined, { capture: {} }, 0, 0)).toEqual({
      ...{ quotaBytes: null, quotaUntilMs: null, quotaExamBytes: null },
    });
    const odd = { most_bytes: 'many', most_minutes: -1, most_exam_bytes: 1.5 };
    expect(limitsOf(undefined, { capture: odd }, 0, 0).quotaBytes).toBeNull();
    expect(limitsOf(undefined, { capture: { most_minutes: 1 } }, 2, 5).quotaUntilMs).toBe(3 * MINUTE_MS + 5);
  });
});

test('none of this was a failure of the server', () => {
  expect(stage.reported).toEqual([]);
});
