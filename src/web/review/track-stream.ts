/**
 * One track of a recording in one media element: fetches chunks ahead of the position, appends them to a MediaSource, and drops what
 * lies behind, so that three hours take as much memory as a minute does.
 */
import type { Bytes } from '../../../crypto/format/bytes.ts';
import { Mutex } from '../../client/turns.ts';
import type { Timeline } from './timeline.ts';
import { kindsOf, mimeOf, readWebmInit, type WebmInit } from './webm-init.ts';

export interface MediaFeed {
  /** The chunk that a moment of an epoch's media time falls into; undefined for an empty track. */
  seqAt(epoch: number, track: number, atMs: number): Promise<number | undefined>;
  /** Undefined where it is missing. */
  chunk(epoch: number, track: number, seq: number): Promise<{ bytes: Bytes } | undefined>;
}

/** `ready`: here. `waiting`: it is being fetched. `absent`: this track has nothing at this moment. */
export type StreamState = 'ready' | 'waiting' | 'absent';

/** Media kept ahead of the position, at normal speed; faster play keeps as much more. */
const AHEAD_MS = 15_000;
/** Kept behind it: stepping back a little costs nothing. */
const BEHIND_MS = 20_000;
/** Room between what is kept and what is dropped, so that nothing is dropped chunk by chunk. */
const SLACK_MS = 10_000;
/** Ranges that lie so close are one to the eye. */
const HOLE_MS = 120;
/** So close to the end of an epoch the element need not have a next frame. */
const END_MS = 500;

/** The part of one epoch that this track has, on the line. */
interface Stretch {
  epoch: number;
  startMs: number;
  endMs: number;
  chunks: number;
}

interface Place {
  /** Index among the stretches. */
  stretch: number;
  seq: number;
}

/** One go at feeding the buffer in order, from a moment on. A jump of the clock begins another. */
interface Run {
  fromMs: number;
  /** What comes next; `unknown` until the first chunk was found, `end` when there is no more. */
  place: Place | 'unknown' | 'end';
  isBusy: boolean;
  isSteppedBack: boolean;
  /** Fetched while what comes before it is appended. */
  ahead?: { place: Place; chunk: Promise<{ bytes: Bytes } | undefined> };
}

export interface TrackStreamOptions {
  element: HTMLMediaElement;
  track: number;
  timeline: Timeline;
  feed: MediaFeed;
  onFailure: (error: unknown) => void;
}

export class TrackStream {
  readonly element: HTMLMediaElement;
  readonly track: number;
  readonly #feed: MediaFeed;
  readonly #stretches: Stretch[];
  readonly #onFailure: (error: unknown) => void;
  readonly #durationMs: number;
  #source = new MediaSource();
  #url = URL.createObjectURL(this.#source);
  readonly #inits = new Map<number, Promise<WebmInit>>();
  readonly #turns = new Mutex();
  #buffer: SourceBuffer | undefined;
  #mime = '';
  /** Whether the buffer has picture, sound or both. */
  #kinds = '';
  /** Index of the stretch whose init segment and offset the buffer has. */
  #tuned: number | undefined;
  #run: Run | undefined;
  #positionMs = 0;
  #rate = 1;

  constructor({ element, track, timeline, feed, onFailure }: TrackStreamOptions) {
    this.element = element;
    this.track = track;
    this.#feed = feed;
    this.#onFailure = onFailure;
    this.#stretches = timeline.spans.flatMap(({ epoch, startMs, tracks }) =>
      tracks
        .filter((found) => found.track === track && found.endMs > 0)
        .map(({ chunks, endMs }) => ({ epoch, startMs, endMs: startMs + endMs, chunks })),
    );
    element.preservesPitch = true;
    element.addEventListener('error', this.#onElementError);
    this.#durationMs = timeline.endMs + 1000;
    void this.#show();
  }

  /** Gives the element its source; resolves when that takes media. */
  async #show(): Promise<void> {
    const source = this.#source;
    const opened = new Promise((resolve) => {
      source.addEventListener('sourceopen', resolve, { once: true });
    });
    this.element.src = this.#url;
    await opened;
    source.duration = this.#durationMs / 1000;
  }

  close(): void {
    this.#run = undefined;
    this.element.removeEventListener('error', this.#onElementError);
    this.element.removeAttribute('src');
    this.element.load();
    URL.revokeObjectURL(this.#url);
  }

  /** Where what the browser holds begins, ms on the line; undefined where it holds nothing. */
  get beginMs(): number | undefined {
    return this.#ranges()[0]?.startMs;
  }

  /** Media time that the browser holds, ms. */
  get bufferedMs(): number {
    return this.#ranges().reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
  }

  state(atMs: number): StreamState {
    if (!this.#stretches.some(({ startMs, endMs }) => atMs >= startMs && atMs < endMs)) return 'absent';
    if (this.#ranges().some(({ startMs, endMs }) => atMs >= startMs - HOLE_MS && atMs < endMs + HOLE_MS))
      return 'ready';
    // What was passed over in order and is not there, will not come.
    const isPassed = this.#run && atMs >= this.#run.fromMs && atMs < this.#frontierMs(this.#run) - HOLE_MS;
    return isPassed ? 'absent' : 'waiting';
  }

  /** Whether a next frame may be missing here because the epoch's media ends. */
  isNearEnd(atMs: number): boolean {
    return this.#stretches.some(({ startMs, endMs }) => atMs >= startMs && atMs < endMs && endMs - atMs < END_MS);
  }

  /** Told often where the clock is and how fast it goes: fetches ahead, drops behind, begins anew where the clock jumped. */
  follow(positionMs: number, rate: number): void {
    this.#positionMs = positionMs;
    this.#rate = rate;
    if (this.#source.readyState !== 'open') return;
    const run = this.#run;
    const isInReach = run && positionMs >= run.fromMs - HOLE_MS && positionMs <= this.#frontierMs(run) + AHEAD_MS;
    this.#run = isInReach ? run : { fromMs: positionMs, place: 'unknown', isBusy: false, isSteppedBack: false };
    this.#fill(this.#run).catch(this.#onFailure);
  }

  readonly #onElementError = (): void => {
    this.#onFailure(this.element.error ?? new Error('the media does not play'));
  };

  async #fill(run: Run): Promise<void> {
    if (run.isBusy) return;
    run.isBusy = true;
    try {
      if (run.place === 'unknown') await this.#locate(run);
      while (this.#run === run && typeof run.place === 'object' && this.#wantsMore(run)) {
        if (!(await this.#feedNext(run, run.place))) break;
      }
      await this.#turns.run(() => this.#drop(run, this.#positionMs - BEHIND_MS));
    } finally {
      run.isBusy = false;
    }
  }

  async #locate(run: Run): Promise<void> {
    const index = this.#stretches.findIndex(({ endMs }) => run.fromMs < endMs);
    const stretch = this.#stretches[index];
    const seq =
      stretch && (await this.#feed.seqAt(stretch.epoch, this.track, Math.max(0, run.fromMs - stretch.startMs)));
    await this.#turns.run(() => this.#clear(run));
    run.place = seq === undefined ? 'end' : { stretch: index, seq };
  }

  /** False where it must wait: for room in the buffer. */
  async #feedNext(run: Run, place: Place): Promise<boolean> {
    const ahead = run.ahead;
    const isSame = ahead?.place.stretch === place.stretch && ahead.place.seq === place.seq;
    const chunk = await (isSame ? ahead.chunk : this.#fetch(place));
    const next = this.#after(place);
    if (typeof next === 'object') run.ahead = { place: next, chunk: this.#fetch(next) };
    if (chunk && chunk.bytes.length > 0) {
      const isTaken = await this.#turns.run(() => this.#append(run, place, chunk.bytes));
      if (!isTaken) {
        run.ahead = { place, chunk: Promise.resolve(chunk) };
        return false;
      }
    }
    run.place = next;
    const [first] = this.#ranges();
    if (first && first.startMs > run.fromMs + HOLE_MS && place.seq > 0 && !run.isSteppedBack) {
      // The chunk does not begin with a key frame, as a foreign recorder's may not: what shows this moment begins one earlier.
      run.isSteppedBack = true;
      await this.#turns.run(() => this.#clear(run));
      run.place = { ...place, seq: place.seq - 1 };
    } else run.isSteppedBack = true;
    return true;
  }

  #fetch({ stretch, seq }: Place): Promise<{ bytes: Bytes } | undefined> {
    const chunk = this.#feed.chunk(this.#stretches[stretch]!.epoch, this.track, seq);
    chunk.catch(() => undefined); // told when its turn comes
    return chunk;
  }

  #after({ stretch, seq }: Place): Place | 'end' {
    if (seq + 1 < this.#stretches[stretch]!.chunks) return { stretch, seq: seq + 1 };
    return stretch + 1 < this.#stretches.length ? { stretch: stretch + 1, seq: 0 } : 'end';
  }

  #wantsMore(run: Run): boolean {
    return this.#frontierMs(run) < this.#positionMs + AHEAD_MS * Math.max(1, this.#rate);
  }

  /** Up to where a run has come. */
  #frontierMs(run: Run): number {
    if (run.place === 'end') return Infinity;
    if (run.place === 'unknown') return run.fromMs;
    // Before a stretch's first chunk all that came before has been fed, even if it ended a little earlier than its chunks said.
    const beginMs = run.place.seq === 0 ? this.#stretches[run.place.stretch]!.startMs : 0;
    return Math.max(run.fromMs, beginMs, this.#ranges().at(-1)?.endMs ?? 0);
  }

  #ranges(): { startMs: number; endMs: number }[] {
    const buffered = this.#buffer?.buffered;
    return Array.from({ length: buffered?.length ?? 0 }, (_, index) => ({
      startMs: buffered!.start(index) * 1000,
      endMs: buffered!.end(index) * 1000,
    }));
  }

  // ---- the buffer: one operation at a time ------------------------------------------------------------------------------
  /** Whether it was taken; false where the buffer is full of what is still to be seen, or has to be another one after that. */
  async #append(run: Run, place: Place, bytes: Bytes): Promise<boolean> {
    const { init, codecs } = await this.#initOf(place);
    if (this.#run !== run) return false;
    const kinds = kindsOf(codecs);
    if (this.#buffer && kinds !== this.#kinds) {
      const { startMs } = this.#stretches[place.stretch]!;
      if (this.#positionMs < startMs) return false;
      await this.#renew();
      run.fromMs = Math.max(run.fromMs, startMs);
    }
    this.#kinds = kinds;
    const buffer = this.#tune(place.stretch, mimeOf(codecs));
    try {
      if (this.#tuned !== place.stretch && place.seq > 0)
        await update(buffer, () => {
          buffer.appendBuffer(init);
        });
      this.#tuned = place.stretch;
      await update(buffer, () => {
        buffer.appendBuffer(bytes);
      });
      return true;
    } catch (error) {
      if (!(error instanceof DOMException && error.name === 'QuotaExceededError')) throw error;
      await this.#drop(run, this.#positionMs - 1000);
      return false;
    }
  }

  /** The buffer, ready for an epoch's media: its codecs, its place on the line, a parser that waits for a beginning. */
  #tune(stretch: number, mime: string): SourceBuffer {
    this.#buffer ??= this.#source.addSourceBuffer(mime);
    if (this.#tuned !== stretch) {
      this.#buffer.abort();
      if (this.#mime !== '' && this.#mime !== mime) this.#buffer.changeType(mime);
      this.#mime = mime;
      this.#buffer.timestampOffset = this.#stretches[stretch]!.startMs / 1000;
    }
    return this.#buffer;
  }

  /** A source never changes whether it has picture, sound or both (W3C MSE 3.5.8): an epoch that has others begins with a new one. */
  async #renew(): Promise<void> {
    URL.revokeObjectURL(this.#url);
    this.#source = new MediaSource();
    this.#url = URL.createObjectURL(this.#source);
    this.#buffer = undefined;
    this.#mime = '';
    this.#tuned = undefined;
    await this.#show();
  }

  #initOf({ stretch }: Place): Promise<WebmInit> {
    const { epoch } = this.#stretches[stretch]!;
    const known =
      this.#inits.get(epoch) ??
      this.#fetch({ stretch, seq: 0 }).then((chunk) => {
        const init = chunk && readWebmInit(chunk.bytes);
        if (!init)
          throw new Error(`track ${this.track} of epoch ${epoch} does not begin as WebM: it cannot be played here`);
        return init;
      });
    this.#inits.set(epoch, known);
    return known;
  }

  async #clear(run: Run): Promise<void> {
    const buffer = this.#buffer;
    if (this.#run !== run || !buffer) return;
    buffer.abort();
    this.#tuned = undefined;
    if (buffer.buffered.length > 0)
      await update(buffer, () => {
        buffer.remove(0, Infinity);
      });
  }

  /** Drops what lies before `untilMs`, if that is worth it. */
  async #drop(run: Run, untilMs: number): Promise<void> {
    const first = this.#ranges()[0];
    const buffer = this.#buffer;
    if (this.#run !== run || !buffer || !first || first.startMs > untilMs - SLACK_MS) return;
    await update(buffer, () => {
      buffer.remove(0, untilMs / 1000);
    });
    run.fromMs = Math.max(run.fromMs, this.#ranges()[0]?.startMs ?? untilMs);
  }
}

/** One asynchronous operation of a SourceBuffer, to its end. */
async function update(buffer: SourceBuffer, operation: () => void): Promise<void> {
  operation();
  await new Promise<void>((resolve, reject) => {
    buffer.addEventListener(
      'updateend',
      () => {
        resolve();
      },
      { once: true },
    );
    buffer.addEventListener(
      'error',
      () => {
        reject(new Error('the browser cannot play this media'));
      },
      { once: true },
    );
  });
}
