import type { Bytes } from '../../crypto/format/bytes.ts';
import { readHeader, readUnsigned, readVint, type ElementHeader } from '../../src/client/ebml.ts';
import { withDurations, type Piece, type StartedPiece } from './pieces.ts';

/**
 * Just enough of Matroska (RFC 9559) to tell a recording's time while it streams through: every byte is handed on as it
 * came, cut where a cluster begins, so that a chunk begins with a cluster and a player can start there.
 */
const EBML = 0x1a45dfa3;
const CLUSTER = 0x1f43b675;
const TIMESTAMP_SCALE = 0x2ad7b1;
const TIMESTAMP = 0xe7;
const SIMPLE_BLOCK = 0xa3;
const BLOCK = 0xa1;
const CODEC_ID = 0x86;
/** Masters whose children are read: Segment, Cluster, Info, Tracks, TrackEntry, BlockGroup. Others are passed over whole. */
const ENTERED: ReadonlySet<number> = new Set([0x18538067, CLUSTER, 0x1549a966, 0x1654ae6b, 0xae, 0xa0]);

const DEFAULT_SCALE_NS = 1_000_000;
/** A cluster larger than this is handed on in parts. */
const LARGEST_PIECE = 1 << 20;
/** Id and size of one element take at most 12 bytes; a block's track number and time at most 8 + 2. */
const LONGEST_HEADER = 12;
const LONGEST_VALUE = 10;

/** WebCodecs-style names of what browsers record. */
const CODECS: Readonly<Record<string, string>> = {
  V_VP8: 'vp8',
  V_VP9: 'vp9',
  V_AV1: 'av01',
  'V_MPEG4/ISO/AVC': 'avc1',
  A_OPUS: 'opus',
  A_VORBIS: 'vorbis',
};

export function isWebm(beginning: Uint8Array): boolean {
  return beginning.length >= 4 && readUnsigned(beginning, 0, 4) === EBML;
}

/** Follows a stream element by element; knows times and codecs, changes nothing. */
export class WebmReader {
  readonly codecs: string[] = [];
  /** Media time of the newest block, in ms. */
  endMs = 0;
  #scaleNs = DEFAULT_SCALE_NS;
  #clusterTicks = 0;
  #hasCluster = false;
  /** A cluster has begun whose time has not been read yet. */
  #startsCluster = false;
  /** Bytes of the current element's payload that are still to be passed over. */
  #skip = 0;
  #pending: Bytes = new Uint8Array(0);
  #out: Bytes[] = [];
  #outLength = 0;
  #pieceMs = 0;
  /** False once the stream has broken the format: the rest is handed on as it is, timed by the last block. */
  #isReadable = true;

  /** Takes bytes as they come and answers the pieces that they completed. */
  push(bytes: Uint8Array): StartedPiece[] {
    const joined = new Uint8Array(this.#pending.length + bytes.length);
    joined.set(this.#pending);
    joined.set(bytes, this.#pending.length);
    const pieces: StartedPiece[] = [];
    const at = this.#walk(joined, pieces);
    this.#pending = joined.slice(at);
    return pieces;
  }

  /** What is left when the stream has ended. */
  finish(): StartedPiece[] {
    const pieces: StartedPiece[] = [];
    this.#take(this.#pending, pieces);
    this.#pending = new Uint8Array(0);
    this.#flush(pieces);
    return pieces;
  }

  /** Answers up to where the bytes were understood; the rest waits for more. */
  #walk(bytes: Bytes, pieces: StartedPiece[]): number {
    let at = 0;
    while (at < bytes.length) {
      if (this.#skip > 0 || !this.#isReadable) {
        const length = this.#isReadable ? Math.min(this.#skip, bytes.length - at) : bytes.length - at;
        this.#take(bytes.subarray(at, at + length), pieces);
        this.#skip = Math.max(0, this.#skip - length);
        at += length;
        continue;
      }
      if (bytes.length - at < LONGEST_HEADER + LONGEST_VALUE) return at;
      const header = readHeader(bytes, at);
      if (!header) {
        this.#isReadable = false;
        continue;
      }
      if (header.id === CLUSTER) {
        // What stands before the first cluster goes with it: nobody can play it alone.
        if (this.#hasCluster) this.#flush(pieces);
        this.#hasCluster = this.#startsCluster = true;
      }
      this.#read(header, bytes.subarray(at + header.length));
      this.#take(bytes.subarray(at, at + header.length), pieces);
      at += header.length;
      if (!ENTERED.has(header.id)) {
        // Only a master may be of unknown size (RFC 8794 section 6.2).
        if (header.size === undefined) this.#isReadable = false;
        else this.#skip = header.size;
      }
    }
    return at;
  }

  #read({ id, size = 0 }: ElementHeader, payload: Uint8Array): void {
    if (id === TIMESTAMP_SCALE && size <= 8) this.#scaleNs = readUnsigned(payload, 0, size) || DEFAULT_SCALE_NS;
    if (id === CODEC_ID) {
      // Longer than what is sure to be here: the longest name that matters is cut, and still told by its beginning.
      const name = new TextDecoder().decode(payload.subarray(0, Math.min(size, LONGEST_VALUE)));
      const known = Object.keys(CODECS).find((key) => key === name || (size > LONGEST_VALUE && key.startsWith(name)));
      if (known !== undefined) this.codecs.push(CODECS[known]!);
    }
    if (id === TIMESTAMP && size <= 8) {
      this.#clusterTicks = readUnsigned(payload, 0, size);
      this.#see(this.#clusterTicks);
      if (this.#startsCluster) {
        this.#pieceMs = this.#toMs(this.#clusterTicks);
        this.#startsCluster = false;
      }
    }
    if (id === SIMPLE_BLOCK || id === BLOCK) {
      const track = readVint(payload, 0);
      if (track) this.#see(this.#clusterTicks + ((readUnsigned(payload, track.length, 2) << 16) >> 16));
    }
  }

  #toMs(ticks: number): number {
    return Math.max(0, Math.round((ticks * this.#scaleNs) / 1e6));
  }

  #see(ticks: number): void {
    this.endMs = Math.max(this.endMs, this.#toMs(ticks));
  }

  #take(bytes: Uint8Array, pieces: StartedPiece[]): void {
    if (bytes.length === 0) return;
    this.#out.push(new Uint8Array(bytes));
    this.#outLength += bytes.length;
    if (this.#outLength >= LARGEST_PIECE) this.#flush(pieces);
  }

  #flush(pieces: StartedPiece[]): void {
    if (this.#outLength === 0) return;
    const whole = new Uint8Array(this.#outLength);
    let at = 0;
    for (const part of this.#out) {
      whole.set(part, at);
      at += part.length;
    }
    pieces.push({ bytes: whole, tMs: this.#pieceMs });
    this.#out = [];
    this.#outLength = 0;
    this.#pieceMs = this.endMs;
  }
}

/** Pieces of a WebM stream, a cluster each. */
export async function* webmPieces(input: AsyncIterable<Uint8Array>): AsyncGenerator<Piece> {
  const reader = new WebmReader();
  const started = async function* (): AsyncGenerator<StartedPiece> {
    for await (const bytes of input) yield* reader.push(bytes);
    yield* reader.finish();
  };
  yield* withDurations(started(), () => reader.endMs);
}
