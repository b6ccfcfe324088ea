/**
 * A coverage-guided fuzzer in the manner of AFL and libFuzzer: an input that reaches a block which none before it did is kept, and
 * changed further. Jazzer.js would do this faster; its prebuilt libFuzzer wants a newer glibc than Debian 12 has, and its
 * older releases fetch a binary while they are installed.
 */
import type { Bytes } from '../../../crypto/format/bytes.ts';
import { Frontier, type BlockCoverage, type Reading } from './coverage.ts';
import { Fault, run, shown } from './execution.ts';
import { grow, mutate, type Dice } from './mutation.ts';
import type { Target } from './parsers.ts';

/** Inputs between two readings of the coverage, which costs as much as some hundred parses. */
const BATCH = 512;
/** One input in each batch is grown to this, and measured by itself. */
const GROWN = 8 * 1024;

/** The most that a parser may do, in executions of blocks: a loop within a loop is above it. */
export const MOST_WORK = (length: number): number => 5000 + 32 * length;

/** Runs one input after a reading, and throws a `Fault` where it does too much. */
export function runCounted(
  target: Target,
  input: Bytes,
  coverage: BlockCoverage,
): { outcome: string; reading: Reading } {
  const outcome = run(target, input);
  const reading = coverage.read();
  if (reading.work > MOST_WORK(input.length)) {
    throw new Fault(`${target.name} ran ${reading.work} blocks for ${shown(input)}`);
  }
  return { outcome, reading };
}

export interface Hunt {
  executions: number;
  roll: Dice;
  /** False: the same mutations, and nothing is learnt from them. */
  isGuided: boolean;
}

export interface Bag {
  executions: number;
  accepted: number;
  /** Inputs that went where none before them did, in the order of their discovery. */
  found: Bytes[];
}

/** Feeds a parser with changed records; throws the first `Fault`. */
export function hunt(target: Target, coverage: BlockCoverage, { executions, roll, isGuided }: Hunt): Bag {
  const frontier = new Frontier();
  const bag: Bag = { executions: 0, accepted: 0, found: [] };
  const pool = [...target.seeds];
  /** Every reading begins where the one before it ended. */
  const readingOf = (inputs: readonly Bytes[]): Reading => {
    for (const input of inputs) run(target, input);
    return coverage.read();
  };
  coverage.read();
  frontier.add(readingOf(pool));

  /**
   * Halves a batch that crossed the frontier until the inputs that did are alone. What V8 tells of many runs together it does not always
   * tell of any of them alone (the ends of blocks merge in other ways), so the whole batch counts as seen in the end.
   */
  const keep = (batch: readonly Bytes[]): void => {
    const reading = readingOf(batch);
    if (!frontier.isCrossedBy(reading)) return;
    if (batch.length > 1) {
      const half = batch.length >> 1;
      keep(batch.slice(0, half));
      keep(batch.slice(half));
    } else {
      bag.found.push(batch[0]!);
      pool.push(batch[0]!);
    }
    frontier.add(reading);
  };

  while (bag.executions < executions) {
    const batch = Array.from({ length: Math.min(BATCH, executions - bag.executions) }, () => mutate(pool, roll));
    for (const input of batch) {
      bag.executions++;
      if (run(target, input) === 'accepted') bag.accepted++;
    }
    const reading = coverage.read();
    runCounted(target, grow(batch[0]!, GROWN, roll), coverage);
    if (isGuided && frontier.isCrossedBy(reading)) keep(batch);
  }
  return bag;
}
