/** A whole recording in a real Chromium, from the link to what the instructor decodes. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gunzipSync } from 'node:zlib';
import { readFile } from 'node:fs/promises';
import { concat, toBase64Url } from '../../crypto/format/bytes.ts';
import { participantHash, parseOpen } from '../../crypto/format/open.ts';
import { aboutSchema, type ExamEvent } from '../../schema/events.ts';
import { ensurePages } from '../../scripts/pages.ts';
import { readReceipt, receiptOfLink } from '../../src/client/kept-receipt.ts';
import { TestService, type TestExam } from '../client/service.ts';
import {
  complaintsOf,
  describeInChromium,
  expectAccessible,
  focused,
  inEveryLook,
  screenshot,
  tabTo,
  TestBrowser,
} from './browser.ts';
import { chunksOf, decode, eventsOf, openReader, packetsOf, QUICK, seatLink, Student, until } from './student.ts';

const ALL = [
  { kind: 'webcam' },
  { kind: 'microphone' },
  { kind: 'screen' },
  { kind: 'events' },
  { kind: 'photo', required: false },
] as const;
/** Ids follow the order: `about` is 0. */
const [WEBCAM, MICROPHONE, SCREEN, EVENTS, PHOTO] = [1, 2, 3, 4, 5] as const;

describeInChromium('a student records in a browser', () => {
  let service: TestService;
  let exam: TestExam;
  let browser: TestBrowser;

  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start();
    exam = await service.exam({
      title: 'Physics 101, final',
      tracks: ALL,
      capture: { ...QUICK, pause: true, no_clipboard: true, full_screen: true },
      contact: 'exams@example.edu',
    });
    browser = await TestBrowser.launch();
  });
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });

  test('and the instructor decodes what was before the camera, the screen and the microphone', async () => {
    const student = await Student.arrive(browser, await seatLink(exam, 'seat-1'));
    const { page } = student;
    await page.getByRole('heading', { name: '1. Check this device' }).waitFor();
    await inEveryLook(page, () => expectAccessible(page));
    await screenshot(page, 'record-1-arrived');

    // The notice, out of the signed policy: who, until when, whom to ask.
    const readers = page.getByRole('region', { name: 'Who can open it', exact: true });
    expect(await readers.getByRole('row').count()).toBe(3);
    expect(await readers.textContent()).toMatch(/instructor 1.*[0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){7}/);
    expect(await page.getByRole('main').textContent()).toContain('exams@example.edu');

    // Nothing starts before everything is there, and it says what is missing.
    await student.press('Start recording');
    await page.getByText('Allow your camera.').waitFor();
    await page.getByText('Tick that you have read the notice.').waitFor();
    await expectAccessible(page);

    await student.allow('camera', 'microphone', 'screen');
    await student.press('Take the photo of your ID');
    await page.getByText('The photo is taken.').waitFor();
    await student.acknowledge();
    await inEveryLook(page, () => expectAccessible(page));
    await screenshot(page, 'record-2-ready');
    await student.start();
    await page
      .getByText(/^Recording/)
      .first()
      .waitFor();
    await student.untilStored(8);
    await inEveryLook(page, () => expectAccessible(page));
    await screenshot(page, 'record-3-recording');

    // What leaves a rule is told, to both.
    await page.evaluate(() => document.dispatchEvent(new ClipboardEvent('copy')));
    await page.getByText('You copied, cut or pasted.').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'record-4-rule');

    await student.press('Pause');
    await page.getByRole('heading', { name: 'Paused' }).waitFor();
    await page
      .getByRole('banner')
      .getByText(/^Paused/)
      .waitFor();
    await expectAccessible(page);
    await screenshot(page, 'record-5-paused');
    await student.press('Go on recording');
    const { sealed } = await student.counts();
    await student.untilStored(sealed + 6);
    const recordingId = await student.recordingId();

    await student.press('End the recording');
    await page.getByRole('dialog').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'record-6-ending');
    await student.press('End it');
    await page.getByText('It is safe to close this page').waitFor({ timeout: 60_000 });
    await inEveryLook(page, () => expectAccessible(page));
    await screenshot(page, 'record-7-done');

    const [file] = await Promise.all([page.waitForEvent('download'), student.press('Download the receipt')]);
    const receipt = await readReceipt(await readFile(await file.path(), 'utf8'));
    expect(receipt.record.sessionId).toBe(recordingId);
    await page.getByRole('img', { name: 'The receipt as a QR code' }).waitFor();
    const receiptUrl = await page.getByRole('link', { name: 'check it now' }).getAttribute('href');
    expect((await readReceipt(receiptOfLink(receiptUrl!))).receipt).toEqual(receipt.receipt);
    expect(complaintsOf(page)).toEqual([]);

    const reader = await openReader(exam, recordingId);
    expect((await reader.verify('plaintext')).verdict).toBe('COMPLETE');

    // Names are in the about track, and its participant is OPEN's.
    const about = aboutSchema.parse(await reader.readAbout(0));
    expect(about.name).toBe('Ada Student');
    expect(about.acknowledged_ms).toBeGreaterThan(0);

    for (const [track, rate] of [
      [WEBCAM, 10],
      [SCREEN, 5],
    ] as const) {
      const chunks = await chunksOf(reader, 0, track);
      const media = chunks.filter(({ bytes }) => bytes.length > 0);
      expect(media.length).toBeGreaterThanOrEqual(3);
      const whole = await packetsOf(concat(...media.map(({ bytes }) => bytes)));
      const frames = await decode(page, whole);
      expect(frames.frames).toBe(whole.packets.length);
      // A test picture moves and has light and dark; a black frame or noise would not.
      expect(frames.brightest - frames.darkest).toBeGreaterThan(100);
      // As long as it was recorded, less the pause; and no faster than was asked for.
      const seconds = (frames.lastMs - whole.packets[0]!.ms) / 1000;
      expect(frames.frames).toBeLessThanOrEqual(seconds * rate * 1.5);
      expect(frames.frames).toBeGreaterThan(seconds);
      expect(media.some(({ gapMs }) => gapMs > 0)).toBe(true);

      // Every chunk begins where a player can begin, and says when.
      const init = initSegment(media[0]!.bytes);
      let later = media[0]!;
      for (const chunk of media) {
        const { bytes, startMs } = chunk;
        const alone = await packetsOf(bytes === media[0]!.bytes ? bytes : concat(init, bytes));
        expect(alone.packets[0]!.isKey).toBe(true);
        expect(Math.abs(alone.packets[0]!.ms - startMs)).toBeLessThanOrEqual(2);
        // The end may fall right after a key frame, and a player cannot tell how long a single frame is to stand.
        if (alone.packets.length > 1) later = chunk;
      }
      expect(later.seq).toBeGreaterThan(0);
      const played = await page.evaluate(playWithMediaSource, {
        type: reader.epochs[0]!.tracks.find((listed) => listed.track === track)!.codec,
        parts: [init, later.bytes].map((bytes) => Buffer.from(bytes).toString('base64')),
      });
      expect(Math.abs(played.startMs - later.startMs)).toBeLessThanOrEqual(60);
    }

    const sound = await packetsOf(concat(...(await chunksOf(reader, 0, MICROPHONE)).map(({ bytes }) => bytes)));
    expect(sound.codec).toBe('opus');
    const heardMs = sound.packets.length * 20;
    const spanMs = sound.packets.at(-1)!.ms - sound.packets[0]!.ms;
    expect(heardMs).toBeGreaterThan(spanMs * 0.5);
    expect(heardMs).toBeLessThanOrEqual(spanMs + 200);

    const [photo] = await chunksOf(reader, 0, PHOTO);
    expect([...photo!.bytes.subarray(0, 3)]).toEqual([0xff, 0xd8, 0xff]);

    const events = await eventsOf(reader, 0, EVENTS);
    const types = new Set(events.map(({ type }) => type));
    for (const type of [
      'recording_started',
      'capture_started',
      'copied',
      'rule_left',
      'paused',
      'continued',
      'photo_taken',
      'sound_level',
      'recording_ended',
    ] as const) {
      expect(types, type).toContain(type);
    }
    const copied = events.find((event): event is Extract<ExamEvent, { type: 'copied' }> => event.type === 'copied');
    expect(copied).toEqual({ v: 1, t: copied!.t, type: 'copied', characters: 0 });
    await page.close();
  }, 240_000);

  test('by keyboard alone, from the link to the receipt', async () => {
    const link = await seatLink(exam, 'seat-2', {
      tracks_off: 'photo,screen',
      rules_off: 'full_screen',
      flags_ignored: 'focus_lost',
      extra_minutes: 30,
    });
    const student = await Student.arrive(browser, link);
    const { page } = student;
    await page.getByRole('heading', { name: '1. Check this device' }).waitFor();
    // Focus is on the heading: a reader begins there.
    expect(await focused(page)).toBe('h1: Physics 101, final');
    const main = (await page.getByRole('main').textContent()) ?? '';
    for (const granted of ['Not recorded for you: screen.', 'Not counted for you: focus lost.', 'extra minutes: 30'])
      expect(main).toContain(granted);
    expect(await page.getByRole('button', { name: 'Share your screen' }).count()).toBe(0);

    for (const source of ['camera', 'microphone']) {
      await tabTo(page, new RegExp(`button: Allow the ${source}`));
      await page.keyboard.press('Enter');
      await page.getByRole('button', { name: `Allow the ${source}` }).waitFor({ state: 'detached' });
    }
    await tabTo(page, /input: I have read/);
    await page.keyboard.press('Space');
    await tabTo(page, /input: Your name/);
    await page.keyboard.type('Grace Keys');
    await tabTo(page, /button: Start recording/);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'It is recording' }).waitFor();
    expect(await focused(page)).toBe('h1: Physics 101, final');
    await student.untilStored(4);
    const recordingId = await student.recordingId();
    await tabTo(page, /button: End the recording/);
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'End the recording?' }).waitFor();
    await page.keyboard.press('Escape');
    await until('focus is back', async () => (await focused(page)) === 'button: End the recording');
    await page.keyboard.press('Enter');
    await tabTo(page, /button: End it/);
    await page.keyboard.press('Enter');
    await page.getByText('It is safe to close this page').waitFor({ timeout: 60_000 });
    await tabTo(page, /button: Download the receipt/);
    const [file] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')]);
    expect((await readReceipt(await readFile(await file.path(), 'utf8'))).record.sessionId).toBe(recordingId);

    const reader = await openReader(exam, recordingId);
    expect((await reader.verify('plaintext')).verdict).toBe('COMPLETE');
    expect(reader.epochs[0]!.tracks.map(({ track }) => track)).toEqual([0, WEBCAM, MICROPHONE, EVENTS]);
    const about = aboutSchema.parse(await reader.readAbout(0));
    expect(about).toMatchObject({
      name: 'Grace Keys',
      accommodations: {
        tracks_off: ['photo', 'screen'],
        rules_off: ['full_screen'],
        flags_ignored: ['focus_lost'],
        extra_minutes: 30,
      },
    });
    const { open } = (
      await service
        .staff()
        .release(recordingId, { key_id: toBase64Url(exam.instructors[0]!.key.keyId), purpose: 'review' })
    ).epochs[0]!;
    const { salt, issuer, subject } = about.participant!;
    expect(subject).toBe('seat-2');
    expect(toBase64Url(parseOpen(Buffer.from(open, 'base64url') as never).participant)).toBe(
      toBase64Url(await participantHash(Buffer.from(salt, 'base64url'), issuer, subject)),
    );
    const started = (await eventsOf(reader, 0, EVENTS)).find(({ type }) => type === 'recording_started');
    expect(started).toMatchObject({ rules: ['no_clipboard'], tracks: ['webcam', 'microphone', 'events'] });
    await page.close();
  }, 180_000);

  test('where the policy asks for it, the rough location reaches the readers, rounded, and only if the student says so', async () => {
    const asking = await service.exam({ tracks: [{ kind: 'events' }], capture: { ...QUICK, location: true } });
    await browser.context.grantPermissions(['geolocation'], { origin: service.server.url });
    await browser.context.setGeolocation({ latitude: 52.51634, longitude: 13.37771, accuracy: 8 });
    for (const [seat, answer, shown, location] of [
      [
        'told',
        'Tell my rough location',
        'Told: 52.52, 13.38.',
        { latitude: 52.52, longitude: 13.38, accuracy_m: 1000 },
      ],
      ['not told', 'Do not tell it', 'Not told.', null],
    ] as const) {
      const student = await Student.arrive(browser, await seatLink(asking, seat));
      await student.press(answer);
      await student.page.getByText(shown).waitFor();
      await student.acknowledge();
      await student.start();
      const recordingId = await student.recordingId();
      await student.end();
      const reader = await openReader(asking, recordingId);
      expect((await reader.verify('plaintext')).verdict).toBe('COMPLETE');
      expect(aboutSchema.parse(await reader.readAbout(0)).location).toEqual(location);
      await student.page.close();
    }
  }, 120_000);

  test('a Safe Exam Browser file starts at the exam link, in the form that it reads', async () => {
    const link = await seatLink(exam, 'seat-3');
    const student = await Student.arrive(browser, link);
    await student.page.getByText('Safe Exam Browser', { exact: true }).click();
    const [file] = await Promise.all([student.page.waitForEvent('download'), student.press('Download exam.seb')]);
    expect(file.suggestedFilename()).toBe('exam.seb');
    const outer = gunzipSync(await readFile(await file.path()));
    expect(outer.subarray(0, 4).toString()).toBe('plnd');
    const plist = gunzipSync(outer.subarray(4)).toString('utf8');
    expect(plist).toContain(`<key>startURL</key>\n  <string>${link}</string>`);
    await student.page.close();
  });

  test('a link that was cut, altered or is of another owner records nothing, and says what to do', async () => {
    const whole = await seatLink(exam, 'seat-4');
    const cases: [link: string, words: RegExp][] = [
      [`${service.server.url}/record`, /opened by the link that your instructor gave you/],
      [whole.slice(0, -30), /not a whole exam link/],
      [
        whole.replace(/(#v1\.[^.]+\.).{43}/, `$1${'A'.repeat(43)}`),
        /could not be confirmed as those of your instructor/,
      ],
    ];
    for (const [link, words] of cases) {
      const page = await browser.page();
      await page.goto(link);
      await page.getByText(words).waitFor();
      await expectAccessible(page);
      expect(await page.getByRole('button', { name: 'Start recording' }).count()).toBe(0);
      await page.close();
    }
  });

  test('before its time an exam cannot be begun, and the page says from when it can', async () => {
    const now = Date.now();
    const later = await service.exam({
      tracks: [{ kind: 'events' }],
      notBeforeMs: now + 3_600_000,
      notAfterMs: now + 7_200_000,
    });
    const student = await Student.arrive(browser, await seatLink(later, 'early'));
    await student.acknowledge();
    await student.press('Start recording');
    await student.page.getByText('Before it can start:').waitFor();
    expect(await student.page.getByText(/This exam can be recorded from/).count()).toBe(2);
    expect(await student.page.getByRole('heading', { name: 'It is recording' }).count()).toBe(0);
    await student.page.close();
  });
});

/** Everything before the first Cluster. */
function initSegment(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const at = Buffer.from(bytes).indexOf(Buffer.from([0x1f, 0x43, 0xb6, 0x75]));
  return bytes.slice(0, at);
}

/** Runs in the page: what MediaSource makes of an init segment and one later chunk. */
async function playWithMediaSource({
  type,
  parts,
}: {
  type: string;
  parts: string[];
}): Promise<{ startMs: number; endMs: number }> {
  const source = new MediaSource();
  const video = document.createElement('video');
  video.src = URL.createObjectURL(source);
  await new Promise((resolve) => {
    source.addEventListener('sourceopen', resolve, { once: true });
  });
  const buffer = source.addSourceBuffer(type);
  for (const part of parts) {
    buffer.appendBuffer(Uint8Array.from(atob(part), (character) => character.charCodeAt(0)));
    await new Promise((resolve, reject) => {
      buffer.addEventListener('updateend', resolve, { once: true });
      buffer.addEventListener('error', reject, { once: true });
    });
  }
  return { startMs: buffer.buffered.start(0) * 1000, endMs: buffer.buffered.end(buffer.buffered.length - 1) * 1000 };
}
