/** One track of a live epoch: gathers media until a chunk is full or old enough, then has it sealed. */
import type { Bytes } from '../../crypto/format/bytes.ts';
import { ClientError } from './errors.ts';
import { Mutex } from './turns.ts';

/** When media was captured, in ms of media time since OPEN. Without it the moment of writing is taken. */
export interface MediaTime {
  tMs?: number;
  durMs?: number;
  /** How long capture stood still before these bytes. */
  gapMs?: number;
  /** Not to be divided between two chunks where one can hold them: a cluster of a stream, a line of text. */
  isWhole?: boolean;
}

export interface Cut {
  startMs: number;
  durationMs: number;
  gapMs: number;
  isFinal: boolean;
}

export interface TrackWriterOptions {
  track: number;
  chunkBytes: number;
  chunkMs: number;
  /** Media time now. */
  mediaNow: () => number;
  /** Seals `plaintext` and returns when the chunk is durable; `plaintext` is overwritten afterwards. */
  seal: (plaintext: Bytes, cut: Cut) => Promise<void>;
}

/**
 * Memory is one chunk, whatever is written: `write` returns when its bytes are in the buffer and every chunk that they
 * filled is durable, so a pipe is held back by the disk and never by memory. Calls take turns in the order they were made.
 */
export class TrackWriter {
  readonly #options: TrackWriterOptions;
  readonly #turns = new Mutex();
  #buffer: Bytes | undefined;
  #filled = 0;
  #startMs = 0;
  #endMs = 0;
  #gapMs = 0;
  #isEnded = false;
  #refusal: ClientError | undefined;

  constructor(options: TrackWriterOptions) {
    this.#options = options;
  }

  get track(): number {
    return this.#options.track;
  }

  /** From here on nothing more is taken, not even the rest of a write that is under way, which throws this. `end` seals what was taken. */
  refuse(refusal: ClientError): void {
    this.#refusal ??= refusal;
  }

  /** Throws `track` after `end`, and what sealing throws: then these bytes are not recorded. */
  write(bytes: Uint8Array, time: MediaTime = {}): Promise<void> {
    return this.#turns.run(async () => {
      this.#requireWelcome();
      if (this.#isEnded) throw new ClientError('track', `track ${this.track} has ended`);
      const { tMs = this.#options.mediaNow(), durMs = 0, gapMs = 0, isWhole = false } = time;
      const isLate = tMs + durMs - this.#startMs > this.#options.chunkMs;
      const isTooLarge = isWhole && this.#filled + bytes.length > this.#options.chunkBytes;
      if (this.#filled > 0 && (isLate || isTooLarge)) await this.#cut(false);
      for (let at = 0; at < bytes.length;) {
        this.#requireWelcome(); // a cut takes a while
        if (this.#filled === 0) this.#begin(tMs + (durMs * at) / bytes.length, at === 0 ? gapMs : 0);
        const taken = this.#take(bytes.subarray(at));
        at += taken;
        this.#endMs = Math.max(this.#endMs, tMs + (durMs * at) / bytes.length);
        if (this.#filled === this.#options.chunkBytes) await this.#cut(false);
      }
    });
  }

  /** Seals what is gathered, however little: at a pause, or when an error may end the recorder. */
  flush(): Promise<void> {
    return this.#turns.run(async () => {
      if (!this.#isEnded && this.#filled > 0) await this.#cut(false);
    });
  }

  /** Seals what has waited for a whole chunk's time without being followed by more. */
  flushIfOld(): Promise<void> {
    const isOld = this.#filled > 0 && this.#options.mediaNow() - this.#startMs >= this.#options.chunkMs;
    return isOld ? this.flush() : Promise.resolve();
  }

  /** Seals the rest as the FINAL chunk, which may be empty. Again: nothing. */
  end(): Promise<void> {
    return this.#turns.run(async () => {
      if (this.#isEnded) return;
      if (this.#filled === 0) this.#begin(Math.max(this.#endMs, 0), 0);
      await this.#cut(true);
      this.#isEnded = true;
      this.#buffer = undefined;
    });
  }

  #requireWelcome(): void {
    if (this.#refusal) throw this.#refusal;
  }

  #begin(startMs: number, gapMs: number): void {
    // Media time does not run backwards within a track, or seeking by time could not bisect.
    this.#startMs = Math.max(startMs, this.#startMs);
    this.#endMs = this.#startMs;
    this.#gapMs = gapMs;
  }

  #take(bytes: Uint8Array): number {
    this.#buffer ??= new Uint8Array(this.#options.chunkBytes);
    const part = bytes.subarray(0, this.#options.chunkBytes - this.#filled);
    this.#buffer.set(part, this.#filled);
    this.#filled += part.length;
    return part.length;
  }

  async #cut(isFinal: boolean): Promise<void> {
    const plaintext = (this.#buffer ?? new Uint8Array(0)).subarray(0, this.#filled);
    const startMs = Math.round(this.#startMs);
    const durationMs = Math.max(0, Math.round(this.#endMs) - startMs);
    await this.#options.seal(plaintext, { startMs, durationMs, gapMs: Math.round(this.#gapMs), isFinal });
    plaintext.fill(0);
    this.#filled = 0;
  }
}
