/** The last lines of a test run, out of vitest's own results: skipped tests by name, then what passed, failed and was skipped. */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { z } from 'zod';

const resultsSchema = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string(),
      assertionResults: z.array(z.object({ fullName: z.string(), status: z.string() })),
    }),
  ),
});

const SKIPPED = new Set(['pending', 'skipped', 'todo']);
const [path] = process.argv.slice(2);
if (path === undefined) throw new Error('expected the file of vitest’s results');
const { testResults: files } = resultsSchema.parse(JSON.parse(readFileSync(path, 'utf8')));

let [passed, failed, skipped] = [0, 0, 0];
for (const { name, status, message, assertionResults } of files) {
  const file = relative('.', name);
  for (const test of assertionResults) {
    if (SKIPPED.has(test.status)) console.log(`SKIPPED ${file}: ${test.fullName}`);
    if (SKIPPED.has(test.status)) skipped++;
    else if (test.status === 'passed') passed++;
    else failed++;
  }
  // A file that does not load has no test that could fail.
  if (status === 'failed' && assertionResults.length === 0) {
    console.log(`FAILED TO LOAD ${file}: ${message.split('\n', 1)[0]!}`);
    failed++;
  }
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed === 0 ? 0 : 1;
