/**
 * The hostile vectors, the known answers and the public suites in the other runtimes that hold keys or check records: a real
 * Chromium, and a real workerd. The files are those that Node runs; see `plan.ts`.
 */
import { Miniflare } from 'miniflare';
import { expect, test, type TestContext } from 'vitest';
import { havePublicVectors } from '../publicvectors.ts';
import { bundleFor } from './bundle.ts';
import { inChromium, testInChromium } from './chromium.ts';
import type { RuntimeReport } from './frame.ts';

declare module 'vitest' {
  interface TaskMeta {
    /** What a test that stands for many adds to the run's summary, by runtime (scripts/test-summary.ts). */
    cases?: Record<string, number>;
  }
}

function expectAll(runtime: string, report: RuntimeReport, { task }: TestContext): void {
  task.meta.cases = { [runtime]: report.passed };
  process.stderr.write(`${runtime}: ${report.passed} tests passed, ${report.failed.length} failed\n`);
  for (const note of report.notes) process.stderr.write(`${runtime}: ${note}\n`);
  expect(report.failed).toEqual([]);
  const hostile = report.notes.join('\n').match(/refused with the right class: (\d+) of (\d+)/);
  expect(Number(hostile?.[1])).toBeGreaterThan(150);
  expect(hostile?.[1]).toBe(hostile?.[2]);
  if (havePublicVectors) expect(report.notes.join('\n')).toContain('"ed25519 cctv":');
}

async function inWorkerd(script: string): Promise<RuntimeReport> {
  // Argon2id is WebAssembly from bytes, which a Worker may not compile: miniflare's binding lets the test do so.
  const miniflare = new Miniflare({
    ...{ modules: true, script, compatibilityDate: '2026-04-01', unsafeEvalBinding: 'UNSAFE' },
  });
  try {
    const answer = await miniflare.dispatchFetch('http://127.0.0.1/');
    return (await answer.json()) as RuntimeReport;
  } finally {
    await miniflare.dispose();
  }
}

testInChromium(
  'every vector has its answer in Chromium',
  async (context) => {
    const script = await bundleFor(`import { runAll } from './plan.ts'; globalThis.report = await runAll();`);
    expectAll('Chromium', await inChromium(script), context);
  },
  300_000,
);

test('every vector has its answer in workerd', async (context) => {
  const script = await bundleFor(
    `import { runAll } from './plan.ts';
     export default {
       async fetch(request, { UNSAFE }) {
         WebAssembly.compile = async (bytes) => UNSAFE.newWasmModule(bytes);
         return Response.json(await runAll());
       },
     };`,
  );
  expectAll('workerd', await inWorkerd(script), context);
}, 300_000);
