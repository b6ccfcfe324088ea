/** Opening an object as it arrives: bounded memory, and the same checks in the same order as for a whole one. */
import { concat, isZero, Reader, type Bytes } from '../format/bytes.ts';
import { chunkHeadLength, MAX_PLAINTEXT, parseChunkHead, segmentRange, type TrackChain } from '../format/chunk.ts';
import { ProtocolError } from '../format/errors.ts';
import { ChunkOpener } from './chunk.ts';

/** Segments decrypted together; with the pieces in hand this bounds the memory. */
const BATCH = 4;
/** Up to here B tells how long the head is. */
const LENGTH_END = 40;

/** Cuts pieces of any sizes into the lengths that are asked for. */
class PieceReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #pieces: Uint8Array[] = [];
  #available = 0;

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#source = pieces[Symbol.asyncIterator]();
  }

  /** Reads on until `length` bytes are there or the source ends; answers how many are there. */
  async fill(length: number): Promise<number> {
    while (this.#available < length) {
      const next = await this.#source.next();
      if (next.done === true) break;
      this.#pieces.push(next.value);
      this.#available += next.value.length;
    }
    return this.#available;
  }

  /** What is there, without taking it. */
  peek(): Bytes {
    const whole = concat(...this.#pieces);
    this.#pieces = [whole];
    return whole;
  }

  /** Exactly `length` bytes; throws `length` when the source ends before. */
  async take(length: number): Promise<Uint8Array> {
    const available = await this.fill(length);
    if (available < length) throw new ProtocolError('length', `expected ${length} more bytes, found ${available}`);
    const first = this.#pieces[0];
    const whole = first && first.length >= length ? first : concat(...this.#pieces);
    const rest = whole.subarray(length);
    this.#pieces = whole === first ? [rest, ...this.#pieces.slice(1)] : [rest];
    this.#available -= length;
    return whole.subarray(0, length);
  }

  /** Lets the source know that nobody reads on. */
  async cancel(): Promise<void> {
    await this.#source.return?.();
  }
}

/** Takes the frame and the zeros of PADDED off while the plaintext passes; a plain chunk passes as it is. */
class Unpadder {
  #left: number | undefined;
  readonly #isPadded: boolean;
  readonly #plaintextLength: number;

  constructor(isPadded: boolean, plaintextLength: number) {
    this.#isPadded = isPadded;
    this.#plaintextLength = plaintextLength;
  }

  pass(segment: Bytes): Bytes {
    if (!this.#isPadded) return segment;
    let from = 0;
    if (this.#left === undefined) {
      this.#left = new Reader(segment).u32();
      from = 4;
      if (this.#left > this.#plaintextLength - 4) {
        throw new ProtocolError('length', `expected ${this.#left} bytes of media, found ${this.#plaintextLength - 4}`);
      }
    }
    const media = segment.subarray(from, Math.min(segment.length, from + this.#left));
    if (!isZero(segment.subarray(from + media.length))) throw new ProtocolError('format', 'padding must be zero');
    this.#left -= media.length;
    return media;
  }
}

/**
 * Opens the next object of a track from pieces of any sizes, such as a response's body. `chain` accepts the head before the
 * first byte of plaintext is handed out; every segment is authenticated before it is. Errors are those of
 * `parseChunkHead`, `TrackChain.accept` and `ChunkOpener`; `length` also when the source ends early or goes on after the
 * end, in which case the plaintext before it was good and the object is not.
 */
export async function* openObject(
  trackKey: CryptoKey,
  chain: TrackChain,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Bytes, void, undefined> {
  const reader = new PieceReader(pieces);
  try {
    const head = parseChunkHead(await readHead(reader));
    await chain.accept(head);
    const opener = await ChunkOpener.create(trackKey, head);
    const unpadder = new Unpadder(head.header.isPadded, head.header.plaintextLength);
    for (let first = 0; first < head.segments; first += BATCH) {
      const opened: Promise<Bytes>[] = [];
      for (let index = first; index < Math.min(first + BATCH, head.segments); index++) {
        const { from, to } = segmentRange(head, index);
        const segment = await reader.take(to - from);
        const promise = opener.open(index, segment);
        promise.catch(() => undefined); // awaited below; a later `take` may fail before that
        opened.push(promise);
      }
      for (const segment of opened) {
        const media = unpadder.pass(await segment);
        if (media.length > 0) yield media;
      }
    }
    if ((await reader.fill(1)) > 0) throw new ProtocolError('length', 'bytes after the end of the object');
  } finally {
    await reader.cancel();
  }
}

/** As many bytes as the head has; fewer, for `parseChunkHead` to refuse, where the source ends or the length is absurd. */
async function readHead(reader: PieceReader): Promise<Uint8Array> {
  if ((await reader.fill(LENGTH_END)) < LENGTH_END) return reader.peek();
  const plaintextLength = new DataView(reader.peek().buffer).getUint32(LENGTH_END - 4);
  if (plaintextLength > MAX_PLAINTEXT) return reader.peek();
  const headLength = chunkHeadLength(plaintextLength);
  return (await reader.fill(headLength)) < headLength ? reader.peek() : reader.take(headLength);
}
