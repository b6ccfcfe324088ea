import type { Bytes } from '../../crypto/format/bytes.ts';

/** A run of a track's bytes and the media time it covers, in ms since the track's beginning. */
export interface Piece {
  bytes: Bytes;
  tMs: number;
  durMs: number;
}

/** A piece whose end is not known before the next one begins. */
export type StartedPiece = Omit<Piece, 'durMs'>;

/** Gives each piece the time until the next one; the last ends where `lastEnd` says. Holds one piece back. */
export async function* withDurations(
  pieces: AsyncIterable<StartedPiece>,
  lastEnd: () => number,
): AsyncGenerator<Piece> {
  let held: StartedPiece | undefined;
  for await (const piece of pieces) {
    if (held) yield { ...held, durMs: Math.max(0, piece.tMs - held.tMs) };
    held = piece;
  }
  if (held) yield { ...held, durMs: Math.max(0, lastEnd() - held.tMs) };
}

/** One piece a line; its time is the member `t`, in ms. A line without one is as late as the line before it. */
export async function* ndjsonPieces(input: AsyncIterable<Uint8Array>): AsyncGenerator<Piece> {
  let tMs = 0;
  const lines = async function* (): AsyncGenerator<StartedPiece> {
    for await (const bytes of splitLines(input)) {
      tMs = Math.max(tMs, timeOfLine(bytes) ?? tMs);
      yield { bytes, tMs };
    }
  };
  yield* withDurations(lines(), () => tMs);
}

const NEWLINE = 0x0a;
/** A line longer than this is passed on in parts: nothing here may make memory grow with a hostile input. */
const LONGEST_LINE = 1 << 20;

async function* splitLines(input: AsyncIterable<Uint8Array>): AsyncGenerator<Bytes> {
  let rest: Bytes = new Uint8Array(0);
  for await (const bytes of input) {
    const joined = new Uint8Array(rest.length + bytes.length);
    joined.set(rest);
    joined.set(bytes, rest.length);
    let from = 0;
    for (let end = joined.indexOf(NEWLINE); end >= 0; end = joined.indexOf(NEWLINE, from)) {
      yield joined.slice(from, end + 1);
      from = end + 1;
    }
    rest = joined.slice(from);
    if (rest.length >= LONGEST_LINE) {
      yield rest;
      rest = new Uint8Array(0);
    }
  }
  if (rest.length > 0) yield rest;
}

function timeOfLine(line: Uint8Array): number | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(line));
    const t = typeof value === 'object' && value !== null && 't' in value ? value.t : undefined;
    return typeof t === 'number' && t >= 0 && Number.isSafeInteger(Math.round(t)) ? Math.round(t) : undefined;
  } catch {
    return undefined;
  }
}

/** Bytes of an unknown format, timed by when they came; `now` counts ms and never steps back. */
export async function* arrivalPieces(input: AsyncIterable<Uint8Array>, now: () => number): AsyncGenerator<Piece> {
  const startMs = now();
  for await (const bytes of input) yield { bytes: new Uint8Array(bytes), tMs: Math.round(now() - startMs), durMs: 0 };
}

/**
 * Drops the first `offset` bytes and shifts time so that the rest begins at 0: how a file goes on in a new epoch, whose
 * media time counts from its own OPEN (PROTOCOL.md section 8).
 */
export async function* skipBytes(pieces: AsyncIterable<Piece>, offset: number): AsyncGenerator<Piece> {
  let left = offset;
  let origin: number | undefined;
  for await (const piece of pieces) {
    if (left >= piece.bytes.length) {
      left -= piece.bytes.length;
      continue;
    }
    origin ??= offset === 0 ? 0 : piece.tMs;
    yield { bytes: left > 0 ? piece.bytes.slice(left) : piece.bytes, tMs: piece.tMs - origin, durMs: piece.durMs };
    left = 0;
  }
}

/** Hands pieces on at `factor` times their media time, as `ffmpeg -re` does with 1. */
export async function* paced(
  pieces: AsyncIterable<Piece>,
  factor: number,
  now: () => number,
  sleep: (ms: number) => Promise<void>,
): AsyncGenerator<Piece> {
  const startMs = now();
  for await (const piece of pieces) {
    const waitMs = startMs + piece.tMs / factor - now();
    if (waitMs > 0) await sleep(waitMs);
    yield piece;
  }
}
