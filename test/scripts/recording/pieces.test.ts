import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, equal } from '../../../crypto/format/bytes.ts';
import { ndjsonPieces, skipBytes, type Piece } from '../../../scripts/recording/pieces.ts';
import { isWebm, WebmReader, webmPieces } from '../../../scripts/recording/webm.ts';

const media = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../media/${name}`, import.meta.url)));

async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect(pieces: AsyncIterable<Piece>): Promise<Piece[]> {
  const all: Piece[] = [];
  for await (const piece of pieces) all.push(piece);
  return all;
}

const joined = (pieces: readonly Piece[]): Uint8Array => concat(...pieces.map(({ bytes }) => bytes));

const shape = ({ bytes, tMs, durMs }: Piece): number[] => [bytes.length, tMs, durMs];

describe('WebM', () => {
  it.each(['webcam.webm', 'screen.webm'])(
    'is handed on byte for byte, a cluster a piece, however it comes in: %s',
    async (name) => {
      const bytes = media(name);
      const whole = await collect(webmPieces(cut(bytes, bytes.length)));
      expect(joined(whole)).toEqual(bytes);
      const cluster = Uint8Array.of(0x1f, 0x43, 0xb6, 0x75);
      for (const piece of whole.slice(1)) expect(piece.bytes.subarray(0, 4)).toEqual(cluster);
      for (const size of [1009, 65_536]) {
        const pieces = await collect(webmPieces(cut(bytes, size)));
        expect(pieces.map(shape)).toEqual(whole.map(shape));
        expect(equal(joined(pieces), bytes)).toBe(true);
      }
    },
  );

  it('tells media time without a hole: each piece ends where the next one begins', async () => {
    const pieces = await collect(webmPieces(cut(media('webcam.webm'), 4096)));
    expect(pieces[0]!.tMs).toBe(0);
    for (const [index, piece] of pieces.slice(0, -1).entries())
      expect(piece.tMs + piece.durMs).toBe(pieces[index + 1]!.tMs);
    const { tMs, durMs } = pieces.at(-1)!;
    expect(tMs + durMs).toBeGreaterThan(59_000);
  });

  it('names the codecs that a player will need', () => {
    const reader = new WebmReader();
    reader.push(media('webcam.webm'));
    expect(reader.codecs).toEqual(['vp8', 'opus']);
    expect(isWebm(media('events.ndjson'))).toBe(false);
  });

  it('hands on any bytes whatever, in order, and never throws', async () => {
    const header = media('screen.webm').subarray(0, 400);
    const hostile = fc.tuple(fc.nat(400), fc.uint8Array({ maxLength: 3000 }), fc.integer({ min: 1, max: 700 }));
    await fc.assert(
      fc.asyncProperty(hostile, async ([kept, noise, size]) => {
        const bytes = concat(header.subarray(0, kept), noise);
        expect(equal(joined(await collect(webmPieces(cut(bytes, size)))), bytes)).toBe(true);
      }),
    );
  });
});

describe('NDJSON', () => {
  it('is a piece a line at the line’s own time, whatever the lines hold', async () => {
    const text = '{"t":5}\nnot json\n{"t":-1}\n{"t":900,"type":"paste"}\n{"t":700}\nlast';
    const pieces = await collect(ndjsonPieces(cut(new TextEncoder().encode(text), 3)));
    expect(pieces.map(({ tMs }) => tMs)).toEqual([5, 5, 5, 900, 900, 900]);
    expect(new TextDecoder().decode(joined(pieces))).toBe(text);
  });
});

describe('skipBytes', () => {
  it('goes on to the byte, at any byte, with time from 0', async () => {
    const bytes = media('events.ndjson');
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length), async (offset) => {
        const pieces = await collect(skipBytes(ndjsonPieces(cut(bytes, 500)), offset));
        expect(equal(joined(pieces), bytes.subarray(offset))).toBe(true);
        if (offset > 0 && pieces.length > 0) expect(pieces[0]!.tMs).toBe(0);
      }),
      { numRuns: 50 },
    );
  });
});
