import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { audit, type AuditReport } from '../../../crypto/log/audit.ts';
import type { LogEntry } from '../../../crypto/log/entry.ts';
import { DAY, entryOf, hashOf, HOUR, idOf, itemsOf, MINUTE, START } from './histories.ts';

/** How one recording's life went; every choice is one that an honest server may make. */
interface Life {
  readonly openedAfter: number;
  readonly isPractice: boolean;
  readonly restarts: number;
  readonly releases: number;
  readonly isAbandoned: boolean;
  /** Days after the opening at which erasure was asked for; undefined: never. */
  readonly erasedAfter: number | undefined;
  /** How long the purge took to come round. */
  readonly lag: number;
}

const life: fc.Arbitrary<Life> = fc.record({
  openedAfter: fc.integer({ min: 0, max: 20 * DAY }),
  isPractice: fc.boolean(),
  restarts: fc.nat(3),
  releases: fc.nat(4),
  isAbandoned: fc.boolean(),
  erasedAfter: fc.option(fc.integer({ min: HOUR * 3, max: 20 * HOUR }), { nil: undefined }),
  lag: fc.integer({ min: 0, max: HOUR }),
});

const NORMAL = { exam: idOf(1), policy_hash: hashOf(1) };
const PRACTICE = { exam: idOf(2), policy_hash: hashOf(2) };
const END = START + 60 * DAY;

function entriesOf(lived: Life, number: number): LogEntry[] {
  const recording = idOf(10 + number);
  const opened = START + lived.openedAfter;
  const promised = opened + (lived.isPractice ? DAY : 30 * DAY);
  const deleteBy = lived.erasedAfter === undefined ? promised : opened + lived.erasedAfter;
  const policy = lived.isPractice ? PRACTICE : NORMAL;
  const done = deleteBy + lived.lag;
  const epochs = lived.restarts + 1;
  const entries = [entryOf('recording.opened', opened, { ...policy, recording, opened, delete_by: promised })];
  for (let epoch = 1; epoch <= lived.restarts; epoch++) {
    entries.push(entryOf('recording.reopened', opened + epoch * MINUTE, { recording, epoch }));
  }
  const end = lived.isAbandoned ? 'recording.abandoned' : 'recording.closed';
  entries.push(entryOf(end, opened + 2 * HOUR, { recording, epoch: lived.restarts }));
  for (let i = 0; i < lived.releases; i++) entries.push(entryOf('access.released', opened + 2 * HOUR, { recording }));
  if (lived.erasedAfter !== undefined) {
    entries.push(entryOf('erasure.requested', deleteBy, { recording, delete_by: deleteBy }));
  }
  const reason = lived.erasedAfter === undefined ? 'expired' : 'erasure';
  entries.push(entryOf('deletion.intended', done, { recording, delete_by: deleteBy, reason }));
  entries.push(
    entryOf('deletion.completed', done, { recording, shares: epochs, wraps: 2 * epochs, vault_horizon: done + DAY }),
  );
  entries.push(entryOf('deletion.verified', done + 25 * HOUR, { recording }));
  return entries;
}

/** A log of honest lives. Entries of one time keep their order, as the commits that made them did. */
function historyOf(lives: readonly Life[]): LogEntry[] {
  const entries = [
    entryOf('policy.published', START - 1, NORMAL),
    entryOf('policy.published', START - 1, { ...PRACTICE, practice: true }),
    ...lives.flatMap(entriesOf),
  ];
  for (let at = START; at < END; at += DAY) entries.push(entryOf('run.finished', at), entryOf('heartbeat', at));
  return entries.sort((a, b) => a.at - b.at);
}

const auditAt = (entries: readonly LogEntry[], now: number): AuditReport => audit(itemsOf(entries), now);
const lives = fc.array(life, { minLength: 1, maxLength: 5 });

/** What an honest history has exactly once, so that one more or one less is a fault. */
const TRANSITIONS = new Set([
  'recording.opened',
  'recording.reopened',
  'recording.closed',
  'recording.abandoned',
  'erasure.requested',
  'deletion.intended',
  'deletion.completed',
  'deletion.verified',
]);

function pickTransition(entries: readonly LogEntry[], choice: number): number {
  const indices = entries.flatMap(({ type }, index) => (TRANSITIONS.has(type) ? [index] : []));
  return indices[choice % indices.length]!;
}

describe('the auditor', () => {
  it('finds nothing wrong with any honest history, at whatever time it is asked', () => {
    fc.assert(
      fc.property(lives, fc.integer({ min: START, max: END - 1 }), (lived, now) => {
        const { findings, overdue } = auditAt(
          historyOf(lived).filter(({ at }) => at <= now),
          now,
        );
        // Between delete_by and the purge that comes round within the hour, a recording is overdue and an exception.
        expect(findings.filter(({ code, severity }) => code !== 'overdue' || severity === 'violation')).toEqual([]);
        expect(overdue).toHaveLength(findings.length);
      }),
      { numRuns: 60 },
    );
  });

  it('finds any transition that was left out', () => {
    fc.assert(
      fc.property(lives, fc.nat(), (lived, choice) => {
        const entries = historyOf(lived);
        const index = pickTransition(entries, choice);
        const removed = entries[index]!;
        // An erasure does not wait for the end, so its absence is no fault there.
        const isEnd = removed.type === 'recording.closed' || removed.type === 'recording.abandoned';
        fc.pre(
          !(
            isEnd &&
            entries.some((entry) => entry.type === 'erasure.requested' && entry.recording === removed.recording)
          ),
        );
        expect(auditAt(entries.toSpliced(index, 1), END).findings).not.toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('finds any transition that was logged twice, wherever the second one stands', () => {
    fc.assert(
      fc.property(lives, fc.nat(), fc.nat(), (lived, choice, place) => {
        const entries = historyOf(lived);
        const repeated = entries[pickTransition(entries, choice)]!;
        expect(auditAt(entries.toSpliced(place % entries.length, 0, repeated), END).findings).not.toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('finds any two transitions of a recording that changed places', () => {
    fc.assert(
      fc.property(life, fc.nat(), (lived, choice) => {
        const story = entriesOf(lived, 0).filter(({ type }) => TRANSITIONS.has(type));
        const at = choice % (story.length - 1);
        const [first, second] = [story[at]!, story[at + 1]!];
        const entries = historyOf([lived]).map((entry) =>
          JSON.stringify(entry) === JSON.stringify(first)
            ? second
            : JSON.stringify(entry) === JSON.stringify(second)
              ? first
              : entry,
        );
        expect(auditAt(entries, END).findings).not.toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('computes overdue(T) as its definition says, for any T', () => {
    fc.assert(
      fc.property(lives, fc.integer({ min: START, max: END }), fc.integer({ min: 0, max: 10 }), (lived, now, kept) => {
        const entries = historyOf(lived).filter(
          (entry) => entry.at <= now && !(entry.type === 'deletion.completed' && entry.at % 11 < kept),
        );
        const standing = new Map<string, number>();
        for (const entry of entries) {
          if (entry.type === 'recording.opened' || entry.type === 'erasure.requested') {
            standing.set(entry.recording, Math.min(entry.delete_by, standing.get(entry.recording) ?? Infinity));
          }
        }
        for (const entry of entries) if (entry.type === 'deletion.completed') standing.delete(entry.recording);
        const expected = [...standing].filter(([, deleteBy]) => deleteBy < now).map(([recording]) => recording);
        expect([...auditAt(entries, now).overdue].sort()).toEqual(expected.sort());
      }),
      { numRuns: 60 },
    );
  });
});
