/** Webcam or screen: frames in, WebM clusters out. Runs in the worker; frames never touch the page's own thread. */
import type { CaptureSource } from '../../../schema/events.ts';
import { ClusterStream, type StreamCodec } from './cluster-stream.ts';
import type { MediaQueue } from './media-queue.ts';
import type { PageEvent } from './messages.ts';
import { SourceReader } from './source-reader.ts';
import { PictureWatch } from './picture-watch.ts';

export interface PictureFormat {
  codec: Exclude<StreamCodec, 'opus'>;
  /** For WebCodecs, e.g. `vp09.00.31.08`. */
  codecString: string;
  /** Most lines; a smaller picture is not blown up. */
  height: number;
  frameRate: number;
  bitsPerSecond: number;
  /** A key frame, and a cluster, every so often. */
  keyFrameMs: number;
}

export interface PictureOptions {
  source: CaptureSource;
  format: PictureFormat;
  queue: MediaQueue;
  mediaNow: () => number;
  tell: (event: PageEvent) => void;
  /** The stream is over: unplugged, or stopped in the browser. */
  onEnded: () => void;
  onFailure: (error: unknown) => void;
}

/** A frame that waits while the encoder is behind by so many is dropped, and counted. */
const MOST_BEHIND = 4;
/** A picture that does not change is encoded again this often. */
const REPEAT_MS = 1_000;
const SAMPLE_MS = 1_000;
const FRAMES_TOLD_MS = 10_000;
/** Every so many pixels one is looked at, in both directions. */
const SAMPLE_STEP = 16;

export class PictureTrack {
  readonly watch = new PictureWatch();
  readonly #options: PictureOptions;
  readonly #stream: ClusterStream;
  readonly #reader: SourceReader<VideoFrame>;
  #encoder: VideoEncoder | undefined;
  #size = '';
  #newest: VideoFrame | undefined;
  #encodedMs = -Infinity;
  #dueMs = 0;
  #keyMs = -Infinity;
  #keyToldMs = 0;
  #sampledMs = 0;
  #pausedMs: number | undefined;
  #counts = { sinceMs: 0, encoded: 0, dropped: 0 };
  /** When frames were captured, by the source's clock, ms, since the last measure. */
  #arrivals: number[] = [];

  constructor(options: PictureOptions) {
    this.#options = options;
    const { onEnded, onFailure } = options;
    this.#reader = new SourceReader({ take: (value) => this.#take(value), onEnded, onFailure });
    const { format, queue } = options;
    // A little less than the key frames' distance, so that rounding never skips one.
    this.#stream = new ClusterStream(format.codec, format.keyFrameMs * 0.9, (cluster) => {
      queue.add(cluster);
    });
  }

  /** Reads until the stream ends; a later stream takes the place of the one before. */
  async attach(frames: ReadableStream<VideoFrame>): Promise<void> {
    this.watch.forget();
    await this.#reader.attach(frames);
  }

  async #take(frame: VideoFrame): Promise<void> {
    const { mediaNow, format, source } = this.#options;
    try {
      if (this.#isSilent()) return;
      const now = mediaNow();
      this.#arrivals.push(frame.timestamp / 1000);
      if (!this.#isDue(now, 1000 / format.frameRate)) return;
      if (source === 'webcam' && now - this.#sampledMs >= SAMPLE_MS) await this.#sample(frame, now);
      // Looking at it takes a moment, in which the student may have paused or ended: this frame is of nobody then.
      if (this.#isSilent()) return;
      this.#newest?.close();
      this.#newest = frame.clone();
      this.#encode(frame, now);
    } finally {
      frame.close();
    }
  }

  /** Nothing may be kept: of a pause, or after the end. */
  #isSilent(): boolean {
    return this.#pausedMs !== undefined || this.#reader.isEnded;
  }

  /** A source may give more than was asked for, and unevenly: what is left of one interval counts for the next. */
  #isDue(now: number, intervalMs: number): boolean {
    if (now < this.#dueMs - intervalMs / 4) return false;
    this.#dueMs = Math.max(this.#dueMs + intervalMs, now);
    return true;
  }

  /** About once a second: repeats a picture that stands still, and tells what is to be told. */
  tick(): void {
    const { mediaNow, tell, source } = this.#options;
    if (this.#isSilent()) return;
    const now = mediaNow();
    if (this.#newest && now - this.#encodedMs >= REPEAT_MS) {
      this.#encode(this.#newest, now);
      if (source === 'webcam') for (const event of this.watch.standStill(now)) tell(event);
    }
    const { sinceMs, encoded } = this.#counts;
    if (now - sinceMs >= FRAMES_TOLD_MS) {
      // A screen that stands still has no frames to lose; of a camera the browser's own losses count, too.
      const dropped = this.#counts.dropped + (source === 'webcam' ? framesLost(this.#arrivals) : 0);
      tell({ type: 'frames', source, for_ms: Math.round(now - sinceMs), encoded, dropped });
      this.#arrivals = [];
      this.#counts = { sinceMs: now, encoded: 0, dropped: 0 };
    }
    if (this.#keyToldMs > 0 && now - this.#keyToldMs >= FRAMES_TOLD_MS) {
      tell({ type: 'key_frames_missing', source, for_ms: Math.round(now - this.#keyToldMs) });
      this.#keyToldMs = now;
    }
  }

  pause(): void {
    this.#pausedMs = this.#options.mediaNow();
    this.#newest?.close();
    this.#newest = undefined;
  }

  goOn(): void {
    this.#options.queue.gap(this.#options.mediaNow() - (this.#pausedMs ?? 0));
    this.#pausedMs = undefined;
    this.#keyMs = -Infinity;
    this.#keyToldMs = 0;
    this.#arrivals = [];
    this.watch.forget();
  }

  async end(): Promise<void> {
    await this.#reader.end();
    this.#newest?.close();
    if (this.#encoder?.state === 'configured') await this.#encoder.flush();
    if (this.#encoder?.state !== 'closed') this.#encoder?.close();
    await this.#stream.end();
    await this.#options.queue.settled();
  }

  #encode(frame: VideoFrame, now: number): void {
    const { format } = this.#options;
    const encoder = this.#encoderFor(frame);
    if (encoder.encodeQueueSize >= MOST_BEHIND) {
      this.#counts.dropped += 1;
      return;
    }
    const keyFrame = now - this.#keyMs >= format.keyFrameMs;
    if (keyFrame) this.#keyMs = now;
    // Media time in place of the camera's: every track of an epoch counts from OPEN.
    const timed = new VideoFrame(frame, { timestamp: Math.round(now * 1000) });
    encoder.encode(timed, { keyFrame });
    timed.close();
    this.#encodedMs = now;
    this.#counts.encoded += 1;
  }

  /** A picture of another size, as after a window was resized, gets an encoder of its own; the stream goes on with its key frame. */
  #encoderFor(frame: VideoFrame): VideoEncoder {
    const { format, onFailure } = this.#options;
    const scale = Math.min(1, format.height / frame.displayHeight);
    const [width, height] = [frame.displayWidth, frame.displayHeight].map((side) =>
      Math.max(2, 2 * Math.round((side * scale) / 2)),
    );
    const size = `${width!}x${height!}`;
    if (this.#encoder?.state === 'configured' && size === this.#size) return this.#encoder;
    const before = this.#encoder;
    this.#size = size;
    this.#keyMs = -Infinity;
    const flushed = before?.state === 'configured' ? before.flush() : Promise.resolve();
    const encoder = new VideoEncoder({
      output: (chunk, meta) => {
        if (chunk.type === 'key') this.#keyToldMs = chunk.timestamp / 1000;
        void flushed.then(() => this.#stream.add(chunk, meta)).catch(onFailure);
      },
      error: onFailure,
    });
    encoder.configure({
      codec: format.codecString,
      width: width!,
      height: height!,
      bitrate: format.bitsPerSecond,
      framerate: format.frameRate,
      latencyMode: 'realtime',
    });
    void flushed.then(() => before?.close()).catch(onFailure);
    this.#encoder = encoder;
    return encoder;
  }

  async #sample(frame: VideoFrame, now: number): Promise<void> {
    this.#sampledMs = now;
    const luma = await sampleLuma(frame);
    if (!luma) return;
    for (const event of this.watch.see(now, luma)) this.#options.tell(event);
  }
}

/** Holes in an even series of times: its shortest distance is the source's own, whatever the light lets it be. */
export function framesLost(times: readonly number[]): number {
  const distances = times.slice(1).map((time, i) => time - times[i]!);
  const own = Math.max(1, Math.min(...distances));
  return distances.reduce((lost, distance) => lost + Math.max(0, Math.round(distance / own) - 1), 0);
}

/** Luma at a grid of pixels; undefined for a format without a plane of luma, as screens have. */
async function sampleLuma(frame: VideoFrame): Promise<Uint8Array | undefined> {
  if (frame.format === null || !/^(?:I4|NV12)/.test(frame.format)) return undefined;
  const bytes = new Uint8Array(frame.allocationSize());
  const [plane] = await frame.copyTo(bytes);
  if (!plane) return undefined;
  const { width, height } = frame.visibleRect ?? { width: frame.codedWidth, height: frame.codedHeight };
  const luma: number[] = [];
  for (let y = SAMPLE_STEP / 2; y < height; y += SAMPLE_STEP) {
    for (let x = SAMPLE_STEP / 2; x < width; x += SAMPLE_STEP) luma.push(bytes[plane.offset + y * plane.stride + x]!);
  }
  return Uint8Array.from(luma);
}
