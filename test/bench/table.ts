/** Results as a person reads them, and the machine they were measured on. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import type { ComparisonResult, ContenderResult } from './comparison.ts';

export interface Machine {
  processor: string;
  cores: number;
  memoryGiB: number;
  system: string;
  node: string;
  /** What else the machine did, as the mean number of runnable processes over a minute. */
  load: number;
}

export function describeMachine(): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${distribution()}, Linux ${release()}`,
    node: process.version,
    load: Math.round(loadavg()[0]! * 10) / 10,
  };
}

function distribution(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? process.platform;
  } catch {
    return process.platform;
  }
}

export function formatMachine({ processor, cores, memoryGiB, system, node, load }: Machine): string {
  return `${cores} cores of ${processor}, ${memoryGiB} GiB, ${system}, Node ${node}, load ${load}`;
}

export function formatComparison({
  title,
  unit,
  per,
  target,
  results,
  ratios,
  exponent,
  remark,
}: ComparisonResult): string {
  const width = Math.max(...results.map(({ name }) => name.length));
  const lines = results.map((result) => `  ${result.name.padEnd(width)}  ${formatResult(result, unit, per)}`);
  const ends = ratios.map(({ to, ratio, lowest, highest }) => {
    const verdict = ratio >= target ? 'reached' : 'BELOW';
    return `  = ${round(ratio)} (${round(lowest)} to ${round(highest)}) of ${to}; target ${target}: ${verdict}`;
  });
  const growth =
    exponent === undefined ? [] : [`  time per unit grows with size to the power of ${exponent.toFixed(2)}`];
  return [title, ...lines, ...ends, ...growth, ...(remark === undefined ? [] : [`  ${remark}`])].join('\n');
}

function formatResult(result: ContenderResult, unit: string, per: ComparisonResult['per']): string {
  const { rate, lowest, highest, cpuSeconds, peakMiB, p50Ms, p99Ms, notes } = result;
  const parts = [
    `${round(rate)} ${unit}${per === 'second' ? '' : ' of CPU'} (${round(lowest)} to ${round(highest)})`,
    `${round(cpuSeconds)} s of CPU`,
  ];
  if (peakMiB !== undefined) parts.push(`${Math.round(peakMiB)} MiB`);
  if (p50Ms !== undefined && p99Ms !== undefined) parts.push(`p50 ${round(p50Ms)} ms, p99 ${round(p99Ms)} ms`);
  for (const [name, value] of Object.entries(notes ?? {})) parts.push(`${name} ${round(value)}`);
  return parts.join(', ');
}

/** Three digits that count. */
export function round(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));
}
