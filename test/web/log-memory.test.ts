/** What a browser saw of the log is held against what it is shown later, on every page: a log that was rolled back is seen by whoever looked before. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openCheckpoint, signCheckpoint } from '../../crypto/log/checkpoint.ts';
import { parseVkey } from '../../crypto/log/note.ts';
import { ensurePages } from '../../scripts/pages.ts';
import { vkeyOf } from '../../src/server/signing.ts';
import { TestService } from '../client/service.ts';
import { describeInChromium, expectAccessible, screenshot, TestBrowser } from './browser.ts';
import { makeExam, makeReviewer, record, type Reviewer } from './recorded.ts';
import { placeOf, unlock } from './reviewer.ts';
import { QUICK, seatLink, Student } from './student.ts';

describeInChromium('a browser that remembers the log', () => {
  let service: TestService;
  let owner: Reviewer;
  let exam: Awaited<ReturnType<typeof makeExam>>;
  let recordingId: string;
  let receipt: string;
  let browser: TestBrowser;

  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start();
    owner = await makeReviewer(service, 'reader 1');
    exam = await makeExam(service, [owner], { tracks: [{ kind: 'events' }], capture: QUICK });
    recordingId = await record({ service, exam, seat: '0001', name: 'A Student', epochs: [{ media: [] }] });
    browser = await TestBrowser.launch();
  });
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });

  const link = (seat: string) => seatLink({ service, owner: owner.identity, signed: exam }, seat);
  const remembered = (page: Page) => page.evaluate(() => localStorage.getItem('zeroreel.log'));
  const sizes = async (page: Page): Promise<number[]> => {
    const { vkey, checkpoints } = JSON.parse((await remembered(page)) ?? '') as { vkey: string; checkpoints: string[] };
    const { name } = parseVkey(vkey);
    return Promise.all(checkpoints.map(async (note) => (await openCheckpoint(note, vkey, name)).size));
  };

  /** As if this browser had been shown a hundred entries more, signed by the log's own key, which are gone now. */
  async function rememberMore(page: Page): Promise<void> {
    const { signer } = service.server.ports;
    const size = (await sizes(page)).at(-1)! + 100;
    const root = crypto.getRandomValues(new Uint8Array(32));
    const note = await signCheckpoint({ origin: signer.origin, size, root }, signer.publicKey, (message) =>
      signer.sign(message),
    );
    await page.evaluate(
      ({ vkey, checkpoint }) => {
        localStorage.setItem('zeroreel.log', JSON.stringify({ vkey, checkpoints: [checkpoint] }));
      },
      { vkey: vkeyOf(signer), checkpoint: note },
    );
  }

  test('remembers on each page, and goes on with a log that grew', async () => {
    const student = await Student.arrive(browser, await link('0002'));
    await student.page.getByRole('heading', { name: '1. Check this device' }).waitFor();
    const [first] = await sizes(student.page);
    await student.acknowledge();
    await student.start();
    await student.end();
    const [file] = await Promise.all([student.page.waitForEvent('download'), student.press('Download the receipt')]);
    receipt = await file.path();
    await student.page.close();
    await service.server.jobs.publish();

    const page = await browser.page();
    await unlock(page, service.server.url, owner, placeOf(exam.pins.examId, recordingId));
    await page.getByRole('heading', { name: 'A Student' }).waitFor();
    const reviewed = (await sizes(page)).at(-1)!;
    expect(reviewed).toBeGreaterThan(first!);
    await service.server.jobs.publish();
    await page.goto(`${service.server.url}/receipt`);
    await page.getByLabel('Receipt file').setInputFiles(receipt);
    await page.getByText('Your recording is stored, encrypted.').waitFor();
    expect((await sizes(page)).at(-1)).toBeGreaterThanOrEqual(reviewed);
    await page.goto(`${service.server.url}/compliance`);
    await page.getByText(/everything that it held when this browser looked before/).waitFor();
    await rememberMore(page);
    await page.close();
  });

  test('sees at the Record page that the log was rolled back, and records nothing', async () => {
    const student = await Student.arrive(browser, await link('0003'));
    await student.page.getByText('The log of this service is not the one that this browser saw before').waitFor();
    expect(await student.page.getByRole('button', { name: 'Start recording' }).count()).toBe(0);
    await expectAccessible(student.page);
    await screenshot(student.page, 'record-rolled-back');
    await student.page.close();
  });

  test('at the review page, where nothing of the recording is shown and the verdict says why', async () => {
    const page = await browser.page();
    await unlock(page, service.server.url, owner, placeOf(exam.pins.examId, recordingId));
    await page.getByText('Epoch 0 does not verify, and is not shown.').waitFor();
    const verdict = page.getByRole('region', { name: 'Verdict' });
    await verdict.getByText('Invalid.').waitFor();
    await verdict.getByText(/log/).first().waitFor();
    expect(await page.getByRole('heading', { name: 'A Student' }).count()).toBe(0);
    await expectAccessible(page);
    await screenshot(page, 'review-rolled-back');
    await page.close();
  });

  test('at the receipt page, which says to keep the receipt', async () => {
    const page = await browser.page();
    await page.goto(`${service.server.url}/receipt`);
    await page.getByLabel('Receipt file').setInputFiles(receipt);
    await page.getByText(/The service’s answer does not fit your receipt/).waitFor();
    await page.getByText('(log)').waitFor();
    await expectAccessible(page);
    await page.close();
  });

  test('and at the compliance page, and having looked there makes no page forget', async () => {
    const page = await browser.page();
    await page.goto(`${service.server.url}/compliance`);
    await page.getByText('A promise was broken, or the log contradicts itself.').waitFor();
    await page.getByText(/history was changed/).waitFor();
    await page.goto(`${service.server.url}/receipt`);
    await page.getByLabel('Receipt file').setInputFiles(receipt);
    await page.getByText('(log)').waitFor();
    await page.close();
  });
});
