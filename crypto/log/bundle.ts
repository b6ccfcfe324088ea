import { sha256 } from '@noble/hashes/sha2.js';
import { concat, equal, type Bytes, utf8 } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import { Audit, type AuditOptions, type AuditReport } from './audit.ts';
import { openCheckpoint, type OpenedCheckpoint } from './checkpoint.ts';
import { MAX_ENTRY_BYTES } from './entry.ts';
import { type Finding, instant } from './finding.ts';
import { parseVkey } from './note.ts';
import type { Obligation } from './obligation.ts';
import { Frontier, leafHash } from './tree.ts';

/** Where the parts of an exported log lie in its folder (LOG.md, bundle). */
export const BUNDLE = {
  checkpoint: 'checkpoint',
  vkey: 'log.vkey',
  entries: 'entries.jsonl',
  earlier: 'checkpoints/',
  csv: 'export.csv',
} as const;

const CSV_COLUMNS =
  'recording,exam,opened,delete_by,erasure,state,ended,objects,bytes,missing,releases,deleted,objects_destroyed,bytes_destroyed,vault_horizon,verified';

/** The first line of `export.csv`, with its newline. */
export const CSV_HEADER = `${CSV_COLUMNS}\n`;

/**
 * One line of `export.csv`, with its newline. Ids carry a prefix: a spreadsheet takes a cell that begins with a hyphen for a formula.
 */
export function csvRow(obligation: Obligation): string {
  const { recording, exam, opened, deleteBy, isErasure, state, ended, releases, completed, verified } = obligation;
  const time = (ms: number | undefined): string => (ms === undefined ? '' : instant(ms));
  const cells = [
    `recording:${recording}`,
    `exam:${exam}`,
    time(opened),
    time(deleteBy),
    isErasure ? 'yes' : 'no',
    state,
    ended?.reason ?? '',
    ended?.objects ?? '',
    ended?.bytes ?? '',
    ended?.missing ?? '',
    releases,
    time(completed?.at),
    completed?.objects ?? '',
    completed?.bytes ?? '',
    time(completed?.vault_horizon),
    time(verified),
  ];
  return `${cells.join(',')}\n`;
}

/** One line of `entries.jsonl`: the exact bytes that are hashed, and a newline, which no entry contains. */
export function entryLine(bytes: Uint8Array): Bytes {
  return concat(bytes, Uint8Array.of(0x0a));
}

/** The entries in `entries.jsonl`, as it is read in pieces of any size. Throws `log` on an endless line or a cut last one. */
export async function* readEntryLines(
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Bytes, void, undefined> {
  let rest: Uint8Array = new Uint8Array(0);
  for await (const piece of pieces) {
    let buffer: Uint8Array = rest.length > 0 ? concat(rest, piece) : piece;
    for (let end = buffer.indexOf(0x0a); end >= 0; end = buffer.indexOf(0x0a)) {
      yield new Uint8Array(buffer.subarray(0, end)); // a stream may use its buffer again
      buffer = buffer.subarray(end + 1);
    }
    if (buffer.length > MAX_ENTRY_BYTES) throw new ProtocolError('log', 'expected lines of at most 65535 bytes');
    rest = new Uint8Array(buffer);
  }
  if (rest.length > 0) throw new ProtocolError('log', 'expected a newline at the end of the entries');
}

/** What a bundle, verified, amounts to. */
export interface BundleReport extends AuditReport {
  readonly checkpoint: OpenedCheckpoint;
  /** How many earlier checkpoints these entries bear out. */
  readonly consistentCheckpoints: number;
  /** Of each witness that was asked for, the newest checkpoint at hand that it has cosigned; none where there is none. */
  readonly witnesses: readonly { readonly name: string; readonly cosigned: Cosigned | null }[];
}

export interface Cosigned {
  /** How many entries it vouches for. */
  readonly size: number;
  /** By the witness's own clock, ms. */
  readonly at: number;
}

export interface BundleOptions extends AuditOptions {
  /** Verifier keys (type 4) of witnesses whom the auditor trusts. */
  readonly witnesses?: readonly string[];
}

export type Verdict = 'well' | 'exceptions' | 'violation';

export function verdictOf({ exceptions, violations }: Pick<AuditReport, 'exceptions' | 'violations'>): Verdict {
  if (violations > 0) return 'violation';
  return exceptions > 0 ? 'exceptions' : 'well';
}

/**
 * Verifies an exported log in one pass over its entries: their root is that of the signed checkpoint, every earlier
 * checkpoint is the root of a prefix of them, and the audit's rules hold. What the log's key contradicts is a violation;
 * what cannot be verified throws `log`.
 */
export class BundleVerifier {
  readonly #checkpoint: OpenedCheckpoint;
  readonly #earlier: OpenedCheckpoint[];
  readonly #audit: Audit;
  readonly #frontier = new Frontier();
  readonly #csv = sha256.create().update(utf8(CSV_HEADER));
  readonly #contradictions: Finding[] = [];
  readonly #witnesses: Map<string, Cosigned | null>;
  readonly #tolerances: { skewMs: number; heartbeatMs: number };
  #consistent = 0;

  private constructor(checkpoint: OpenedCheckpoint, earlier: OpenedCheckpoint[], options: BundleOptions) {
    this.#checkpoint = checkpoint;
    this.#witnesses = new Map((options.witnesses ?? []).map((vkey) => [parseVkey(vkey).name, null]));
    this.#tolerances = { skewMs: options.skewMs ?? 10 * 60_000, heartbeatMs: options.heartbeatMs ?? 24 * 3_600_000 };
    this.#earlier = earlier;
    this.#audit = new Audit({
      ...options,
      onObligation: (obligation) => {
        this.#csv.update(utf8(csvRow(obligation)));
        options.onObligation?.(obligation);
      },
    });
    this.#compareEarlier();
  }

  /**
   * Opens the signed checkpoint and those that were kept from earlier (the bundle's own, and better the auditor's): all
   * must be signed by the key that the auditor pinned. Throws `log` otherwise.
   */
  static async open(
    checkpoint: string,
    vkey: string,
    earlier: readonly string[] = [],
    options: BundleOptions = {},
  ): Promise<BundleVerifier> {
    const open = (note: string): Promise<OpenedCheckpoint> =>
      openCheckpoint(note, vkey, parseVkey(vkey).name, options.witnesses);
    const opened: OpenedCheckpoint[] = [];
    for (const note of earlier) opened.push(await open(note));
    opened.sort((a, b) => a.size - b.size);
    return new BundleVerifier(await open(checkpoint), opened, options);
  }

  /** Takes the next entry's exact bytes. */
  accept(bytes: Uint8Array): void {
    if (this.#frontier.size === this.#checkpoint.size) {
      throw new ProtocolError('log', `the checkpoint covers ${this.#checkpoint.size} entries, and there are more`);
    }
    this.#audit.accept({ index: this.#frontier.size, bytes });
    this.#frontier.append(leafHash(bytes));
    this.#compareEarlier();
  }

  #compareEarlier(): void {
    for (;;) {
      const next = this.#earlier[0];
      if (next?.size !== this.#frontier.size) return;
      this.#earlier.shift();
      if (!equal(next.root, this.#frontier.root())) this.#contradict(next, 'with another root');
      else {
        this.#consistent++;
        this.#hear(next);
      }
    }
  }

  /** What the witnesses of a checkpoint that holds vouch for. No entry in it can honestly be dated after the time at which they saw it. */
  #hear({ size, cosignatures }: OpenedCheckpoint): void {
    for (const { key, time } of cosignatures) {
      const at = (time ?? 0) * 1000;
      const before = this.#witnesses.get(key.name);
      if (!before || size >= before.size) this.#witnesses.set(key.name, { size, at });
      const { newest } = this.#audit;
      if (newest <= at + this.#tolerances.skewMs) continue;
      const message = `witness ${key.name} saw ${size} entries at ${instant(at)}, one of which is dated ${instant(newest)}: the log's clock was ahead`;
      this.#contradictions.push({ severity: 'violation', code: 'clock', index: null, recording: null, at, message });
    }
  }

  /** A witness that was asked for and has lately signed nothing of this log: then nobody else vouches for its newest part. */
  #unwitnessed(now: number): Finding[] {
    return [...this.#witnesses].flatMap(([name, cosigned]): Finding[] => {
      if (cosigned && cosigned.at >= now - this.#tolerances.heartbeatMs) return [];
      const last = cosigned ? `nothing since ${instant(cosigned.at)}` : 'none of these checkpoints';
      const message = `witness ${name} has cosigned ${last}`;
      return [{ severity: 'exception', code: 'unwitnessed', index: null, recording: null, at: now, message }];
    });
  }

  #contradict({ size }: OpenedCheckpoint, how: string): void {
    const message = `the log signed a checkpoint of ${size} entries ${how}: history was changed`;
    this.#contradictions.push({
      severity: 'violation',
      code: 'equivocation',
      index: null,
      recording: null,
      at: 0,
      message,
    });
  }

  /**
   * Ends the verification at the time `now` (ms). `csvHash`, where given, is the SHA-256 of the bundle's `export.csv`, which
   * must be what these entries amount to. Throws `log` where entries, checkpoint and CSV do not belong together.
   */
  finish(now: number, csvHash?: Uint8Array): BundleReport {
    const { size, root } = this.#checkpoint;
    if (this.#frontier.size !== size) {
      throw new ProtocolError('log', `the checkpoint covers ${size} entries, found ${this.#frontier.size}`);
    }
    if (!equal(this.#frontier.root(), root))
      throw new ProtocolError('log', 'the entries have another root than the checkpoint');
    for (const later of this.#earlier) this.#contradict(later, `and now has ${size}`);
    this.#hear(this.#checkpoint);
    const unwitnessed = this.#unwitnessed(now);
    const report = this.#audit.finish(now);
    if (csvHash && !equal(this.#csv.digest(), csvHash)) {
      throw new ProtocolError('log', `${BUNDLE.csv} is not what the entries amount to`);
    }
    return {
      ...report,
      violations: report.violations + this.#contradictions.length,
      exceptions: report.exceptions + unwitnessed.length,
      findings: [...this.#contradictions, ...unwitnessed, ...report.findings],
      checkpoint: this.#checkpoint,
      consistentCheckpoints: this.#consistent,
      witnesses: [...this.#witnesses].map(([name, cosigned]) => ({ name, cosigned })),
    };
  }
}
