import type { AuditItem } from './audit.ts';
import { decodeEntry } from './entry.ts';
import { type Finding, type FindingCode, Findings, instant, type Severity } from './finding.ts';
import { isAboutRecording, Obligation } from './obligation.ts';

/** One object of a bucket's listing. */
export interface ListedObject {
  readonly key: string;
  readonly bytes: number;
}

export interface ReconcileReport {
  /** When the bucket was listed, ms. */
  readonly listedMs: number;
  readonly objects: number;
  readonly bytes: number;
  /** Recordings with at least one object. */
  readonly recordings: number;
  /** Objects that no obligation in the log accounts for. */
  readonly unowed: number;
  /** Objects of recordings that the log says were deleted before the listing. */
  readonly kept: number;
  /** Objects that were counted at a recording's end, are still owed, and are not there. */
  readonly missing: number;
  readonly exceptions: number;
  readonly violations: number;
  readonly findings: readonly Finding[];
}

/** `<recording>/<epoch>/<track>/<seq>`: the only keys that a recorder is ever given (src/server/core/names.ts). */
const KEY = /^([A-Za-z0-9_-]{21}[AQgw])\/\d{4}\/\d{5}\/\d{10}$/;
const MOST_FINDINGS = 10_000;

interface Found {
  objects: number;
  bytes: number;
}

/**
 * Holds a bucket's listing against the log's obligations, both ways: every object is owed by a recording whose deletion had not
 * happened when it was listed, and every recording that had ended and was still owed has as many objects as were counted at its end.
 *
 * The listing is fed first. The log that follows MUST have been fetched after it: uploads begin only once `recording.opened` is in
 * the log, so then no object can be listed whose obligation is not yet there; what was deleted between the two is told by its
 * time. A recording that was still open at the listing has no count to be held against.
 *
 * Memory: a count per recording that has objects, and the state of every recording.
 */
export class Reconciliation {
  readonly #listedMs: number;
  readonly #found = new Map<string, Found>();
  readonly #obligations = new Map<string, Obligation>();
  readonly #findings = new Findings(MOST_FINDINGS);
  readonly #strangers: string[] = [];
  #foreign = 0;
  #foreignBytes = 0;

  /** `listedMs`: when the listing began. */
  constructor(listedMs: number) {
    this.#listedMs = listedMs;
  }

  acceptObject({ key, bytes }: ListedObject): void {
    const recording = KEY.exec(key)?.[1];
    if (recording === undefined) {
      this.#foreign++;
      this.#foreignBytes += bytes;
      if (this.#strangers.length < 3) this.#strangers.push(JSON.stringify(key.slice(0, 80)));
      return;
    }
    const found = this.#found.get(recording);
    if (!found) {
      this.#found.set(recording, { objects: 1, bytes });
      return;
    }
    found.objects++;
    found.bytes += bytes;
  }

  /** Takes the next entry of the log. Whether it is a good one is the audit's to say; what is no entry is passed over. */
  acceptEntry({ index, bytes }: AuditItem): void {
    let entry;
    try {
      entry = decodeEntry(bytes);
    } catch {
      return; // the audit reports it
    }
    if (entry.type === 'recording.opened') {
      if (!this.#obligations.has(entry.recording)) this.#obligations.set(entry.recording, new Obligation(entry, index));
    } else if (isAboutRecording(entry)) {
      this.#obligations.get(entry.recording)?.accept(entry, index);
    }
  }

  finish(): ReconcileReport {
    let unowed = this.#foreign;
    let kept = 0;
    let missing = 0;
    let objects = this.#foreign;
    let bytes = this.#foreignBytes;
    if (this.#foreign > 0) {
      const examples = this.#strangers.join(', ');
      this.#report('exception', 'unowed', null, `${this.#foreign} objects have no recording's key: ${examples}`);
    }
    for (const [recording, found] of this.#found) {
      objects += found.objects;
      bytes += found.bytes;
      const obligation = this.#obligations.get(recording);
      if (!obligation) {
        unowed += found.objects;
        const message = `recording ${recording}: ${found.objects} objects, and the log never opened it`;
        this.#report('violation', 'unowed', recording, message);
      } else {
        kept += this.#checkKept(obligation, found);
      }
    }
    for (const obligation of this.#obligations.values()) missing += this.#checkMissing(obligation);
    return {
      listedMs: this.#listedMs,
      objects,
      bytes,
      recordings: this.#found.size,
      unowed,
      kept,
      missing,
      exceptions: this.#findings.count('exception'),
      violations: this.#findings.count('violation'),
      findings: this.#findings.kept,
    };
  }

  #report(severity: Severity, code: FindingCode, recording: string | null, message: string): void {
    this.#findings.add({ severity, code, index: null, recording, at: this.#listedMs, message });
  }

  #checkKept({ recording, completed, verified, ended }: Obligation, { objects, bytes }: Found): number {
    if (completed && completed.at < this.#listedMs) {
      // A PUT that began in time may finish after the deletion: until the last look, that is what the last look is for.
      const isFinal = verified !== undefined && verified < this.#listedMs;
      const message = `recording ${recording}: ${objects} objects of ${bytes} bytes, and it was deleted at ${instant(completed.at)}`;
      this.#report(isFinal ? 'violation' : 'exception', 'kept', recording, message);
      return objects;
    }
    if (!completed && ended && ended.at < this.#listedMs && objects > ended.objects) {
      const message = `recording ${recording}: ${objects} objects, and ${ended.objects} were counted at its end`;
      this.#report('exception', 'counts', recording, message);
    }
    return 0;
  }

  #checkMissing({ recording, ended, completed, deleteBy }: Obligation): number {
    // An end after the listing counted what the listing could not see; from delete_by on, a deletion may be under way.
    if (!ended || ended.at >= this.#listedMs || deleteBy <= this.#listedMs) return 0;
    if (completed && completed.at < this.#listedMs) return 0; // early, which the audit reports
    const found = this.#found.get(recording)?.objects ?? 0;
    if (found >= ended.objects) return 0;
    const lost = ended.objects - found;
    const message = `recording ${recording}: ${lost} of the ${ended.objects} objects counted at its end are not there, and it is owed until ${instant(deleteBy)}`;
    this.#report('violation', 'lost', recording, message);
    return lost;
  }
}
