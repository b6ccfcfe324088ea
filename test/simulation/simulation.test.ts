import { afterAll, expect, it } from 'vitest';
import { commandFor, playSeeds } from './crew.ts';
import { FAULTS, HARMLESS } from './faults.ts';
import { Simulator } from './history.ts';
import { playerWith } from './plant.ts';
import { ALL_SITUATIONS } from './situations.ts';
import { describeTotals } from './totals.ts';

/** `npx tsx scripts/simulate.ts --seeds N` plays as many as there is time for. */
const SEEDS = Number(process.env['SEEDS'] ?? 5_000);

it(
  `keeps every promise in ${SEEDS} simulated histories, and meets every situation`,
  { timeout: 3_600_000 },
  async () => {
    const began = performance.now();
    const { totals, broken } = await playSeeds({ count: SEEDS });
    process.stderr.write(`${describeTotals(totals, (performance.now() - began) / 1000)}\n`);
    if (broken) throw new Error(`${broken.promise}; play it again: ${commandFor(broken.seed)}`);
    expect(totals.seeds).toBe(SEEDS);
    // A history in which nothing happens keeps every promise too.
    expect(ALL_SITUATIONS.filter((situation) => totals.counts[situation] === 0)).toEqual([]);
    expect(Math.min(totals.counts.acknowledged, totals.counts.verified)).toBeGreaterThan(SEEDS);
  },
);

it('plays one seed the same way twice', async () => {
  const simulator = await Simulator.create(3);
  const first = await simulator.play(7);
  await simulator.play(8);
  expect(await simulator.play(7)).toEqual(first);
});

/** Fault -> the first seed that broke a promise. */
const caught = new Map<string, number>();

afterAll(() => {
  const list = [...caught].sort(([, a], [, b]) => a - b).map(([name, seed]) => `${String(seed).padStart(5)}  ${name}`);
  process.stderr.write(`${caught.size} of ${FAULTS.length} planted faults caught, at seed:\n${list.join('\n')}\n`);
});

it.each(FAULTS.map((fault) => [fault.name, fault] as const))(
  `catches within ${SEEDS} histories the planted fault: %s`,
  { timeout: 1_200_000 },
  async (name, fault) => {
    const program = await playerWith(fault);
    try {
      const { broken } = await playSeeds({ program: program.path, count: SEEDS, tapesEach: 3 });
      expect(broken).toBeDefined();
      caught.set(name, broken!.seed);
    } finally {
      program.remove();
    }
  },
);

it.each(HARMLESS.map((fault) => [fault.name, fault] as const))(
  'keeps every promise although: %s',
  { timeout: 1_200_000 },
  async (_name, fault) => {
    const program = await playerWith(fault);
    try {
      const { broken } = await playSeeds({ program: program.path, count: 200, tapesEach: 3 });
      expect(broken).toBeUndefined();
    } finally {
      program.remove();
    }
  },
);
