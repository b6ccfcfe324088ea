/**
 * The whole story, in pages only and from top to bottom: somebody begins a service; an instructor makes a key and an exam; a student
 * records; the instructor reviews that very recording; 31 days pass; the log proves that it was destroyed, to whoever watches over
 * retention and to the student. Everything is real: two Chromiums, server, databases, bucket, log. Only the clock is helped along.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensurePages } from '../../scripts/pages.ts';
import { start, type RunningServer } from '../../src/node.ts';
import { readConfig } from '../../src/server/config.ts';
import { complaintsOf, describeInChromium, expectAccessible, TestBrowser } from './browser.ts';
import { download, positionOf } from './reviewer.ts';
import { decode, packetsOf, Student, until } from './student.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Of a picture that is held against another: enough to know it again, too little for the noise of a codec. */
const GRID = { width: 16, height: 9 };
/** The tab that the student shares: dark on the left, light on the right, and something that changes. */
const QUESTIONS = 'Exam questions';
const QUESTIONS_HTML = `<title>${QUESTIONS}</title>
  <body style="margin: 0; height: 100vh; background: linear-gradient(90deg, #123 50%, #fe9 50%)">
  <p id="now" style="font: 80px monospace; color: #0a0"></p>
  <script>setInterval(() => { document.getElementById('now').textContent = Date.now(); }, 250)</script>`;

/** Runs as everybody's does, and can be put forward. */
let aheadMs = 0;
const clock = { now: () => Date.now() + aheadMs };

let folder: string;
let server: RunningServer;
/** The instructor's machine, and the student's. */
let office: TestBrowser;
let home: TestBrowser;

beforeAll(async () => {
  await ensurePages();
  folder = await mkdtemp(join(tmpdir(), 'zeroreel-story-'));
  const config = readConfig({ ZEROREEL_DATA: folder, ZEROREEL_PORT: '0', ZEROREEL_BUCKET_PORT: '0' });
  server = await start({ config, clock, isScheduled: false });
  [office, home] = await Promise.all([TestBrowser.launch(), TestBrowser.launch({ sharedTab: QUESTIONS })]);
});
afterAll(async () => {
  await Promise.all([office.close(), home.close()]);
  await server.close();
  await rm(folder, { recursive: true });
});

/** A tab whose clock is the server's. */
async function open(browser: TestBrowser, path: string): Promise<Page> {
  const page = await browser.page();
  if (aheadMs > 0) await page.clock.setFixedTime(clock.now());
  await page.goto(new URL(path, server.url).href);
  return page;
}

/** Leaves a tab that had nothing to complain of. */
async function leave(page: Page): Promise<void> {
  expect(complaintsOf(page)).toEqual([]);
  await page.close();
}

/** What a video shows now, as a small grid of grey. */
function gridOf(page: Page, video: string): Promise<number[]> {
  return page.locator(video).evaluate((element, { width, height }) => {
    const context = new OffscreenCanvas(width, height).getContext('2d')!;
    context.drawImage(element as HTMLVideoElement, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    return Array.from({ length: width * height }, (_, i) => (data[i * 4]! + data[i * 4 + 1]! + data[i * 4 + 2]!) / 3);
  }, GRID);
}

function distance(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
}

describeInChromium('from the first start to the proof of deletion', () => {
  let instructorToken: string;
  let keyFile: Buffer;
  let passphrase: string;
  let seatLink: string;
  let recordingId: string;
  let receiptFile: string;
  /** What the student's page showed while it recorded, and how long it did. */
  let seen: Record<'webcam' | 'screen', number[]>;
  let recordedMs: number;

  /** At the exam's list, with the instructor's key. */
  async function review(): Promise<Page> {
    const page = await open(office, '/review');
    const file = { name: 'instructor.key', mimeType: 'text/plain', buffer: keyFile };
    await page.getByLabel('Key file').setInputFiles(file);
    await page.getByLabel('Passphrase of the key').fill(passphrase);
    await page.getByRole('button', { name: 'Unlock' }).click();
    await page.getByRole('link', { name: 'Physics 101, final' }).click();
    await page.getByRole('heading', { name: 'Physics 101, final' }).waitFor();
    return page;
  }

  test('1. the setup link makes an administrator, who lets an instructor in', async () => {
    const page = await open(office, server.setupLink!);
    await page.getByRole('button', { name: 'Show my token' }).click();
    await page.getByLabel('For', { exact: true }).fill('instructor, Physics');
    await page.getByRole('button', { name: /^Make a token/ }).click();
    instructorToken = await page.getByRole('textbox', { name: 'Token for: instructor, Physics' }).inputValue();
    await leave(page);
  });

  test('2. the instructor makes a key, and the service gets to know it', async () => {
    const page = await open(office, '/review');
    await page.getByRole('button', { name: 'Make a key' }).click();
    await page.locator('.passphrase').filter({ hasNotText: 'Drawing' }).waitFor();
    passphrase = (await page.locator('.passphrase').textContent())!;
    await page.getByLabel('Type the passphrase').fill(passphrase);
    await page.getByLabel('Your name as colleagues see it').fill('Instructor, Physics');
    keyFile = (await download(page, 'Make the key and save its file')).bytes;
    await page.getByLabel('Token').fill(instructorToken);
    await page.getByRole('button', { name: 'Make this key known' }).click();
    await page.getByText('No exam yet.').waitFor();
    await leave(page);
  });

  test('3. makes and signs an exam, and a personal link for each seat', async () => {
    const page = await open(office, '/review');
    await page.getByLabel('Key file').setInputFiles({ name: 'my.key', mimeType: 'text/plain', buffer: keyFile });
    await page.getByLabel('Passphrase of the key').fill(passphrase);
    await page.getByRole('button', { name: 'Unlock' }).click();
    await page.getByRole('link', { name: 'New exam' }).click();
    await page.getByLabel('Title').fill('Physics 101, final');
    await page.getByLabel('You, as students read it').fill('Instructor, Physics');
    await page.getByLabel('Whom students ask').fill('exams@example.edu');
    await page.getByLabel('Microphone').selectOption('required');
    await page.getByRole('button', { name: 'Sign and publish' }).click();
    await page.getByRole('heading', { name: 'Physics 101, final' }).waitFor();
    await page.getByLabel('How many').fill('3');
    const { bytes } = await download(page, 'Make tickets and save them as CSV');
    const seats = bytes.toString('utf8').trim().split('\r\n').slice(1);
    expect(seats).toHaveLength(3);
    seatLink = seats[1]!.split(',')[1]!;
    await leave(page);
  });

  test('4. the student reads the notice, records camera, microphone and screen, and keeps the receipt', async () => {
    const questions = await home.page();
    await questions.setContent(QUESTIONS_HTML);
    const student = await Student.arrive(home, seatLink);
    const { page } = student;
    const notice = await page.getByRole('region', { name: '2. What is recorded, and who can open it' }).textContent();
    expect(notice).toContain('Instructor, Physics');
    expect(notice).toContain('exams@example.edu');
    expect(notice).toContain('30 days');
    await student.allow('camera', 'microphone', 'screen');
    await student.acknowledge('Ada Student');
    await student.start();
    const sinceMs = Date.now();
    recordingId = await student.recordingId();
    await until('20 s are recorded', async () => Date.now() - sinceMs > 20_000);
    seen = {
      webcam: await gridOf(page, 'video[aria-label="What your camera shows"]'),
      screen: await gridOf(page, 'video[aria-label="What your screen shows"]'),
    };
    recordedMs = Date.now() - sinceMs;
    await student.end();
    const [file] = await Promise.all([page.waitForEvent('download'), student.press('Download the receipt')]);
    receiptFile = join(folder, 'receipt.txt');
    await file.saveAs(receiptFile);
    await leave(questions);
    await leave(page);
    await server.jobs.publish();
  });

  test('5. the student checks the receipt: stored, until when, and never opened', async () => {
    const page = await open(home, '/receipt');
    await page.getByLabel('Receipt file').setInputFiles(receiptFile);
    await page.getByText('Your recording is stored, encrypted.').waitFor();
    expect(await page.getByRole('main').textContent()).toContain(recordingId);
    await page.getByText('never', { exact: true }).waitFor();
    await leave(page);
  });

  test('6. the instructor ranks it, plays it, and sees what the student’s camera and screen showed', async () => {
    const page = await review();
    await page.getByText('1 recording, 1 of them never opened by anybody.').waitFor();
    await page.getByRole('button', { name: 'Open their events and rank them' }).click();
    await page.getByText('1 of 1 read').waitFor();
    await page.getByLabel('Search the events of this exam').fill('capture started screen');
    await page.getByText(/capture started: screen, browser:/).waitFor();
    await page.getByRole('link', { name: 'Ada Student' }).click();
    await page.getByText('Complete.').first().waitFor();
    await page.getByRole('button', { name: 'Check every byte now' }).click();
    await page.getByText('Checked: every byte, and that all of it opens.').first().waitFor();

    const position = page.getByRole('slider', { name: 'Position' });
    const lengthMs = Number(await position.getAttribute('max'));
    expect(lengthMs).toBeGreaterThan(recordedMs - 1500);
    // Ending takes a moment: what was still captured then is recorded, too.
    expect(lengthMs).toBeLessThan(recordedMs + 8000);

    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await until('it plays', async () => (await positionOf(page)) > 3);
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await position.fill('20000');
    for (const kind of ['webcam', 'screen'] as const) {
      await page.waitForFunction((selector) => {
        const video = document.querySelector<HTMLVideoElement>(selector)!;
        return video.readyState >= 2 && !video.seeking && video.currentTime > 18;
      }, `.${kind} video`);
      const shown = await gridOf(page, `.${kind} video`);
      expect(distance(shown, seen[kind]), kind).toBeLessThan(12);
      // That it is a picture at all: light and dark are in it.
      expect(Math.max(...shown) - Math.min(...shown), kind).toBeGreaterThan(20);
      if (kind === 'screen') expect(shown.at(-1)! - shown.at(-GRID.width)!).toBeGreaterThan(100);
    }
    await expectAccessible(page);
    await leave(page);
  });

  test('7. saves films of it, in which every frame decodes and the sound is as long as the picture', async () => {
    const page = await review();
    await page.getByRole('link', { name: new RegExp(`Ada Student|${recordingId}`) }).click();
    await page.getByRole('heading', { name: 'Ada Student' }).waitFor();
    for (const [kind, most] of [
      ['webcam', 15],
      ['screen', 5],
    ] as const) {
      await page.getByRole('combobox', { name: 'Picture', exact: true }).selectOption({ label: kind });
      const { bytes } = await download(page, 'Save the film, decrypted');
      const film = await packetsOf(Uint8Array.from(bytes));
      const decoded = await decode(page, film);
      expect(decoded.frames).toBe(film.packets.length);
      expect(decoded.brightest - decoded.darkest).toBeGreaterThan(60);
      const pictureMs = decoded.lastMs - film.packets[0]!.ms;
      expect(pictureMs).toBeGreaterThan(recordedMs - 3000);
      // One frame a second at least, and no more than was asked for.
      expect(decoded.frames).toBeGreaterThan(pictureMs / 1000);
      expect(decoded.frames).toBeLessThan((pictureMs / 1000) * most * 1.2);
      const sound = await page.evaluate(async (base64) => {
        const content = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        const heard = await new OfflineAudioContext(1, 48_000, 48_000).decodeAudioData(content.buffer);
        const loudest = heard.getChannelData(0).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
        return { ms: heard.duration * 1000, loudest };
      }, bytes.toString('base64'));
      expect(Math.abs(sound.ms - pictureMs)).toBeLessThan(3000);
      // The test's microphone beeps.
      expect(sound.loudest).toBeGreaterThan(0.05);
    }
    await leave(page);
    await server.jobs.publish();
  });

  test('8. after 30 days the service destroys it, and later looks for it once more', async () => {
    for (aheadMs = 0; aheadMs <= 32 * DAY_MS; aheadMs += 12 * HOUR_MS) {
      await server.jobs.heartbeat();
      await server.jobs.purge();
      await server.jobs.publish();
    }
    const page = await review();
    const row = page.getByRole('row').filter({ hasText: recordingId });
    await row.getByText('destroyed, and found empty again later').waitFor();
    expect(await row.getByRole('link').count()).toBe(0);
    await leave(page);
  });

  test('9. whoever watches over retention sees zero overdue, verified in this browser', async () => {
    const page = await open(office, '/compliance');
    await page.getByText('the one that the log’s key signed').waitFor();
    const figures = await page.locator('.figures li').allTextContents();
    expect(figures.map((figure) => figure.trim())).toEqual(
      expect.arrayContaining(['0 overdue', '1 were due', '1 destroyed on time', '0 destroyed late']),
    );
    expect(figures.join()).toContain('0 destroyed, second look to come');
    await page.getByText('Violations: 0. Exceptions: 0.').waitFor();
    await expectAccessible(page);
    await leave(page);
  });

  test('10. and the student the proof, which holds without the service', async () => {
    const page = await open(home, '/receipt');
    await page.getByLabel('Receipt file').setInputFiles(receiptFile);
    await page.getByText(/Your recording was destroyed on/).waitFor();
    await page.getByText(/It was looked for again on .* and nothing was there/).waitFor();
    const [kept] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Keep the certificate' }).click(),
    ]);
    const certificate = join(folder, 'certificate.json');
    await writeFile(certificate, await readFile(await kept.path()));
    await leave(page);

    const offline = await open(home, '/receipt');
    await offline.context().setOffline(true);
    await offline.getByText('Paste its text or link instead').click();
    await offline.getByLabel('Certificate, if you kept one').setInputFiles(certificate);
    await offline.getByLabel('Receipt file').setInputFiles(receiptFile);
    await offline.getByText('here, without asking the service').waitFor();
    await offline.getByText(/Your recording was destroyed on/).waitFor();
    await leave(offline);
  });
});
