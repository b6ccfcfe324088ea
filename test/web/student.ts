/** A student at the Record page, as tests drive one: by roles and names, as a screen reader does. And who reads afterwards. */
import { setTimeout as pause } from 'node:timers/promises';
import { ALL_FORMATS, BufferSource, EncodedPacketSink, Input } from 'mediabunny';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';
import { concat, fromUtf8, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { parseEvents, type ExamEvent } from '../../schema/events.ts';
import { issueTicket } from '../../src/client/exam.ts';
import { formatExamLink } from '../../src/client/link.ts';
import { RecordingReader, type MediaChunk } from '../../src/client/reader.ts';
import { ApiSource } from '../../src/client/source.ts';
import type { TestExam } from '../client/service.ts';
import type { TestBrowser } from './browser.ts';

/** Small pictures and short chunks, so that a test sees several in seconds. */
export const QUICK = {
  chunk_seconds: 3,
  head_seconds: 1,
  video_height: 180,
  screen_height: 360,
  frame_rate: 10,
} as const;

export async function seatLink(
  exam: Pick<TestExam, 'service' | 'owner' | 'signed'>,
  seat: string,
  accommodations?: Record<string, string | number>,
): Promise<string> {
  const { pins, policy } = exam.signed;
  const plan = { examId: pins.examId, seat, expiresMs: policy.not_after, ...(accommodations && { accommodations }) };
  return formatExamLink({ url: exam.service.server.url, ...pins, ticket: await issueTicket(plan, exam.owner.signer) });
}

export class Student {
  readonly page: Page;

  private constructor(page: Page) {
    this.page = page;
  }

  static async arrive(browser: TestBrowser, link: string): Promise<Student> {
    const page = await browser.page();
    await page.goto(link);
    await page.getByRole('heading', { level: 1 }).waitFor();
    return new Student(page);
  }

  /** At a page that was opened otherwise. */
  static at(page: Page): Student {
    return new Student(page);
  }

  async press(name: string | RegExp): Promise<void> {
    await this.page.getByRole('button', { name, exact: true }).click();
  }

  /** Allows every source that the page asks for. */
  async allow(...sources: ('camera' | 'microphone' | 'screen')[]): Promise<void> {
    for (const source of sources) {
      const name = source === 'screen' ? 'Share your screen' : `Allow the ${source}`;
      await this.press(name);
      await this.page.getByRole('button', { name, exact: true }).waitFor({ state: 'detached' });
    }
  }

  async acknowledge(name = 'Ada Student'): Promise<void> {
    await this.page.getByRole('checkbox', { name: /I have read/ }).check();
    await this.page.getByRole('textbox', { name: 'Your name' }).fill(name);
  }

  async start(): Promise<void> {
    await this.press(/^(?:Start|Continue) recording$/);
    await this.page.getByRole('heading', { name: 'It is recording' }).waitFor({ timeout: 60_000 });
  }

  /** `N of M chunks stored`, as shown. */
  async counts(): Promise<{ stored: number; sealed: number }> {
    const words = (await this.page.getByText(/chunks stored$/).textContent()) ?? '';
    const [, stored, sealed] = /(\d+) of (\d+)/.exec(words) ?? [];
    return { stored: Number(stored), sealed: Number(sealed) };
  }

  async untilStored(least: number): Promise<void> {
    await until(`${least} chunks stored`, async () => (await this.counts()).stored >= least);
  }

  async end(): Promise<void> {
    await this.press('End the recording');
    await this.page.getByRole('dialog', { name: 'End the recording?' }).waitFor();
    await this.press('End it');
    await this.page.getByText('It is safe to close this page').waitFor({ timeout: 60_000 });
  }

  async recordingId(): Promise<string> {
    return (await this.page.locator('dd.mono').first().textContent()) ?? '';
  }
}

/** Looks again and again; a page has no other way to tell a test that something came true. */
export async function until(what: string, isSo: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    if (await isSo().catch(() => false)) return;
    if (Date.now() > deadline) throw new Error(`it did not come true: ${what}`);
    await pause(200);
  }
}

export async function openReader(exam: TestExam, recordingId: string): Promise<RecordingReader> {
  const { service } = exam;
  await service.server.jobs.publish();
  const { key } = exam.instructors[0]!;
  const source = new ApiSource({
    api: service.staff(),
    recordingId,
    keyIdB64: toBase64Url(key.keyId),
    purpose: 'review',
  });
  return RecordingReader.open({ source, pins: exam.pins, key, nowMs: service.server.ports.clock.now() });
}

/** Every chunk of a track with its header's times. */
export async function chunksOf(reader: RecordingReader, epoch: number, track: number): Promise<MediaChunk[]> {
  const chunks: MediaChunk[] = [];
  for await (const chunk of reader.readTrack(epoch, track)) chunks.push({ ...chunk, bytes: chunk.bytes.slice() });
  return chunks;
}

export async function eventsOf(reader: RecordingReader, epoch: number, track: number): Promise<ExamEvent[]> {
  const { events, unreadable } = parseEvents(
    fromUtf8(concat(...(await chunksOf(reader, epoch, track)).map(({ bytes }) => bytes))),
  );
  expect(unreadable).toEqual([]);
  return events;
}

export interface Packets {
  codec: string;
  width: number;
  height: number;
  /** Timestamps in ms; `data` base64. */
  packets: { isKey: boolean; ms: number; data: string }[];
}

/** Takes a WebM stream apart, with a demuxer that knows nothing of this recorder. */
export async function packetsOf(webm: Bytes): Promise<Packets> {
  const input = new Input({ formats: ALL_FORMATS, source: new BufferSource(webm) });
  const [track] = await input.getTracks();
  const config = await (
    track as unknown as { getDecoderConfig(): Promise<{ codec: string; codedWidth?: number; codedHeight?: number }> }
  ).getDecoderConfig();
  const packets: Packets['packets'] = [];
  for await (const packet of new EncodedPacketSink(track as never).packets()) {
    packets.push({
      isKey: packet.type === 'key',
      ms: packet.timestamp * 1000,
      data: Buffer.from(packet.data).toString('base64'),
    });
  }
  return { codec: config.codec, width: config.codedWidth ?? 0, height: config.codedHeight ?? 0, packets };
}

/** Decodes every frame in Chromium: how many came out, when the last was, and whether there is a picture in them. */
export function decode(
  page: Page,
  { codec, packets }: Packets,
): Promise<{ frames: number; lastMs: number; brightest: number; darkest: number }> {
  return page.evaluate(
    async ({ codec, packets }) => {
      const seen = { frames: 0, lastMs: 0, brightest: 0, darkest: 255 };
      const copies: Promise<void>[] = [];
      const decoder = new VideoDecoder({
        output: (frame) => {
          seen.frames += 1;
          seen.lastMs = frame.timestamp / 1000;
          const bytes = new Uint8Array(frame.allocationSize());
          const pixels = frame.codedWidth * frame.codedHeight;
          copies.push(
            frame.copyTo(bytes).then(() => {
              for (let i = 0; i < pixels; i += 97) {
                seen.brightest = Math.max(seen.brightest, bytes[i]!);
                seen.darkest = Math.min(seen.darkest, bytes[i]!);
              }
              frame.close();
            }),
          );
        },
        error: (error) => {
          throw error;
        },
      });
      decoder.configure({ codec });
      for (const { isKey, ms, data } of packets) {
        const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
        decoder.decode(
          new EncodedVideoChunk({ type: isKey ? 'key' : 'delta', timestamp: Math.round(ms * 1000), data: bytes }),
        );
      }
      await decoder.flush();
      await Promise.all(copies);
      return seen;
    },
    { codec, packets },
  );
}
