/**
 * Parsers on very many hostile bytes, at full speed: changes of the vectors and of the corpus that `guided.test.ts` has found. SLOW=1 runs
 * a million executions of each, EXECUTIONS=n as many as asked; SEED repeats a run.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kept, readCorpus } from './corpus.ts';
import { run } from './execution.ts';
import { dice, mutate } from './mutation.ts';
import { TARGETS } from './parsers.ts';

const EXECUTIONS = Number(process.env['EXECUTIONS'] ?? (process.env['SLOW'] === '1' ? 1_000_000 : 4000));
const SEED = Number(process.env['SEED'] ?? 1);
const corpus = readCorpus();

beforeAll(() => {
  Error.stackTraceLimit = 0;
});
afterAll(() => {
  Error.stackTraceLimit = 10;
});

describe('a parser answers or throws a ProtocolError, within its memory', () => {
  test.each(TARGETS)('$name', { timeout: 7_200_000 }, (target) => {
    const seeds = [...target.seeds, ...kept(corpus, target.name).map(([input]) => input)];
    const roll = dice(SEED);
    const outcomes = new Map<string, number>();
    for (let i = 0; i < EXECUTIONS; i++) {
      const outcome = run(target, mutate(seeds, roll));
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    process.stderr.write(`${target.name}: ${EXECUTIONS} executions, ${JSON.stringify(Object.fromEntries(outcomes))}\n`);
    expect(outcomes.size, 'mutations are refused in more than one way').toBeGreaterThan(1);
  });
});
