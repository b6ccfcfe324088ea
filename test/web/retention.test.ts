/** Compliance and receipt pages in real Chromium, over a real server whose clock is moved through 31 days. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fromBase64Url } from '../../crypto/format/bytes.ts';
import { ensurePages } from '../../scripts/pages.ts';
import { formatReceipt, readReceipt, receiptLink } from '../../src/client/kept-receipt.ts';
import { CommandLine } from '../scripts/command-line.ts';
import { media, type TestRecorder } from '../server/recorder.ts';
import { DAY_MS, expectStatus, HOUR_MS, Stage } from '../server/stage.ts';
import {
  complaintsOf,
  describeInChromium,
  expectAccessible,
  focused,
  screenshot,
  tabTo,
  TestBrowser,
} from './browser.ts';

let stage: Stage;
let browser: TestBrowser;
let folder: string;
/** A receipt, as its student keeps it. */
let receiptFile: string;
let recorder: TestRecorder;

async function record(): Promise<{ recorder: TestRecorder; receipt: string }> {
  const exam = await stage.exam();
  const made = await stage.recorder(exam);
  await stage.upload(made, await made.chunk(1, media(50_000)));
  const answer = await stage.sendHead(made, await made.close());
  const { receipt } = expectStatus<{ receipt: string }>(answer, 200);
  await stage.server.jobs.publish();
  const kept = { server: stage.server.url, vkey: exam.policy.log.vkey, receipt: fromBase64Url(receipt) };
  return { recorder: made, receipt: formatReceipt(kept) };
}

/** A tab whose clock is the server's. */
async function open(path: string): Promise<Page> {
  const page = await browser.page();
  await page.clock.setFixedTime(stage.clock.now());
  await page.goto(stage.server.url + path);
  return page;
}

/** A compliance page with its figures on it. */
async function compliance(): Promise<Page> {
  const page = await open('/compliance');
  await page.getByText('were due').waitFor();
  return page;
}

async function figure(page: Page, name: string): Promise<string> {
  const tile = page.getByRole('listitem').filter({ has: page.getByText(name, { exact: true }) });
  return (await tile.locator('.figure').textContent()) ?? '';
}

async function checkReceipt(page: Page, file: string): Promise<void> {
  await page.getByLabel('Receipt file').setInputFiles(file);
  await page.getByText('Checking the receipt').waitFor({ state: 'hidden' });
}

beforeAll(async () => {
  await ensurePages();
  folder = await mkdtemp(join(tmpdir(), 'zeroreel-retention-'));
  stage = await Stage.start();
  browser = await TestBrowser.launch({ acceptDownloads: true });
  const made = await record();
  recorder = made.recorder;
  receiptFile = join(folder, 'receipt.txt');
  await writeFile(receiptFile, made.receipt);
});
afterAll(async () => {
  await browser.close();
  await stage.stop();
  await rm(folder, { recursive: true, force: true });
});

describeInChromium('while a recording stands', () => {
  test('compliance says that nothing is overdue, and what it verified in this browser', async () => {
    const page = await compliance();
    expect(await figure(page, 'overdue')).toBe('0');
    expect(await figure(page, 'were due')).toBe('0');
    expect(await figure(page, 'stand, not due yet')).toBe('1');
    await page.getByText('the one that the log’s key signed').waitFor();
    await page.getByText('this browser looks for the first time').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'compliance-fresh');
    expect(complaintsOf(page)).toEqual([]);
    await page.close();
  });

  test('a second look is held against the first', async () => {
    const page = await compliance();
    await page.getByText(/everything that it held when this browser looked before \(1 checkpoints/).waitFor();
    await page.close();
  });

  test('a receipt shows that the recording is stored, until when, and that nobody opened it', async () => {
    const page = await open('/receipt');
    await checkReceipt(page, receiptFile);
    await page.getByText('Your recording is stored, encrypted.').waitFor();
    await page.getByText('never', { exact: true }).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'receipt-stored');
    expect(complaintsOf(page)).toEqual([]);
    await page.close();
  });

  test('the link of its QR code leads to the same, and another link after it too', async () => {
    const kept = await readReceipt(await readFile(receiptFile, 'utf8'));
    const link = new URL(receiptLink(kept));
    const page = await open(`/receipt${link.hash}`);
    await page.getByText('Your recording is stored, encrypted.').waitFor();
    await page.evaluate(
      (hash) => {
        location.hash = hash;
      },
      `${link.hash.slice(0, -1)}${link.hash.endsWith('A') ? 'Q' : 'A'}`,
    );
    await page.getByText(/This is not a receipt that can be checked/).waitFor();
    await page.close();
  });

  test('how often readers opened it is counted', async () => {
    const { exam, sessionId } = recorder;
    const body = { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' };
    expectStatus(await stage.call('POST', `/v1/recordings/${sessionId}/release`, { token: stage.admin, body }), 200);
    await stage.server.jobs.publish();
    const page = await open('/receipt');
    await checkReceipt(page, receiptFile);
    await page.getByText('1 time', { exact: true }).waitFor();
    await page.close();
  });

  test('a receipt whose words were changed is not believed', async () => {
    const forged = join(folder, 'forged.txt');
    const text = await readFile(receiptFile, 'utf8');
    await writeFile(forged, text.replace('complete and closed', 'open'));
    const page = await open('/receipt');
    await checkReceipt(page, forged);
    await page.getByText('the words of the receipt are not what was signed').waitFor();
    await expectAccessible(page);
    await page.close();
  });

  test('a receipt of another service is sent there', async () => {
    const elsewhere = join(folder, 'elsewhere.txt');
    const text = await readFile(receiptFile, 'utf8');
    await writeFile(elsewhere, text.replace(stage.server.url, 'https://elsewhere.example'));
    const page = await open('/receipt');
    await checkReceipt(page, elsewhere);
    expect(await page.getByRole('link', { name: 'https://elsewhere.example/receipt' }).count()).toBe(1);
    await page.close();
  });

  test('a receipt is checked by keyboard alone', async () => {
    const page = await open('/receipt');
    await tabTo(page, /^summary: Paste/);
    await page.keyboard.press('Enter');
    await tabTo(page, /^textarea: Text or link of the receipt/);
    await page.keyboard.insertText(await readFile(receiptFile, 'utf8'));
    await tabTo(page, /^button: Check/);
    await page.keyboard.press('Enter');
    await page.getByText('Your recording is stored, encrypted.').waitFor();
    await tabTo(page, /^a: Keep the certificate/);
    expect(await focused(page)).toContain('Keep the certificate');
    await page.close();
  });
});

describeInChromium('where the log cannot be believed', () => {
  test('an altered entry is a log that does not verify, and no figure is shown', async () => {
    const page = await browser.page();
    await page.context().route('**/log/tile/entries/**', async (route) => {
      const answer = await route.fetch();
      const body = await answer.body();
      const at = body.indexOf('"recording.opened"');
      body[at + 1] = 'R'.charCodeAt(0);
      await route.fulfill({ response: answer, body });
    });
    await page.goto(`${stage.server.url}/compliance`);
    await page.getByRole('heading', { name: 'The log does not verify' }).waitFor();
    expect(await page.getByText('were due').count()).toBe(0);
    await expectAccessible(page);
    await screenshot(page, 'compliance-forged');
    await page.context().unroute('**/log/tile/entries/**');
    await page.close();
  });

  test('another key than the one this browser remembers is noticed, and nothing hides it', async () => {
    const page = await open('/compliance');
    await page.getByText('were due').waitFor();
    await page.evaluate(() => {
      const memory = JSON.parse(localStorage.getItem('zeroreel.log')!) as { vkey: string };
      const other = 'test.example/zeroreel+9b2d50bb+AVEOYaV5Pjwm1Vv/LePl8BTvIQ8H0MdIhkrwk8bVWG1L';
      localStorage.setItem('zeroreel.log', JSON.stringify({ ...memory, vkey: other }));
    });
    await page.reload();
    await page.getByRole('heading', { name: 'The log does not verify' }).waitFor();
    await page.getByRole('button', { name: 'Forget the old log' }).click();
    await page.getByText('this browser looks for the first time').waitFor();
    await page.close();
  });

  test('a service that is away is told apart from one that lies', async () => {
    const page = await browser.page();
    await page.context().route('**/log/**', (route) => route.fulfill({ status: 503, body: '' }));
    await page.goto(`${stage.server.url}/compliance`);
    await page.getByRole('heading', { name: 'The log cannot be read now' }).waitFor({ timeout: 60_000 });
    await page.context().unroute('**/log/**');
    await page.getByRole('button', { name: 'Verify' }).click();
    await page.getByText('were due').waitFor();
    await page.close();
  });
});

describeInChromium('after delete_by', () => {
  let overdueId: string;

  test('a recording that was destroyed is on time, its receipt proves it, and the certificate is checked offline', async () => {
    stage.clock.advance(30 * DAY_MS + HOUR_MS / 2);
    await stage.server.jobs.heartbeat();
    await stage.server.jobs.purge();
    await stage.server.jobs.publish();
    const page = await open('/receipt');
    await checkReceipt(page, receiptFile);
    await page.getByText(/Your recording was destroyed on/).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'receipt-destroyed');
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Keep the certificate' }).click(),
    ]);
    const certificate = join(folder, 'certificate.json');
    await download.saveAs(certificate);
    const offline = await open('/receipt');
    await offline.context().route('**/v1/**', (route) => route.abort());
    await offline.getByText('Paste its text or link instead').click();
    await offline.getByLabel('Certificate, if you kept one').setInputFiles(certificate);
    await checkReceipt(offline, receiptFile);
    await offline.getByText('here, without asking the service').waitFor();
    await offline.getByText(/Your recording was destroyed on/).waitFor();
    await offline.context().unroute('**/v1/**');
    await offline.close();
    await page.close();
  });

  test('compliance counts it as on time, and shows runs, store and chart', async () => {
    const page = await compliance();
    expect(await figure(page, 'overdue')).toBe('0');
    expect(await figure(page, 'were due')).toBe('1');
    expect(await figure(page, 'destroyed on time')).toBe('1');
    await page.getByRole('img', { name: /Recordings opened and destroyed a day/ }).waitFor();
    expect(await page.getByRole('table', { name: 'The newest runs' }).getByRole('row').count()).toBeGreaterThan(1);
    await page.close();
  });

  test('what is overdue is told in large type, with its id', async () => {
    ({
      recorder: { sessionId: overdueId },
    } = await record());
    // No job runs: a server that does nothing any more cannot hide what it owes.
    stage.clock.advance(31 * DAY_MS);
    const page = await compliance();
    expect(await figure(page, 'overdue')).toBe('1');
    await page.getByText(overdueId, { exact: true }).first().waitFor();
    await expectAccessible(page);
    await screenshot(page, 'compliance-overdue');
    await page.close();
  });

  test('the files that it hands out pass the command line’s own verification', async () => {
    const page = await compliance();
    const bundle = join(folder, 'bundle');
    for (const name of ['checkpoint', 'log.vkey', 'entries.jsonl', 'export.csv']) {
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('link', { name, exact: true }).click(),
      ]);
      await download.saveAs(join(bundle, name));
    }
    const line = new CommandLine();
    try {
      const { output } = await line.run(['log', 'verify', bundle, '--at', new Date(stage.clock.now()).toISOString()]);
      expect(output).toContain('1 overdue');
    } finally {
      line.remove();
    }
    await page.close();
  });

  test('the record of processing leaves blank what only the controller can say', async () => {
    const page = await compliance();
    await page.getByRole('heading', { name: /Record of processing/ }).waitFor();
    await page.getByText(/setting ZEROREEL_CONTROLLER/).waitFor();
    await page.getByText('24 hours later').waitFor();
    await page.close();
  });
});
