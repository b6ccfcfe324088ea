/** Several tracks of one recording, seen and heard together: every element follows one clock, and the clock waits for all of them. */
import { PlayClock } from './play-clock.ts';
import { afterGap, spanAt, type Timeline } from './timeline.ts';
import { TrackStream, type MediaFeed, type StreamState } from './track-stream.ts';

export const RATES = [0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4] as const;

/** Often enough that two pictures never part by a frame and a half at normal speed. */
const TICK_MS = 50;
/** An element that is this much ahead or behind is helped along, in ms of media at normal speed. */
const DRIFT_MS = 30;
/** Beyond this it is set, not helped. */
const FAR_MS = 400;
/** Devices give their first picture and sound a moment after a recording was opened; later than so, it is an absence and is shown as one. */
const LATE_MS = 3000;
/** A step of speed that nobody hears. */
const NUDGE = 0.06;
const HAVE_FUTURE_DATA = 3;

export interface Stretch {
  startMs: number;
  endMs: number;
}

export interface PlayerState {
  positionMs: number;
  rate: number;
  isPlaying: boolean;
  /** Plays, and waits for media. */
  isWaiting: boolean;
  /** By track. */
  tracks: ReadonlyMap<number, StreamState>;
}

export interface PlayerOptions {
  timeline: Timeline;
  feed: MediaFeed;
  tracks: readonly { track: number; element: HTMLMediaElement }[];
  /** Told at every tick. */
  onTick: (state: PlayerState) => void;
  onFailure: (track: number, error: unknown) => void;
}

export class Player {
  readonly #timeline: Timeline;
  readonly #streams: TrackStream[];
  readonly #clock = new PlayClock(() => performance.now());
  readonly #onTick: PlayerOptions['onTick'];
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #failed = new Set<number>();
  /** Elements that are somewhere else than the clock, and are set before anything runs. */
  readonly #strayed = new Set<TrackStream>();
  #skipped: readonly Stretch[] = [];

  constructor({ timeline, feed, tracks, onTick, onFailure }: PlayerOptions) {
    this.#timeline = timeline;
    this.#onTick = onTick;
    this.#streams = tracks.map(
      ({ track, element }) =>
        new TrackStream({
          ...{ element, track, timeline, feed },
          onFailure: (error) => {
            if (this.#failed.has(track)) return;
            this.#failed.add(track);
            onFailure(track, error);
          },
        }),
    );
    this.#timer = setInterval(() => {
      this.#tick();
    }, TICK_MS);
  }

  get positionMs(): number {
    return Math.min(this.#clock.positionMs, this.#timeline.endMs);
  }

  /** Media that the browser holds over all tracks, ms. */
  get bufferedMs(): number {
    return this.#streams.reduce((sum, { bufferedMs }) => sum + bufferedMs, 0);
  }

  play(): void {
    if (this.positionMs >= this.#timeline.endMs) this.seek(0);
    this.#clock.play();
    this.#tick();
  }

  pause(): void {
    this.#clock.pause();
    this.#tick();
  }

  toggle(): void {
    if (this.#clock.isPlaying) this.pause();
    else this.play();
  }

  seek(positionMs: number): void {
    this.#jump(Math.min(Math.max(0, positionMs), this.#timeline.endMs));
    this.#tick();
  }

  setRate(rate: number): void {
    this.#clock.setRate(rate);
    this.#tick();
  }

  /** Stretches that play passes over; an empty list ends that. */
  skip(stretches: readonly Stretch[]): void {
    this.#skipped = stretches;
  }

  close(): void {
    clearInterval(this.#timer);
    for (const stream of this.#streams) stream.close();
  }

  #tick(): void {
    if (this.#clock.isPlaying) this.#passOver();
    const { positionMs } = this;
    const states = new Map<number, StreamState>();
    let isWaiting = false;
    for (const stream of this.#streams) {
      if (this.#failed.has(stream.track)) continue;
      stream.follow(positionMs, this.#clock.rate);
      const state = stream.state(positionMs);
      states.set(stream.track, state);
      if (state !== 'ready') this.#strayed.add(stream);
      else if (this.#strayed.delete(stream)) stream.element.currentTime = positionMs / 1000;
      isWaiting ||= state === 'waiting' || (state === 'ready' && !this.#isPrepared(stream, positionMs));
    }
    if (positionMs === 0 && !this.#clock.isPlaying && ![...states.values()].includes('waiting')) this.#begin();
    this.#clock.hold(isWaiting);
    const isRunning = this.#clock.isPlaying && !isWaiting;
    for (const stream of this.#streams) {
      if (states.get(stream.track) === 'ready') this.#align(stream, isRunning);
      else stream.element.pause();
    }
    const { rate, isPlaying, isHeld } = this.#clock;
    this.#onTick({ positionMs: this.positionMs, rate, isPlaying, isWaiting: isHeld, tracks: states });
  }

  /** From the very beginning to where every track that begins has begun. */
  #begin(): void {
    const begins = this.#streams.map(({ beginMs }) => beginMs ?? 0).filter((beginMs) => beginMs <= LATE_MS);
    const begin = Math.ceil(Math.max(0, ...begins));
    if (begin > 0) this.#jump(begin);
  }

  #jump(positionMs: number): void {
    this.#clock.seek(positionMs);
    for (const stream of this.#streams) this.#strayed.add(stream);
  }

  #passOver(): void {
    const { positionMs } = this;
    const skipped = this.#skipped.find(({ startMs, endMs }) => positionMs >= startMs && positionMs < endMs);
    const next = afterGap(this.#timeline, skipped?.endMs ?? positionMs);
    if (next !== positionMs) this.#jump(next);
    if (this.positionMs >= this.#timeline.endMs || !spanAt(this.#timeline, this.positionMs)) this.#clock.pause();
  }

  /** Whether the element can show this moment and go on. */
  #isPrepared(stream: TrackStream, positionMs: number): boolean {
    const { seeking, readyState } = stream.element;
    return !seeking && (readyState >= HAVE_FUTURE_DATA || stream.isNearEnd(positionMs));
  }

  #align({ element }: TrackStream, isRunning: boolean): void {
    const { rate, positionMs } = this.#clock;
    const driftMs = element.currentTime * 1000 - positionMs;
    if (!isRunning) {
      if (Math.abs(driftMs) > DRIFT_MS && !element.seeking) element.currentTime = positionMs / 1000;
    } else if (driftMs < -FAR_MS * Math.max(1, rate)) {
      // A machine that cannot decode so fast sets the pace.
      this.#clock.seek(positionMs + driftMs);
    } else if (driftMs > FAR_MS * Math.max(1, rate)) element.currentTime = positionMs / 1000;
    const isOff = isRunning && Math.abs(driftMs) > DRIFT_MS * Math.max(1, rate);
    element.playbackRate = rate * (isOff ? 1 - Math.sign(driftMs) * NUDGE : 1);
    if (isRunning && element.paused) element.play().catch(() => undefined);
    else if (!isRunning) element.pause();
  }
}
