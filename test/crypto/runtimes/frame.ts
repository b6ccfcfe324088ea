/**
 * What stands in for vitest where vitest does not run: inside a browser page and inside workerd. It runs the very files that
 * vitest runs in Node, with vitest's own matchers, and knows of `describe`, `test` and `afterAll` what those files use.
 */
import * as chai from 'chai';
import { JestChaiExpect } from '@vitest/expect';

type Work = () => unknown;
interface Planned {
  name: string;
  work: Work;
}

/** What one runtime answers for all files. */
export interface RuntimeReport {
  passed: number;
  /** Name of the test, and why. */
  failed: { name: string; reason: string }[];
  /** What the files tell of themselves: counts of vectors, by kind. */
  notes: string[];
}

chai.use(JestChaiExpect);
export const expect = chai.expect;

let path: string[] = [];
let planned: Planned[] = [];
let endings: Work[] = [];

export function describe(name: string, plan: () => void): void {
  path.push(name);
  plan();
  path.pop();
}
/** The runner hands over files that can run as a whole; what is to be skipped stays out with its reason (`plan.ts`). */
describe.skipIf = (isSkipped: boolean) => (isSkipped ? () => undefined : describe);

export function test(name: string, work: Work): void {
  planned.push({ name: [...path, name].join(' > '), work });
}
test.each =
  (rows: readonly unknown[]) =>
  (name: string, work: (...given: unknown[]) => unknown): void => {
    for (const row of rows) {
      const given: unknown[] = Array.isArray(row) ? row : [row];
      test(title(name, given), () => work(...given));
    }
  };

/** `$id` and `%s` in a name, as vitest fills them in; other forms stay as they are. */
function title(name: string, given: unknown[]): string {
  const [first] = given;
  const named = name.replaceAll(/\$(\w+)/g, (whole, key: string) => {
    const value = typeof first === 'object' && first !== null ? (first as Record<string, unknown>)[key] : undefined;
    return typeof value === 'string' || typeof value === 'number' ? String(value) : whole;
  });
  let at = 0;
  return named.replaceAll(/%[sdi]/g, (whole) => (at < given.length ? String(given[at++]) : whole));
}

export function afterAll(work: Work): void {
  endings.push(work);
}

/** Loads each file, which plans its tests, and runs them one after the other. */
export async function runFiles(files: Readonly<Record<string, () => Promise<unknown>>>): Promise<RuntimeReport> {
  const report: RuntimeReport = { passed: 0, failed: [], notes: [] };
  const told = { write: (line: string) => report.notes.push(line.trim()) };
  Object.assign(globalThis, { process: { env: {}, stderr: told } });
  for (const [file, load] of Object.entries(files)) {
    [path, planned, endings] = [[], [], []];
    await attempt(`${file}: loading`, load, report);
    report.passed--; // loading is no test
    for (const { name, work } of planned) await attempt(`${file}: ${name}`, work, report);
    for (const work of endings) await work();
  }
  return report;
}

async function attempt(name: string, work: Work, report: RuntimeReport): Promise<void> {
  try {
    await work();
    report.passed++;
  } catch (error) {
    report.failed.push({ name, reason: error instanceof Error ? `${error.name}: ${error.message}` : String(error) });
  }
}
