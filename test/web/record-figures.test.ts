/** SLOW=1: how many frames are dropped while three tracks of usual size are recorded for a minute. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensurePages } from '../../scripts/pages.ts';
import { TestService } from '../client/service.ts';
import { describeInChromium, TestBrowser } from './browser.ts';
import { eventsOf, openReader, seatLink, Student } from './student.ts';

const EVENTS = 4;
const RECORDED_MS = 65_000;

const slow = process.env['SLOW'] === '1' ? describeInChromium : describe.skip;

slow('three tracks at once', () => {
  let service: TestService;
  let browser: TestBrowser;
  beforeAll(async () => {
    await ensurePages();
    service = await TestService.start();
    browser = await TestBrowser.launch();
  });
  afterAll(async () => {
    await browser.close();
    await service.stop();
  });

  test('are recorded, and every frame of the camera is kept or counted as lost', async () => {
    const tracks = [{ kind: 'webcam' }, { kind: 'microphone' }, { kind: 'screen' }, { kind: 'events' }] as const;
    const exam = await service.exam({ tracks });
    const student = await Student.arrive(browser, await seatLink(exam, 'figures'));
    await student.allow('camera', 'microphone', 'screen');
    await student.acknowledge();
    await student.start();
    const recordingId = await student.recordingId();
    await pause(RECORDED_MS); // the figure is about a minute of time
    await student.end();
    const reader = await openReader(exam, recordingId);
    expect((await reader.verify('plaintext')).verdict).toBe('COMPLETE');
    const told = (await eventsOf(reader, 0, EVENTS)).filter((event) => event.type === 'frames');
    for (const source of ['webcam', 'screen'] as const) {
      const ours = told.filter((event) => event.source === source);
      const sum = (name: 'encoded' | 'dropped' | 'for_ms') => ours.reduce((total, event) => total + event[name], 0);
      const [encoded, dropped, seconds] = [sum('encoded'), sum('dropped'), sum('for_ms') / 1000];
      process.stderr.write(
        `${source}: ${encoded} frames in ${Math.round(seconds)} s (${(encoded / seconds).toFixed(1)} a second), ${dropped} dropped\n`,
      );
      expect(encoded).toBeGreaterThan(seconds);
      const asked = source === 'webcam' ? 15 : 5;
      expect(Math.abs((encoded + dropped) / seconds - asked)).toBeLessThan(asked / 10);
    }
  }, 240_000);
});
