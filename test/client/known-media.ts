/** Media that is known by where it was recorded, so that what comes back can be checked without keeping it. */
import type { Bytes } from '../../crypto/format/bytes.ts';

export const TRACKS = [
  { track: 1, kind: 1, codec: 'video/webm' },
  { track: 2, kind: 2, codec: 'video/webm' },
  { track: 3, kind: 4, codec: 'application/x-ndjson' },
] as const;

/** Bytes `at` to `at + length` of the endless stream of an epoch and track. */
export function knownStream(epoch: number, track: number, at: number, length: number): Bytes {
  const bytes = new Uint8Array(length);
  const seed = epoch * 131 + track * 17;
  for (let i = 0; i < length; i++) bytes[i] = ((at + i) * 31 + ((at + i) >> 8) + seed) & 0xff;
  return bytes;
}

/** Whether these bytes are the stream's from `at` on. */
export function isKnown(bytes: Bytes, epoch: number, track: number, at: number): boolean {
  const expected = knownStream(epoch, track, at, bytes.length);
  return Buffer.compare(bytes, expected) === 0;
}
