/** A recording whose parts have different tracks and codecs, as after a change of machine or of browser: all of it plays. */
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { webmPieces } from '../../scripts/recording/webm.ts';
import { ensurePages } from '../../scripts/pages.ts';
import { TestService } from '../client/service.ts';
import { complaintsOf, describeInChromium, expectAccessible, screenshot, TestBrowser } from './browser.ts';
import { makeExam, makeReviewer, record } from './recorded.ts';
import { likeness, placeOf, positionOf, unlock } from './reviewer.ts';
import { until } from './student.ts';

/** Of a file of the tests, as its chunks tell it, s. */
async function lengthOf(file: 'webcam' | 'screen'): Promise<number> {
  const whole = new Uint8Array(await readFile(new URL(`../media/${file}.webm`, import.meta.url)));
  let endMs = 0;
  for await (const { tMs, durMs } of webmPieces(
    (async function* () {
      yield whole;
    })(),
  ))
    endMs = Math.max(endMs, tMs + durMs);
  return endMs / 1000;
}

describeInChromium('a recording of four parts', () => {
  let service: TestService;
  let browser: TestBrowser;
  let page: Page;
  /** Where each part begins on the line, s. */
  let starts: number[];

  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start();
    const owner = await makeReviewer(service, 'reader 1');
    const tracks = [{ kind: 'webcam' }, { kind: 'screen' }, { kind: 'mixed' }, { kind: 'events' }] as const;
    const exam = await makeExam(service, [owner], { tracks });
    const id = await record({
      ...{ service, exam, seat: '0001', name: 'Changing Student' },
      epochs: [
        { media: ['webcam', 'screen'] }, // VP8 with Opus, and VP9
        { media: ['webcam'], from: { webcam: 'screen' } }, // the webcam in VP9, without sound
        { media: ['mixed'] }, // picture and sound in one track
        { media: ['webcam', 'mixed'] },
      ],
    });
    browser = await TestBrowser.launch();
    page = await browser.page();
    await unlock(page, service.server.url, owner, placeOf(exam.pins.examId, id));
    await page.getByRole('heading', { name: 'Changing Student' }).waitFor();
    // Parts follow each other at once, because they were recorded faster than they play.
    const [webcam, screen] = [await lengthOf('webcam'), await lengthOf('screen')];
    const lengths = [Math.max(webcam, screen), screen, webcam];
    starts = lengths.reduce((known, length) => [...known, known.at(-1)! + length], [0]);
    const endMs = Number(await page.getByRole('slider', { name: 'Position' }).getAttribute('max'));
    expect(endMs / 1000).toBeCloseTo(starts.at(-1)! + webcam, 1);
  });
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });

  async function goTo(part: number, seconds: number, ...kinds: string[]): Promise<void> {
    const at = starts[part]! + seconds;
    await page.getByRole('slider', { name: 'Position' }).fill(String(Math.round(at * 1000)));
    for (const kind of kinds)
      await page.waitForFunction(
        ({ selector, at }) => {
          const { currentTime, seeking, readyState } = document.querySelector<HTMLVideoElement>(selector)!;
          return Math.abs(currentTime - at) < 1.5 && !seeking && readyState >= 2;
        },
        { selector: `.${kind} video`, at },
      );
  }

  test('shows in each part what that part has, and says what it has not', async () => {
    await goTo(0, 20, 'webcam', 'screen');
    expect(await likeness(page, '.webcam video', 'webcam', starts[0])).toBeGreaterThan(30);
    expect(await likeness(page, '.screen video', 'screen', starts[0])).toBeGreaterThan(30);
    await page.getByText('Nothing was recorded from the mixed here.').waitFor();

    await goTo(1, 20, 'webcam');
    expect(await likeness(page, '.webcam video', 'screen', starts[1])).toBeGreaterThan(30);
    await page.getByText('Nothing was recorded from the screen here.').waitFor();

    await goTo(2, 20, 'mixed');
    expect(await likeness(page, '.mixed video', 'webcam', starts[2])).toBeGreaterThan(30);
    await page.getByText('Nothing was recorded from the webcam here.').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'review-mixed');

    await goTo(3, 20, 'webcam', 'mixed');
    expect(await likeness(page, '.webcam video', 'webcam', starts[3])).toBeGreaterThan(30);
    // And back: to other codecs, and to a part that has sound again.
    await goTo(1, 30, 'webcam');
    expect(await likeness(page, '.webcam video', 'screen', starts[1])).toBeGreaterThan(30);
    await goTo(0, 30, 'webcam', 'screen');
    expect(await likeness(page, '.webcam video', 'webcam', starts[0])).toBeGreaterThan(30);
  });

  test('plays over each border by itself', async () => {
    for (const [part, kind, file] of [
      [1, 'webcam', 'screen'],
      [2, 'mixed', 'webcam'],
      [3, 'webcam', 'webcam'],
    ] as const) {
      await goTo(part - 1, 57);
      await page.getByRole('button', { name: 'Play', exact: true }).click();
      await until(`part ${part} plays`, async () => (await positionOf(page)) > starts[part]! + 2);
      await page.getByRole('button', { name: 'Pause', exact: true }).click();
      const at = await positionOf(page);
      await page.waitForFunction(
        ({ selector, at }) => {
          const { currentTime, seeking, readyState } = document.querySelector<HTMLVideoElement>(selector)!;
          return Math.abs(currentTime - at) < 1.5 && !seeking && readyState >= 2;
        },
        { selector: `.${kind} video`, at },
      );
      expect(await likeness(page, `.${kind} video`, file, starts[part])).toBeGreaterThan(30);
    }
    await page.getByText('Complete.').first().waitFor();
    expect(complaintsOf(page)).toEqual([]);
  });
});
