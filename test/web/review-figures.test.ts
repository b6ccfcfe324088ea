/** What the README says of the review page: SLOW=1 measures it with a recording of three hours; HOURS says how long. */
import { readdirSync, readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensurePages } from '../../scripts/pages.ts';
import { TestService } from '../client/service.ts';
import { TestBrowser } from './browser.ts';
import { makeExam, makeReviewer, record, type Reviewer } from './recorded.ts';
import { placeOf, unlock } from './reviewer.ts';

const HOURS = Number(process.env['HOURS'] ?? 3);
/** Minutes of media that are played at 4 x. */
const PLAYED = Number(process.env['PLAYED'] ?? 30);

let service: TestService;
let owner: Reviewer;
let place: string;

describe.skipIf(process.env['SLOW'] !== '1')(`a recording of ${HOURS} hours`, () => {
  let browser: TestBrowser;
  let page: Page;
  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start();
    owner = await makeReviewer(service, 'reader 1');
    const exam = await makeExam(service, [owner], { notAfterMs: Date.now() + 12 * 3_600_000 });
    const id = await record({ service, exam, seat: '0001', name: 'Long Student', epochs: [{ minutes: HOURS * 60 }] });
    place = placeOf(exam.pins.examId, id);
    browser = await TestBrowser.launch();
    page = await browser.page();
  }, 30 * 60_000);
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });

  const firstFrame = (): Promise<number> =>
    page.evaluate(
      () =>
        new Promise<number>((resolve) => {
          const look = (): void => {
            const video = document.querySelector<HTMLVideoElement>('.webcam video');
            if (video)
              video.requestVideoFrameCallback(() => {
                resolve(performance.timeOrigin + performance.now());
              });
            else requestAnimationFrame(look);
          };
          look();
        }),
    );

  test('starts, seeks and plays in bounded memory', { timeout: 60 * 60_000 }, async () => {
    await unlock(page, service.server.url, owner);
    await page.getByRole('link', { name: 'Physics 101' }).waitFor();
    const weight = await page.evaluate(() =>
      performance
        .getEntriesByType('resource')
        .reduce((sum, entry) => sum + (entry as PerformanceResourceTiming).encodedBodySize, 0),
    );
    const opened = Date.now();
    await page.evaluate((hash) => {
      location.hash = hash;
    }, place);
    const shown = await firstFrame();

    const seeks: number[] = [];
    const slider = page.getByRole('slider', { name: 'Position' });
    const most = Number(await slider.getAttribute('max'));
    for (const share of [0.31, 0.77, 0.12, 0.93, 0.5]) {
      const frame = firstFrame();
      const pressed = Date.now();
      await slider.fill(String(Math.floor((most * share) / 1000) * 1000));
      seeks.push((await frame) - pressed);
    }
    seeks.sort((a, b) => a - b);

    await slider.fill('0');
    await page.getByLabel('Speed').selectOption('4');
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    const memory: number[] = [];
    const began = Date.now();
    for (let minute = 2; minute <= PLAYED; minute += 2) {
      await expect
        .poll(async () => Number(await slider.inputValue()), { timeout: 300_000, interval: 500 })
        .toBeGreaterThan(minute * 60_000);
      memory.push(rendererMiB(browser.profile));
    }
    const rate = (PLAYED * 60_000) / (Date.now() - began);
    const figures = {
      hours: HOURS,
      page_weight_kb: Math.round(weight / 1000),
      first_frame_ms: Math.round(shown - opened),
      seek_ms: seeks.map(Math.round),
      memory_mib: memory,
      played_minutes: PLAYED,
      rate_reached: Number(rate.toFixed(2)),
    };
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    // Bounded: the last quarter is no higher than the first minutes by more than what a browser varies.
    expect(Math.max(...memory.slice(-4))).toBeLessThan(memory[0]! * 1.5 + 100);
  });
});

/** Resident memory of this browser's renderers, MiB. */
function rendererMiB(profile: string): number {
  let kib = 0;
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      if (!command.includes('--type=renderer') || !isOf(pid, profile)) continue;
      kib += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    } catch {
      // A process that ended meanwhile.
    }
  }
  return Math.round(kib / 1024);
}

/** Whether one of the process's ancestors was started with this profile. */
function isOf(pid: string, profile: string): boolean {
  for (let at = pid; at !== '0' && at !== '1';) {
    if (readFileSync(`/proc/${at}/cmdline`, 'utf8').includes(profile)) return true;
    at = /PPid:\s+(\d+)/.exec(readFileSync(`/proc/${at}/status`, 'utf8'))?.[1] ?? '0';
  }
  return false;
}
