import { describe, expect, it } from 'vitest';
import { encodeEntry, type LogEntry } from '../../../crypto/log/entry.ts';
import { Reconciliation, type ReconcileReport } from '../../../crypto/log/reconcile.ts';
import { DAY, entryOf, HOUR, idOf, RECORDING, START } from './histories.ts';

const OPENED = [entryOf('policy.published', START), entryOf('recording.opened', START)];
const CLOSED = [...OPENED, entryOf('recording.closed', START + HOUR, { objects: 3, bytes: 300 })];
const DELETED = [
  ...CLOSED,
  entryOf('deletion.intended', START + 30 * DAY),
  entryOf('deletion.completed', START + 30 * DAY + 1, { objects: 3, bytes: 300 }),
];
const VERIFIED = [...DELETED, entryOf('deletion.verified', START + 32 * DAY)];

const keysOf = (recording: string, count: number): string[] =>
  Array.from({ length: count }, (_, seq) => `${recording}/0000/00001/${String(seq).padStart(10, '0')}`);

function reconcile(entries: readonly LogEntry[], keys: readonly string[], listedMs: number): ReconcileReport {
  const both = new Reconciliation(listedMs);
  for (const key of keys) both.acceptObject({ key, bytes: 100 });
  entries.forEach((entry, index) => {
    both.acceptEntry({ index, bytes: encodeEntry(entry) });
  });
  return both.finish();
}
const told = (report: ReconcileReport): string[] => report.findings.map(({ severity, code }) => `${severity} ${code}`);

describe('a listing is reconciled with the obligations', () => {
  it.each([
    ['a recording as it was counted at its end', CLOSED, keysOf(RECORDING, 3), START + DAY, []],
    ['one that is still being recorded, whatever there is of it', OPENED, keysOf(RECORDING, 2), START + HOUR, []],
    ['one that was deleted and is gone', VERIFIED, [], START + 33 * DAY, []],
    ['one that was deleted after it was listed', DELETED, keysOf(RECORDING, 3), START + 30 * DAY, []],
    ['one whose time has come and that is half gone', CLOSED, keysOf(RECORDING, 1), START + 30 * DAY, []],
    ['one that ended after it was listed', CLOSED, keysOf(RECORDING, 1), START + HOUR, []],
    [
      'objects of a recording that was never opened',
      CLOSED,
      [...keysOf(RECORDING, 3), ...keysOf(idOf(77), 2)],
      START + DAY,
      ['violation unowed'],
    ],
    [
      'a key that no recorder was given',
      CLOSED,
      [...keysOf(RECORDING, 3), 'notes.txt'],
      START + DAY,
      ['exception unowed'],
    ],
    [
      'an object that is there after the last look',
      VERIFIED,
      keysOf(RECORDING, 1),
      START + 33 * DAY,
      ['violation kept'],
    ],
    [
      'an object that came back before the last look',
      DELETED,
      keysOf(RECORDING, 1),
      START + 31 * DAY,
      ['exception kept'],
    ],
    ['an object that is lost before its time', CLOSED, keysOf(RECORDING, 2), START + DAY, ['violation lost']],
    ['all objects lost before their time', CLOSED, [], START + 30 * DAY - 1, ['violation lost']],
    ['an object that nobody counted', CLOSED, keysOf(RECORDING, 4), START + DAY, ['exception counts']],
  ] as [string, LogEntry[], string[], number, string[]][])('%s', (_, entries, keys, listedMs, expected) => {
    expect(told(reconcile(entries, keys, listedMs))).toEqual(expected);
  });

  it.each([
    ['a noncurrent version', 'noncurrent'],
    ['a delete marker', 'marker'],
    ['an unfinished upload', 'multipart'],
  ] as const)('%s is held against them as an object is', (_, kind) => {
    const hidden = (recording: string) => ({
      key: keysOf(recording, 1)[0]!,
      bytes: kind === 'noncurrent' ? 100 : 0,
      kind,
    });
    const listed = (entries: readonly LogEntry[], listedMs: number, recording = RECORDING) => {
      const both = new Reconciliation(listedMs, { versions: true, multiparts: true });
      both.acceptObject(hidden(recording));
      if (entries === CLOSED) for (const key of keysOf(RECORDING, 3)) both.acceptObject({ key, bytes: 100 });
      entries.forEach((entry, index) => {
        both.acceptEntry({ index, bytes: encodeEntry(entry) });
      });
      return both.finish();
    };
    expect(told(listed(VERIFIED, START + 33 * DAY))).toEqual(['violation kept']);
    expect(told(listed(DELETED, START + 31 * DAY))).toEqual(['exception kept']);
    expect(told(listed(CLOSED, START + DAY))).toEqual(['exception hidden']);
    expect(told(listed(CLOSED, START + 30 * DAY))).toEqual([]); // a deletion may be under way
    expect(told(listed(CLOSED, START + DAY, idOf(77)))).toEqual(['violation unowed']);
    expect(listed(VERIFIED, START + 33 * DAY)).toMatchObject({ objects: 0, kept: 1, recordings: 1 });
  });

  it('and every object is counted, owed or not', () => {
    const report = reconcile(VERIFIED, [...keysOf(RECORDING, 2), ...keysOf(idOf(77), 3), 'x'], START + 33 * DAY);
    expect(report).toMatchObject({ objects: 6, bytes: 600, recordings: 2, unowed: 4, kept: 2, missing: 0 });
    expect(reconcile(CLOSED, keysOf(RECORDING, 1), START + DAY)).toMatchObject({ missing: 2, violations: 1 });
  });

  it('and a hostile key reaches no report whole, nor with its control characters', () => {
    const [finding] = reconcile([], [`\u001b[31m${'x'.repeat(5000)}`], START).findings;
    expect(finding!.message.length).toBeLessThan(200);
    // eslint-disable-next-line no-control-regex -- the control character is what must not be there
    expect(finding!.message).not.toMatch(/\u001b/);
  });
});
