/**
 * The hostile vectors, the known answers and the public suites in the other runtimes that hold keys or check records: a real
 * Chromium, and a real workerd. The files are those that Node runs; see `plan.ts`.
 */
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Miniflare } from 'miniflare';
import { chromium } from 'playwright-core';
import { expect, test } from 'vitest';
import { havePublicVectors } from '../publicvectors.ts';
import { bundleFor } from './bundle.ts';
import type { RuntimeReport } from './frame.ts';

const CHROMIUM = process.env['ZEROREEL_CHROMIUM'] ?? '/usr/bin/chromium';
/** A page that is not to speak to anybody but its own origin. */
const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync'],
];
const hasChromium = existsSync(CHROMIUM);
if (!hasChromium) process.stderr.write('SKIPPED: no Chromium; on Debian: apt-get install chromium\n');

function expectAll(runtime: string, report: RuntimeReport): void {
  process.stderr.write(`${runtime}: ${report.passed} tests passed, ${report.failed.length} failed\n`);
  for (const note of report.notes) process.stderr.write(`${runtime}: ${note}\n`);
  expect(report.failed).toEqual([]);
  const hostile = report.notes.join('\n').match(/refused with the right class: (\d+) of (\d+)/);
  expect(Number(hostile?.[1])).toBeGreaterThan(150);
  expect(hostile?.[1]).toBe(hostile?.[2]);
  if (havePublicVectors) expect(report.notes.join('\n')).toContain('"ed25519 cctv":');
}

async function inChromium(script: string): Promise<RuntimeReport> {
  const server = createServer((request, response) => {
    const isScript = request.url === '/script.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(
      isScript ? script : '<!doctype html><title>vectors</title><script type="module" src="/script.js"></script>',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.waitForFunction('globalThis.report !== undefined', undefined, { timeout: 290_000, polling: 250 });
    return JSON.parse(await page.evaluate<string>('JSON.stringify(globalThis.report)')) as RuntimeReport;
  } finally {
    await browser.close();
    await new Promise((resolve) => server.close(resolve));
  }
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

test.skipIf(!hasChromium && process.env['ZEROREEL_REQUIRE_ALL'] !== '1')(
  'every vector has its answer in Chromium',
  async () => {
    const script = await bundleFor(`import { runAll } from './plan.ts'; globalThis.report = await runAll();`);
    expectAll('chromium', await inChromium(script));
  },
  300_000,
);

test('every vector has its answer in workerd', async () => {
  const script = await bundleFor(
    `import { runAll } from './plan.ts';
     export default {
       async fetch(request, { UNSAFE }) {
         WebAssembly.compile = async (bytes) => UNSAFE.newWasmModule(bytes);
         return Response.json(await runAll());
       },
     };`,
  );
  expectAll('workerd', await inWorkerd(script));
}, 300_000);
