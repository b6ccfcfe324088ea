import type { Outcome } from './history.ts';
import { ALL_SITUATIONS, type Counts, noCounts, SITUATIONS } from './situations.ts';

const DAY_MS = 86_400_000;

/** Sums over many histories. */
export interface Totals {
  seeds: number;
  simulatedDays: number;
  steps: number;
  counts: Counts;
}

export function noTotals(): Totals {
  return { seeds: 0, simulatedDays: 0, steps: 0, counts: noCounts() };
}

export function addOutcome(totals: Totals, { simulatedMs, steps, counts }: Outcome): void {
  addTotals(totals, { seeds: 1, simulatedDays: simulatedMs / DAY_MS, steps, counts });
}

export function addTotals(totals: Totals, { seeds, simulatedDays, steps, counts }: Totals): void {
  totals.seeds += seeds;
  totals.simulatedDays += simulatedDays;
  totals.steps += steps;
  for (const situation of ALL_SITUATIONS) totals.counts[situation] += counts[situation];
}

export function describeTotals({ seeds, simulatedDays, steps, counts }: Totals, seconds: number): string {
  const months = Math.round(simulatedDays / (365.25 / 12));
  return [
    `${seeds} histories, ${months} simulated months and ${steps} steps in ${seconds.toFixed(0)} s`,
    ...ALL_SITUATIONS.map((situation) => `${String(counts[situation]).padStart(9)} ${SITUATIONS[situation]}`),
  ].join('\n');
}
