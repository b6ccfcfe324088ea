/** A thread that plays the histories of the seeds it is asked for: one history at a time, because it replaces globals. */
import { parentPort, workerData } from 'node:worker_threads';
import { type Outcome, Simulator } from './history.ts';
import { addOutcome, noTotals, type Totals } from './totals.ts';

export interface Range {
  first: number;
  count: number;
}

/** What became of a range; it ends with the first history that broke a promise. */
export interface Played {
  totals: Totals;
  broken: (NonNullable<Outcome['broken']> & { seed: number }) | undefined;
}

// A failing call makes an error, and half of an error's price is its stack; a seed that is played alone has them all.
const STACK = Error.stackTraceLimit;

const simulator = await Simulator.create((workerData as { tapesEach: number }).tapesEach);

async function play({ first, count }: Range): Promise<Played> {
  const totals = noTotals();
  Error.stackTraceLimit = count === 1 ? STACK : 0;
  for (let seed = first; seed < first + count; seed++) {
    const outcome = await simulator.play(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed} ended in an error`, { cause: error });
    });
    addOutcome(totals, outcome);
    if (outcome.broken) return { totals, broken: { ...outcome.broken, seed } };
  }
  return { totals, broken: undefined };
}

parentPort!.on('message', (range: Range) => {
  void play(range).then((played) => {
    parentPort!.postMessage(played);
  });
});
