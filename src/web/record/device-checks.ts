/** What this device must have before anything is recorded, each with what to do where it is missing. */
import type { Tone } from '../parts/status.tsx';
import type { ExamView } from './messages.ts';
import { deadlineText } from '../parts/instant.ts';

export interface Check {
  name: string;
  tone: Tone;
  words: string;
}

/** Needs of the recorder, by the name of what is missing in `globalThis`. */
const NEEDS = ['MediaStreamTrackProcessor', 'VideoEncoder', 'AudioEncoder', 'indexedDB'] as const;

const LITTLE_ROOM = 500 * 2 ** 20;
/** A clock that is further off makes the times of a recording hard to believe. */
const CLOCK_OFF_MS = 120_000;

export function checkBrowser(): Check {
  const missing = NEEDS.filter((name) => !(name in globalThis));
  const isSecure = globalThis.isSecureContext && 'locks' in navigator && 'mediaDevices' in navigator;
  if (missing.length === 0 && isSecure) return { name: 'Browser', tone: 'good', words: 'This browser can record.' };
  return {
    name: 'Browser',
    tone: 'bad',
    words: `This browser cannot record. Open the link in a current Chrome, Edge or Chromium on a computer. (Missing: ${missing.join(', ') || 'a secure connection'}.)`,
  };
}

export function checkClock(offsetMs: number): Check {
  const minutes = Math.round(Math.abs(offsetMs) / 60_000);
  if (Math.abs(offsetMs) < CLOCK_OFF_MS)
    return { name: 'Clock', tone: 'good', words: 'The clock of this device is right.' };
  return {
    name: 'Clock',
    tone: 'warn',
    words: `The clock of this device is ${minutes} minutes ${offsetMs > 0 ? 'slow' : 'fast'}. Set it to automatic; recording works all the same.`,
  };
}

/** By the clock of this device, as the recorder goes by it. */
export function checkTime({ notBeforeMs, notAfterMs }: ExamView, nowMs: number): Check {
  const name = 'Time';
  const clock = 'If that has passed, the clock of this device is wrong: set it to automatic.';
  if (nowMs < notBeforeMs) {
    return {
      name,
      tone: 'bad',
      words: `This exam can be recorded from ${deadlineText(notBeforeMs)}. Load this page again then. ${clock}`,
    };
  }
  if (nowMs >= notAfterMs)
    return { name, tone: 'bad', words: `This exam could be begun until ${deadlineText(notAfterMs)}.` };
  return { name, tone: 'good', words: `This exam can be begun until ${deadlineText(notAfterMs)}.` };
}

export function checkNetwork(roundTripMs: number): Check {
  const isSlow = roundTripMs > 2_000;
  return {
    name: 'Network',
    tone: isSlow ? 'warn' : 'good',
    words: isSlow
      ? 'The service answers slowly. Recording works: what cannot be sent at once waits on this device.'
      : 'The service answers.',
  };
}

/** Also asks the browser to keep what waits here when it tidies up. */
export async function checkStorage(): Promise<Check> {
  const { quota = 0, usage = 0 } = await navigator.storage.estimate();
  await navigator.storage.persist().catch(() => false);
  const room = quota - usage;
  if (room >= LITTLE_ROOM) {
    return { name: 'Storage', tone: 'good', words: 'There is room for hours of recording if the network fails.' };
  }
  return {
    name: 'Storage',
    tone: 'warn',
    words: `Only ${Math.floor(room / 2 ** 20)} MB are free for this page. If the network fails for long, recording may stop. Free space on this device.`,
  };
}
