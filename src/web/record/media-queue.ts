/** Clusters on their way into a track: one after the other, within bounded memory. */
import type { TrackWriter } from '../../client/track-writer.ts';
import type { Cluster } from './cluster-stream.ts';

/** While the device has no room, so much waits in memory; what is newer is lost, and that is told. */
const MOST_WAITING_BYTES = 24 * 2 ** 20;

export interface QueueOptions {
  writer: TrackWriter;
  /** Media was lost, or is taken again after so long. */
  onLoss: (loss: { state: 'full' } | { state: 'room'; lostMs: number }) => void;
  /** Sealing failed: the recorder cannot go on. */
  onFailure: (error: unknown) => void;
}

export class MediaQueue {
  readonly #options: QueueOptions;
  #waitingBytes = 0;
  #last = Promise.resolve();
  /** Of clusters that were dropped. */
  #lostFromMs: number | undefined;
  #gapMs = 0;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  /** The next cluster comes after capture stood still for so long. */
  gap(ms: number): void {
    this.#gapMs += ms;
  }

  add({ bytes, startMs, endMs }: Cluster): void {
    const { writer, onLoss, onFailure } = this.#options;
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes.length > MOST_WAITING_BYTES) {
      if (this.#lostFromMs === undefined) onLoss({ state: 'full' });
      this.#lostFromMs ??= startMs;
      return;
    }
    if (this.#lostFromMs !== undefined) {
      const lostMs = startMs - this.#lostFromMs;
      this.#gapMs += lostMs;
      this.#lostFromMs = undefined;
      onLoss({ state: 'room', lostMs });
    }
    const time = { tMs: startMs, durMs: Math.max(0, endMs - startMs), gapMs: this.#gapMs, isWhole: true };
    this.#gapMs = 0;
    this.#waitingBytes += bytes.length;
    this.#last = this.#last
      .then(() => writer.write(bytes, time))
      .catch(onFailure)
      .finally(() => {
        this.#waitingBytes -= bytes.length;
      });
  }

  /** Everything that was added is in the track. */
  settled(): Promise<void> {
    return this.#last;
  }
}
