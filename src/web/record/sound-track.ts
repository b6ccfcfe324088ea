/** The microphone: sound in, WebM clusters with Opus out. */
import { ClusterStream } from './cluster-stream.ts';
import type { MediaQueue } from './media-queue.ts';
import type { PageEvent } from './messages.ts';
import { SourceReader } from './source-reader.ts';
import { SoundWatch } from './sound-watch.ts';

export interface SoundOptions {
  queue: MediaQueue;
  mediaNow: () => number;
  tell: (event: PageEvent) => void;
  onEnded: () => void;
  onFailure: (error: unknown) => void;
}

export const SOUND_FORMAT = { codec: 'opus', sampleRate: 48_000, numberOfChannels: 1, bitrate: 32_000 } as const;
const CLUSTER_MS = 2_000;
/** Sound that comes so far from where it should stand in time begins anew; less is the jitter of its way here. */
const DRIFT_MS = 250;

export class SoundTrack {
  readonly watch = new SoundWatch();
  readonly #options: SoundOptions;
  readonly #stream: ClusterStream;
  readonly #reader: SourceReader<AudioData>;
  #encoder: AudioEncoder | undefined;
  /** Media time minus the device's, ms. */
  #offsetMs = 0;
  #pausedMs: number | undefined;

  constructor(options: SoundOptions) {
    this.#options = options;
    const { onEnded, onFailure } = options;
    this.#reader = new SourceReader({ take: (value) => this.#take(value), onEnded, onFailure });
    this.#stream = new ClusterStream('opus', CLUSTER_MS, (cluster) => {
      options.queue.add(cluster);
    });
  }

  async attach(sound: ReadableStream<AudioData>): Promise<void> {
    this.watch.forget();
    await this.#reader.attach(sound);
  }

  async #take(data: AudioData): Promise<void> {
    const { mediaNow, tell } = this.#options;
    try {
      if (this.#isSilent()) return;
      const samples = new Float32Array(data.numberOfFrames);
      data.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
      const now = mediaNow();
      for (const event of this.watch.hear(now, samples)) tell(event);
      const startMs = now - (data.numberOfFrames / data.sampleRate) * 1000;
      if (!this.#encoder || Math.abs(data.timestamp / 1000 + this.#offsetMs - startMs) > DRIFT_MS) {
        await this.#endEncoder();
        // That takes a moment, in which the student may have paused or ended.
        if (this.#isSilent()) return;
        this.#begin(data, startMs);
      }
      const timed = new AudioData({
        format: 'f32-planar',
        sampleRate: data.sampleRate,
        numberOfFrames: data.numberOfFrames,
        numberOfChannels: 1,
        timestamp: Math.max(0, Math.round(data.timestamp + this.#offsetMs * 1000)),
        data: samples,
      });
      this.#encoder!.encode(timed);
      timed.close();
    } finally {
      data.close();
    }
  }

  /** Nothing may be kept: of a pause, or after the end. */
  #isSilent(): boolean {
    return this.#pausedMs !== undefined || this.#reader.isEnded;
  }

  /** A stretch of sound without a hole: an encoder counts samples, so a hole needs another one. */
  #begin(data: AudioData, startMs: number): void {
    const { onFailure } = this.#options;
    this.#offsetMs = startMs - data.timestamp / 1000;
    this.#encoder = new AudioEncoder({
      output: (chunk, meta) => {
        this.#stream.add(chunk, meta).catch(onFailure);
      },
      error: onFailure,
    });
    this.#encoder.configure({ ...SOUND_FORMAT, sampleRate: data.sampleRate });
  }

  async #endEncoder(): Promise<void> {
    if (this.#encoder?.state === 'configured') await this.#encoder.flush();
    if (this.#encoder?.state !== 'closed') this.#encoder?.close();
    this.#encoder = undefined;
  }

  pause(): void {
    this.#pausedMs = this.#options.mediaNow();
  }

  goOn(): void {
    this.#options.queue.gap(this.#options.mediaNow() - (this.#pausedMs ?? 0));
    this.#pausedMs = undefined;
    this.watch.forget();
  }

  async end(): Promise<void> {
    await this.#reader.end();
    await this.#endEncoder();
    await this.#stream.end();
    await this.#options.queue.settled();
  }
}
