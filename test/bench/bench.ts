/** `npm run bench`: how fast, beside what a user would take instead and beside the hardware's limit. It never fails a build. */
import { parseArgs } from 'node:util';
import { examStart, serving } from './api.ts';
import { bucketing } from './bucket.ts';
import { compare, type Comparison, type ComparisonResult } from './comparison.ts';
import { logging } from './log.ts';
import { presigning } from './presign.ts';
import { metadata } from './metadata.ts';
import { MissingPrograms, Workshop } from './programs.ts';
import { purging } from './purge.ts';
import { scaling } from './scale.ts';
import { sealing } from './seal.ts';
import { durability } from './store.ts';
import { describeMachine, formatComparison, formatMachine } from './table.ts';
import { transfers } from './transfer.ts';

const USAGE = `npm run -s bench -- [--only WORD,...] [--json]

Runs every comparison in turns (A B A B ...), and prints medians, spreads and ratios. Peers come from Debian's packages; a
comparison whose peer is not installed is left out, with the package that it wants.

  --only   comparisons whose key begins with one of these words; without it all, which takes half an hour
  --json   one JSON object on standard output

  $ npm run -s bench -- --only seal,presign`;

const TRANSFER_MIB = Number(process.env['BENCH_MIB'] ?? 1024);

/** By the words that their keys begin with. */
const SUITES: Record<string, (workshop: Workshop) => Promise<Comparison[]> | Comparison[]> = {
  'seal open': sealing,
  presign: presigning,
  log: logging,
  'durable fsync': durability,
  'api stack recorders': serving,
  'exam-start': examStart,
  metadata,
  scale: scaling,
  purge: purging,
  'put get': bucketing,
  'record wire fetch': (workshop) => transfers(TRANSFER_MIB, workshop),
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { only: { type: 'string' }, json: { type: 'boolean', default: false }, help: { type: 'boolean' } },
  });
  const print = (text: string): void => void process.stdout.write(`${text}\n`);
  if (values.help) {
    print(USAGE);
    return;
  }
  const only = values.only?.split(',');
  const isWanted = (key: string): boolean => only === undefined || only.some((word) => key.startsWith(word));
  const machine = describeMachine();
  const results: ComparisonResult[] = [];
  if (!values.json) print(`${formatMachine(machine)}\n`);
  for (const [keys, suite] of Object.entries(SUITES)) {
    if (only && !keys.split(' ').some((key) => only.some((word) => key.startsWith(word) || word.startsWith(key))))
      continue;
    const workshop = await Workshop.open();
    try {
      for (const comparison of await suite(workshop)) {
        if (!isWanted(comparison.key)) continue;
        const result = await compare(comparison);
        results.push(result);
        if (!values.json) print(`${formatComparison(result)}\n`);
      }
    } catch (error) {
      // One that cannot be made says why, and does not take the others with it.
      const why = error instanceof MissingPrograms ? 'left out' : 'FAILED';
      process.stderr.write(`${keys}: ${why}: ${error instanceof Error ? error.message : String(error)}\n\n`);
    } finally {
      await workshop.close();
    }
  }
  if (values.json) print(JSON.stringify({ machine, results }));
}

await main();
// Agents and pools of the clients under test would keep the process; everything has been told.
process.exit(0);
