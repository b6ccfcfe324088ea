/** A reviewer at the page, as a person sits there. */
import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { PASSPHRASE, type Reviewer } from './recorded.ts';

/** From the address to the place, by key file and passphrase. */
export async function unlock(page: Page, url: string, { keyFile }: Reviewer, place = '#/exams'): Promise<void> {
  await page.goto(`${url}/review${place}`);
  const buffer = Buffer.from(keyFile);
  await page.getByLabel('Key file').setInputFiles({ name: 'instructor.key', mimeType: 'text/plain', buffer });
  await page.getByLabel('Passphrase of the key').fill(PASSPHRASE);
  await page.getByRole('button', { name: 'Unlock' }).click();
  await page.getByRole('button', { name: 'Lock' }).waitFor();
}

export function placeOf(examId: string, recordingId: string): string {
  return `#/exam/${examId}/recording/${recordingId}`;
}

/** Presses what saves a file; answers the file. */
export async function download(page: Page, name: string): Promise<{ name: string; bytes: Buffer }> {
  const [saved] = await Promise.all([
    page.waitForEvent('download', { timeout: 60_000 }),
    page.getByRole('button', { name }).click(),
  ]);
  return { name: saved.suggestedFilename(), bytes: readFileSync(await saved.path()) };
}

/** Where the page's clock stands, s. */
export async function positionOf(page: Page): Promise<number> {
  const shown = await page.getByRole('slider', { name: 'Position' }).inputValue();
  return Number(shown) / 1000;
}

/**
 * PSNR, in dB, of a picture against the test's own file at the same moment; 30 and more is the same picture. `shown` is a selector of
 * a video on the page, whose media began at `offset` s of its time and repeats every minute.
 */
export async function likeness(page: Page, shown: string, kind: 'webcam' | 'screen', offset = 0): Promise<number> {
  const original = readFileSync(new URL(`../media/${kind}.webm`, import.meta.url)).toString('base64');
  return page.evaluate(
    async ({ shown, original, offset }) => {
      const video = document.querySelector<HTMLVideoElement>(shown)!;
      // Where it was just paused or set, the picture of its new moment is still on the way.
      const drawn = () =>
        new Promise((resolve) => {
          requestAnimationFrame(resolve);
        });
      for (let still = 0; still < 3; still = video.seeking ? 0 : still + 1) await drawn();
      const reference = document.createElement('video');
      const bytes = Uint8Array.from(atob(original), (character) => character.charCodeAt(0));
      reference.src = URL.createObjectURL(new Blob([bytes], { type: 'video/webm' }));
      const settled = (event: string) =>
        new Promise((resolve) => {
          reference.addEventListener(event, resolve, { once: true });
        });
      await settled('loadeddata');
      const seeked = settled('seeked');
      reference.currentTime = (video.currentTime - offset) % 60;
      await seeked;
      const pixels = (source: HTMLVideoElement) => {
        const canvas = new OffscreenCanvas(source.videoWidth, source.videoHeight);
        const context = canvas.getContext('2d')!;
        context.drawImage(source, 0, 0);
        return context.getImageData(0, 0, canvas.width, canvas.height).data;
      };
      const [a, b] = [pixels(video), pixels(reference)];
      if (a.length !== b.length) return 0;
      const error = a.reduce((sum, value, index) => sum + (value - b[index]!) ** 2, 0) / a.length;
      return error === 0 ? 99 : 10 * Math.log10(255 ** 2 / error);
    },
    { shown, original, offset },
  );
}
