/** Rules of an exam in real Chromium: leaving one is told and noted, and nothing is ever blocked; what a seat is let off, its signed ticket says. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensurePages } from '../../scripts/pages.ts';
import type { ExamEvent } from '../../schema/events.ts';
import { TestService } from '../client/service.ts';
import { describeInChromium, expectAccessible, screenshot, TestBrowser } from './browser.ts';
import { makeExam, makeReviewer, record, type Reviewer } from './recorded.ts';
import { placeOf, unlock } from './reviewer.ts';
import { QUICK, seatLink, Student } from './student.ts';

const RULES = { full_screen: true, no_clipboard: true, no_context_menu: true, one_screen: true };
/** Two screens side by side, as Chromium without a window invents them. */
const TWO_SCREENS = '--screen-info={1600x1200}{1600x1200}';

describeInChromium('the rules of an exam', () => {
  let service: TestService;
  let owner: Reviewer;
  let exam: Awaited<ReturnType<typeof makeExam>>;
  let browser: TestBrowser;

  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start();
    owner = await makeReviewer(service, 'reader 1');
    exam = await makeExam(service, [owner], { tracks: [{ kind: 'events' }], capture: { ...QUICK, ...RULES } });
    browser = await TestBrowser.launch({ args: [TWO_SCREENS] });
    await browser.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: service.server.url });
  });
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });

  const link = (seat: string, accommodations?: Record<string, string | number>) =>
    seatLink({ service, owner: owner.identity, signed: exam }, seat, accommodations);

  test('are told before, noted when they are left and when they are kept again, and block nothing', async () => {
    const student = await Student.arrive(browser, await link('0001'));
    const { page } = student;
    for (const rule of ['Stay in full screen.', 'Do not copy, cut or paste on this page.', 'Use one screen only.'])
      await page.getByText(rule).waitFor();
    await page.getByText('Nothing is blocked.').waitFor();
    await student.acknowledge();
    await student.start();
    const recordingId = await student.recordingId();

    // Two screens are there from the beginning.
    await page.getByText('There is more than one screen.').waitFor();

    // Full screen: entered by the press that started, left, and entered again by the page's own button.
    const isFull = () => page.evaluate(() => document.fullscreenElement !== null);
    expect(await isFull()).toBe(true);
    await page.evaluate(() => document.exitFullscreen());
    const warning = page.getByText('You are not in full screen.');
    await warning.waitFor();
    expect(await isFull()).toBe(false);
    await expectAccessible(page);
    await screenshot(page, 'record-rules');
    await student.press('Go to full screen');
    await warning.waitFor({ state: 'detached' });
    expect(await isFull()).toBe(true);

    // The clipboard: what is copied is copied, and what is pasted arrives.
    const id = page.locator('dd.mono').first();
    await id.click({ clickCount: 3 });
    await page.keyboard.press('Control+C');
    await page.getByText('You copied, cut or pasted.').waitFor();
    expect((await page.evaluate(() => navigator.clipboard.readText())).trim()).toBe(recordingId);
    await page.evaluate(() => {
      document.addEventListener('paste', (event) => {
        document.title = `${event.clipboardData!.getData('text').trim()} ${event.defaultPrevented}`;
      });
    });
    await page.keyboard.press('Control+V');
    await expect.poll(() => page.title()).toBe(`${recordingId} false`);

    // The context menu.
    await page.evaluate(() => {
      document.addEventListener('contextmenu', (event) => {
        document.title = `menu ${event.defaultPrevented}`;
      });
    });
    await page.getByRole('heading', { level: 1 }).click({ button: 'right' });
    await page.getByText('You opened a context menu.').waitFor();
    await expect.poll(() => page.title()).toBe('menu false');
    await page.keyboard.press('Escape');
    const read = page.getByRole('button', { name: 'I have read this' });
    for (const count of [2, 1]) {
      expect(await read.count()).toBe(count);
      await read.first().click();
    }
    expect(await read.count()).toBe(0);
    await student.end();
    await page.close();

    const review = await browser.page();
    await unlock(review, service.server.url, owner, placeOf(exam.pins.examId, recordingId));
    await review.getByText('Complete.').first().waitFor();
    await review.getByRole('checkbox', { name: 'Flags only' }).uncheck();
    const table = review.getByRole('region', { name: 'Events', exact: true });
    const rows = (await table.getByRole('row').allTextContents()).join('\n');
    for (const told of [
      /more than one screen/,
      /left a rule of the examone screen/,
      /left a rule of the examfull screen/,
      /keeps a rule of the exam againfull screen, after/,
      /copied2[2-4] characters/, // the id, and the line's end that a triple click takes along
      /pasted2[2-4] characters/,
      /left a rule of the examno clipboard/,
      /opened a context menu/,
      /left a rule of the examno context menu/,
    ])
      expect(rows).toMatch(told);
    await review.close();
  });

  test('of which a seat is let off one are not asked of it, and flags that are not to be counted are not', async () => {
    const granted = { rules_off: 'full_screen,one_screen', flags_ignored: 'screens,copied', extra_minutes: 30 };
    const student = await Student.arrive(browser, await link('0002', granted));
    const { page } = student;
    await page.getByText('You need not keep this rule: Use one screen only.').waitFor();
    await student.acknowledge('Bea Student');
    await student.start();
    const recordingId = await student.recordingId();
    expect(await page.evaluate(() => document.fullscreenElement)).toBe(null);
    await page.locator('dd.mono').first().click({ clickCount: 3 });
    await page.keyboard.press('Control+C');
    await page.getByText('You copied, cut or pasted.').waitFor();
    expect(await page.getByText('There is more than one screen.').count()).toBe(0);
    await student.end();
    await page.close();

    const review = await browser.page();
    await unlock(review, service.server.url, owner, placeOf(exam.pins.examId, recordingId));
    const about = review.getByRole('region', { name: 'About this recording' });
    await about
      .getByText('rules not to be kept: full screen, one screen; flags not counted: screens, copied; extra minutes: 30')
      .waitFor();
    const rows = await review.getByRole('region', { name: 'Events', exact: true }).getByRole('row').allTextContents();
    const copied = rows.filter((row) => /copied2/.test(row));
    expect(copied).toHaveLength(1);
    expect(copied[0]).toContain('not counted for this seat');
    await review.getByRole('link', { name: /All recordings of/ }).click();
    await review.getByRole('button', { name: 'Open their events and rank them' }).click();
    await review.getByText(/of \d read/).waitFor();
    const ranked = await review.getByRole('row').filter({ hasText: 'Bea Student' }).textContent();
    expect(ranked).not.toContain('copied');
    await review.close();
  });

  test('are those of the ticket that the owner signed: a recorder that grants itself something is not believed', async () => {
    const events: ExamEvent[] = [{ v: 1, t: 1000, type: 'pasted', characters: 34 }];
    const media = [] as const;
    const about = { accommodations: { flags_ignored: ['pasted'], extra_minutes: 600 } };
    const plan = { service, exam, seat: '0003', name: 'Sly Student', about, epochs: [{ events, media }] };
    const recordingId = await record(plan);
    const review = await browser.page();
    await unlock(review, service.server.url, owner, placeOf(exam.pins.examId, recordingId));
    await review.getByRole('heading', { name: 'Sly Student' }).waitFor();
    const facts = (await review.getByRole('region', { name: 'About this recording' }).textContent()) ?? '';
    expect(facts).toContain('Accommodationsnone');
    expect(facts).not.toContain('600');
    await review.getByRole('button', { name: 'Decide: pasted at 0:01' }).waitFor();
    await review.close();
  });
});
