import { request } from 'node:http';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PAGES } from '../../schema/pages.ts';
import { ensurePages } from '../../scripts/pages.ts';
import { TestService } from '../client/service.ts';
import {
  complaintsOf,
  describeInChromium,
  expectAccessible,
  focused,
  inEveryLook,
  screenshot,
  TestBrowser,
} from './browser.ts';

let service: TestService;

beforeAll(async () => {
  await ensurePages();
  service = await TestService.start();
});
afterAll(() => service.stop());

/** The bytes as they come, without anybody decompressing them on the way. */
function get(path: string, headers: Record<string, string> = {}) {
  return new Promise<{ status: number; headers: Record<string, string | undefined>; body: Buffer }>(
    (resolve, reject) => {
      request(service.server.url + path, { headers }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const { statusCode = 0, headers: answered } = response;
          resolve({ status: statusCode, headers: answered as Record<string, string>, body: Buffer.concat(parts) });
        });
      })
        .once('error', reject)
        .end();
    },
  );
}

async function assetsOf(path: string): Promise<string[]> {
  const html = (await get(path)).body.toString('utf8');
  return [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, asset]) => asset!);
}

describe('every page is served with what keeps it in its bounds', () => {
  test.each(PAGES)('$path', async ({ path, isCapturing, isFramed = false }) => {
    const { status, headers, body } = await get(path);
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    const policy = headers['content-security-policy']!;
    const framing = isFramed ? 'frame-ancestors *' : `frame-ancestors 'none'`;
    for (const rule of [`default-src 'none'`, framing, `require-trusted-types-for 'script'`]) {
      expect(policy).toContain(rule);
    }
    expect(policy.replace(framing, '')).not.toMatch(/unsafe-inline|unsafe-eval'? (?!')|\*|data:/);
    const connect = /connect-src ([^;]+)/.exec(policy)![1]!.split(' ');
    expect(connect).toHaveLength(2);
    expect(connect[0]).toBe(`'self'`);
    expect(connect[1]).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(headers['permissions-policy']).toContain(isCapturing ? 'camera=(self)' : 'camera=()');
    expect(headers['cross-origin-opener-policy']).toBe(isFramed ? 'unsafe-none' : 'same-origin');
    expect(headers['x-content-type-options']).toBe('nosniff');
    expect(headers['referrer-policy']).toBe('no-referrer');
    expect(headers['cache-control']).toBe('no-cache');
    // Nothing inline, and nothing from anywhere else.
    const html = body.toString('utf8');
    expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/);
    expect(html).not.toMatch(/(?:src|href)="(?!\/assets\/)/);
  });

  test('an asset may be kept for ever, a page is asked for again and not sent again', async () => {
    const [asset] = await assetsOf('/record');
    const kept = await get(asset!);
    expect(kept.headers['cache-control']).toBe('public, max-age=31536000, immutable');
    const page = await get('/record');
    const again = await get('/record', { 'if-none-match': page.headers['etag']! });
    expect([again.status, again.body.length]).toEqual([304, 0]);
  });

  test('what is sent compressed is what is sent plain, and smaller', async () => {
    for (const asset of (await assetsOf('/record')).filter((name) => name.endsWith('.js'))) {
      const plain = await get(asset, { 'accept-encoding': 'identity' });
      expect(plain.headers['content-encoding']).toBeUndefined();
      const br = await get(asset, { 'accept-encoding': 'gzip, deflate, br' });
      expect(br.headers['content-encoding']).toBe('br');
      expect(brotliDecompressSync(br.body).equals(plain.body)).toBe(true);
      const gzip = await get(asset, { 'accept-encoding': 'gzip' });
      expect(gzip.headers['content-encoding']).toBe('gzip');
      expect(gunzipSync(gzip.body).equals(plain.body)).toBe(true);
      expect(br.body.length).toBeLessThan(plain.body.length);
    }
  });

  test('the Record page, with the recorder that it starts, weighs less than 160 KB', async () => {
    const scripts = await assetsOf('/record');
    const source = (await Promise.all(scripts.map(async (path) => (await get(path)).body.toString('utf8')))).join('');
    const workers = [...source.matchAll(/\/assets\/[\w.-]+worker[\w.-]+\.js/g)].map(([path]) => path);
    expect(workers).toHaveLength(1);
    let bytes = 0;
    for (const path of new Set(['/record', ...scripts, ...workers])) {
      bytes += (await get(path, { 'accept-encoding': 'br' })).body.length;
    }
    process.stderr.write(`the Record page weighs ${Math.round(bytes / 1000)} KB compressed\n`);
    expect(bytes).toBeLessThan(160_000);
  });

  test('nothing but pages and their files is served', async () => {
    for (const path of [
      '/.assetsignore',
      '/.built',
      '/assets/',
      '/assets/../.assetsignore',
      '/assets/%2e%2e/.assetsignore',
      '/record.html',
    ]) {
      expect((await get(path)).status, path).toBe(404);
    }
    expect((await get('/record?x=1')).status).toBe(200);
  });
});

describeInChromium('every page in Chromium', () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await TestBrowser.launch();
  });
  afterAll(() => browser.close());

  test.each(PAGES)(
    '$path stands without a complaint, speaks to its own origin only, and is accessible',
    async ({ path }) => {
      const page = await browser.page();
      const asked: string[] = [];
      page.on('request', (made) => asked.push(new URL(made.url()).origin));
      await page.goto(service.server.url + path);
      await page.getByRole('heading', { level: 1 }).waitFor();
      await page.getByRole('main').waitFor();
      await inEveryLook(page, async (look) => {
        await expectAccessible(page);
        const overflow = await page.evaluate(() => {
          const { scrollWidth, clientWidth } = document.documentElement;
          return scrollWidth - clientWidth;
        });
        expect(overflow, look).toBeLessThanOrEqual(0);
      });
      await screenshot(page, path === '/' ? 'start' : path.slice(1).replaceAll('/', '-'));
      expect(new Set(asked)).toEqual(new Set([service.server.url]));
      expect(complaintsOf(page)).toEqual([]);
      await page.close();
    },
  );

  test('the first press of Tab offers the way past the navigation', async () => {
    const page = await browser.page();
    await page.goto(service.server.url);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.keyboard.press('Tab');
    expect(await focused(page)).toBe('a: Skip to the content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('main');
    await page.close();
  });
});
