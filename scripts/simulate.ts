/**
 * Plays simulated histories and looks for one that breaks a promise: `npx tsx scripts/simulate.ts --seeds 5000 [--seed 1] [--json]`.
 * Exit codes: 0 every promise held, 1 one was broken (printed with the command that plays it again), 2 wrong usage.
 */
import { parseArgs } from 'node:util';
import { Simulator } from '../test/simulation/history.ts';
import { addOutcome, describeTotals, noTotals } from '../test/simulation/totals.ts';

const USAGE = `usage: npx tsx scripts/simulate.ts --seeds N [--seed FIRST] [--json]

  --seeds N      how many histories to play
  --seed FIRST   the first seed, default 1; with --seeds 1 it plays one history again
  --json         totals as one JSON object on standard output

$ npx tsx scripts/simulate.ts --seeds 5000
`;

function whole(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { seeds: { type: 'string' }, seed: { type: 'string', default: '1' }, json: { type: 'boolean' } },
  });
  const [count, first] = [whole(values.seeds), whole(values.seed)];
  if (count === undefined || first === undefined || count < 1) {
    process.stderr.write(USAGE);
    return 2;
  }
  const simulator = await Simulator.create();
  const totals = noTotals();
  const began = performance.now();
  for (let seed = first; seed < first + count; seed++) {
    const outcome = await simulator.play(seed);
    addOutcome(totals, outcome);
    if (outcome.broken) {
      const { promise, at, step } = outcome.broken;
      console.error(`seed ${seed} broke a promise at ${new Date(at).toISOString()}, step ${step}: ${promise}`);
      console.error(`play it again: npx tsx scripts/simulate.ts --seeds 1 --seed ${seed}`);
      return 1;
    }
    if (process.stderr.isTTY && seed % 100 === 0) process.stderr.write(`\r${seed - first + 1} of ${count}`);
  }
  const seconds = (performance.now() - began) / 1000;
  console.log(values.json === true ? JSON.stringify({ ...totals, seconds }) : describeTotals(totals, seconds));
  return 0;
}

process.exitCode = await main();
