import type { AuditItem } from './audit.ts';
import { decodeEntry } from './entry.ts';
import { type Finding, type FindingCode, Findings, instant, type Severity } from './finding.ts';
import { isAboutRecording, Obligation } from './obligation.ts';

/**
 * What a bucket holds: an object as every listing shows it, and what only listings of versions and of multipart uploads show. A marker
 * has no bytes, and of an unfinished upload no listing says how many it has.
 */
export type HeldKind = 'current' | 'noncurrent' | 'marker' | 'multipart';

/** One line of a bucket's listing. */
export interface ListedObject {
  readonly key: string;
  readonly bytes: number;
  /** Default `current`. */
  readonly kind?: HeldKind;
}

/** Which listings there were; without them nothing is known of what they would show. */
export interface ListingScope {
  readonly versions: boolean;
  readonly multiparts: boolean;
}

/** What there was no listing of, in words; undefined where everything was listed. */
export function unseenBy({ versions, multiparts }: ListingScope): string | undefined {
  const unseen = [
    ...(versions ? [] : ['noncurrent versions and delete markers']),
    ...(multiparts ? [] : ['unfinished uploads']),
  ];
  return unseen.length === 0 ? undefined : unseen.join(', ');
}

export interface ReconcileReport {
  /** When the bucket was listed, ms. */
  readonly listedMs: number;
  readonly scope: ListingScope;
  /** Those that every listing shows. */
  readonly objects: number;
  /** Of objects and noncurrent versions. */
  readonly bytes: number;
  readonly noncurrent: number;
  readonly markers: number;
  readonly multiparts: number;
  /** Recordings with at least one of all these. */
  readonly recordings: number;
  /** All that no obligation in the log accounts for. */
  readonly unowed: number;
  /** All that is held of recordings that the log says were deleted before the listing. */
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

type Held = Record<HeldKind, number> & { bytes: number };

function nothing(): Held {
  return { current: 0, noncurrent: 0, marker: 0, multipart: 0, bytes: 0 };
}

function hiddenOf({ noncurrent, marker, multipart }: Held): number {
  return noncurrent + marker + multipart;
}

/** `2 objects of 300 bytes and 1 delete marker`. */
function describe(held: Held): string {
  const of = (count: number, one: string) => (count === 0 ? [] : [`${count} ${one}${count === 1 ? '' : 's'}`]);
  const objects = held.current === 0 && hiddenOf(held) > 0 ? [] : [`${held.current} objects of ${held.bytes} bytes`];
  return [
    ...objects,
    ...of(held.noncurrent, 'noncurrent version'),
    ...of(held.marker, 'delete marker'),
    ...of(held.multipart, 'unfinished upload'),
  ].join(', ');
}

/**
 * Holds a bucket's listing against the log's obligations, both ways: every object is owed by a recording whose deletion had not
 * happened when it was listed, and every recording that had ended and was still owed has as many objects as were counted at its end.
 *
 * The listing is fed first. The log that follows MUST have been fetched after it: uploads begin only once `recording.opened` is in
 * the log, so then no object can be listed whose obligation is not yet there; what was deleted between the two is told by its
 * time. A recording that was still open at the listing has no count to be held against.
 *
 * Noncurrent versions, delete markers and unfinished multipart uploads are held against them too, where they were listed: recorders
 * create each object once and in one piece, so what is owed has none of them, and what was deleted has none left.
 *
 * Memory: a count per recording that has objects, and the state of every recording.
 */
export class Reconciliation {
  readonly #listedMs: number;
  readonly #scope: ListingScope;
  readonly #found = new Map<string, Held>();
  readonly #obligations = new Map<string, Obligation>();
  readonly #findings = new Findings(MOST_FINDINGS);
  readonly #strangers: string[] = [];
  readonly #foreign = nothing();

  /** `listedMs`: when the listing began. */
  constructor(listedMs: number, scope: ListingScope = { versions: false, multiparts: false }) {
    this.#listedMs = listedMs;
    this.#scope = scope;
  }

  acceptObject({ key, bytes, kind = 'current' }: ListedObject): void {
    const recording = KEY.exec(key)?.[1];
    let held = this.#foreign;
    if (recording === undefined) {
      if (this.#strangers.length < 3) this.#strangers.push(JSON.stringify(key.slice(0, 80)));
    } else {
      held = this.#found.get(recording) ?? nothing();
      this.#found.set(recording, held);
    }
    held[kind]++;
    held.bytes += bytes;
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
    const all = nothing();
    let kept = 0;
    let missing = 0;
    let unowed = this.#foreign.current + hiddenOf(this.#foreign);
    if (unowed > 0) {
      const examples = this.#strangers.join(', ');
      this.#report('exception', 'unowed', null, `${describe(this.#foreign)} have no recording's key: ${examples}`);
    }
    for (const held of [this.#foreign, ...this.#found.values()]) {
      for (const name of Object.keys(all) as (keyof Held)[]) all[name] += held[name];
    }
    for (const [recording, held] of this.#found) {
      const obligation = this.#obligations.get(recording);
      if (!obligation) {
        unowed += held.current + hiddenOf(held);
        const message = `recording ${recording}: ${describe(held)}, and the log never opened it`;
        this.#report('violation', 'unowed', recording, message);
      } else {
        kept += this.#checkHeld(obligation, held);
      }
    }
    for (const obligation of this.#obligations.values()) missing += this.#checkMissing(obligation);
    return {
      listedMs: this.#listedMs,
      scope: this.#scope,
      objects: all.current,
      bytes: all.bytes,
      noncurrent: all.noncurrent,
      markers: all.marker,
      multiparts: all.multipart,
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

  #checkHeld({ recording, completed, verified, ended, deleteBy }: Obligation, held: Held): number {
    const listedMs = this.#listedMs;
    if (completed && completed.at < listedMs) {
      // A PUT that began in time may finish after the deletion: until the last look, that is what the last look is for.
      const isFinal = verified !== undefined && verified < listedMs;
      const message = `recording ${recording}: ${describe(held)}, and it was deleted at ${instant(completed.at)}`;
      this.#report(isFinal ? 'violation' : 'exception', 'kept', recording, message);
      return held.current + hiddenOf(held);
    }
    if (!completed && ended && ended.at < listedMs && held.current > ended.objects) {
      const message = `recording ${recording}: ${held.current} objects, and ${ended.objects} were counted at its end`;
      this.#report('exception', 'counts', recording, message);
    }
    // From delete_by on a deletion may be under way, which makes markers where a store does as it likes.
    if (hiddenOf(held) > 0 && deleteBy > listedMs) {
      const hidden = describe({ ...held, current: 0 });
      const message = `recording ${recording}: ${hidden}, which no recorder makes and no plain listing shows`;
      this.#report('exception', 'hidden', recording, message);
    }
    return 0;
  }

  #checkMissing({ recording, ended, completed, deleteBy }: Obligation): number {
    // An end after the listing counted what the listing could not see; from delete_by on, a deletion may be under way.
    if (!ended || ended.at >= this.#listedMs || deleteBy <= this.#listedMs) return 0;
    if (completed && completed.at < this.#listedMs) return 0; // early, which the audit reports
    const found = this.#found.get(recording)?.current ?? 0;
    if (found >= ended.objects) return 0;
    const lost = ended.objects - found;
    const message = `recording ${recording}: ${lost} of the ${ended.objects} objects counted at its end are not there, and it is owed until ${instant(deleteBy)}`;
    this.#report('violation', 'lost', recording, message);
    return lost;
  }
}
