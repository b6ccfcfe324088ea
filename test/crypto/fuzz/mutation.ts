/** Changes to valid records, repeatable by a seed. */
import { concat, type Bytes } from '../../../crypto/format/bytes.ts';

/** A whole number from 0 to `below` - 1. */
export type Dice = (below: number) => number;

/** mulberry32: enough to vary inputs, and the same on every machine. */
export function dice(seed: number): Dice {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const INTERESTING = [0, 1, 2, 0x0a, 0x20, 0x22, 0x5b, 0x7b, 0x7f, 0x80, 0xfe, 0xff];

/** A copy of one of the seeds with one to four changes. */
export function mutate(seeds: readonly Bytes[], roll: Dice): Bytes {
  let bytes = concat(seeds[roll(seeds.length)]!);
  for (let changes = 1 + roll(4); changes > 0; changes--) {
    const at = roll(bytes.length + 1);
    switch (roll(7)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << roll(8);
        break;
      case 1:
        if (at < bytes.length) bytes[at] = INTERESTING[roll(INTERESTING.length)]!;
        break;
      case 2:
        if (at < bytes.length) bytes[at] = roll(256);
        break;
      case 3:
        bytes.fill(INTERESTING[roll(INTERESTING.length)]!, at, at + 1 + roll(8));
        break;
      case 4:
        bytes = bytes.slice(0, at);
        break;
      case 5: {
        const other = seeds[roll(seeds.length)]!;
        bytes = concat(bytes.subarray(0, at), other.subarray(roll(other.length + 1)));
        break;
      }
      default:
        bytes = concat(bytes.subarray(0, at), new Uint8Array(1 + roll(40)).fill(roll(256)), bytes.subarray(at));
    }
  }
  return bytes;
}

/** A piece of `bytes` repeated in its place until the whole is `length` long: where quadratic paths show. */
export function grow(bytes: Bytes, length: number, roll: Dice): Bytes {
  if (bytes.length === 0 || bytes.length >= length) return bytes;
  const from = roll(bytes.length);
  const piece = bytes.subarray(from, Math.min(bytes.length, from + 1 + roll(16)));
  const end = length - (bytes.length - from - piece.length);
  const whole = new Uint8Array(length);
  whole.set(bytes.subarray(0, from));
  Buffer.from(whole.buffer).fill(piece, from, end);
  whole.set(bytes.subarray(from + piece.length), end);
  return whole;
}
