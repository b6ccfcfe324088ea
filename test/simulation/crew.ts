/** Plays many seeds on all cores. */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { bundle } from '../bundle.ts';
import type { Played, Range } from './player.ts';
import { addTotals, noTotals, type Totals } from './totals.ts';

/** Seeds that a player is given at a time. */
const RANGE = 20;
/** Recordings of each kind to choose from. */
const TAPES_EACH = 12;

export interface CrewOptions {
  first?: number;
  count: number;
  players?: number;
  tapesEach?: number;
  /** The program of a player, where it is not the one of these sources. */
  program?: string;
  onProgress?: (totals: Totals) => void;
  /** Aborted: what was begun is finished, and nothing else is begun. */
  signal?: AbortSignal;
}

/** Plays `count` seeds from `first` on, and no more once one has broken a promise; of several broken ones it answers the lowest. */
export async function playSeeds(options: CrewOptions): Promise<Played> {
  const { first = 1, count, players = availableParallelism(), tapesEach = TAPES_EACH, onProgress } = options;
  const own = options.program === undefined ? await bundle('test/simulation/player.ts') : undefined;
  const all: Played = { totals: noTotals(), broken: undefined };
  let next = first;
  const take = (): Range | undefined => {
    if (all.broken || options.signal?.aborted === true || next >= first + count) return undefined;
    const range = { first: next, count: Math.min(RANGE, first + count - next) };
    next += range.count;
    return range;
  };
  const work = async () => {
    const worker = new Worker(options.program ?? own!.path, {
      workerData: { tapesEach },
      // A history's garbage dies young; with the default of 16 MB a tenth of the time goes into copying what lives, with 64 MB still a twentieth.
      resourceLimits: { maxYoungGenerationSizeMb: 192 },
    });
    try {
      for (let range = take(); range; range = take()) {
        worker.postMessage(range);
        const [{ totals, broken }] = (await once(worker, 'message')) as [Played];
        addTotals(all.totals, totals);
        if (broken && broken.seed < (all.broken?.seed ?? Infinity)) all.broken = broken;
        onProgress?.(all.totals);
      }
    } finally {
      await worker.terminate();
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(players, Math.ceil(count / RANGE)) }, work));
  } finally {
    own?.remove();
  }
  return all;
}

/** The command that plays a seed again, alone. */
export function commandFor(seed: number): string {
  return `npx tsx scripts/simulate.ts --seeds 1 --seed ${seed}`;
}
