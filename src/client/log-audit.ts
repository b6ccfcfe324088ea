/**
 * The whole log of a running service, read and verified here: what compliance staff look at. Every figure is computed from
 * entries that lead to a root which the log's key has signed; nothing of it is the service's word.
 */
import { toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import {
  BundleVerifier,
  CSV_HEADER,
  csvRow,
  entryLine,
  verdictOf,
  type BundleReport,
  type Verdict,
} from '../../crypto/log/bundle.ts';
import { decodeEntry, type LogEntry, type LogEntryOf } from '../../crypto/log/entry.ts';
import { DEFAULT_TOLERANCES, type Obligation } from '../../crypto/log/obligation.ts';
import type { Api } from './api.ts';
import { liveEntries, openLiveLog } from './live-log.ts';

export interface LogAuditOptions {
  /** The log's key, where one was kept or brought; else the service's own word, and `isPinned` says so. */
  vkey?: string | undefined;
  /** Checkpoints seen before: the log must still hold what they held. */
  seen?: readonly string[];
  now: number;
  onProgress?: (entries: number, of: number) => void;
}

/** One day, UTC, of what came and what went. */
export interface LogDay {
  /** `2026-11-25` */
  day: string;
  opened: number;
  deleted: number;
  /** Recordings that were to be gone by the end of this day's `delete_by`s. */
  due: number;
}

export interface LogAudit {
  verdict: Verdict;
  report: Omit<BundleReport, 'checkpoint'>;
  origin: string;
  /** Entries under the verified checkpoint. */
  size: number;
  rootB64: string;
  vkey: string;
  isPinned: boolean;
  /** The newest checkpoint, to be kept for the next time. */
  checkpoint: string;
  due: { total: number; onTime: number; late: number };
  /** Every day from the first entry to the last, at most the newest `MOST_DAYS`. */
  days: LogDay[];
  /** The newest first, at most `MOST_RUNS`. */
  runs: LogEntryOf<'run.finished'>[];
  runCount: number;
  /** The store as it was last attested. */
  storage: LogEntryOf<'storage.attested'> | undefined;
  exams: number;
  /** Longest time that a recording's exam keeps it, days. */
  retentionDays: number;
  /** The bundle's files: what an auditor takes away. */
  files: { name: string; parts: Bytes[] }[];
}

const DAY_MS = 86_400_000;
const MOST_DAYS = 400;
const MOST_RUNS = 20;

/** Throws ProtocolError `log` or `signature` where the log does not verify, `ClientError` and `ApiError` where it cannot be read. */
export async function auditLog(api: Api, { vkey, seen = [], now, onProgress }: LogAuditOptions): Promise<LogAudit> {
  const live = await openLiveLog(api, vkey);
  const tally = new Tally();
  const csv: Bytes[] = [utf8(CSV_HEADER)];
  const verifier = await BundleVerifier.open(live.checkpoint, live.vkey, seen, {
    onObligation: (obligation) => {
      csv.push(utf8(csvRow(obligation)));
      tally.settle(obligation, now);
    },
  });
  const lines: Bytes[] = [];
  for await (const bytes of liveEntries(api, live)) {
    verifier.accept(bytes);
    tally.accept(decodeEntry(bytes));
    lines.push(entryLine(bytes));
    if (lines.length % 256 === 0) onProgress?.(lines.length, live.size);
  }
  onProgress?.(live.size, live.size);
  const { checkpoint, ...report } = verifier.finish(now);
  return {
    verdict: verdictOf(report),
    report,
    origin: checkpoint.origin,
    size: checkpoint.size,
    rootB64: toBase64Url(checkpoint.root),
    vkey: live.vkey,
    isPinned: vkey !== undefined,
    checkpoint: live.checkpoint,
    ...tally.result(),
    files: [
      { name: 'checkpoint', parts: [utf8(live.checkpoint)] },
      { name: 'log.vkey', parts: [utf8(`${live.vkey}\n`)] },
      { name: 'entries.jsonl', parts: lines },
      { name: 'export.csv', parts: csv },
    ],
  };
}

/** What the auditor does not count because it is no finding: days, runs, the store. */
class Tally {
  readonly #days = new Map<string, LogDay>();
  readonly #runs: LogEntryOf<'run.finished'>[] = [];
  #runCount = 0;
  #storage: LogEntryOf<'storage.attested'> | undefined;
  readonly #exams = new Set<string>();
  #retentionDays = 0;
  readonly #due = { total: 0, onTime: 0, late: 0 };

  accept(entry: LogEntry): void {
    const day = this.#day(entry.at);
    if (entry.type === 'run.finished') {
      this.#runs.unshift(entry);
      this.#runs.length = Math.min(this.#runs.length, MOST_RUNS);
      this.#runCount += 1;
    } else if (entry.type === 'policy.published') {
      this.#exams.add(entry.exam);
      this.#retentionDays = Math.max(this.#retentionDays, entry.retention_days);
    } else if (entry.type === 'storage.attested') this.#storage = entry;
    else if (entry.type === 'recording.opened') day.opened += 1;
    else if (entry.type === 'deletion.completed') day.deleted += 1;
  }

  /** Each recording once. */
  settle({ deleteBy, completed }: Obligation, now: number): void {
    if (deleteBy > now) return;
    this.#day(deleteBy).due += 1;
    this.#due.total += 1;
    if (completed) this.#due[completed.at <= deleteBy + DEFAULT_TOLERANCES.graceMs ? 'onTime' : 'late'] += 1;
  }

  result() {
    return {
      due: this.#due,
      days: this.#everyDay(),
      runs: this.#runs,
      runCount: this.#runCount,
      storage: this.#storage,
      exams: this.#exams.size,
      retentionDays: this.#retentionDays,
    };
  }

  #day(at: number): LogDay {
    const day = dayOf(at);
    let found = this.#days.get(day);
    if (!found) this.#days.set(day, (found = { day, opened: 0, deleted: 0, due: 0 }));
    return found;
  }

  /** Days on which nothing happened belong into the picture. */
  #everyDay(): LogDay[] {
    const known = [...this.#days.keys()].sort();
    const [first, last] = [known[0], known.at(-1)];
    if (first === undefined || last === undefined) return [];
    const days: LogDay[] = [];
    const end = Date.parse(last);
    for (let at = Math.max(Date.parse(first), end - (MOST_DAYS - 1) * DAY_MS); at <= end; at += DAY_MS) {
      days.push(this.#day(at));
    }
    return days;
  }
}

function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}
