/** `exception`: somebody should look at it. `violation`: a promise of the service was broken, or the log is not an honest one. */
export type Severity = 'exception' | 'violation';

export type FindingCode =
  // the log as such
  | 'undecodable' // bytes that are no entry
  | 'index' // entries missing, repeated or out of order
  | 'equivocation' // a signed checkpoint that the entries contradict
  | 'unwitnessed' // a witness that was asked for has signed nothing of the log lately
  | 'clock' // times that run backwards, or a recording dated other than its entry
  | 'heartbeat-gap'
  | 'missed-run'
  | 'failed-run' // a run that left something undone
  | 'policy' // a policy out of sequence, or a recording under one that was never published
  | 'anomaly-open'
  | 'lost' // the content is lost before its time: an anomaly closed so, or objects that a listing lacks
  | 'storage' // a bucket whose settings keep what is deleted
  | 'unowed' // an object in the bucket that no obligation accounts for
  | 'kept' // an object, version, marker or unfinished upload of a recording that was deleted
  | 'hidden' // a noncurrent version, marker or unfinished upload of a recording that is owed
  // one recording
  | 'repeated' // a transition that may happen once, twice
  | 'order' // a transition before the one that must precede it
  | 'unknown-recording'
  | 'delete-by' // not the opening plus the retention that the policy promised
  | 'postponed' // delete_by moved later
  | 'early' // destroyed before its time
  | 'late' // destroyed after its time
  | 'overdue' // not destroyed though its time has passed
  | 'unverified' // destroyed, but nobody looked again
  | 'access-after-deletion'
  | 'missing-objects' // fewer objects stored than the recorder counted
  | 'counts' // objects destroyed differ from those counted at its end
  | 'shares'; // fewer shred shares or wraps destroyed than epochs were opened

export interface Finding {
  readonly severity: Severity;
  readonly code: FindingCode;
  /** Log index of the entry that shows it; null where it shows in what is absent. */
  readonly index: number | null;
  readonly recording: string | null;
  /** When it happened or became true, ms since 1970. */
  readonly at: number;
  /** One plain sentence. */
  readonly message: string;
}

/** An instant as people write it; a time that no calendar has stays a number. */
export function instant(ms: number): string {
  return ms <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`;
}

/** Keeps the first findings and counts all of them: a hostile log must not fill the auditor's memory. */
export class Findings {
  readonly #kept: Finding[] = [];
  readonly #counts = new Map<FindingCode | Severity, number>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  add(finding: Finding): void {
    for (const key of [finding.code, finding.severity]) this.#counts.set(key, this.count(key) + 1);
    if (this.#kept.length < this.#most) this.#kept.push(finding);
  }

  count(key: FindingCode | Severity): number {
    return this.#counts.get(key) ?? 0;
  }

  get kept(): readonly Finding[] {
    return this.#kept;
  }
}
