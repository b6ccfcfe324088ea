/** What goes wrong in an exam: each case in a real Chromium, and each ends with a recording that is complete or says what is missing. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensurePages } from '../../scripts/pages.ts';
import type { RecordingFindings } from '../../src/client/verdict.ts';
import { movableClock, TestService, type TestExam } from '../client/service.ts';
import { describeInChromium, expectAccessible, screenshot, TestBrowser } from './browser.ts';
import { eventsOf, openReader, QUICK, seatLink, Student, until } from './student.ts';

/** Of the browser's quota: some seconds of a small picture. */
const ROOM_BYTES = 100_000;
const HOUR_MS = 3_600_000;
const EVENTS = 2;
const PLAN = { title: 'Chemistry', tracks: [{ kind: 'webcam' }, { kind: 'events' }], capture: QUICK } as const;

async function findings(exam: TestExam, recordingId: string): Promise<RecordingFindings> {
  return (await openReader(exam, recordingId)).verify('plaintext');
}

/** As somebody who has recorded before: the camera again, and on. */
async function goOn(student: Student): Promise<void> {
  await student.page.getByText('Your recording was interrupted.').waitFor();
  await student.allow('camera');
  await student.start();
}

async function begin(browser: TestBrowser, link: string, stored = 3): Promise<Student> {
  const student = await Student.arrive(browser, link);
  await student.allow('camera');
  await student.acknowledge();
  await student.start();
  await student.untilStored(stored);
  return student;
}

/** The page asks before it is left while it records; whoever leaves says yes. */
function sayYes(page: Page): void {
  page.on('dialog', (dialog) => void dialog.accept());
}

describeInChromium('a recording outlives', () => {
  let service: TestService;
  let exam: TestExam;
  let browser: TestBrowser;

  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start();
    exam = await service.exam(PLAN);
    browser = await TestBrowser.launch();
  });
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });

  test('a refresh, in a new epoch, and the page says that it was interrupted', async () => {
    const student = await begin(browser, await seatLink(exam, 'refresh'));
    const recordingId = await student.recordingId();
    const { stored } = await student.counts();
    sayYes(student.page);
    await student.page.reload();
    await student.page.getByText('Your recording was interrupted.').waitFor();
    await expectAccessible(student.page);
    await screenshot(student.page, 'record-8-interrupted');
    await goOn(student);
    expect(await student.recordingId()).toBe(recordingId);
    await student.untilStored(stored + 3);
    await student.end();

    const found = await findings(exam, recordingId);
    expect(found.verdict).toBe('COMPLETE');
    expect(found.epochs.map(({ epoch }) => epoch)).toEqual([0, 1]);
    const chunks = found.epochs[0]!.tracks.reduce((sum, track) => sum + track.chunks, 0);
    expect(chunks).toBeGreaterThanOrEqual(stored);
    const [resumed] = await eventsOf(await openReader(exam, recordingId), 1, EVENTS);
    expect(resumed).toMatchObject({ type: 'recording_resumed', tracks: ['webcam', 'events'] });
    await student.page.close();
  }, 120_000);

  test('the death of the whole browser', async () => {
    const link = await seatLink(exam, 'crash');
    const before = await begin(browser, link);
    const recordingId = await before.recordingId();
    const { stored } = await before.counts();
    await browser.crash();

    const student = await Student.arrive(browser, link);
    await goOn(student);
    await student.untilStored(stored + 2);
    await student.end();
    const found = await findings(exam, recordingId);
    expect(found.verdict).toBe('COMPLETE');
    expect(found.epochs).toHaveLength(2);
    expect(found.epochs[0]!.tracks.reduce((sum, track) => sum + track.chunks, 0)).toBeGreaterThanOrEqual(stored);
    await student.page.close();
  }, 120_000);

  test('a closed tab: what was recorded can be sent and closed later, without recording more', async () => {
    const link = await seatLink(exam, 'closed');
    const before = await begin(browser, link);
    const recordingId = await before.recordingId();
    await before.page.close({ runBeforeUnload: false });
    const student = await Student.arrive(browser, link);
    await student.press('End it here and send what was recorded');
    await student.page.getByText('It is safe to close this page').waitFor({ timeout: 60_000 });
    expect((await findings(exam, recordingId)).verdict).toBe('COMPLETE');

    // The link shows the receipt from now on, and records nothing more.
    await student.page.reload();
    await student.page.getByRole('heading', { name: 'Your receipt' }).waitFor();
    await student.page.close();
  }, 120_000);

  test('a second tab, which gives way and says so', async () => {
    const link = await seatLink(exam, 'tabs');
    const student = await begin(browser, link);
    const second = await Student.arrive(browser, link);
    await second.page.getByText(/being recorded in another tab/).waitFor();
    await expectAccessible(second.page);
    await second.page.close();
    await student.untilStored((await student.counts()).stored + 1);
    await student.end();
    expect((await findings(exam, await student.recordingId())).verdict).toBe('COMPLETE');
    await student.page.close();
  }, 120_000);

  test('a camera that was unplugged: the rest goes on, the gap is told, and the camera comes back', async () => {
    const link = await seatLink(exam, 'unplugged');
    const page = await browser.page();
    await page.addInitScript(() => {
      const { mediaDevices } = navigator;
      const given = mediaDevices.getUserMedia.bind(mediaDevices);
      mediaDevices.getUserMedia = async (constraints) => {
        const stream = await given(constraints);
        Object.assign(globalThis, {
          unplug: () => {
            stream.getTracks()[0]!.stop();
          },
        });
        return stream;
      };
    });
    await page.goto(link);
    const student = Student.at(page);
    await student.allow('camera');
    await student.acknowledge();
    await student.start();
    await student.untilStored(3);
    const recordingId = await student.recordingId();
    await page.evaluate(() => {
      (globalThis as unknown as { unplug: () => void }).unplug();
    });
    await page.getByText('The camera stopped.').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'record-9-unplugged');
    await student.press('Use the camera again');
    await page.getByText('The camera stopped.').waitFor({ state: 'detached' });
    await student.untilStored((await student.counts()).sealed + 2);
    await student.end();

    const found = await findings(exam, recordingId);
    expect(found.verdict).toBe('COMPLETE');
    const types = (await eventsOf(await openReader(exam, recordingId), 0, EVENTS)).map(({ type }) => type);
    expect(types.filter((type) => type === 'capture_started' || type === 'capture_ended')).toEqual([
      'capture_started',
      'capture_ended',
      'capture_started',
    ]);
    await page.close();
  }, 120_000);

  test('a clock that is put forward by an hour', async () => {
    const student = await begin(browser, await seatLink(exam, 'clock'));
    const recordingId = await student.recordingId();
    await student.page.workers()[0]!.evaluate((hour) => {
      const now = Date.now.bind(Date);
      Date.now = () => now() + hour;
    }, HOUR_MS);
    await student.untilStored((await student.counts()).sealed + 3);
    await student.end();
    expect((await findings(exam, recordingId)).verdict).toBe('COMPLETE');
    const events = await eventsOf(await openReader(exam, recordingId), 0, EVENTS);
    const [jump, ...others] = events.filter((event) => event.type === 'clock_jumped');
    expect(others).toEqual([]);
    expect(Math.abs(jump!.by_ms - HOUR_MS)).toBeLessThan(5_000);
    await student.page.close();
  }, 120_000);
});

describeInChromium('a recording outlives an hour without a network', () => {
  const clock = movableClock(Date.now());
  let service: TestService;
  let exam: TestExam;
  let browser: TestBrowser;

  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start(clock);
    exam = await service.exam(PLAN);
    browser = await TestBrowser.launch();
  });
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });

  test('and no more room on the device in the middle of it: nothing old is given up, and everything goes up afterwards', async () => {
    const page = await browser.page();
    // Before the browser first looks: it remembers for half a minute how much room there is.
    const cdp = await browser.context.newCDPSession(page);
    const origin = service.server.url;
    await cdp.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: ROOM_BYTES });
    await page.goto(await seatLink(exam, 'offline'));
    const student = Student.at(page);
    await student.allow('camera');
    await student.acknowledge();
    await student.start();
    await student.untilStored(3);
    const recordingId = await student.recordingId();
    const { stored } = await student.counts();
    await browser.context.setOffline(true);
    await page.getByText('There is no more room on this device.').waitFor({ timeout: 120_000 });
    await expectAccessible(page);
    await screenshot(page, 'record-10-full');
    const full = await student.counts();
    expect(full.sealed).toBeGreaterThan(full.stored);
    expect(full.stored).toBeGreaterThanOrEqual(stored);

    await cdp.send('Storage.overrideQuotaForOrigin', { origin });
    await page.getByText('The network does not answer.').waitFor({ timeout: 60_000 });
    await until('it goes on', async () => (await student.counts()).sealed > full.sealed);
    await expectAccessible(page);
    await screenshot(page, 'record-11-offline');

    clock.advance(HOUR_MS);
    await browser.context.setOffline(false);
    await student.untilStored(full.sealed + 1);
    await page.getByText('The network does not answer.').waitFor({ state: 'detached' });
    await student.end();
    expect((await findings(exam, recordingId)).verdict).toBe('COMPLETE');
    const types = (await eventsOf(await openReader(exam, recordingId), 0, EVENTS)).map(({ type }) => type);
    expect(types).toContain('network_lost');
    expect(types).toContain('network_back');
    await page.close();
  }, 300_000);
});
