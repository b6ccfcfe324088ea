/**
 * The second implementation: opens and verifies a case file from schema/PROTOCOL.md alone. It shares no code with `crypto/` or
 * `src/`, reads everything into memory, and is meant to be read beside the specification. Grants and attestations are left out.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkProof } from './log.ts';
import { readPolicy, type Policy } from './policy.ts';
import { must, Refused, same } from './primitives.ts';
import {
  keyIdOf,
  readHead,
  readOpen,
  readWrap,
  Track,
  unlock,
  type Head,
  type Open,
  type SecretKey,
} from './records.ts';
import { sha256 } from './primitives.ts';

/** From best to worst. */
const VERDICTS = ['COMPLETE', 'OPEN-ENDED', 'GAPS', 'INVALID', 'EQUIVOCATION'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface TrackReport {
  epoch: number;
  track: number;
  chunks: number;
  /** SHA-256 of the media in hex, where a key was given. */
  media: string | null;
}

export interface Report {
  verdict: Verdict;
  tracks: TrackReport[];
  /** Classes of what was refused, in the order of the reader's steps. */
  refusals: string[];
}

export interface ReadOptions {
  folder: string;
  ownerHash: Uint8Array;
  key?: SecretKey;
}

/** Section 13, steps 1 to 8. A refusal makes the recording INVALID, or EQUIVOCATION where two statements contradict. */
export function readCaseFile(options: ReadOptions): Report {
  const report: Report = { verdict: 'COMPLETE', tracks: [], refusals: [] };
  const sink = (verdict: Verdict): void => {
    if (VERDICTS.indexOf(verdict) > VERDICTS.indexOf(report.verdict)) report.verdict = verdict;
  };
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      report.refusals.push(error.code);
      sink(error.code === 'equivocation' ? 'EQUIVOCATION' : 'INVALID');
    }
  };
  attempt(() => {
    readRecording(options, report, sink, attempt);
  });
  return report;
}

type Sink = (verdict: Verdict) => void;
type Attempt = (work: () => void) => void;

function readRecording({ folder, ownerHash, key }: ReadOptions, report: Report, sink: Sink, attempt: Attempt): void {
  const file = (...path: string[]): Buffer => readFileSync(join(folder, ...path));
  const summary = JSON.parse(file('recording.json').toString()) as { recording_id: string; exam_id: string };
  const { policy, hash } = readPolicy(file('policy.bin'), { ownerHash, examId: summary.exam_id });
  const logged = loggedOpenings(folder, policy, summary.recording_id);
  const epochs = numbers(join(folder, 'epochs'));
  must(epochs.length > 0 && epochs.every((epoch, i) => epoch === i), 'seq', 'an epoch is missing');
  let before: { open: Open; newest: Head | undefined } | undefined;
  for (const epoch of epochs) {
    const at = join(folder, 'epochs', String(epoch));
    const open = readOpen(readFileSync(join(at, 'open.bin')));
    must(open.session.toString('base64url') === summary.recording_id && open.epoch === epoch, 'identity');
    must(same(open.policyHash, hash) && open.exam.toString('base64url') === policy.exam_id, 'policy');
    must(open.minSuite >= policy.min_suite, 'suite');
    must(logged.get(epoch) === open.hash.toString('base64url'), 'log', 'the opening is not in the log');
    if (before) checkContinuation(before, open, sink);
    const trackKey = key && openEpoch(at, open, key);
    const newest = readHeads(at, open);
    for (const track of open.tracks) {
      attempt(() => {
        readTrack(at, open, track, trackKey, newest, report, sink);
      });
    }
    before = { open, newest };
  }
  if (before?.newest?.isClose !== true) sink('OPEN-ENDED');
}

/** Step 2: open_hash by epoch, as the log proves it. */
function loggedOpenings(folder: string, policy: Policy, recordingId: string): Map<number, string> {
  const openings = new Map<number, string>();
  const proofs = join(folder, 'log', 'proofs');
  for (const index of numbers(proofs, '.json')) {
    const bytes = readFileSync(join(proofs, `${index}.json`));
    const proof = readFileSync(join(proofs, `${index}.tlog-proof`), 'utf8');
    must(checkProof(bytes, proof, policy.log.origin, policy.log.vkey) === index, 'log', 'index');
    const entry = JSON.parse(bytes.toString()) as {
      type: string;
      recording?: string;
      epoch: number;
      open_hash: string;
    };
    if (entry.recording !== undefined) must(entry.recording === recordingId, 'identity');
    if (entry.type !== 'recording.opened' && entry.type !== 'recording.reopened') continue;
    must((openings.get(entry.epoch) ?? entry.open_hash) === entry.open_hash, 'equivocation');
    openings.set(entry.epoch, entry.open_hash);
  }
  return openings;
}

/** An epoch names the newest head before it, or the OPEN where there was none; a later head than we have is a gap. */
function checkContinuation({ open, newest }: { open: Open; newest: Head | undefined }, next: Open, sink: Sink): void {
  if (newest?.isClose === true) throw new Refused('final', 'an epoch after CLOSE');
  if (!same(next.prevHead, newest?.hash ?? open.hash)) sink('GAPS');
}

/** Step 4: the wrap for this key, which OPEN must list; CEK and shred share must reproduce kc. */
function openEpoch(at: string, open: Open, key: SecretKey): (track: number) => Buffer {
  const wrap = readFileSync(join(at, 'wraps', `${keyIdOf(key).toString('base64url')}.bin`));
  must(
    open.wrapHashes.some((hash) => same(hash, sha256(wrap))),
    'wrap',
    'a wrap that OPEN does not list',
  );
  const cek = readWrap(wrap, key, { coreHash: open.coreHash, minSuite: open.minSuite, scope: 1, track: 0 });
  return unlock(open, cek, readFileSync(join(at, 'shred.bin')));
}

/** Step 6, first half: heads are a chain as far as they are here; the server keeps the newest, so earlier ones may be absent. */
function readHeads(at: string, open: Open): Head | undefined {
  const records = numbers(join(at, 'heads'), '.bin').map((seq) => readFileSync(join(at, 'heads', `${seq}.bin`)));
  let previous: Head | undefined;
  for (const record of records) {
    previous = readHead(record, open, previous, { maySkip: true });
  }
  return previous;
}

/** Steps 5 and 6: the chunks in order, as far as they are here, against what the newest head counts. */
function readTrack(
  at: string,
  open: Open,
  id: number,
  trackKey: ((track: number) => Buffer) | undefined,
  newest: Head | undefined,
  report: Report,
  sink: Sink,
): void {
  const folder = join(at, 'tracks', String(id));
  const track = new Track(open, id, trackKey?.(id));
  const sequence = numbers(folder, '.bin');
  const counted = newest?.tracks.get(id);
  for (const seq of sequence) {
    if (seq !== track.count) {
      sink('GAPS');
      break;
    }
    track.add(readFileSync(join(folder, `${seq}.bin`)));
    if (track.count === counted?.count) must(same(track.last, counted.last), 'equivocation', 'another last chunk');
  }
  if (track.count < (counted?.count ?? 0)) sink('GAPS');
  const media = trackKey ? track.media.digest('hex') : null;
  report.tracks.push({ epoch: open.epoch, track: id, chunks: track.count, media });
}

/** Names that are numbers, ascending. */
function numbers(folder: string, ending = ''): number[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(ending) && /^\d+$/.test(name.slice(0, name.length - ending.length)))
    .map((name) => Number(name.slice(0, name.length - ending.length)))
    .sort((a, b) => a - b);
}
