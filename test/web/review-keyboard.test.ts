/** Everything that the review page does, without a mouse; each stop by the role and name that a screen reader has for it. */
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { ExamEvent } from '../../schema/events.ts';
import { ensurePages } from '../../scripts/pages.ts';
import { TestService } from '../client/service.ts';
import { complaintsOf, describeInChromium, TestBrowser } from './browser.ts';
import { Keyboard } from './keyboard.ts';
import { makeExam, makeReviewer, PASSPHRASE, record, type Reviewer } from './recorded.ts';
import { placeOf, positionOf } from './reviewer.ts';

const EVENTS: ExamEvent[] = [
  { v: 1, t: 9000, type: 'focus_lost' },
  { v: 1, t: 12_500, type: 'focus_gained', away_ms: 3500 },
  { v: 1, t: 33_010, type: 'pasted', characters: 34 },
];

describeInChromium('by keyboard alone, a reviewer', () => {
  let service: TestService;
  let owner: Reviewer;
  let colleague: Reviewer;
  let examId: string;
  let recordingId: string;
  let browser: TestBrowser;
  let page: Page;
  let keyboard: Keyboard;

  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start();
    owner = await makeReviewer(service, 'reader 1');
    colleague = await makeReviewer(service, 'reader 2');
    const exam = await makeExam(service, [owner]);
    ({ examId } = exam.pins);
    recordingId = await record({ service, exam, seat: '0001', name: 'A Student', epochs: [{ events: EVENTS }] });
    browser = await TestBrowser.launch();
  });
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });
  beforeEach(async () => {
    page = await browser.page();
    keyboard = await Keyboard.of(page);
  });
  afterEach(async () => {
    expect([...keyboard.faults]).toEqual([]);
    expect(complaintsOf(page)).toEqual([]);
    await page.close();
  });

  async function unlock(place: string): Promise<void> {
    await page.goto(`${service.server.url}/review${place}`);
    await page.getByRole('heading', { name: 'Unlock your key' }).waitFor();
    const buffer = Buffer.from(owner.keyFile);
    await keyboard.file(/^Key file/, { name: 'my.key', mimeType: 'text/plain', buffer });
    await keyboard.type('Passphrase of the key', PASSPHRASE);
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Lock' }).waitFor();
  }

  async function openRecording(): Promise<void> {
    await unlock(placeOf(examId, recordingId));
    await page.getByRole('heading', { name: 'A Student' }).waitFor();
    await page.getByText('Complete.').first().waitFor();
  }

  async function save(press: () => Promise<void>): Promise<string> {
    const [saved] = await Promise.all([page.waitForEvent('download', { timeout: 60_000 }), press()]);
    return saved.suggestedFilename();
  }

  test('makes a key, and comes back without one', async () => {
    await page.goto(`${service.server.url}/review`);
    await page.getByRole('heading', { name: 'Unlock your key' }).waitFor();
    await keyboard.press('button', 'Make a key');
    await page.locator('.passphrase').filter({ hasNotText: 'Drawing' }).waitFor();
    await keyboard.type('Type the passphrase', (await page.locator('.passphrase').textContent())!);
    await keyboard.type('Your name as colleagues see it', 'Instructor, Biology');
    expect(await save(() => keyboard.press('button', 'Make the key and save its file'))).toBe('instructor.key');
    await page.getByRole('heading', { name: 'The service does not know this key yet' }).waitFor();
    await keyboard.type('Token', 'zri_no-such-token-at-all-but-long-enough-1234');
    await keyboard.press('button', 'Make this key known');
    await page.getByRole('alert').getByText(/./).first().waitFor();
  });

  test('makes an exam with a second reader, and its tickets', async () => {
    await unlock('#/exams');
    await keyboard.press('link', 'New exam');
    await page.getByRole('heading', { name: 'New exam' }).waitFor();
    await keyboard.type('Title', 'Chemistry 7');
    await keyboard.tick(/^Practice exam/);
    await keyboard.type('Days until a recording is destroyed', '14', 'spinbutton');
    await keyboard.choose('Webcam', /^not recorded/);
    await keyboard.choose('Microphone', /^required/);
    await keyboard.tick('Stay in full screen');
    await keyboard.type('You, as students read it', 'Instructor, Chemistry');
    await keyboard.press('button', 'Add a reader');
    await keyboard.choose('Role of reader 3', /^Instructor/);
    await keyboard.type('Public line of reader 3', colleague.publicLine);
    await keyboard.press('button', 'Sign and publish');
    await page.getByRole('heading', { name: 'Chemistry 7' }).waitFor();
    await page.getByRole('rowheader', { name: 'reader 2' }).waitFor();
    await page.getByText('24 hours: a practice exam').waitFor();
    await keyboard.type('How many', '2', 'spinbutton');
    await keyboard.type('Exceptions for single seats', '2 {"extra_minutes":30}');
    expect(await save(() => keyboard.press('button', 'Make tickets and save them as CSV'))).toMatch(/^tickets-.*csv$/);
    await keyboard.press('button', /^Copy: /);
    await keyboard.press('link', 'All exams');
    await page.getByRole('heading', { name: 'Exams' }).waitFor();
    await keyboard.press('button', 'Lock');
    await page.getByRole('heading', { name: 'Unlock your key' }).waitFor();
  });

  test('ranks an exam’s recordings by own weights, searches them, and opens one', async () => {
    await unlock(`#/exam/${examId}`);
    await page.getByText(/1 recording/).waitFor();
    await keyboard.press('button', 'Open their events and rank them');
    await page.getByText('1 of 1 read').waitFor();
    await keyboard.press('button', 'Weights');
    await keyboard.choose('pasted', /^5$/);
    await keyboard.press('button', 'Done');
    await expect.poll(() => keyboard.stop()).toEqual({ role: 'button', name: 'Weights' });
    await page.getByText('weights: pasted 5; the others default').waitFor();
    // The tables can be scrolled by keys where they are too wide.
    await keyboard.to('region', /^Recordings by score/);
    await keyboard.type('Search the events of this exam', 'pasted', 'searchbox');
    await page.getByText('1 event found').waitFor();
    await keyboard.press('link', '0:33');
    await page.getByRole('heading', { name: 'A Student' }).waitFor();
    await expect.poll(async () => (await keyboard.stop()).role).toBe('main');
  });

  test('plays, moves, goes from incident to incident, and changes speed and sound', async () => {
    await openRecording();
    await keyboard.press('button', 'Play');
    await expect.poll(() => positionOf(page)).toBeGreaterThan(0);
    await keyboard.press('button', 'Pause');
    await keyboard.press('button', 'Next incident');
    await expect.poll(() => positionOf(page)).toBeCloseTo(8, 0);
    await keyboard.press('button', 'Next incident');
    await expect.poll(() => positionOf(page)).toBeCloseTo(32, 0);
    await keyboard.press('button', 'Previous incident');
    await expect.poll(() => positionOf(page)).toBeCloseTo(8, 0);
    await keyboard.press('button', '+10 s: forward');
    await expect.poll(() => positionOf(page)).toBeCloseTo(18, 0);
    await keyboard.to('slider', 'Position');
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => positionOf(page)).toBeCloseTo(19, 0);
    await page.keyboard.press('Home');
    await expect.poll(() => positionOf(page)).toBe(0);
    await keyboard.choose('Speed', /^4 ×/);
    await keyboard.choose('Sound', /^off/);
    await keyboard.tick(/^Skip what is inactive/);
    await keyboard.press('button', 'Keys');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Escape');
    await keyboard.press('button', 'Show thumbnails');
    await page.getByRole('list', { name: 'Thumbnails' }).waitFor();
    await keyboard.press('button', /^Go to 0:0\d$/);
    await keyboard.press('button', 'Go to 0:33, pasted');
    await expect.poll(() => positionOf(page)).toBeCloseTo(32, 0);
  });

  test('decides on a flag, writes a note, checks every byte and prints the report', async () => {
    await page.addInitScript(() => {
      window.print = () => {
        document.title = 'printed';
      };
    });
    await openRecording();
    await keyboard.press('button', 'Decide: pasted at 0:33');
    await page.getByRole('dialog', { name: 'pasted at 0:33' }).waitFor();
    await keyboard.choose('Your opinion', /^confirm/);
    await keyboard.type('Reason', 'A whole answer at once.');
    await keyboard.press('button', 'Save');
    await page.getByRole('button', { name: 'Your opinion: pasted at 0:33' }).waitFor();
    await keyboard.press('button', 'Check every byte now');
    await page.getByText('Checked: every byte, and that all of it opens.').first().waitFor();
    await keyboard.type('New note on the whole recording', 'Calm otherwise.');
    await keyboard.press('button', 'Add the note');
    await page.getByRole('listitem').filter({ hasText: 'Calm otherwise.' }).first().waitFor();
    await keyboard.press('button', 'Print, or save as PDF');
    expect(await page.title()).toBe('printed');
  });

  test('saves film and case file, and gives the recording to a colleague', async () => {
    await openRecording();
    await keyboard.choose('Picture', /^screen/);
    await keyboard.choose('Kind of file', /^MP4/);
    expect(await save(() => keyboard.press('button', /^Save the film/))).toMatch(/-screen\.mp4$/);
    expect(await save(() => keyboard.press('button', 'Save the case file'))).toMatch(/^case-/);
    await page.getByText('Its verdict: Complete.').waitFor();

    await keyboard.press('link', /^All recordings of/);
    await page.getByRole('heading', { name: 'Physics 101' }).waitFor();
    await keyboard.press('button', 'Add a reader');
    await keyboard.choose('Role', /^Instructor/);
    await keyboard.type('Public line', colleague.publicLine);
    await keyboard.press('button', 'Show the fingerprint');
    await page.getByRole('dialog').getByText('Fingerprint', { exact: true }).waitFor();
    await keyboard.press('button', /^The fingerprint is the same/);
    await page.getByRole('rowheader', { name: 'reader 2' }).waitFor();
    expect(await keyboard.stop()).toEqual({ role: 'button', name: 'Add a reader' });
    await keyboard.press('link', 'A Student').catch(() => keyboard.press('link', recordingId));
    await page.getByRole('heading', { name: 'A Student' }).waitFor();
    await keyboard.type('Public line of the colleague', colleague.publicLine);
    await keyboard.press('button', 'Show the fingerprint');
    await page.getByText('Fingerprint', { exact: true }).first().waitFor();
    await keyboard.press('button', 'The fingerprint is the same: give it');
    await page.getByText('Given: the whole recording.').waitFor();
  });
});
