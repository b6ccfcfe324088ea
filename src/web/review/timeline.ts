/**
 * One recording on one line of time. Each epoch counts its own media time from its OPEN; on the line it lies where the device's clock
 * says that it began, and never before the one before it has ended: a clock that was changed moves nothing over anything else.
 */

/** A track of one epoch, as its chunks tell. */
export interface EpochTrack {
  track: number;
  kind: number;
  codec: string;
  /** One past the last chunk that is there. */
  chunks: number;
  /** Media time of its last chunk's end. */
  endMs: number;
}

export interface RecordedEpoch {
  epoch: number;
  /** The device's clock at OPEN. */
  clientMs: number;
  tracks: EpochTrack[];
}

/** An epoch on the line; all in ms from the line's beginning. */
export interface Span extends RecordedEpoch {
  startMs: number;
  endMs: number;
}

export interface Timeline {
  spans: Span[];
  /** Where nothing was recorded, between two epochs. */
  gaps: { startMs: number; endMs: number }[];
  endMs: number;
}

/** A gap that is longer than any exam is a clock that was set wrong: it is shown as this long. */
const LONGEST_GAP_MS = 24 * 3_600_000;

export function layOut(epochs: readonly RecordedEpoch[]): Timeline {
  const spans: Span[] = [];
  const gaps: Timeline['gaps'] = [];
  for (const epoch of epochs) {
    const last = spans.at(-1);
    const byClock = epoch.clientMs - (epochs[0]?.clientMs ?? 0);
    const earliest = last?.endMs ?? 0;
    const startMs = Math.min(Math.max(byClock, earliest), earliest + LONGEST_GAP_MS);
    if (startMs > earliest) gaps.push({ startMs: earliest, endMs: startMs });
    spans.push({ ...epoch, startMs, endMs: startMs + Math.max(0, ...epoch.tracks.map(({ endMs }) => endMs)) });
  }
  return { spans, gaps, endMs: spans.at(-1)?.endMs ?? 0 };
}

/** The epoch that a moment of the line lies in; undefined in a gap. */
export function spanAt({ spans }: Timeline, atMs: number): Span | undefined {
  return spans.find(({ startMs, endMs }) => atMs >= startMs && atMs < endMs);
}

/** Where to go on after a gap: the same moment where there is none, the end after the last epoch. */
export function afterGap({ gaps }: Timeline, atMs: number): number {
  return gaps.find(({ startMs, endMs }) => atMs >= startMs && atMs < endMs)?.endMs ?? atMs;
}

/** `1:02:03`, or `2:03` below an hour. */
export function formatMoment(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const [hours, minutes, rest] = parts.map(String) as [string, string, string];
  return parts[0]! > 0
    ? `${hours}:${minutes.padStart(2, '0')}:${rest.padStart(2, '0')}`
    : `${minutes}:${rest.padStart(2, '0')}`;
}
