import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { fromBase64Url } from '../../crypto/format/bytes.ts';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { NodeCaseFolder } from '../../src/client/casefile-node.ts';
import { openCaseFile } from '../../src/client/casefile.ts';
import { parseExamLink } from '../../src/client/link.ts';
import { fetchPinnedPolicy } from '../../src/client/pinning.ts';
import { ensurePages } from '../../scripts/pages.ts';
import { TestService } from '../client/service.ts';
import { complaintsOf, describeInChromium, expectAccessible, screenshot, TestBrowser } from './browser.ts';
import { makeExam, makeReviewer, record, type Reviewer } from './recorded.ts';
import { download, likeness, placeOf, unlock } from './reviewer.ts';

const run = promisify(execFile);

let service: TestService;
let owner: Reviewer;
let exam: Awaited<ReturnType<typeof makeExam>>;
let recordingId: string;

beforeAll(async () => {
  await ensurePages();
  service = await TestService.start();
  owner = await makeReviewer(service, 'reader 1');
  exam = await makeExam(service, [owner]);
  recordingId = await record({ service, exam, seat: '0001', name: 'A Student', epochs: [{}, {}] });
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

  const typesOfLog = async (): Promise<string[]> => {
    const { entries } = await service.staff().receipt(recordingId);
    return entries.map(({ entry }) => decodeEntry(fromBase64Url(entry)).type);
  };

  test('makes an exam whose link pins its owner, and tickets that recorders take', async () => {
    await unlock(page, service.server.url, owner);
    await page.getByRole('link', { name: 'New exam' }).click();
    await page.getByRole('heading', { name: 'New exam' }).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'review-new-exam');
    await page.getByRole('button', { name: 'Sign and publish' }).click();
    await page.getByLabel('Title').fill('Chemistry 7');
    await page.getByLabel('You, as students read it').fill('Instructor, Chemistry');
    await page.getByLabel('Webcam').selectOption('off');
    await page.getByLabel('Microphone').selectOption('off');
    await page.getByLabel('Days until a recording is destroyed').fill('31');
    await page.getByRole('button', { name: 'Sign and publish' }).click();
    await page.getByText('Recordings are kept for 1 to 30 days.').waitFor();
    await page.getByLabel('Days until a recording is destroyed').fill('14');
    await page.getByRole('checkbox', { name: 'Stay in full screen' }).check();
    const recovery = await makeReviewer(service, 'recovery', false);
    await page.getByLabel('Public line of reader 2').fill(recovery.publicLine);
    await page.getByRole('button', { name: 'Sign and publish' }).click();
    await page.getByRole('heading', { name: 'Chemistry 7' }).waitFor();
    await expectAccessible(page);

    const link = parseExamLink(await page.getByRole('textbox', { name: /The exam’s link/ }).inputValue());
    const { policy } = await fetchPinnedPolicy(service.api(), link, Date.now());
    expect(policy).toMatchObject({ title: 'Chemistry 7', retention_days: 14, capture: { full_screen: true } });
    expect(policy.tracks.map(({ kind }) => kind)).toEqual([7, 2, 4]);
    expect(policy.recipients.map(({ role, label }) => [role, label])).toEqual([
      [1, 'Instructor, Chemistry'],
      [3, 'recovery'],
    ]);

    await page.getByLabel('How many').fill('3');
    await page.getByLabel('Exceptions for single seats').fill('2 {"extra_minutes":30}');
    const { name, bytes } = await download(page, 'Make tickets and save them as CSV');
    expect(name).toBe(`tickets-${link.examId}.csv`);
    const lines = bytes.toString('utf8').trim().split('\r\n');
    expect(lines).toHaveLength(4);
    const ticketLink = parseExamLink(lines[2]!.split(',')[1]!);
    expect(ticketLink.ticket).toBeDefined();
    const made = { ...exam, pins: link, policy };
    expect(
      await record({ service, exam: made, seat: '', link: ticketLink, epochs: [{ media: ['screen'] }] }),
    ).toHaveLength(22);
    await screenshot(page, 'review-made-exam');
  });

  test('saves a film with picture and sound in order, which the log knows of', async () => {
    await unlock(page, service.server.url, owner, placeOf(exam.pins.examId, recordingId));
    await page.getByRole('heading', { name: 'A Student' }).waitFor();
    for (const format of ['webm', 'mp4'] as const) {
      await page.getByLabel('Kind of file').selectOption(format);
      const { name, bytes } = await download(page, 'Save the film, decrypted');
      expect(name).toBe(`${recordingId}-webcam.${format}`);
      const film = await page.evaluate(
        async ({ bytes, type }) => {
          const video = Object.assign(document.createElement('video'), { id: 'film', muted: true });
          const content = Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
          video.src = URL.createObjectURL(new Blob([content], { type }));
          document.querySelector('#film')?.remove();
          document.body.append(video);
          await new Promise((resolve) => {
            video.onloadeddata = resolve;
          });
          const seeked = new Promise((resolve) => {
            video.onseeked = resolve;
          });
          video.currentTime = 31;
          await seeked;
          const context = new OfflineAudioContext(1, 48_000, 48_000);
          const sound = await context.decodeAudioData(content.buffer);
          return {
            duration: video.duration,
            soundDuration: sound.duration,
            loudest: sound.getChannelData(0).reduce((most, sample) => Math.max(most, sample)),
          };
        },
        { bytes: bytes.toString('base64'), type: `video/${format}` },
      );
      expect(film.duration).toBeGreaterThan(118);
      expect(film.soundDuration).toBeGreaterThan(118);
      expect(film.loudest).toBeGreaterThan(0.05);
      expect(await likeness(page, '#film', 'webcam')).toBeGreaterThan(30);
    }
    expect((await typesOfLog()).filter((type) => type === 'export.declared')).toHaveLength(2);
  });

  test('saves a case file that verifies and opens without the service', async () => {
    await unlock(page, service.server.url, owner, placeOf(exam.pins.examId, recordingId));
    await page.getByRole('heading', { name: 'A Student' }).waitFor();
    const { bytes } = await download(page, 'Save the case file');
    await page.getByText('Its verdict: Complete.').waitFor();
    const directory = await mkdtemp(join(tmpdir(), 'zeroreel-case-'));
    try {
      await writeFile(join(directory, 'case.tar'), bytes);
      await run('tar', ['-xf', 'case.tar'], { cwd: directory });
      const folder = new NodeCaseFolder(join(directory, recordingId));
      const reader = await openCaseFile({ folder, ownerHash: exam.pins.ownerHash, key: owner.key, nowMs: Date.now() });
      expect((await reader.verify('plaintext')).verdict).toBe('COMPLETE');
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('gives a recording to a colleague whose fingerprint was compared, and to nobody else', async () => {
    const colleague = await makeReviewer(service, 'late reader');
    await unlock(page, service.server.url, owner, placeOf(exam.pins.examId, recordingId));
    await page.getByRole('heading', { name: 'A Student' }).waitFor();
    const give = async (): Promise<void> => {
      await page.getByLabel('Public line of the colleague').fill(colleague.publicLine);
      await page.getByRole('button', { name: 'Show the fingerprint' }).click();
      await page.getByRole('button', { name: 'The fingerprint is the same: give it' }).click();
    };
    await give();
    await page.getByText('The exam’s owner has not made this key a reader.').waitFor();
    await page.getByRole('link', { name: /All recordings of/ }).click();
    await page.getByRole('button', { name: 'Add a reader' }).click();
    const dialog = page.getByRole('dialog', { name: 'Add a reader' });
    await dialog.getByLabel('Public line').fill(colleague.publicLine);
    await dialog.getByRole('button', { name: 'Show the fingerprint' }).click();
    await dialog.getByRole('button', { name: /The fingerprint is the same/ }).click();
    await page.getByRole('rowheader', { name: 'late reader' }).waitFor();
    await page.goBack();
    await page.getByRole('heading', { name: 'A Student' }).waitFor();
    await give();
    await page.getByText('Given: all 2 parts of the recording.').waitFor();
    expect((await typesOfLog()).filter((type) => type === 'grant.added')).toHaveLength(2);
    await page.getByRole('button', { name: 'Lock' }).click();
    await page.getByRole('button', { name: 'Unlock' }).waitFor();
    await unlock(page, service.server.url, colleague, placeOf(exam.pins.examId, recordingId));
    await page.getByText(/signed by a key that you have not met here/).waitFor();
    await expectAccessible(page);
    await page.getByRole('button', { name: /this is the owner’s key/ }).click();
    await page.getByRole('heading', { name: 'A Student' }).waitFor();
    await page.getByText('Complete.').first().waitFor();
  });

  test('makes a key, and makes it known with a token', async () => {
    const { token } = await service.staff().createToken({ role: 'instructor', label: 'new colleague', days: 1 });
    await page.goto(`${service.server.url}/review`);
    await page.getByRole('button', { name: 'Make a key' }).click();
    const drawn = await page
      .locator('.passphrase')
      .filter({ hasText: /\w+ \w+|\w+-\w+/ })
      .textContent();
    await expectAccessible(page);
    await screenshot(page, 'review-new-key');
    await page.getByLabel('Type the passphrase').fill(drawn!);
    await page.getByLabel('Your name as colleagues see it').fill('Instructor, Biology');
    const { bytes } = await download(page, 'Make the key and save its file');
    expect(bytes.toString('utf8')).toMatch(/^-----BEGIN ZEROREEL KEY FILE-----/);
    await page.getByRole('heading', { name: 'The service does not know this key yet' }).waitFor();
    await expectAccessible(page);
    await screenshot(page, 'review-enrol');
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Make this key known' }).click();
    await page.getByRole('heading', { name: 'Exams' }).waitFor();
  });
});
