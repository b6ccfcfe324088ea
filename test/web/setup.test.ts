/** The setup link of a first start, in a real Chromium: the first administrator's token, and tokens for others. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ensurePages } from '../../scripts/pages.ts';
import { Api } from '../../src/client/api.ts';
import { start, type RunningServer } from '../../src/node.ts';
import { readConfig } from '../../src/server/config.ts';
import {
  complaintsOf,
  describeInChromium,
  expectAccessible,
  inEveryLook,
  screenshot,
  tabTo,
  TestBrowser,
} from './browser.ts';

describeInChromium('the setup link of a service that nobody has a token of', () => {
  let directory: string;
  let server: RunningServer;
  let browser: TestBrowser;
  let page: Page;

  beforeAll(async () => {
    await ensurePages();
    directory = await mkdtemp(join(tmpdir(), 'zeroreel-setup-'));
    const config = readConfig({ ZEROREEL_DATA: directory, ZEROREEL_PORT: '0', ZEROREEL_BUCKET_PORT: '0' });
    server = await start({ config, isScheduled: false });
    browser = await TestBrowser.launch();
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
    await rm(directory, { recursive: true });
  });
  beforeEach(async () => {
    page = await browser.page();
  });
  afterEach(() => page.close());

  test('lets nobody in where it was cut, and says what it looks like', async () => {
    await page.goto(server.setupLink!.slice(0, -5));
    await page.getByRole('button', { name: 'Show my token' }).click();
    await page
      .getByRole('alert')
      .getByText(/The setup link was used, or has expired/)
      .waitFor();
    await expectAccessible(page);
    await page.goto(`${server.url}/setup`);
    await page.getByText('If you opened such a link, it was cut off.').waitFor();
    expect(await page.getByRole('button').count()).toBe(0);
  });

  test('becomes a token by keyboard alone, shown once, and lets in an instructor', async () => {
    await page.goto(server.setupLink!);
    await page.getByRole('heading', { name: 'Become the first administrator' }).waitFor();
    await inEveryLook(page, () => expectAccessible(page));
    await screenshot(page, 'setup-link');
    await tabTo(page, /^button: Show my token/);
    await page.keyboard.press('Enter');
    await page.getByText('You are the first administrator.').waitFor();
    await inEveryLook(page, () => expectAccessible(page));
    expect(new URL(page.url()).hash).toBe('');

    const admin = await page.getByRole('textbox', { name: 'Administrator’s token' }).inputValue();
    await tabTo(page, /^button: Save it as a file/);
    const [saved] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')]);
    expect((await readFile(await saved.path(), 'utf8')).trim()).toBe(admin);

    await tabTo(page, /^button: Make a token/);
    await page.keyboard.press('Enter');
    await page.getByText(/Say who it is for/).waitFor();
    await tabTo(page, /^input: For/);
    await page.keyboard.type('instructor, Physics');
    await page.keyboard.press('Enter');
    const field = page.getByRole('textbox', { name: 'Token for: instructor, Physics' });
    await field.waitFor();
    await inEveryLook(page, () => expectAccessible(page));
    await screenshot(page, 'setup-token');
    const instructor = await field.inputValue();
    expect(complaintsOf(page)).toEqual([]);

    const { tokens } = await new Api({ url: server.url, token: admin }).tokens();
    expect(tokens.map(({ role, label }) => [role, label])).toEqual([
      ['admin', 'first administrator'],
      ['instructor', 'instructor, Physics'],
    ]);
    expect((await new Api({ url: server.url, token: instructor }).exams()).exams).toEqual([]);
  });

  test('is used up then', async () => {
    await page.goto(server.setupLink!);
    await page.getByRole('button', { name: 'Show my token' }).click();
    await page
      .getByRole('alert')
      .getByText(/The setup link was used, or has expired/)
      .waitFor();
    expect(await page.getByRole('textbox').count()).toBe(0);
  });
});
