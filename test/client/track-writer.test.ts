import { describe, expect, test } from 'vitest';
import { concat, type Bytes } from '../../crypto/format/bytes.ts';
import { TrackWriter, type Cut } from '../../src/client/track-writer.ts';

interface Bench {
  writer: TrackWriter;
  sealed: { bytes: Bytes; cut: Cut }[];
  at: { nowMs: number };
}

function bench(options: { chunkBytes?: number; chunkMs?: number; seal?: () => Promise<void> } = {}): Bench {
  const sealed: Bench['sealed'] = [];
  const at = { nowMs: 0 };
  const writer = new TrackWriter({
    track: 1,
    chunkBytes: options.chunkBytes ?? 10,
    chunkMs: options.chunkMs ?? 1000,
    mediaNow: () => at.nowMs,
    seal: async (plaintext, cut) => {
      await options.seal?.();
      sealed.push({ bytes: plaintext.slice(), cut });
    },
  });
  return { writer, sealed, at };
}

const bytes = (...values: number[]): Bytes => Uint8Array.from(values);

describe('where chunks are cut', () => {
  test('at their size, with time shared out by bytes', async () => {
    const { writer, sealed } = bench();
    await writer.write(
      Uint8Array.from({ length: 25 }, (_, i) => i),
      { tMs: 100, durMs: 250, gapMs: 40 },
    );
    await writer.end();
    expect(
      sealed.map(({ bytes: { length }, cut }) => [length, cut.startMs, cut.durationMs, cut.gapMs, cut.isFinal]),
    ).toEqual([
      [10, 100, 100, 40, false],
      [10, 200, 100, 0, false],
      [5, 300, 50, 0, true],
    ]);
    expect(concat(...sealed.map((chunk) => chunk.bytes))).toEqual(Uint8Array.from({ length: 25 }, (_, i) => i));
  });

  test('before a write that would make them longer than their time', async () => {
    const { writer, sealed } = bench();
    await writer.write(bytes(1), { tMs: 0, durMs: 600 });
    await writer.write(bytes(2), { tMs: 600, durMs: 300 });
    await writer.write(bytes(3), { tMs: 900, durMs: 300 });
    expect(sealed.map(({ bytes: found }) => [...found])).toEqual([[1, 2]]);
  });

  test('when they have waited for their time, whether or not more comes', async () => {
    const { writer, sealed, at } = bench();
    await writer.write(bytes(1));
    at.nowMs = 999;
    await writer.flushIfOld();
    expect(sealed).toHaveLength(0);
    at.nowMs = 1000;
    await writer.flushIfOld();
    expect(sealed).toHaveLength(1);
    at.nowMs = 5000;
    await writer.flushIfOld();
    expect(sealed).toHaveLength(1);
  });

  test('at a pause, however little there is; and nothing where there is nothing', async () => {
    const { writer, sealed } = bench();
    await writer.flush();
    await writer.write(bytes(1));
    await writer.flush();
    await writer.flush();
    expect(sealed.map(({ cut }) => cut.isFinal)).toEqual([false]);
  });
});

describe('the end of a track', () => {
  test('is a FINAL chunk, empty where all was sealed already', async () => {
    const { writer, sealed } = bench();
    await writer.write(new Uint8Array(10), { tMs: 0, durMs: 500 });
    await writer.end();
    await writer.end();
    expect(sealed.map(({ bytes: { length }, cut }) => [length, cut.startMs, cut.isFinal])).toEqual([
      [10, 0, false],
      [0, 500, true],
    ]);
  });

  test('takes nothing more', async () => {
    const { writer, sealed } = bench();
    await writer.end();
    await expect(writer.write(bytes(1))).rejects.toMatchObject({ code: 'track' });
    await writer.flush();
    expect(sealed).toHaveLength(1);
  });
});

describe('order and memory', () => {
  test('writes that were not waited for are sealed in the order they were made', async () => {
    const { writer, sealed } = bench({ chunkBytes: 2, seal: () => new Promise((resolve) => setImmediate(resolve)) });
    await Promise.all([...Array.from({ length: 9 }, (_, i) => writer.write(bytes(i))), writer.end()]);
    expect([...concat(...sealed.map((chunk) => chunk.bytes))]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('a write waits for what it filled: nothing piles up behind a slow disk', async () => {
    let release: () => void = () => undefined;
    const { writer } = bench({ seal: () => new Promise((resolve) => (release = resolve)) });
    let isDone = false;
    const writing = writer.write(new Uint8Array(10)).then(() => (isDone = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(isDone).toBe(false);
    release();
    await writing;
    expect(isDone).toBe(true);
  });

  test('media time never runs backwards, so that seeking can bisect', async () => {
    const { writer, sealed } = bench();
    await writer.write(new Uint8Array(10), { tMs: 500 });
    await writer.write(new Uint8Array(10), { tMs: 100 });
    expect(sealed.map(({ cut }) => cut.startMs)).toEqual([500, 500]);
  });

  test('plaintext does not stay behind in the buffer', async () => {
    const views: Bytes[] = [];
    const writer = new TrackWriter({
      track: 1,
      chunkBytes: 4,
      chunkMs: 1000,
      mediaNow: () => 0,
      seal: async (plaintext) => {
        views.push(plaintext);
      },
    });
    await writer.write(bytes(9, 9, 9, 9));
    expect([...views[0]!]).toEqual([0, 0, 0, 0]);
  });
});
