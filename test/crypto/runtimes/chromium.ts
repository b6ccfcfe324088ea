/** A real Chromium for tests. Where there is none they are skipped, loudly and counted; with ZEROREEL_REQUIRE_ALL=1 they fail. */
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chromium } from 'playwright-core';
import { describe, test } from 'vitest';
import type { RuntimeReport } from './frame.ts';

export const CHROMIUM = process.env['ZEROREEL_CHROMIUM'] ?? '/usr/bin/chromium';

/** A browser that speaks to nobody by itself. */
export const QUIET_FLAGS: readonly string[] = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync'],
];

const hasChromium = existsSync(CHROMIUM);
if (!hasChromium) process.stderr.write('SKIPPED: no Chromium; on Debian: apt-get install chromium\n');
const isSkipped = !hasChromium && process.env['ZEROREEL_REQUIRE_ALL'] !== '1';

export const testInChromium = test.skipIf(isSkipped);
export const describeInChromium = describe.skipIf(isSkipped);

/** Runs a bundle in a page of its own origin, in a fresh profile; the bundle leaves its report in `globalThis.report`. */
export async function inChromium(script: string): Promise<RuntimeReport> {
  const server = createServer((request, response) => {
    const isScript = request.url === '/script.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(
      isScript ? script : '<!doctype html><title>vectors</title><script type="module" src="/script.js"></script>',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: [...QUIET_FLAGS] });
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
