/**
 * How things are compared: every contender does the same work, in turns (A B A B ...), so that whatever else the machine does
 * falls on all of them alike; what is reported is the median of each and the ratios within the rounds.
 */

/** What one run of a contender came to. */
export interface Run {
  /** Units of work done: bytes, requests, entries. */
  units: number;
  /** Where the work was another process's: its own figures. Default: this process's clock and CPU time. */
  seconds?: number;
  cpuSeconds?: number;
  peakMiB?: number;
  /** Milliseconds that single calls took, for percentiles. */
  callsMs?: readonly number[];
  /** Anything else worth printing, by name. */
  notes?: Record<string, number>;
}

export interface Contender {
  name: string;
  /** How much there is for it to work on, or among: contenders that all have one tell how cost grows. */
  size?: number;
  run: () => Promise<Run> | Run;
}

export interface Comparison {
  /** One word, for `--only`. */
  key: string;
  title: string;
  /** What a unit is called in a rate, as in `MB/s`; `scale` units make one of it. */
  unit: string;
  scale?: number;
  /** Whether rates count seconds that passed, or seconds of CPU ("per core"). */
  per: 'second' | 'cpu-second';
  /** The first is ours; each of the others is a peer or a limit. */
  contenders: readonly Contender[];
  /** The least ratio of ours to each other that we want. */
  target: number;
  rounds?: number;
  /** What the reader must know about this comparison. */
  remark?: string;
}

export interface ContenderResult {
  name: string;
  /** Units per second: median, lowest and highest of the rounds. */
  rate: number;
  lowest: number;
  highest: number;
  cpuSeconds: number;
  peakMiB?: number;
  p50Ms?: number;
  p99Ms?: number;
  notes?: Record<string, number>;
}

export interface ComparisonResult {
  key: string;
  title: string;
  unit: string;
  per: Comparison['per'];
  target: number;
  results: ContenderResult[];
  /** Ours to each other contender: the median of the rounds' ratios. */
  ratios: { to: string; ratio: number; lowest: number; highest: number }[];
  /** Where contenders differ in size only: time per unit grows with size to this power. */
  exponent?: number;
  remark?: string;
}

const DEFAULT_ROUNDS = 5;

export async function compare(comparison: Comparison): Promise<ComparisonResult> {
  const { contenders, rounds = DEFAULT_ROUNDS, scale = 1, per } = comparison;
  // Once for nothing: compilers, caches and connections warm up.
  if (rounds > 1) for (const contender of contenders) await contender.run();
  const taken = contenders.map((): (Required<Pick<Run, 'seconds' | 'cpuSeconds'>> & Run)[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [index, contender] of contenders.entries()) taken[index]!.push(await measured(contender));
  }
  const rates = taken.map((runs) =>
    runs.map(({ units, seconds, cpuSeconds }) => units / scale / (per === 'second' ? seconds : cpuSeconds)),
  );
  return {
    key: comparison.key,
    title: comparison.title,
    unit: comparison.unit,
    per,
    target: comparison.target,
    results: contenders.map(({ name }, index) => resultOf(name, taken[index]!, rates[index]!)),
    ratios: contenders.slice(1).map(({ name }, index) => {
      const ratios = rates[0]!.map((rate, round) => rate / rates[index + 1]![round]!);
      return { to: name, ratio: median(ratios), lowest: Math.min(...ratios), highest: Math.max(...ratios) };
    }),
    ...exponentOf(contenders, rates.map(median)),
    ...(comparison.remark !== undefined && { remark: comparison.remark }),
  };
}

/** The slope of log(time per unit) over log(size), by least squares. */
function exponentOf(contenders: readonly Contender[], rates: readonly number[]): { exponent?: number } {
  const points = contenders.flatMap(({ size }, i) =>
    size === undefined ? [] : [[Math.log(size), -Math.log(rates[i]!)]],
  );
  if (points.length < 2 || points.length < contenders.length) return {};
  const mean = (axis: number) => points.reduce((sum, point) => sum + point[axis]!, 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const rise = points.reduce((sum, [x, y]) => sum + (x! - meanX) * (y! - meanY), 0);
  return { exponent: rise / points.reduce((sum, [x]) => sum + (x! - meanX) ** 2, 0) };
}

async function measured({ run }: Contender) {
  const { result, ...figures } = await timed(async () => run());
  return { ...figures, ...result };
}

/** The clock and this process's CPU time around some work: also for the part of a run that counts, where the rest is set-up. */
export async function timed<T>(work: () => Promise<T>): Promise<{ result: T; seconds: number; cpuSeconds: number }> {
  const cpuBefore = process.cpuUsage();
  const startedMs = performance.now();
  const result = await work();
  const seconds = (performance.now() - startedMs) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { result, seconds, cpuSeconds: (user + system) / 1e6 };
}

function resultOf(name: string, runs: readonly (Run & { cpuSeconds: number })[], rates: number[]): ContenderResult {
  const peaks = runs.flatMap(({ peakMiB }) => peakMiB ?? []);
  const calls = runs.flatMap(({ callsMs }) => callsMs ?? []).sort((a, b) => a - b);
  const notes = runs.at(-1)?.notes;
  return {
    name,
    rate: median(rates),
    lowest: Math.min(...rates),
    highest: Math.max(...rates),
    cpuSeconds: median(runs.map(({ cpuSeconds }) => cpuSeconds)),
    ...(peaks.length > 0 && { peakMiB: Math.max(...peaks) }),
    ...(calls.length > 0 && { p50Ms: percentile(calls, 0.5), p99Ms: percentile(calls, 0.99) }),
    ...(notes && { notes }),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
