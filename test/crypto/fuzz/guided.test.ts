/**
 * Parsers on hostile bytes, guided by coverage. Whatever comes in, a parser answers or throws a ProtocolError, takes no more memory than
 * the input's length times a small constant, and runs no more blocks. EXECUTIONS=n runs as many as asked, SEED repeats a run, KEEP=FILE
 * writes the corpus with what was found; every run tries the kept one first. `many.test.ts` goes on from there without counting.
 */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BlockCoverage } from './coverage.ts';
import type { Target } from './parsers.ts';

// Everything of `crypto/` is loaded after this: V8 counts blocks in code that it compiles from here on.
const coverage = new BlockCoverage(new URL('../../../crypto/', import.meta.url).pathname, '/fuzz/planted.ts');
coverage.start();
const { toHex } = await import('../../../crypto/format/bytes.ts');
const { kept, readCorpus } = await import('./corpus.ts');
const { Fault } = await import('./execution.ts');
const { hunt, runCounted } = await import('./hunt.ts');
const { dice } = await import('./mutation.ts');
const { TARGETS } = await import('./parsers.ts');
const planted = await import('./planted.ts');

const EXECUTIONS = Number(process.env['EXECUTIONS'] ?? (process.env['SLOW'] === '1' ? 100_000 : 2560));
const SEED = Number(process.env['SEED'] ?? 1);

const corpus = readCorpus();

beforeAll(() => {
  Error.stackTraceLimit = 0;
});
afterAll(() => {
  Error.stackTraceLimit = 10;
  coverage.stop();
});

test('the kept corpus names parsers that exist', () => {
  expect(TARGETS.map(({ name }) => name)).toEqual(expect.arrayContaining(Object.keys(corpus)));
});

describe('a parser answers or throws a ProtocolError, within its memory and its work', () => {
  test.each(TARGETS)('$name', { timeout: 7_200_000 }, (target) => {
    const { name } = target;
    coverage.read();
    const outcomes = target.seeds.map((seed) => runCounted(target, seed, coverage).outcome);
    expect(outcomes, 'an honest record reaches the end of the parser').toContain('accepted');
    for (const [input, outcome] of kept(corpus, name))
      expect(runCounted(target, input, coverage).outcome).toBe(outcome);

    const seeds = [...target.seeds, ...kept(corpus, name).map(([input]) => input)];
    const bag = hunt({ ...target, seeds }, coverage, { executions: EXECUTIONS, roll: dice(SEED), isGuided: true });
    process.stderr.write(`${name}: ${bag.executions} executions, ${bag.accepted} accepted, ${bag.found.length} new\n`);
    const file = process.env['KEEP'];
    if (file === undefined) return;
    for (const input of bag.found) (corpus[name] ??= {})[toHex(input)] = runCounted(target, input, coverage).outcome;
    writeFileSync(file, `${JSON.stringify(corpus, null, 1)}\n`);
  });
});

describe('a fault that is planted is found', () => {
  const seeds = [Uint8Array.from('ZRHD\x01aaaaaaaa', (character) => character.charCodeAt(0))];
  /** Executions until the first fault, and what it was. */
  const until = (name: string, parse: Target['parse'], isGuided: boolean, executions: number): string => {
    try {
      hunt({ name, parse, seeds }, coverage, { executions, roll: dice(SEED), isGuided });
    } catch (error) {
      if (error instanceof Fault) return error.message;
      throw error;
    }
    return 'nothing found';
  };

  test('deep inside, with guidance and not without, from the same changes', () => {
    const budget = 60_000;
    expect(until('planted', planted.throwsDeepInside, false, budget)).toBe('nothing found');
    expect(until('planted', planted.throwsDeepInside, true, budget)).toMatch(/threw on [0-9a-f]+$/);
  });

  test('an allocation of what is declared and not there', () => {
    expect(until('planted', planted.allocatesWhatIsDeclared, true, 10_000)).toMatch(/took \d+ bytes of memory/);
  });

  test('a loop within a loop', () => {
    expect(until('planted', planted.comparesAllWithAll, true, 1)).toMatch(/ran \d+ blocks for 8192 bytes/);
  });
});
