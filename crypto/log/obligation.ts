import type { LogEntry, LogEntryOf } from './entry.ts';
import { type Finding, type FindingCode, instant, type Severity } from './finding.ts';

export type ObligationState = 'open' | 'ended' | 'purging' | 'deleted' | 'verified';

/** Entries about one recording, its opening apart. */
export type RecordingEntry = LogEntryOf<
  | 'recording.reopened'
  | 'recording.closed'
  | 'recording.abandoned'
  | 'access.released'
  | 'grant.added'
  | 'export.declared'
  | 'erasure.requested'
  | 'deletion.intended'
  | 'deletion.completed'
  | 'deletion.verified'
>;

/** How punctual the operator has to be. */
export interface Tolerances {
  /** A deletion this long after delete_by is on time: a job has to come round. Milliseconds. */
  readonly graceMs: number;
  /** The second look must have been taken this long after the deletion. Milliseconds. */
  readonly verifyWithinMs: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** An hour for the purge to come round, two days for the second look: uploads may be under way for one of them. */
export const DEFAULT_TOLERANCES: Tolerances = { graceMs: HOUR_MS, verifyWithinMs: 48 * HOUR_MS };

/** Why an entry could not follow what was logged before it, or undefined. */
type Objection = readonly [severity: Severity, code: FindingCode, message: string];

function spell(ms: number): string {
  if (ms < 120 * MINUTE_MS) return `${Math.ceil(ms / MINUTE_MS)} min`;
  const hours = ms / HOUR_MS;
  return hours < 48 ? `${Math.ceil(hours)} h` : `${Math.ceil(hours / 24)} days`;
}

/**
 * What the operator owes for one recording, from `recording.opened` on: it is kept whole until `delete_by`, gone after it,
 * and each step is in the log exactly once. Fed with the recording's entries in log order.
 */
export class Obligation {
  readonly recording: string;
  readonly exam: string;
  readonly openedIndex: number;
  /** ms */
  readonly opened: number;
  #state: ObligationState = 'open';
  #deleteBy: number;
  #lastEpoch = 0;
  #isErasure = false;
  #releases = 0;
  #ended: LogEntryOf<'recording.closed' | 'recording.abandoned'> | undefined;
  #completed: LogEntryOf<'deletion.completed'> | undefined;
  #verified: number | undefined;

  constructor(entry: LogEntryOf<'recording.opened'>, index: number) {
    this.recording = entry.recording;
    this.exam = entry.exam;
    this.openedIndex = index;
    this.opened = entry.opened;
    this.#deleteBy = entry.delete_by;
  }

  get state(): ObligationState {
    return this.#state;
  }

  /** The one that stands: from the opening, or brought forward by an erasure. ms */
  get deleteBy(): number {
    return this.#deleteBy;
  }

  /** Whether an earlier erasure was asked for. */
  get isErasure(): boolean {
    return this.#isErasure;
  }

  /** How often keys were released to a reader. */
  get releases(): number {
    return this.#releases;
  }

  get ended(): LogEntryOf<'recording.closed' | 'recording.abandoned'> | undefined {
    return this.#ended;
  }

  get completed(): LogEntryOf<'deletion.completed'> | undefined {
    return this.#completed;
  }

  /** When the second listing was empty too. ms */
  get verified(): number | undefined {
    return this.#verified;
  }

  /** PROTOCOL.md section 12, to the letter: opened with delete_by < now and no deletion.completed. */
  isOverdue(now: number): boolean {
    return this.#completed === undefined && this.#deleteBy < now;
  }

  /** Takes the next entry and says what is wrong with it. A wrong entry still counts, so that one fault is one finding. */
  accept(entry: RecordingEntry, index: number, tolerances: Tolerances = DEFAULT_TOLERANCES): Finding[] {
    return [...this.#advance(entry, tolerances)].map(([severity, code, message]) => ({
      severity,
      code,
      index,
      recording: this.recording,
      at: entry.at,
      message: `recording ${this.recording}: ${message}`,
    }));
  }

  *#advance(entry: RecordingEntry, tolerances: Tolerances): Generator<Objection> {
    switch (entry.type) {
      case 'recording.reopened':
        if (this.#state !== 'open') yield ['violation', 'order', 'was reopened after its end'];
        if (entry.epoch <= this.#lastEpoch) {
          yield ['violation', 'repeated', `epoch ${entry.epoch} was opened twice`];
        } else if (entry.epoch > this.#lastEpoch + 1) {
          yield ['violation', 'order', `epoch ${entry.epoch} was opened after epoch ${this.#lastEpoch}`];
        }
        this.#lastEpoch = Math.max(this.#lastEpoch, entry.epoch);
        return;
      case 'recording.closed':
      case 'recording.abandoned':
        yield* this.#end(entry);
        return;
      case 'access.released':
        this.#releases++;
        yield* this.#requireReadable('its keys were released');
        return;
      case 'grant.added':
        yield* this.#requireReadable('a reader was added');
        return;
      case 'export.declared':
        yield* this.#requireReadable('an export was declared');
        return;
      case 'erasure.requested':
        if (this.#isDying()) yield ['violation', 'order', 'erasure was asked for after its deletion had begun'];
        if (entry.delete_by >= this.#deleteBy) {
          yield [
            'violation',
            'postponed',
            `delete_by ${instant(this.#deleteBy)} was moved to ${instant(entry.delete_by)}`,
          ];
        }
        this.#deleteBy = Math.min(this.#deleteBy, entry.delete_by);
        this.#isErasure = true;
        return;
      case 'deletion.intended':
        yield* this.#intend(entry);
        return;
      case 'deletion.completed':
        yield* this.#complete(entry, tolerances);
        return;
      case 'deletion.verified':
        if (this.#state === 'verified') yield ['violation', 'repeated', 'its deletion was verified twice'];
        else if (this.#state !== 'deleted') yield ['violation', 'order', 'was verified before it was deleted'];
        this.#state = 'verified';
        this.#verified = entry.at;
    }
  }

  #isDying(): boolean {
    return this.#state !== 'open' && this.#state !== 'ended';
  }

  *#requireReadable(what: string): Generator<Objection> {
    if (this.#isDying()) yield ['violation', 'access-after-deletion', `${what} after its deletion had begun`];
  }

  *#end(entry: LogEntryOf<'recording.closed' | 'recording.abandoned'>): Generator<Objection> {
    if (this.#ended) yield ['violation', 'repeated', 'ended twice'];
    else if (this.#state !== 'open') yield ['violation', 'order', 'ended after its deletion had begun'];
    if (entry.epoch !== this.#lastEpoch) {
      yield ['violation', 'order', `ended in epoch ${entry.epoch}, and its newest epoch is ${this.#lastEpoch}`];
    }
    if (entry.missing > 0) {
      yield [
        'exception',
        'missing-objects',
        `${entry.missing} objects were missing at its end, ${entry.objects} were there`,
      ];
    }
    this.#ended ??= entry;
    if (this.#state === 'open') this.#state = 'ended';
  }

  *#intend(entry: LogEntryOf<'deletion.intended'>): Generator<Objection> {
    if (this.#isDying()) yield ['violation', 'repeated', 'its deletion was begun twice'];
    // An erasure does not wait for the end; at expiry the uploads have long been over.
    if (!this.#ended && !this.#isErasure) {
      yield ['exception', 'order', 'its deletion was begun before it was closed or abandoned'];
    }
    if (entry.delete_by !== this.#deleteBy) {
      yield [
        'violation',
        'delete-by',
        `was deleted for ${instant(entry.delete_by)}, and ${instant(this.#deleteBy)} stands`,
      ];
    }
    if (entry.reason === 'erasure' && !this.#isErasure) {
      yield ['violation', 'order', 'was deleted as an erasure that nobody asked for'];
    }
    if (entry.at < this.#deleteBy) {
      yield ['violation', 'early', `its deletion was begun ${spell(this.#deleteBy - entry.at)} before its time`];
    }
    if (!this.#isDying()) this.#state = 'purging';
  }

  *#complete(entry: LogEntryOf<'deletion.completed'>, { graceMs }: Tolerances): Generator<Objection> {
    if (this.#completed) {
      yield ['violation', 'repeated', 'was deleted twice'];
      return;
    }
    if (this.#state !== 'purging') yield ['violation', 'order', 'was deleted without the intent having been logged'];
    if (entry.at - this.#deleteBy > graceMs) {
      yield ['violation', 'late', `was deleted ${spell(entry.at - this.#deleteBy)} after its time`];
    }
    if (this.#ended && (entry.objects !== this.#ended.objects || entry.bytes !== this.#ended.bytes)) {
      const counted = `${this.#ended.objects} objects of ${this.#ended.bytes} bytes`;
      yield [
        'exception',
        'counts',
        `${entry.objects} objects of ${entry.bytes} bytes were destroyed, at its end there were ${counted}`,
      ];
    }
    const epochs = this.#lastEpoch + 1;
    if (entry.shares < epochs || entry.wraps < epochs) {
      yield [
        'exception',
        'shares',
        `${entry.shares} shares and ${entry.wraps} wraps were destroyed for ${epochs} epochs`,
      ];
    }
    if (entry.vault_horizon < entry.at) {
      yield ['violation', 'shares', 'its vault horizon lies before its deletion'];
    }
    this.#completed = entry;
    if (this.#state !== 'verified') this.#state = 'deleted';
  }

  /** What is owed at `now` and not there. */
  owed(now: number, { graceMs, verifyWithinMs }: Tolerances): Finding[] {
    const finding = (severity: Severity, code: FindingCode, at: number, message: string): Finding[] => [
      {
        severity,
        code,
        index: null,
        recording: this.recording,
        at,
        message: `recording ${this.recording}: ${message}`,
      },
    ];
    if (this.isOverdue(now)) {
      const late = now - this.#deleteBy;
      const severity = late > graceMs ? 'violation' : 'exception';
      return finding(severity, 'overdue', this.#deleteBy, `is not deleted, ${spell(late)} after its time`);
    }
    const due = (this.#completed?.at ?? Infinity) + verifyWithinMs;
    if (this.#verified === undefined && due < now) {
      return finding('exception', 'unverified', due, `its deletion was not verified within ${spell(verifyWithinMs)}`);
    }
    return [];
  }
}

/** Whether an entry belongs to an obligation; anomalies name a recording too, but change nothing about what is owed. */
export function isAboutRecording(entry: LogEntry): entry is RecordingEntry {
  return 'recording' in entry && entry.type !== 'recording.opened' && entry.type !== 'anomaly.found';
}
