import { expect, it } from 'vitest';
import { FAULTS, HARMLESS } from './faults.ts';
import { Simulator } from './history.ts';
import { simulatorWith } from './plant.ts';
import { addOutcome, describeTotals, noTotals } from './totals.ts';

/** `npx tsx scripts/simulate.ts --seeds N` plays as many as there is time for. */
const SEEDS = process.env['SLOW'] === '1' ? 5_000 : 400;
/** Within this many histories a planted fault has to break a promise. */
const SEEDS_PER_FAULT = 600;

it(`keeps every promise in ${SEEDS} simulated histories`, { timeout: 3_600_000 }, async () => {
  const simulator = await Simulator.create();
  const totals = noTotals();
  const began = performance.now();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulator.play(seed);
    addOutcome(totals, outcome);
    if (outcome.broken)
      throw new Error(`${outcome.broken.promise}; again: npx tsx scripts/simulate.ts --seeds 1 --seed ${seed}`);
  }
  process.stderr.write(`${describeTotals(totals, (performance.now() - began) / 1000)}\n`);
  // A history in which nothing happens keeps every promise too.
  expect(totals.acknowledged).toBeGreaterThan(SEEDS);
  expect(totals.verified).toBeGreaterThan(SEEDS);
  expect(Math.min(totals.faults, totals.deaths, totals.returned, totals.anomalies)).toBeGreaterThan(SEEDS / 20);
});

it('plays one seed the same way twice', async () => {
  const simulator = await Simulator.create(3);
  const first = await simulator.play(7);
  await simulator.play(8);
  expect(await simulator.play(7)).toEqual(first);
});

it.each(FAULTS.map((fault) => [fault.name, fault] as const))(
  'catches the planted fault: %s',
  { timeout: 600_000 },
  async (_name, fault) => {
    const simulator = await simulatorWith(fault, 3);
    for (let seed = 1; seed <= SEEDS_PER_FAULT; seed++) {
      if ((await simulator.play(seed)).broken) return;
    }
    expect.fail(`no promise broken in ${SEEDS_PER_FAULT} histories`);
  },
);

it.each(HARMLESS.map((fault) => [fault.name, fault] as const))(
  'keeps every promise although: %s',
  { timeout: 600_000 },
  async (_name, fault) => {
    const simulator = await simulatorWith(fault, 3);
    for (let seed = 1; seed <= 100; seed++) expect((await simulator.play(seed)).broken).toBeUndefined();
  },
);
