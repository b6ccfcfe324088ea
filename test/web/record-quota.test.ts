/** A recording that becomes as long as its exam allows: the student is told before, it ends by itself, and there is a receipt. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensurePages } from '../../scripts/pages.ts';
import { TestService, type TestExam } from '../client/service.ts';
import { complaintsOf, describeInChromium, expectAccessible, inEveryLook, screenshot, TestBrowser } from './browser.ts';
import { openReader, QUICK, seatLink, Student } from './student.ts';

describeInChromium('a recording at its limit', () => {
  let service: TestService;
  let exam: TestExam;
  let browser: TestBrowser;

  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start();
    exam = await service.exam({
      tracks: [{ kind: 'webcam' }, { kind: 'events' }],
      capture: { ...QUICK, most_minutes: 1 },
    });
    browser = await TestBrowser.launch();
  });
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });

  test('warns, ends, says that nobody is to blame, and is stored in full', { timeout: 300_000 }, async () => {
    const student = await Student.arrive(browser, await seatLink(exam, 'seat-1'));
    const { page } = student;
    await student.allow('camera');
    await student.acknowledge();
    await student.start();
    await page.getByText('nearly as long as this exam allows').waitFor();
    await inEveryLook(page, () => expectAccessible(page));
    await screenshot(page, 'record-quota-1-near');
    await page.getByText('The recording ended by itself.').waitFor({ timeout: 120_000 });
    await page.getByRole('heading', { name: 'Your receipt' }).waitFor({ timeout: 120_000 });
    await inEveryLook(page, () => expectAccessible(page));
    await screenshot(page, 'record-quota-2-done');
    const id = await page.locator('dd.mono').first().textContent();
    const summary = await service.staff().recording(id!);
    expect(summary).toMatchObject({ state: 'closed', quota_reached: 'time' });
    await service.server.jobs.publish();
    const reader = await openReader(exam, id!);
    expect((await reader.verify('plaintext')).verdict).toBe('COMPLETE');
    expect(complaintsOf(page)).toEqual([]);
  });
});
