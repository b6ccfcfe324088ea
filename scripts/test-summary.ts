/**
 * The last lines of a test run, out of vitest's own results: skipped tests by name, how many cases ran on each runtime, then what passed,
 * failed and was skipped.
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { z } from 'zod';

const resultsSchema = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string(),
      assertionResults: z.array(
        z.object({
          fullName: z.string(),
          status: z.string(),
          /** A test that stands for many, in another runtime, says how many: `{cases: {workerd: 210}}`. */
          meta: z.object({ cases: z.record(z.string(), z.number()).optional() }).optional(),
        }),
      ),
    }),
  ),
});

const SKIPPED = new Set(['pending', 'skipped', 'todo']);
const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('expected the file of vitest’s results');
const { testResults: files } = resultsSchema.parse(JSON.parse(readFileSync(path, 'utf8')));

/** Where a test's code under test ran: its folder says it, or its title, where that is not the runner's own process. */
function runtimeOf(file: string, title: string): string {
  if (/^test\/workerd\//.test(file) || /, in workerd\b/.test(title)) return 'workerd';
  return /^test\/web\//.test(file) ? 'Chromium' : 'Node';
}

let [passed, failed, skipped] = [0, 0, 0];
const ran: Record<string, number> = { Node: 0, Chromium: 0, workerd: 0 };
for (const { name, status, message, assertionResults } of files) {
  const file = relative('.', name);
  for (const test of assertionResults) {
    if (SKIPPED.has(test.status)) {
      console.log(`SKIPPED ${file}: ${test.fullName}`);
      skipped++;
      continue;
    }
    if (test.status === 'passed') passed++;
    else failed++;
    const cases = test.meta?.cases ?? { [runtimeOf(file, test.fullName)]: 1 };
    for (const [runtime, count] of Object.entries(cases)) ran[runtime] = (ran[runtime] ?? 0) + count;
  }
  // A file that does not load has no test that could fail.
  if (status === 'failed' && assertionResults.length === 0) {
    console.log(`FAILED TO LOAD ${file}: ${message.split('\n', 1)[0]!}`);
    failed++;
  }
}
console.log(
  `ran in ${Object.entries(ran)
    .map(([runtime, count]) => `${runtime} ${count}`)
    .join(', ')}`,
);
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed === 0 ? 0 : 1;
