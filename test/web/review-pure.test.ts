/** The review page's arithmetic, without a browser. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ExamEvent } from '../../schema/events.ts';
import { decisionsOf, decisionWords, dismissedMarks } from '../../src/web/review/decisions.ts';
import { callsOf, serveCalls } from '../../src/web/review/desk-calls.ts';
import { marksOf, matches, nextIncident, quietStretches, soundOf } from '../../src/web/review/marks.ts';
import { hrefOf, placeOf, type Place } from '../../src/web/review/places.ts';
import { PlayClock } from '../../src/web/review/play-clock.ts';
import { DEFAULT_WEIGHTS, readWeights, scoreOf, weightsLabel } from '../../src/web/review/ranking.ts';
import { csvOf } from '../../src/web/parts/saving.ts';
import { afterGap, formatMoment, layOut, spanAt } from '../../src/web/review/timeline.ts';
import { mimeOf, readWebmInit } from '../../src/web/review/webm-init.ts';
import type { ReviewNote } from '../../src/client/review-notes.ts';

const track = (endMs: number) => ({ track: 1, kind: 1, codec: 'video/webm', chunks: 3, endMs });
const epoch = (number: number, clientMs: number, endMs: number) => ({
  epoch: number,
  clientMs,
  tracks: [track(endMs)],
});

describe('the line of time', () => {
  test('lays epochs where the clock says, and shows the gap', () => {
    const timeline = layOut([epoch(0, 1000, 60_000), epoch(1, 91_000, 30_000)]);
    expect(timeline.spans.map(({ startMs, endMs }) => [startMs, endMs])).toEqual([
      [0, 60_000],
      [90_000, 120_000],
    ]);
    expect(timeline.gaps).toEqual([{ startMs: 60_000, endMs: 90_000 }]);
    expect(spanAt(timeline, 75_000)).toBeUndefined();
    expect(afterGap(timeline, 75_000)).toBe(90_000);
    expect(afterGap(timeline, 95_000)).toBe(95_000);
  });

  test.each([
    ['back', -5_000_000, 60_000],
    ['to the next century', 4e12, 60_000 + 24 * 3_600_000],
  ])('a clock that was set %s moves no epoch over another, nor out of sight', (_, clientMs, startMs) => {
    expect(layOut([epoch(0, 0, 60_000), epoch(1, clientMs, 1000)]).spans[1]!.startMs).toBe(startMs);
  });

  test('tells moments as people do', () => {
    expect([0, 61_000, 3_661_000].map(formatMoment)).toEqual(['0:00', '1:01', '1:01:01']);
  });
});

const events: ExamEvent[] = [
  { v: 1, t: 5000, type: 'focus_lost' },
  { v: 1, t: 9000, type: 'focus_gained', away_ms: 4000 },
  { v: 1, t: 10_000, type: 'sound_level', for_ms: 1000, rms_db: -20, peak_db: -10 },
  { v: 1, t: 90_000, type: 'pasted', characters: 1 },
  { v: 1, t: 91_000, type: 'screens', is_extended: false, count: 1 },
];
const timeline = layOut([epoch(0, 0, 10_000), epoch(1, 20_000, 200_000)]);
const records = [{ epoch: 1, events, unreadable: [{ line: 7, t: 1000, type: 'telepathy' }] }];

describe('marks', () => {
  const marks = marksOf(records, timeline, ['focus_lost']);

  test('stand on the line, last until something ends them, and drop nothing that cannot be read', () => {
    expect(marks.map(({ type, atMs, endMs, class: kind }) => [type, atMs, endMs, kind])).toEqual([
      ['telepathy', 21_000, 21_000, 'unreadable'],
      ['focus_lost', 25_000, 29_000, 'flag'],
      ['focus_gained', 29_000, 29_000, 'milestone'],
      ['pasted', 110_000, 110_000, 'flag'],
      ['screens', 111_000, 111_000, 'milestone'],
    ]);
  });

  test('that an accommodation covers are shown, not counted, and passed over', () => {
    expect(marks[1]!.isIgnored).toBe(true);
    expect(nextIncident(marks, 0, 1)?.type).toBe('pasted');
    expect(scoreOf(marks, DEFAULT_WEIGHTS)).toMatchObject({ total: 3, flags: 1, counts: { pasted: 1 } });
  });

  test('are found by every word', () => {
    expect(matches(marks[3]!, 'Pasted 1')).toBe(true);
    expect(matches(marks[3]!, 'pasted 2')).toBe(false);
  });

  test('and sound leave stretches in which nothing happened', () => {
    const quiet = quietStretches(marks, soundOf(records, timeline), timeline.endMs);
    expect(quiet).toEqual([
      { startMs: 35_000, endMs: 105_000 },
      { startMs: 116_000, endMs: 220_000 },
    ]);
  });
});

describe('ranking', () => {
  const marks = marksOf(records, timeline);

  test('weighs as the reviewer likes, and says so', () => {
    const weights = { ...DEFAULT_WEIGHTS, pasted: 0 };
    expect(scoreOf(marks, DEFAULT_WEIGHTS).total).toBe(5);
    expect(scoreOf(marks, weights).total).toBe(2);
    expect(weightsLabel(weights)).toBe('weights: pasted 0; the others default');
    expect(scoreOf(marks, DEFAULT_WEIGHTS, new Set([marks[1]!.id])).total).toBe(3);
  });

  test('takes no weight beyond 0 to 5 from what was kept', () => {
    expect(readWeights({ pasted: 9, copied: -1, cut: 5, focus_lost: '4' })).toEqual({ ...DEFAULT_WEIGHTS, cut: 5 });
  });
});

describe('decisions', () => {
  const note = (by: string, kind: ReviewNote['kind'], at: number): ReviewNote => ({
    ...{ v: 1, by, at, kind, mark: '0.1', t: 0, text: '' },
  });

  test.each([
    [[note('a', 'confirmed', 1)], 'confirmed'],
    [[note('a', 'confirmed', 1), note('b', 'confirmed', 2)], 'confirmed, and a second reviewer agrees'],
    [[note('a', 'confirmed', 1), note('b', 'dismissed', 2)], 'reviewers disagree'],
    [[note('a', 'confirmed', 1), note('a', 'dismissed', 2)], 'dismissed'],
    [[note('a', 'dismissed', 2), note('a', 'confirmed', 1)], 'dismissed'],
  ])('count each reviewer once, by the newest opinion: %#', (notes, words) => {
    expect(decisionWords(decisionsOf(notes).get('0.1')!)).toBe(words);
  });

  test('dismiss only what nobody confirms, and a note decides nothing', () => {
    const disputed = [note('a', 'confirmed', 1), note('b', 'dismissed', 2), note('c', 'note', 3)];
    expect(dismissedMarks(decisionsOf(disputed))).toEqual(new Set());
    expect(decisionsOf([note('c', 'note', 3)]).size).toBe(0);
  });
});

test('the clock stands while it is held, and goes on at its rate', () => {
  let now = 0;
  const clock = new PlayClock(() => now);
  clock.play();
  now = 1000;
  clock.setRate(4);
  now = 2000;
  expect(clock.positionMs).toBe(5000);
  clock.hold(true);
  now = 9000;
  expect([clock.positionMs, clock.isHeld]).toEqual([5000, true]);
  clock.hold(false);
  now = 9500;
  expect(clock.positionMs).toBe(7000);
  clock.seek(100);
  expect(clock.positionMs).toBe(100);
});

test.each(['webcam', 'screen'])('the beginning of %s.webm is found, with its codecs', (name) => {
  const bytes = new Uint8Array(readFileSync(new URL(`../media/${name}.webm`, import.meta.url)));
  const found = readWebmInit(bytes)!;
  expect([...bytes.subarray(found.init.length, found.init.length + 4)]).toEqual([0x1f, 0x43, 0xb6, 0x75]);
  expect(mimeOf(found.codecs)).toBe(`video/webm; codecs="${name === 'webcam' ? 'vp8,opus' : 'vp9'}"`);
  expect(readWebmInit(bytes.slice(0, found.init.length))).toBeUndefined();
  expect(readWebmInit(bytes.slice(1))).toBeUndefined();
});

test('a place survives the address, and an unknown one is the list', () => {
  const examId = 'A'.repeat(22);
  const places: Place[] = [
    { name: 'exams' },
    { name: 'new-exam' },
    { name: 'exam', examId },
    { name: 'recording', examId, recordingId: 'B'.repeat(22), atMs: 61_000 },
  ];
  expect(places.map((place) => placeOf(hrefOf(place)))).toEqual(places);
  expect(placeOf('#/exam/../../x')).toEqual({ name: 'exams' });
});

test('a cell that a spreadsheet would run is text', () => {
  expect(csvOf([['=1+1', 'a,b', 'say "x"']])).toBe(`'=1+1,"a,b","say ""x"""\r\n`);
});

test('a call hands over results, tells progress, and fails with code and hint', async () => {
  const { port1, port2 } = new MessageChannel();
  const service = {
    async count(most: number, tell: (at: number) => void) {
      for (let at = 1; at <= most; at++) tell(at);
      return { bytes: new Uint8Array(most) };
    },
    async fail(): Promise<void> {
      throw Object.assign(new Error('no'), { code: 'no-key', hint: 'unlock it' });
    },
  };
  serveCalls(service, port1);
  const calls = callsOf<typeof service>(port2);
  port1.start();
  port2.start();
  const told: number[] = [];
  expect((await calls.count(3, (at) => told.push(at))).bytes).toHaveLength(3);
  expect(told).toEqual([1, 2, 3]);
  await expect(calls.fail()).rejects.toMatchObject({ message: 'no', code: 'no-key', hint: 'unlock it' });
  port1.close();
});
