/** Counts a listing. What a bucket's listing shows is the truth about a recording, whatever its rows say. */
import { parseObjectKey } from './names.ts';

/** Gaps beyond this many are not named one by one. */
const MOST_MISSING = 1000;

export interface TrackTally {
  epoch: number;
  track: number;
  objects: number;
  bytes: number;
  /** Highest sequence number plus one. */
  end: number;
  /** Sequence numbers below `end` that are not there, the first 1,000. */
  missing: number[];
}

export interface Tally {
  objects: number;
  bytes: number;
  tracks: TrackTally[];
  /** Objects whose key no recorder was ever given. */
  foreign: number;
}

/** Takes the listing of one recording's prefix, in key order; memory is bounded by the number of tracks. */
export async function tally(listing: AsyncIterable<{ key: string; bytes: number }>): Promise<Tally> {
  const whole: Tally = { objects: 0, bytes: 0, tracks: [], foreign: 0 };
  for await (const { key, bytes } of listing) {
    whole.objects++;
    whole.bytes += bytes;
    const name = parseObjectKey(key);
    if (!name) {
      whole.foreign++;
      continue;
    }
    let current = whole.tracks.at(-1);
    if (current?.epoch !== name.epoch || current.track !== name.track) {
      current = { epoch: name.epoch, track: name.track, objects: 0, bytes: 0, end: 0, missing: [] };
      whole.tracks.push(current);
    }
    for (let seq = current.end; seq < name.seq && current.missing.length < MOST_MISSING; seq++)
      current.missing.push(seq);
    current.objects++;
    current.bytes += bytes;
    current.end = name.seq + 1;
  }
  return whole;
}
