import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LAST_EPOCH, objectKey, parseObjectKey, recordingPrefix, trackPrefix } from '../../../src/server/core/names.ts';
import { tally } from '../../../src/server/core/tally.ts';

const ID = 'abcdefghijklmnopqrstuA';
const name = fc.record({
  epoch: fc.nat(LAST_EPOCH),
  track: fc.nat(0xffff),
  seq: fc.integer({ min: 0, max: 0xffffffff }),
});

describe('an object’s name', () => {
  test('reads back as what it was made of, and lies under its prefixes', () => {
    fc.assert(
      fc.property(name, (place) => {
        const key = objectKey(ID, place);
        expect(parseObjectKey(key)).toEqual({ recordingId: ID, ...place });
        expect(key.startsWith(recordingPrefix(ID))).toBe(true);
        expect(key.startsWith(trackPrefix(ID, place.epoch, place.track))).toBe(true);
      }),
    );
  });

  test('sorts as epoch, track and sequence do', () => {
    const order = (a: { epoch: number; track: number; seq: number }, b: typeof a) =>
      a.epoch - b.epoch || a.track - b.track || a.seq - b.seq;
    fc.assert(
      fc.property(name, name, (a, b) => {
        const [left, right] = [objectKey(ID, a), objectKey(ID, b)];
        expect(Math.sign(order(a, b))).toBe(left < right ? -1 : left > right ? 1 : 0);
      }),
    );
  });

  test.each([
    '',
    ID,
    `${ID}/0/1/2`,
    `${ID}/0000/00001/0000000001/x`,
    `/${ID}/0000/00001/0000000001`,
    `${ID}/0000/00001/-000000001`,
  ])('is none that no recorder was given: %j', (key) => {
    expect(parseObjectKey(key)).toBeUndefined();
  });
});

describe('a tally', () => {
  async function* listing(...objects: [key: string, bytes: number][]) {
    for (const [key, bytes] of objects) yield { key, bytes };
  }
  const at = (epoch: number, track: number, seq: number, bytes = 10): [string, number] => [
    objectKey(ID, { epoch, track, seq }),
    bytes,
  ];

  test('of nothing is nothing', async () => {
    expect(await tally(listing())).toEqual({ objects: 0, bytes: 0, tracks: [], foreign: 0 });
  });

  test('counts by epoch and track and names the gaps', async () => {
    const found = await tally(listing(at(0, 1, 0), at(0, 1, 3), at(0, 4, 0, 5), at(1, 1, 1)));
    expect(found).toEqual({
      objects: 4,
      bytes: 35,
      foreign: 0,
      tracks: [
        { epoch: 0, track: 1, objects: 2, bytes: 20, end: 4, missing: [1, 2] },
        { epoch: 0, track: 4, objects: 1, bytes: 5, end: 1, missing: [] },
        { epoch: 1, track: 1, objects: 1, bytes: 10, end: 2, missing: [0] },
      ],
    });
  });

  test('names the first thousand gaps, however far a stray object lies', async () => {
    const found = await tally(listing(at(0, 1, 0xffffffff)));
    expect(found.tracks[0]).toMatchObject({ end: 0x1_0000_0000, objects: 1 });
    expect(found.tracks[0]!.missing).toHaveLength(1000);
  });

  test('counts what has no name of ours: it must be destroyed too', async () => {
    expect(await tally(listing([`${ID}/zzz`, 7], at(0, 1, 0)))).toMatchObject({ objects: 2, bytes: 17, foreign: 1 });
  });
});
