import { decodeEntry, deleteByOf, type LogEntry, type LogEntryOf } from './entry.ts';
import { ProtocolError } from '../format/errors.ts';
import { type Finding, type FindingCode, Findings, instant, type Severity } from './finding.ts';
import { DEFAULT_TOLERANCES, isAboutRecording, Obligation, type Tolerances } from './obligation.ts';

/** One entry as the store, a bundle or a tile gives it. */
export interface AuditItem {
  readonly index: number;
  /** The exact bytes that are hashed. */
  readonly bytes: Uint8Array;
}

export interface AuditOptions {
  /** A deletion this long after delete_by is on time. Default 1 h, milliseconds like all below. */
  readonly graceMs?: number;
  /** The second look at a deleted recording must be logged this long after the deletion. Default 48 h. */
  readonly verifyWithinMs?: number;
  /** Longest silence between heartbeats. Default 24 h, as PROTOCOL.md section 12 says. */
  readonly heartbeatMs?: number;
  /** Longest time without a finished purge run while recordings are owed. Default 24 h. */
  readonly runMs?: number;
  /** How far `at` may run backwards between entries: several servers, several clocks. Default 10 min. */
  readonly skewMs?: number;
  /** Most findings that are kept; all are counted. Default 10,000. */
  readonly maxFindings?: number;
  /** Called with each recording once: when its deletion was verified, or at the end. */
  readonly onObligation?: (obligation: Obligation) => void;
}

export interface AuditReport {
  readonly entries: number;
  /** `at` of the first and of the last entry; null for an empty log. */
  readonly from: number | null;
  readonly until: number | null;
  /** The T of `overdue(T)`. */
  readonly now: number;
  readonly opened: number;
  readonly deleted: number;
  readonly verified: number;
  /** How often keys were released. */
  readonly releases: number;
  /** Recordings that are overdue at `now`, exactly as PROTOCOL.md section 12 defines it: no grace. */
  readonly overdue: readonly string[];
  readonly late: number;
  readonly unverified: number;
  readonly missedRuns: number;
  readonly heartbeatGaps: number;
  readonly openAnomalies: number;
  readonly exceptions: number;
  readonly violations: number;
  /** In the order they were found, at most `maxFindings` of them. */
  readonly findings: readonly Finding[];
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** What the auditor remembers of a policy: what it promised for recordings opened under it. */
type PolicyTerms = Pick<LogEntryOf<'policy.published'>, 'exam' | 'retention_days' | 'practice'>;

/**
 * Computes what is owed, what was done and what is missing from the entries alone, in log order. Whether these entries are
 * the log's is another question, answered by the tree's root (bundle.ts).
 *
 * Memory: full state for recordings whose deletion is not yet verified, the bare id of the others (so that a second life
 * of an id is seen), policies, and open anomalies.
 */
export class Audit {
  readonly #tolerances: Tolerances;
  readonly #options: Required<Omit<AuditOptions, 'graceMs' | 'verifyWithinMs' | 'maxFindings'>>;
  readonly #policies = new Map<string, PolicyTerms>();
  readonly #policySeqs = new Map<string, number>();
  readonly #standing = new Map<string, Obligation>();
  readonly #settled = new Set<string>();
  readonly #anomalies = new Map<string, { index: number; entry: LogEntryOf<'anomaly.found'> }>();
  readonly #findings: Findings;
  #entries = 0;
  #nextIndex = 0;
  #from: number | null = null;
  #until: number | null = null;
  #newest = 0;
  #heartbeat: number | undefined;
  #run: number | undefined;
  #opened = 0;
  #deleted = 0;
  #verified = 0;
  #releases = 0;

  constructor(options: AuditOptions = {}) {
    this.#tolerances = {
      graceMs: options.graceMs ?? DEFAULT_TOLERANCES.graceMs,
      verifyWithinMs: options.verifyWithinMs ?? DEFAULT_TOLERANCES.verifyWithinMs,
    };
    this.#options = {
      heartbeatMs: options.heartbeatMs ?? 24 * HOUR_MS,
      runMs: options.runMs ?? 24 * HOUR_MS,
      skewMs: options.skewMs ?? 10 * MINUTE_MS,
      onObligation: options.onObligation ?? (() => undefined),
    };
    this.#findings = new Findings(options.maxFindings ?? 10_000);
  }

  /** The latest time at which an entry so far was dated, ms. */
  get newest(): number {
    return this.#newest;
  }

  /** Takes the next entry of the log. Never throws on hostile bytes: they are a finding. */
  accept({ index, bytes }: AuditItem): void {
    if (index !== this.#nextIndex) {
      const message = `entry ${index} follows where ${this.#nextIndex} belongs`;
      this.#report('violation', 'index', index, this.#newest, message);
    }
    this.#nextIndex = index + 1;
    this.#entries++;
    let entry: LogEntry;
    try {
      entry = decodeEntry(bytes);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#report('violation', 'undecodable', index, this.#newest, `entry ${index}: ${error.message}`);
      return;
    }
    this.#checkTime(entry, index);
    this.#dispatch(entry, index);
  }

  #report(
    severity: Severity,
    code: FindingCode,
    index: number | null,
    at: number,
    message: string,
    recording: string | null = null,
  ): void {
    this.#findings.add({ severity, code, index, recording, at, message });
  }

  #checkTime({ at, type }: LogEntry, index: number): void {
    this.#from ??= at;
    this.#until = at;
    this.#heartbeat ??= at;
    if (at < this.#newest - this.#options.skewMs) {
      const message = `entry ${index} (${type}) is dated ${instant(at)}, after one of ${instant(this.#newest)}`;
      this.#report('exception', 'clock', index, at, message);
    }
    this.#newest = Math.max(this.#newest, at);
  }

  #dispatch(entry: LogEntry, index: number): void {
    if (isAboutRecording(entry)) {
      const obligation = this.#standing.get(entry.recording);
      if (obligation) {
        for (const finding of obligation.accept(entry, index, this.#tolerances)) this.#findings.add(finding);
        if (entry.type === 'access.released') this.#releases++;
        if (entry.type === 'deletion.completed') this.#deleted++;
        if (obligation.state === 'verified' && obligation.completed) this.#settle(obligation);
      } else {
        this.#acceptStray(entry, index);
      }
      return;
    }
    switch (entry.type) {
      case 'recording.opened':
        this.#open(entry, index);
        return;
      case 'policy.published':
        this.#publish(entry, index);
        return;
      case 'heartbeat':
        this.#checkHeartbeat(entry.at, index);
        this.#heartbeat = entry.at;
        if (entry.entries > index) {
          const message = `heartbeat ${index} counts ${entry.entries} entries, and only ${index} precede it`;
          this.#report('violation', 'index', index, entry.at, message);
        }
        return;
      case 'run.finished':
        if (entry.failed > 0 || entry.done < entry.due) {
          const message = `a ${entry.job} run did ${entry.done} of ${entry.due}, ${entry.failed} failed`;
          this.#report('exception', 'failed-run', index, entry.at, message);
        }
        if (entry.job === 'purge') {
          this.#checkRun(entry.at, index);
          this.#run = entry.at;
        }
        return;
      case 'anomaly.found':
        if (this.#anomalies.has(entry.anomaly)) {
          const message = `anomaly ${entry.anomaly} was found twice`;
          this.#report('violation', 'repeated', index, entry.at, message, entry.recording);
        }
        this.#anomalies.set(entry.anomaly, { index, entry });
        return;
      case 'anomaly.closed':
        this.#closeAnomaly(entry, index);
        return;
      case 'storage.attested':
        if (entry.versioning === 'suspended' || entry.object_lock === true) {
          const what = entry.object_lock === true ? 'object lock is on' : 'versioning is suspended';
          this.#report('exception', 'storage', index, entry.at, `the bucket keeps what is deleted: ${what}`);
        }
        return;
      case 'run.started': // a run that never finishes shows as work left undone and as a missed run
      case 'key.enrolled':
      case 'key.revoked':
      case 'log.rotated': // which keys sign is what checkpoints show
      case 'log.retired':
        return;
    }
  }

  #acceptStray(entry: LogEntry & { recording: string }, index: number): void {
    const { recording, at, type } = entry;
    if (!this.#settled.has(recording)) {
      const message = `recording ${recording}: ${type} without recording.opened`;
      this.#report('violation', 'unknown-recording', index, at, message, recording);
      return;
    }
    const isAccess = type === 'access.released' || type === 'grant.added' || type === 'export.declared';
    const message = `recording ${recording}: ${type} after its deletion was verified`;
    this.#report('violation', isAccess ? 'access-after-deletion' : 'repeated', index, at, message, recording);
  }

  #open(entry: LogEntryOf<'recording.opened'>, index: number): void {
    const { recording, at } = entry;
    const report = (severity: Severity, code: FindingCode, message: string): void => {
      this.#report(severity, code, index, at, `recording ${recording}: ${message}`, recording);
    };
    if (this.#standing.has(recording) || this.#settled.has(recording)) {
      report('violation', 'repeated', 'was opened twice');
      return;
    }
    const policy = this.#policies.get(entry.policy_hash);
    if (!policy || policy.exam !== entry.exam) {
      report('violation', 'policy', 'was opened under a policy that was never published for its exam');
    } else {
      const promised = deleteByOf(entry.opened, policy);
      if (entry.delete_by !== promised) {
        report(
          'violation',
          'delete-by',
          `delete_by is ${instant(entry.delete_by)}, its policy makes it ${instant(promised)}`,
        );
      }
    }
    if (Math.abs(at - entry.opened) > this.#options.skewMs) {
      report('violation', 'clock', `is dated ${instant(entry.opened)} in an entry of ${instant(at)}`);
    }
    // While nothing is owed no run is missed; the first new recording starts the clock again.
    if (this.#standing.size === 0) this.#run = at;
    this.#opened++;
    this.#standing.set(recording, new Obligation(entry, index));
  }

  #publish(entry: LogEntryOf<'policy.published'>, index: number): void {
    const last = this.#policySeqs.get(entry.exam) ?? -1;
    if (entry.seq <= last) {
      const message = `exam ${entry.exam}: policy ${entry.seq} was published after policy ${last}`;
      this.#report('violation', 'policy', index, entry.at, message);
    }
    this.#policySeqs.set(entry.exam, Math.max(last, entry.seq));
    const { exam, retention_days, practice } = entry;
    this.#policies.set(entry.policy_hash, { exam, retention_days, practice });
  }

  #closeAnomaly({ anomaly, at, resolution }: LogEntryOf<'anomaly.closed'>, index: number): void {
    const found = this.#anomalies.get(anomaly);
    if (!found) {
      this.#report('violation', 'order', index, at, `anomaly ${anomaly} was closed and is not open`);
      return;
    }
    this.#anomalies.delete(anomaly);
    if (resolution === 'lost') {
      const { recording, kind, count } = found.entry;
      const message = `anomaly ${anomaly} (${kind}, ${count}): the content is lost`;
      this.#report('violation', 'lost', index, at, message, recording);
    }
  }

  #checkHeartbeat(at: number, index: number | null): void {
    const last = this.#heartbeat ?? at;
    if (at - last > this.#options.heartbeatMs) {
      this.#report('exception', 'heartbeat-gap', index, at, `no heartbeat from ${instant(last)} to ${instant(at)}`);
    }
  }

  #checkRun(at: number, index: number | null): void {
    if (this.#run === undefined || at - this.#run <= this.#options.runMs) return;
    const message = `no finished purge run from ${instant(this.#run)} to ${instant(at)}`;
    this.#report('exception', 'missed-run', index, at, message);
  }

  #settle(obligation: Obligation): void {
    this.#verified++;
    this.#standing.delete(obligation.recording);
    this.#settled.add(obligation.recording);
    this.#options.onObligation(obligation);
  }

  /** Ends the audit at the time `now` (ms): what is owed by then and not in the log is a finding too. */
  finish(now: number): AuditReport {
    if (this.#newest > now + this.#options.skewMs) {
      const message = `the newest entry is dated ${instant(this.#newest)}, after the audit's ${instant(now)}`;
      this.#report('exception', 'clock', null, now, message);
    }
    if (this.#entries > 0) this.#checkHeartbeat(now, null);
    if (this.#standing.size > 0) this.#checkRun(now, null);
    const overdue: string[] = [];
    for (const obligation of this.#standing.values()) {
      for (const finding of obligation.owed(now, this.#tolerances)) this.#findings.add(finding);
      if (obligation.isOverdue(now)) overdue.push(obligation.recording);
      this.#options.onObligation(obligation);
    }
    for (const { index, entry } of this.#anomalies.values()) {
      const message = `anomaly ${entry.anomaly} (${entry.kind}, ${entry.count}) is not closed`;
      this.#report('exception', 'anomaly-open', index, entry.at, message, entry.recording);
    }
    return {
      entries: this.#entries,
      from: this.#from,
      until: this.#until,
      now,
      opened: this.#opened,
      deleted: this.#deleted,
      verified: this.#verified,
      releases: this.#releases,
      overdue,
      late: this.#findings.count('late'),
      unverified: this.#findings.count('unverified'),
      missedRuns: this.#findings.count('missed-run'),
      heartbeatGaps: this.#findings.count('heartbeat-gap'),
      openAnomalies: this.#anomalies.size,
      exceptions: this.#findings.count('exception'),
      violations: this.#findings.count('violation'),
      findings: this.#findings.kept,
    };
  }
}

/** Audits a whole log at the time `now` (ms). For entries that arrive one by one, use `Audit`. */
export function audit(entries: Iterable<AuditItem>, now: number, options: AuditOptions = {}): AuditReport {
  const running = new Audit(options);
  for (const entry of entries) running.accept(entry);
  return running.finish(now);
}
