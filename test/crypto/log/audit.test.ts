import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../crypto/format/bytes.ts';
import { audit, Audit, type AuditOptions, type AuditReport } from '../../../crypto/log/audit.ts';
import type { LogEntry, LogEntryOf, LogEntryType } from '../../../crypto/log/entry.ts';
import type { Obligation } from '../../../crypto/log/obligation.ts';
import {
  AUDITED,
  DAY,
  entryOf,
  EXAM,
  hashOf,
  healthyHistory,
  HOUR,
  idOf,
  itemsOf,
  MINUTE,
  POLICY,
  RECORDING,
  START,
} from './histories.ts';

const auditOf = (entries: readonly LogEntry[], now = AUDITED, options: AuditOptions = {}): AuditReport =>
  audit(itemsOf(entries), now, options);

const codesOf = (report: AuditReport): string[] => report.findings.map(({ severity, code }) => `${severity} ${code}`);

/** The healthy history with other fields in every entry of one type. */
function change<Type extends LogEntryType>(type: Type, fields: Partial<LogEntryOf<Type>>): LogEntry[] {
  return healthyHistory().map((entry) => (entry.type === type ? { ...entry, ...fields } : entry));
}

const without = (...types: LogEntryType[]): LogEntry[] => healthyHistory().filter(({ type }) => !types.includes(type));

/** The healthy history with more entries, each at its time and after those of the same time. */
const withAlso = (...more: LogEntry[]): LogEntry[] => [...healthyHistory(), ...more].sort((a, b) => a.at - b.at);

describe('a month in which everything goes right', () => {
  it('has no finding, and its figures are those of the history', () => {
    expect(auditOf(healthyHistory())).toEqual({
      entries: 84,
      from: START - HOUR,
      until: START + 35 * DAY + 11 * MINUTE,
      now: AUDITED,
      opened: 1,
      deleted: 1,
      verified: 1,
      releases: 1,
      overdue: [],
      late: 0,
      unverified: 0,
      missedRuns: 0,
      heartbeatGaps: 0,
      openAnomalies: 0,
      exceptions: 0,
      violations: 0,
      findings: [],
    });
  });

  it('owes nothing on any of its days', () => {
    const entries = healthyHistory();
    for (let day = 1; day <= 35; day++) {
      const now = START + day * DAY + HOUR;
      expect(
        codesOf(
          auditOf(
            entries.filter(({ at }) => at <= now),
            now,
          ),
        ),
      ).toEqual([]);
    }
  });

  it('hands out each obligation once, at its end', () => {
    const obligations: Obligation[] = [];
    auditOf(healthyHistory(), AUDITED, { onObligation: (obligation) => obligations.push(obligation) });
    expect(
      obligations.map(({ recording, state, releases, deleteBy }) => ({ recording, state, releases, deleteBy })),
    ).toEqual([{ recording: RECORDING, state: 'verified', releases: 1, deleteBy: START + 30 * DAY }]);
  });
});

describe('overdue(T)', () => {
  const kept = without('deletion.intended', 'deletion.completed', 'deletion.verified');

  it('begins in the millisecond after delete_by, as an exception', () => {
    const at = (now: number): AuditReport =>
      auditOf(
        kept.filter((entry) => entry.at <= now),
        now,
      );
    expect(at(START + 30 * DAY).overdue).toEqual([]);
    const report = at(START + 30 * DAY + 1);
    expect(report.overdue).toEqual([RECORDING]);
    expect(codesOf(report)).toEqual(['exception overdue']);
  });

  it('is a violation once the grace has passed', () => {
    const last = START + 30 * DAY + HOUR;
    expect(
      codesOf(
        auditOf(
          kept.filter(({ at }) => at <= last),
          last,
        ),
      ),
    ).toEqual(['exception overdue']);
    const now = last + 1;
    expect(
      codesOf(
        auditOf(
          kept.filter(({ at }) => at <= now),
          now,
        ),
      ),
    ).toEqual(['violation overdue']);
    expect(codesOf(auditOf(kept, now, { graceMs: 2 * HOUR }))).not.toContain('violation overdue');
  });

  it('counts an intent as nothing done', () => {
    const report = auditOf(without('deletion.completed', 'deletion.verified'));
    expect(report.overdue).toEqual([RECORDING]);
    expect(report.findings[0]?.message).toBe(`recording ${RECORDING}: is not deleted, 6 days after its time`);
  });

  it('uses the delete_by that an erasure brought forward', () => {
    const report = auditOf(
      [
        ...without('deletion.intended', 'deletion.completed', 'deletion.verified', 'run.finished', 'heartbeat').slice(
          0,
          6,
        ),
        entryOf('erasure.requested', START + 2 * HOUR, { delete_by: START + 3 * HOUR }),
      ],
      START + 4 * HOUR,
    );
    expect(report.overdue).toEqual([RECORDING]);
  });
});

describe('every broken promise is found, once, with its severity', () => {
  const day30 = START + 30 * DAY;
  const cases: readonly (readonly [promise: string, codes: readonly string[], entries: readonly LogEntry[]])[] = [
    [
      'deleted two hours late',
      ['violation late'],
      change('deletion.completed', { at: day30 + 2 * HOUR }).sort((a, b) => a.at - b.at),
    ],
    [
      'deleted a day early',
      ['violation early'],
      healthyHistory()
        .map((entry) =>
          entry.type === 'deletion.intended' || entry.type === 'deletion.completed'
            ? { ...entry, at: entry.at - DAY }
            : entry,
        )
        .sort((a, b) => a.at - b.at),
    ],
    ['never verified', ['exception unverified'], without('deletion.verified')],
    ['deleted without intent', ['violation order'], without('deletion.intended')],
    ['verified before deleted', ['violation order', 'violation overdue'], without('deletion.completed')],
    [
      'deleted twice',
      ['violation repeated'],
      withAlso(entryOf('deletion.completed', day30 + 3 * MINUTE, { shares: 2, wraps: 4 })),
    ],
    ['deletion begun twice', ['violation repeated'], withAlso(entryOf('deletion.intended', day30 + MINUTE))],
    ['verified twice', ['violation repeated'], withAlso(entryOf('deletion.verified', day30 + 2 * DAY))],
    ['opened twice', ['violation repeated'], withAlso(entryOf('recording.opened', START))],
    [
      'opened again after its end',
      ['violation repeated'],
      withAlso(entryOf('recording.opened', day30 + 2 * DAY, { opened: day30 + 2 * DAY, delete_by: day30 + 32 * DAY })),
    ],
    ['closed twice', ['violation repeated'], withAlso(entryOf('recording.abandoned', START + 2 * HOUR, { epoch: 1 }))],
    ['an epoch opened twice', ['violation repeated'], withAlso(entryOf('recording.reopened', START + 41 * MINUTE))],
    [
      'an epoch left out',
      ['violation order', 'violation order', 'exception shares'],
      change('recording.reopened', { epoch: 2 }),
    ],
    [
      'reopened after close',
      ['violation order', 'exception shares'],
      withAlso(entryOf('recording.reopened', START + 2 * HOUR, { epoch: 2 })),
    ],
    ['deleted before it was closed', ['exception order'], without('recording.closed')],
    [
      'an obligation that was never opened',
      Array.from({ length: 8 }, () => 'violation unknown-recording'),
      without('recording.opened'),
    ],
    [
      'a delete_by a day too late',
      ['violation delete-by', 'violation delete-by', 'violation early'],
      change('recording.opened', { delete_by: day30 + DAY }),
    ],
    [
      'a delete_by a day too early',
      ['violation delete-by', 'violation delete-by', 'violation late'],
      change('recording.opened', { delete_by: day30 - DAY }),
    ],
    ['an opening dated into the future', ['violation clock'], change('recording.opened', { at: START - 25 * MINUTE })],
    ['an unpublished policy', ['violation policy'], without('policy.published')],
    ['a policy of another exam', ['violation policy'], change('policy.published', { exam: idOf(77) })],
    [
      'a policy out of sequence',
      ['violation policy'],
      withAlso(entryOf('policy.published', START + HOUR, { policy_hash: hashOf(33) })),
    ],
    ['a practice kept for a month', ['violation delete-by'], change('policy.published', { practice: true })],
    ['a deletion for another time', ['violation delete-by'], change('deletion.intended', { delete_by: day30 - 1 })],
    ['an erasure that nobody asked for', ['violation order'], change('deletion.intended', { reason: 'erasure' })],
    [
      'delete_by put off',
      ['violation postponed'],
      withAlso(entryOf('erasure.requested', START + 2 * HOUR, { delete_by: day30 + 1 })),
    ],
    [
      'delete_by moved to where it was',
      ['violation postponed'],
      withAlso(entryOf('erasure.requested', START + 2 * HOUR, { delete_by: day30 })),
    ],
    [
      'keys released after the intent',
      ['violation access-after-deletion'],
      withAlso(entryOf('access.released', day30 + MINUTE + 1)),
    ],
    [
      'a reader added after deletion',
      ['violation access-after-deletion'],
      withAlso(entryOf('grant.added', day30 + 3 * MINUTE)),
    ],
    [
      'an export declared after verification',
      ['violation access-after-deletion'],
      withAlso(entryOf('export.declared', day30 + 2 * DAY)),
    ],
    ['objects missing at the close', ['exception missing-objects'], change('recording.closed', { missing: 3 })],
    ['fewer objects destroyed than closed', ['exception counts'], change('deletion.completed', { objects: 39 })],
    ['other bytes destroyed than closed', ['exception counts'], change('deletion.completed', { bytes: 3999 })],
    ['a share left in the vault', ['exception shares'], change('deletion.completed', { shares: 1 })],
    ['a wrap left in the store', ['exception shares'], change('deletion.completed', { wraps: 1 })],
    ['a horizon before the deletion', ['violation shares'], change('deletion.completed', { vault_horizon: day30 })],
    ['an anomaly left open', ['exception anomaly-open'], withAlso(entryOf('anomaly.found', START + HOUR))],
    [
      'an anomaly found twice',
      ['violation repeated', 'exception anomaly-open'],
      withAlso(entryOf('anomaly.found', START + HOUR), entryOf('anomaly.found', START + HOUR)),
    ],
    ['an anomaly closed that nobody found', ['violation order'], withAlso(entryOf('anomaly.closed', START + HOUR))],
    [
      'content lost',
      ['violation lost'],
      withAlso(entryOf('anomaly.found', START + HOUR), entryOf('anomaly.closed', START + HOUR, { resolution: 'lost' })),
    ],
    [
      'a run that failed in part',
      ['exception failed-run'],
      withAlso(entryOf('run.finished', day30 + HOUR, { due: 2, done: 1, failed: 1 })),
    ],
    [
      'a run that left something undone',
      ['exception failed-run'],
      withAlso(entryOf('run.finished', day30 + HOUR, { due: 2, done: 1 })),
    ],
    [
      'a clock that steps back, then forward, counts from the newest',
      ['exception clock', 'exception clock'],
      [
        ...healthyHistory(),
        ...[30, 15].map((minutes) => entryOf('heartbeat', START + 35 * DAY + 11 * MINUTE - minutes * MINUTE)),
      ],
    ],
    ['versioning suspended', ['exception storage'], change('storage.attested', { versioning: 'suspended' })],
    ['object lock on', ['exception storage'], change('storage.attested', { object_lock: true })],
    [
      'a heartbeat that counts what is not there',
      ['violation index'],
      withAlso(entryOf('heartbeat', START + HOUR, { entries: 1000 })),
    ],
    [
      'a clock that steps back',
      ['exception clock'],
      [...healthyHistory(), entryOf('heartbeat', START + 35 * DAY - 9 * MINUTE)],
    ],
  ];

  it.each(cases)('%s', (_name, codes, entries) => {
    expect(codesOf(auditOf(entries))).toEqual(codes);
  });

  it('two days without heartbeat or run: one gap, one missed run while recordings are owed', () => {
    const isSilent = ({ at }: LogEntry): boolean => at > START + 10 * DAY && at < START + 12 * DAY;
    const report = auditOf(healthyHistory().filter((entry) => !isSilent(entry)));
    expect(codesOf(report)).toEqual(['exception missed-run', 'exception heartbeat-gap']);
    expect(report).toMatchObject({ missedRuns: 1, heartbeatGaps: 1 });
  });

  it('a log that ended in silence shows it at the audit', () => {
    const report = auditOf(healthyHistory(), AUDITED + 2 * DAY);
    expect(codesOf(report)).toEqual(['exception heartbeat-gap']);
  });

  it('a log whose runs ended while a recording was owed shows it at the audit', () => {
    const entries = healthyHistory().filter(
      ({ type, at }) => at <= START + 20 * DAY && (type !== 'run.finished' || at < START + 10 * DAY),
    );
    expect(codesOf(auditOf(entries, START + 20 * DAY))).toEqual(['exception missed-run']);
  });
});

describe('what is well is not reported', () => {
  it('a deletion in the last millisecond of the grace', () => {
    const last = START + 30 * DAY + HOUR;
    const entries = change('deletion.completed', { at: last, vault_horizon: last }).sort((a, b) => a.at - b.at);
    expect(codesOf(auditOf(entries))).toEqual([]);
  });

  it('a second look that is due in this millisecond', () => {
    const due = START + 30 * DAY + 2 * MINUTE + 48 * HOUR;
    const entries = healthyHistory().filter(({ type, at }) => type !== 'deletion.verified' && at <= due);
    expect(codesOf(auditOf(entries, due))).toEqual([]);
    expect(codesOf(auditOf(entries, due + 1))).toEqual(['exception unverified']);
  });

  it('a heartbeat that counts every entry before it, and no more', () => {
    const beat = (entries: number): AuditReport =>
      auditOf([entryOf('policy.published', START), entryOf('heartbeat', START, { entries })], START);
    expect(codesOf(beat(1))).toEqual([]);
    expect(codesOf(beat(2))).toEqual(['violation index']);
  });

  it('an erasure within its hour', () => {
    const asked = START + 2 * HOUR;
    const entries = [
      ...healthyHistory().filter(({ at }) => at < asked),
      entryOf('erasure.requested', asked, { delete_by: asked }),
      entryOf('deletion.intended', asked + 1, { delete_by: asked, reason: 'erasure' }),
      entryOf('deletion.completed', asked + MINUTE, { shares: 2, wraps: 4, vault_horizon: asked + DAY }),
    ];
    expect(codesOf(auditOf(entries, asked + HOUR))).toEqual([]);
  });

  it('a practice recording after 24 hours', () => {
    const entries = [
      entryOf('policy.published', START - 1, { practice: true }),
      entryOf('recording.opened', START, { delete_by: START + DAY }),
      entryOf('recording.closed', START + HOUR),
      entryOf('run.finished', START + 12 * HOUR),
      entryOf('heartbeat', START + 12 * HOUR),
      entryOf('deletion.intended', START + DAY, { delete_by: START + DAY }),
      entryOf('deletion.completed', START + DAY + 1, { vault_horizon: START + 2 * DAY }),
    ];
    expect(codesOf(auditOf(entries, START + DAY + 30 * MINUTE))).toEqual([]);
  });

  it('weeks without runs while nothing is owed', () => {
    const entries = [
      ...healthyHistory().filter(({ type, at }) => type !== 'run.finished' || at < START + 32 * DAY),
      entryOf('recording.opened', AUDITED, { recording: idOf(50), opened: AUDITED, delete_by: AUDITED + 30 * DAY }),
    ];
    expect(codesOf(auditOf(entries, AUDITED + MINUTE))).toEqual([]);
  });
});

describe('a hostile log', () => {
  it('is audited to its end: bytes that are no entries are findings', () => {
    const items = itemsOf(healthyHistory());
    items[5] = { index: 5, bytes: utf8('{"v":1,"type":"recording.forgotten","at":0}') };
    const report = audit(items, AUDITED);
    expect(report.entries).toBe(items.length);
    expect(report.findings.map(({ code, index }) => [code, index])).toContainEqual(['undecodable', 5]);
  });

  it('cannot leave an entry out or give it twice', () => {
    const items = itemsOf(healthyHistory());
    expect(codesOf(audit([...items.slice(0, 2), ...items.slice(3)], AUDITED))).toContain('violation index');
    expect(codesOf(audit([...items.slice(0, 3), ...items.slice(2)], AUDITED))).toContain('violation index');
    expect(codesOf(audit(items.slice(1), AUDITED))).toContain('violation index');
  });

  it('cannot fill the memory with findings, and all are counted', () => {
    const entries = Array.from({ length: 500 }, (_, i) =>
      entryOf('deletion.verified', START, { recording: idOf(i % 256) }),
    );
    const report = auditOf(entries, START, { maxFindings: 10 });
    expect(report.findings).toHaveLength(10);
    expect(report.violations).toBe(500);
  });

  it('dated after the audit is an exception', () => {
    expect(
      codesOf(auditOf([entryOf('policy.published', START + DAY, { exam: EXAM, policy_hash: POLICY })], START)),
    ).toEqual(['exception clock']);
  });
});

it('entries can be fed one by one, as a stream gives them', () => {
  const running = new Audit();
  for (const item of itemsOf(healthyHistory())) running.accept(item);
  expect(running.finish(AUDITED)).toEqual(auditOf(healthyHistory()));
});
