/** Plays simulated histories on all cores and looks for one that breaks a promise. */
import { parseArgs } from 'node:util';
import { commandFor, playSeeds } from '../test/simulation/crew.ts';
import { describeTotals } from '../test/simulation/totals.ts';

const USAGE = `usage: npx tsx scripts/simulate.ts --seeds N [--seed FIRST] [--players N] [--json]

  --seeds N      how many histories to play
  --seed FIRST   the first seed, default 1; with --seeds 1 it plays one history again
  --players N    threads, default one for each core
  --json         totals as one JSON object on standard output

Interrupted, it ends with what it has played so far.

Exit codes: 0 every promise held, 1 one was broken (printed with the command that plays it again), 64 wrong usage.

$ npx tsx scripts/simulate.ts --seeds 5000
`;
/** How often progress is told where standard error is no terminal. */
const LINES = 50;

function whole(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '' },
      seed: { type: 'string', default: '1' },
      players: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const [count, first] = [whole(values.seeds), whole(values.seed)];
  const players = values.players === undefined ? undefined : whole(values.players);
  if (count === undefined || first === undefined || count < 1 || players === 0) {
    process.stderr.write(USAGE);
    return 64;
  }
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  let told = 0;
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      stop.abort();
    });
  }
  const { totals, broken } = await playSeeds({
    first,
    count,
    ...(players !== undefined && { players }),
    signal: stop.signal,
    onProgress: ({ seeds }) => {
      const line = `${seeds} of ${count}, ${(seeds / seconds()).toFixed(0)} a second`;
      if (process.stderr.isTTY) process.stderr.write(`\r${line}`);
      else if (seeds >= told + count / LINES) {
        told = seeds;
        process.stderr.write(`${line}\n`);
      }
    },
  });
  if (process.stderr.isTTY) process.stderr.write('\n');
  console.log(values.json ? JSON.stringify({ ...totals, seconds: seconds() }) : describeTotals(totals, seconds()));
  if (!broken) return 0;
  const { seed, promise, at, step } = broken;
  console.error(`seed ${seed} broke a promise at ${new Date(at).toISOString()}, step ${step}: ${promise}`);
  console.error(`play it again: ${commandFor(seed)}`);
  return 1;
}

process.exitCode = await main();
