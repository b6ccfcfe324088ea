import { ASSUMPTIONS, isAssumption, type AssumptionName, type Values, valuesWith } from '../capacity/assumptions.ts';
import {
  ceilingsOf,
  type Cost,
  costOnR2,
  costOnS3,
  costOnWorkers,
  type Exam,
  growthOf,
  loadOf,
  USUAL,
} from '../capacity/model.ts';
import { command, parseCount, parseWords, usageError } from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { formatTable } from '../shell/figures.ts';

const USAGE = `zeroreel capacity [--students N[,N...]] [--tracks 3] [--chunk-seconds 10] [--hours 3] [--kbps 600] [--retention-days 30]
                  [--exams-per-month 4] [--reviewed 10] [--opening-minutes 10] [--set NAME=VALUE]... [--assumptions] [--json]

What exams of a size ask of servers, database, bucket and purse, and which ceiling breaks first. --kbps is all tracks of a student
together, --reviewed the percentage of recordings that somebody watches in full. --assumptions shows every price, limit and
measurement with its source; --set replaces one. Arithmetic, not a measurement: rates are of all students at once, costs are a month's in
US dollars, without free allowances of storage and without taxes.

  $ zeroreel capacity --students 100,10000,1000000`;

const DEFAULT_STUDENTS = '100,10000,1000000';

export const capacity = command(USAGE, async (words, shell) => {
  const { values: flags } = parseWords(
    words,
    {
      students: { type: 'string', default: DEFAULT_STUDENTS },
      tracks: { type: 'string' },
      'chunk-seconds': { type: 'string' },
      hours: { type: 'string' },
      kbps: { type: 'string' },
      'retention-days': { type: 'string' },
      'exams-per-month': { type: 'string' },
      reviewed: { type: 'string' },
      'opening-minutes': { type: 'string' },
      set: { type: 'string', multiple: true, default: [] },
      assumptions: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const values = valuesWith(changesIn(flags.set));
  const count = (text: string | undefined, name: string, usual: number, to: number): number =>
    text === undefined ? usual : parseCount(text, `--${name}`, { from: 1, to });
  const usual: Omit<Exam, 'students'> = {
    tracks: count(flags.tracks, 'tracks', USUAL.tracks, 16),
    chunkSeconds: count(flags['chunk-seconds'], 'chunk-seconds', USUAL.chunkSeconds, 60),
    hours: count(flags.hours, 'hours', USUAL.hours, 24),
    kilobitsPerSecond: count(flags.kbps, 'kbps', USUAL.kilobitsPerSecond, 100_000),
    retentionDays: count(flags['retention-days'], 'retention-days', USUAL.retentionDays, 30),
    examsPerMonth: count(flags['exams-per-month'], 'exams-per-month', USUAL.examsPerMonth, 1000),
    reviewed: count(flags.reviewed, 'reviewed', USUAL.reviewed * 100, 100) / 100,
    openingMinutes: count(flags['opening-minutes'], 'opening-minutes', USUAL.openingMinutes, 1440),
  };
  const exams = flags.students
    .split(',')
    .map((text) => ({ ...usual, students: parseCount(text, '--students', { from: 1, to: 100_000_000 }) }));
  const results = exams.map((exam) => ({
    exam,
    load: loadOf(exam, values),
    growth: growthOf(exam, values),
    cost: {
      s3: costOnS3(exam, values),
      r2: costOnR2(exam, values),
      workers: costOnWorkers(exam, values),
    },
    ceilings: ceilingsOf(exam, values),
  }));
  if (flags.json) shell.printJson({ values, results });
  else for (const line of linesOf(results)) shell.print(line);
  if (flags.assumptions && !flags.json) {
    const rows = Object.entries(ASSUMPTIONS).map(([name, { unit, source }]) => [
      name,
      String(values[name as AssumptionName]),
      unit,
      source,
    ]);
    shell.print('');
    for (const line of formatTable(['assumption', 'value', 'unit', 'source'], rows)) shell.print(line);
  }
  return EXIT.well;
});

function changesIn(pairs: readonly string[]): Partial<Values> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [name, text] = pair.split('=', 2) as [string, string | undefined];
      if (!isAssumption(name)) {
        throw usageError(
          `--set: expected the name of an assumption, found ${JSON.stringify(name)}`,
          'capacity --assumptions',
        );
      }
      const value = text === undefined || text === '' ? Number.NaN : Number(text);
      if (!(value > 0))
        throw usageError(`--set ${name}: expected a number above 0, found ${JSON.stringify(text ?? '')}`);
      return [name, value];
    }),
  );
}

interface Result {
  exam: Exam;
  load: ReturnType<typeof loadOf>;
  growth: ReturnType<typeof growthOf>;
  cost: { s3: Cost; r2: Cost; workers: Cost };
  ceilings: ReturnType<typeof ceilingsOf>;
}

const SCALES = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
] as const;

/** Three digits and a power of 1,000: `32.4 M`. */
function short(value: number): string {
  const [scale, letter] = SCALES.find(([least]) => value >= least * 0.9995) ?? [1, ''];
  const scaled = value / scale;
  const digits = scaled >= 99.95 || (scale === 1 && Number.isInteger(scaled)) ? 0 : scaled >= 9.995 ? 1 : 2;
  return `${scaled.toFixed(digits)}${letter === '' ? '' : ` ${letter}`}`;
}

const dollars = (value: number): string => `$${value < 1000 ? value.toFixed(2) : short(value)}`;

function duration(seconds: number): string {
  if (seconds < 90) return `${seconds.toFixed(0)} s`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(0)} min`;
  return seconds < 172_800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86_400).toFixed(1)} days`;
}

function linesOf(results: readonly Result[]): string[] {
  const row = (name: string, figure: (result: Result) => string): string[] => [name, ...results.map(figure)];
  const rows = [
    row('uploads to the bucket a second', ({ load }) => short(load.putsPerSecond)),
    row('calls of the API a second', ({ load }) => short(load.callsPerSecond)),
    row('heads a second', ({ load }) => short(load.headsPerSecond)),
    row('openings a second', ({ load }) => short(load.opensPerSecond)),
    row('commits a second, while all open', ({ load }) => short(load.commitsPerSecond)),
    row('bytes a second to the bucket', ({ load }) => `${short(load.bytesPerSecond)}B`),
    row('objects an exam', ({ growth }) => short(growth.objectsPerExam)),
    row('bytes an exam', ({ growth }) => `${short(growth.bytesPerExam)}B`),
    row('recordings kept at once', ({ growth }) => short(growth.recordingsKept)),
    row('bytes kept at once', ({ growth }) => `${short(growth.bytesKept)}B`),
    row('database, while kept', ({ growth }) => `${short(growth.databaseBytes)}B`),
    row('database, growth a year', ({ growth }) => `${short(growth.databaseBytesPerYear)}B`),
    row('log entries a year', ({ growth }) => short(growth.logEntriesPerYear)),
    row('purge of an exam', ({ growth }) => duration(growth.purgeSecondsPerExam)),
    row('AWS S3 a month: storage', ({ cost }) => dollars(cost.s3.storage)),
    row('  requests', ({ cost }) => dollars(cost.s3.requests)),
    row('  review, to the internet', ({ cost }) => dollars(cost.s3.egress)),
    row('  together', ({ cost }) => dollars(cost.s3.total)),
    row('Cloudflare R2 a month: storage', ({ cost }) => dollars(cost.r2.storage)),
    row('  requests', ({ cost }) => dollars(cost.r2.requests)),
    row('  together', ({ cost }) => dollars(cost.r2.total)),
    row('Workers and D1 a month', ({ cost }) => dollars(cost.workers.total)),
  ];
  const header = ['', ...results.map(({ exam }) => `${short(exam.students)} students`)];
  const lines = formatTable(header, rows);
  for (const { exam, ceilings } of results) {
    lines.push('', `${short(exam.students)} students at once: what breaks first`);
    for (const { deployment, ceilings: list } of ceilings) {
      const [first] = list;
      const isOver = first!.share > 1;
      lines.push(
        `  ${deployment}: ${isOver ? 'BREAKS' : 'holds'}; ${first!.name}, ${short(first!.share * 100)} % of what it takes`,
      );
      for (const { name, share, then } of list.filter((ceiling) => ceiling.share > 0.5)) {
        lines.push(`    ${share > 1 ? 'over' : 'near'} (${short(share * 100)} %) ${name}: ${then}`);
      }
    }
  }
  return lines;
}
