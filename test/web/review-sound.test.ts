/** Recordings without a moving picture: sound alone, and the photo of an ID; recorded and reviewed in real Chromium. */
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensurePages } from '../../scripts/pages.ts';
import { TestService } from '../client/service.ts';
import { complaintsOf, describeInChromium, expectAccessible, inEveryLook, screenshot, TestBrowser } from './browser.ts';
import { makeExam, makeReviewer, type Reviewer } from './recorded.ts';
import { placeOf, positionOf, unlock } from './reviewer.ts';
import { QUICK, seatLink, Student, until } from './student.ts';

describeInChromium('an exam that records the microphone and a photo of an ID, and no moving picture', () => {
  let service: TestService;
  let owner: Reviewer;
  let browser: TestBrowser;
  let page: Page;
  let place: string;
  let recordedMs: number;

  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start();
    owner = await makeReviewer(service, 'reader 1');
    browser = await TestBrowser.launch();
    const exam = await makeExam(service, [owner], {
      title: 'Oral exam',
      tracks: [{ kind: 'microphone' }, { kind: 'events' }, { kind: 'photo' }],
      capture: QUICK,
    });
    const link = await seatLink({ service, owner: owner.identity, signed: exam }, '0001');
    const student = await Student.arrive(browser, link);
    await student.allow('microphone');
    // The camera is on for the photo, and off again: it is not recorded.
    await student.press('Turn the camera on for the photo');
    await student.page.getByLabel('What your camera shows').waitFor();
    await student.press('Take the photo of your ID');
    await student.page.getByText('The photo is taken.').waitFor();
    await student.page.getByLabel('What your camera shows').waitFor({ state: 'detached' });
    await inEveryLook(student.page, () => expectAccessible(student.page));
    await screenshot(student.page, 'record-photo');
    await student.acknowledge();
    await student.start();
    const sinceMs = Date.now();
    place = placeOf(exam.pins.examId, await student.recordingId());
    await until('10 s are recorded', async () => Date.now() - sinceMs > 10_000);
    recordedMs = Date.now() - sinceMs;
    await student.end();
    expect(complaintsOf(student.page)).toEqual([]);
    await student.page.close();

    page = await browser.page();
    await unlock(page, service.server.url, owner, place);
    await page.getByRole('heading', { name: 'Ada Student' }).waitFor();
  });
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });

  test('shows the photo', async () => {
    const photo = page.getByRole('img', { name: 'Photo 1 of 1 of an ID, as the student took it' });
    await photo.waitFor();
    const picture = await photo.evaluate(async (element) => {
      const image = element as HTMLImageElement;
      await image.decode();
      const context = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d')!;
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 0, image.naturalWidth, image.naturalHeight);
      const grey = data.filter((_, index) => index % 4 === 1);
      return {
        height: image.naturalHeight,
        darkest: Math.min(...grey.slice(0, 9000)),
        brightest: Math.max(...grey.slice(0, 9000)),
      };
    });
    // The test camera's picture at the height that the policy asks for, with light and dark in it.
    expect(picture.height).toBe(QUICK.video_height);
    expect(picture.brightest - picture.darkest).toBeGreaterThan(50);
  });

  test('draws the waveform of what was heard: the beeps of the test’s microphone, over the whole length', async () => {
    const levels = await page.locator('.time-bar path.wave').evaluate((path) => {
      // Heights of the upper half, from left to right, in units of the drawing.
      const points = path
        .getAttribute('d')!
        .slice(1, -1)
        .split('L')
        .map((pair) => pair.split(',').map(Number));
      return points.slice(0, points.length / 2).map(([, y]) => 32 - y!);
    });
    expect(levels).toHaveLength(500);
    const heard = levels.filter((level) => level > 12).length;
    expect(heard).toBeGreaterThan(levels.length / 2);
    const box = await page.locator('.time-bar path.wave').boundingBox();
    expect(box!.width).toBeGreaterThan(200);
    expect(box!.height).toBeGreaterThan(10);
  });

  test('plays the sound alone, as long as it was, and audibly', async () => {
    await page.getByText('This recording is sound without a picture.').waitFor();
    const lengthMs = Number(await page.getByRole('slider', { name: 'Position' }).getAttribute('max'));
    expect(lengthMs).toBeGreaterThan(recordedMs - 1500);
    await inEveryLook(page, () => expectAccessible(page));
    await screenshot(page, 'review-sound');
    await page.evaluate(() => {
      const audio = document.querySelector<HTMLAudioElement & { captureStream(): MediaStream }>('audio')!;
      const context = new AudioContext();
      const analyser = context.createAnalyser();
      context.createMediaStreamSource(audio.captureStream()).connect(analyser);
      const samples = new Float32Array(analyser.fftSize);
      const told = globalThis as unknown as { loudest: number };
      told.loudest = 0;
      setInterval(() => {
        analyser.getFloatTimeDomainData(samples);
        told.loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), told.loudest);
      }, 20);
    });
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await until('it has played for five seconds', async () => (await positionOf(page)) > 5);
    expect(await page.evaluate(() => (globalThis as unknown as { loudest: number }).loudest)).toBeGreaterThan(0.05);
    await page.getByLabel('Sound', { exact: true }).selectOption({ label: 'off' });
    expect(await page.locator('audio').evaluate((audio) => (audio as HTMLAudioElement).muted)).toBe(true);
    await page.getByText('Complete.').first().waitFor();
    expect(complaintsOf(page)).toEqual([]);
  });
});
