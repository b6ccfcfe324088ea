import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ExamEvent } from '../../schema/events.ts';
import { ensurePages } from '../../scripts/pages.ts';
import { TestService } from '../client/service.ts';
import { complaintsOf, describeInChromium, expectAccessible, screenshot, tabTo, TestBrowser } from './browser.ts';
import { makeExam, makeReviewer, PASSPHRASE, record, type Reviewer } from './recorded.ts';
import { likeness, placeOf, positionOf, unlock } from './reviewer.ts';

let service: TestService;
let owner: Reviewer;
let colleague: Reviewer;
let examId: string;
let busy: string;

/** Left the window twice, pasted once. */
const EVENTS: ExamEvent[] = [
  { v: 1, t: 0, type: 'recording_started', tracks: ['webcam', 'screen'], rules: [], not_seen: ['other tabs'] },
  { v: 1, t: 9000, type: 'focus_lost' },
  { v: 1, t: 12_500, type: 'focus_gained', away_ms: 3500 },
  { v: 1, t: 33_010, type: 'pasted', characters: 34 },
  { v: 1, t: 41_000, type: 'focus_lost' },
  { v: 1, t: 43_000, type: 'focus_gained', away_ms: 2000 },
  { v: 1, t: 59_000, type: 'recording_ended' },
];

beforeAll(async () => {
  await ensurePages();
  service = await TestService.start();
  owner = await makeReviewer(service, 'reader 1');
  colleague = await makeReviewer(service, 'reader 2');
  const exam = await makeExam(service, [owner, colleague]);
  ({ examId } = exam.pins);
  await record({ service, exam, seat: '0001', name: 'Calm Student', isLeftOpen: true });
  const epochs = [{ events: EVENTS }, { minutes: 2 }];
  busy = await record({ service, exam, seat: '0002', name: 'Busy Student', epochs });
});
afterAll(() => service.stop());

describeInChromium('the review page', () => {
  let browser: TestBrowser;
  let page: Page;
  beforeAll(async () => {
    browser = await TestBrowser.launch();
  });
  afterAll(() => browser.close());
  beforeEach(async () => {
    page = await browser.page();
  });
  afterEach(async () => {
    expect(complaintsOf(page)).toEqual([]);
    await page.close();
  });

  const openBusy = async (): Promise<void> => {
    await unlock(page, service.server.url, owner, placeOf(examId, busy));
    await page.getByRole('heading', { name: 'Busy Student' }).waitFor();
  };
  const isShowing = (seconds: number) =>
    page.waitForFunction((least) => {
      const video = document.querySelector<HTMLVideoElement>('.webcam video')!;
      return video.currentTime >= least && !video.seeking && video.readyState >= 2;
    }, seconds);

  test('unlocks a kept key, refuses a wrong passphrase, and shows the exams that it may see', async () => {
    await page.goto(`${service.server.url}/review`);
    await page.getByLabel('Key file').setInputFiles({
      ...{ name: 'mine.key', mimeType: 'text/plain', buffer: Buffer.from(owner.keyFile) },
    });
    await page.getByRole('checkbox', { name: /Keep a copy in this browser/ }).check();
    await page.getByLabel('Passphrase of the key').fill('another passphrase');
    await page.getByRole('button', { name: 'Unlock' }).click();
    await page.getByText('The passphrase does not fit.').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'review-unlock');
    await page.getByLabel('Passphrase of the key').fill(PASSPHRASE);
    await page.getByRole('button', { name: 'Unlock' }).click();
    await page.getByRole('link', { name: 'Physics 101' }).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'review-exams');
    await page.getByRole('button', { name: 'Lock' }).click();
    await page.getByLabel('Key', { exact: true }).waitFor();
    await page.getByLabel('Passphrase of the key').fill(PASSPHRASE);
    await page.getByRole('button', { name: 'Unlock' }).click();
    await page.getByRole('link', { name: 'Physics 101' }).waitFor();
    await page.getByRole('button', { name: 'Lock' }).click();
    await page.getByRole('button', { name: 'Forget this copy' }).click();
    await page.getByLabel('Key file').waitFor();
  });

  test('plays what was recorded, the same pictures at the same moments, over an interruption and after a seek', async () => {
    await openBusy();
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await isShowing(1);
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    const compare = async (): Promise<void> => {
      for (const kind of ['webcam', 'screen'] as const) {
        expect(await likeness(page, `.${kind} video`, kind), kind).toBeGreaterThan(30);
      }
    };
    await compare();
    // Two epochs, three minutes: the second begins where the first ended, or a little later.
    const end = Number(await page.getByRole('slider', { name: 'Position' }).getAttribute('max')) / 1000;
    expect(end).toBeGreaterThan(178);
    await page.getByRole('slider', { name: 'Position' }).fill('45000');
    await isShowing(44);
    await page.waitForFunction(() => document.querySelector<HTMLVideoElement>('.screen video')!.currentTime > 44);
    await compare();
    await page.getByRole('slider', { name: 'Position' }).fill(String(Math.round(end * 1000) - 20_000));
    await isShowing(end - 25);
    expect(await likeness(page, '.screen video', 'screen', end - 120)).toBeGreaterThan(30);
    await page.getByText('Complete.').first().waitFor();
    await expectAccessible(page);
    await screenshot(page, 'review-recording');
  });

  test('moves by keys alone: plays, goes from incident to incident, changes speed, and tells its keys', async () => {
    await openBusy();
    await page.keyboard.press('n');
    await expect.poll(() => positionOf(page)).toBeCloseTo(8, 0);
    await page.keyboard.press('n');
    await expect.poll(() => positionOf(page)).toBeCloseTo(32, 0);
    await page.keyboard.press('p');
    await expect.poll(() => positionOf(page)).toBeCloseTo(8, 0);
    await page.keyboard.press('.');
    expect(await page.getByLabel('Speed').inputValue()).toBe('1.25');
    await page.keyboard.press('k');
    await page.getByRole('button', { name: 'Pause', exact: true }).waitFor();
    await page.keyboard.press('k');
    await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
    await tabTo(page, /button: Keys/);
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'review-keys');
    await page.getByRole('checkbox', { name: /Single keys do this/ }).uncheck();
    await page.keyboard.press('Escape');
    const before = await positionOf(page);
    await page.keyboard.press('n');
    expect(await positionOf(page)).toBe(before);
    await page.getByRole('button', { name: 'Keys' }).click();
    await page.getByRole('checkbox', { name: /Single keys do this/ }).check();
    await page.getByRole('button', { name: 'Done' }).click();
  });

  test('ranks by weights that the reviewer sets, searches the events, and says what was never opened', async () => {
    await unlock(page, service.server.url, owner, `#/exam/${examId}`);
    await page.getByText(/2 recordings/).waitFor();
    await page.getByRole('button', { name: 'Open their events and rank them' }).click();
    await page.getByText('2 of 2 read').waitFor();
    const rows = page.getByRole('region', { name: /^Recordings by score/ }).getByRole('row');
    expect(await rows.nth(1).textContent()).toMatch(/^Busy Student7/); // 2 x left the window (2) + pasted (3)
    expect(await rows.nth(2).textContent()).toMatch(/^Calm Student0none.*nothing to decide/);
    await page.getByRole('button', { name: 'Weights' }).click();
    await page.getByLabel('pasted').selectOption('5');
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Done' }).click();
    expect(await rows.nth(1).textContent()).toMatch(/^Busy Student9/);
    await page.getByText('weights: pasted 5; the others default').waitFor();
    await page.getByLabel('Search the events of this exam').fill('pasted 34');
    await page.getByText('1 event found').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'review-exam');
    await page.getByRole('link', { name: '0:33' }).click();
    await page.getByRole('heading', { name: 'Busy Student' }).waitFor();
    await expect.poll(() => positionOf(page)).toBeCloseTo(33, 0);
  });

  test('keeps decisions of two reviewers, sealed, and prints them in the report', async () => {
    await openBusy();
    await page.getByRole('button', { name: 'Decide: pasted at 0:33' }).click();
    await page.getByRole('combobox', { name: 'Your opinion' }).selectOption('confirmed');
    await page.getByLabel('Reason').fill('A whole answer at once.');
    await expectAccessible(page);
    await screenshot(page, 'review-decide');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await page.getByRole('button', { name: 'Your opinion: pasted at 0:33' }).waitFor();
    await page.getByRole('button', { name: 'Lock' }).click();
    await page.getByRole('button', { name: 'Unlock' }).waitFor();
    await unlock(page, service.server.url, colleague, placeOf(examId, busy));
    await page.getByRole('button', { name: /this is the owner’s key/ }).click();
    await page.getByRole('heading', { name: 'Busy Student' }).waitFor();
    await page.getByRole('button', { name: 'Your opinion: pasted at 0:33' }).click();
    await page.getByText('reader 1: confirmed, “A whole answer at once.”').waitFor();
    await page.getByRole('combobox', { name: 'Your opinion' }).selectOption('confirmed');
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    const report = page.getByRole('region', { name: 'Report' });
    await report.getByText('confirmed, and a second reviewer agrees').waitFor();
    const stored = await service.staff().notes(busy);
    expect(stored.notes).toHaveLength(2);
    for (const { note } of stored.notes) expect(Buffer.from(note, 'base64url').includes('answer')).toBe(false);
    await page.emulateMedia({ media: 'print' });
    expect(await report.isVisible()).toBe(true);
    expect(await page.getByRole('button', { name: 'Play', exact: true }).isVisible()).toBe(false);
    await page.emulateMedia({ media: null });
  });

  test('shows thumbnails that seek, skips what is inactive, and says where nothing was recorded', async () => {
    await openBusy();
    await page.getByRole('button', { name: 'Show thumbnails' }).click();
    const thumbnails = page.getByRole('list', { name: 'Thumbnails' }).getByRole('button');
    await expect.poll(() => thumbnails.count(), { timeout: 60_000 }).toBe(10);
    await expectAccessible(page);
    await thumbnails.nth(3).click();
    await expect.poll(() => positionOf(page)).toBeCloseTo(63, -1);
    // After the last event at 0:59 nothing happens for two minutes: play goes past them at once.
    await page.getByRole('checkbox', { name: /Skip what is inactive/ }).check();
    await page.keyboard.press('k');
    const end = Number(await page.getByRole('slider', { name: 'Position' }).getAttribute('max')) / 1000;
    await expect.poll(() => positionOf(page), { timeout: 20_000 }).toBeGreaterThan(end - 8);
    await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
  });

  test('a passkey becomes a second lock of the kept copy: the passphrase alone no longer opens it', async () => {
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('WebAuthn.enable');
    const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        ...{ protocol: 'ctap2', ctap2Version: 'ctap2_1', transport: 'internal', hasResidentKey: true },
        ...{ hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true, hasPrf: true },
      },
    });
    // WebAuthn takes names and no addresses: this machine's is localhost.
    const url = service.server.url.replace('127.0.0.1', 'localhost');
    await page.goto(`${url}/review`);
    await page.getByLabel('Key file').setInputFiles({
      ...{ name: 'mine.key', mimeType: 'text/plain', buffer: Buffer.from(owner.keyFile) },
    });
    await page.getByRole('checkbox', { name: /Keep a copy in this browser/ }).check();
    const open = async (): Promise<void> => {
      await page.getByLabel('Passphrase of the key').fill(PASSPHRASE);
      await page.getByRole('button', { name: 'Unlock' }).click();
    };
    await open();
    await page.getByRole('button', { name: 'Add a passkey' }).waitFor();
    await page.getByLabel('Passphrase of the key').fill(PASSPHRASE);
    await page.getByRole('button', { name: 'Add a passkey' }).click();
    await page.getByText('The copy in this browser needs your passphrase and a passkey.').waitFor();
    await expectAccessible(page);
    await page.getByRole('button', { name: 'Lock' }).click();
    await page.getByLabel('Key', { exact: true }).waitFor();
    await open();
    await page.getByRole('heading', { name: 'Exams' }).waitFor();
    await page.getByRole('button', { name: 'Lock' }).click();
    await page.getByLabel('Key', { exact: true }).waitFor();
    await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
    await open();
    await page.getByRole('alert').getByText(/./).first().waitFor();
    expect(await page.getByRole('heading', { name: 'Exams' }).count()).toBe(0);
  });
});
