import type { Outcome } from './history.ts';

const DAY_MS = 86_400_000;

/** Sums over many histories: the figures that a README may state. */
export interface Totals {
  seeds: number;
  recordings: number;
  simulatedDays: number;
  faults: number;
  deaths: number;
  objects: number;
  acknowledged: number;
  returned: number;
  anomalies: number;
  verified: number;
  entries: number;
}

export function noTotals(): Totals {
  return {
    seeds: 0,
    recordings: 0,
    simulatedDays: 0,
    faults: 0,
    deaths: 0,
    objects: 0,
    acknowledged: 0,
    returned: 0,
    anomalies: 0,
    verified: 0,
    entries: 0,
  };
}

export function addOutcome(totals: Totals, outcome: Outcome): void {
  totals.seeds++;
  totals.recordings += outcome.recordings;
  totals.simulatedDays += outcome.simulatedMs / DAY_MS;
  totals.faults += outcome.faults;
  totals.deaths += outcome.deaths;
  totals.objects += outcome.created;
  totals.acknowledged += outcome.acknowledged;
  totals.returned += outcome.returned;
  totals.anomalies += outcome.anomalies;
  totals.verified += outcome.verified;
  totals.entries += outcome.entries;
}

export function describeTotals(totals: Totals, seconds: number): string {
  return [
    `${totals.seeds} histories, every promise held, in ${seconds.toFixed(0)} s`,
    `${totals.recordings} recordings over ${Math.round(totals.simulatedDays / 365.25)} simulated years`,
    `${totals.faults} failed calls and ${totals.deaths} deaths of servers`,
    `${totals.objects} objects stored, ${totals.acknowledged} of them acknowledged, ${totals.returned} after the intent to delete`,
    `${totals.verified} deletions verified, ${totals.anomalies} anomalies found and closed, ${totals.entries} log entries`,
  ].join('\n');
}
