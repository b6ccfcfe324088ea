/** Small pictures along the line of time, each a button that goes there. Made on request: each costs a chunk or two. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { LiveRegion } from '../parts/status.tsx';
import { formatMoment, type Timeline } from './timeline.ts';
import { TrackStream, type MediaFeed } from './track-stream.ts';
import { FailureNote, useTask } from '../parts/task.tsx';

const COUNT = 10;
const WIDTH = 160;
const POLL_MS = 40;
/** A moment whose picture does not come is left out. */
const PATIENCE_MS = 20_000;

interface Thumbnail {
  atMs: number;
  url: string;
}

export interface ThumbnailsProps {
  timeline: Timeline;
  feed: MediaFeed;
  track: number;
  onSeek: (atMs: number) => void;
}

export function Thumbnails({ timeline, feed, track, onSeek }: ThumbnailsProps) {
  const [made, setMade] = useState<readonly Thumbnail[]>([]);
  const stop = useRef(new AbortController());
  const task = useTask();
  useEffect(() => {
    const { current } = stop;
    return () => {
      current.abort();
    };
  }, []);
  useEffect(
    () => () => {
      for (const { url } of made) URL.revokeObjectURL(url);
    },
    [],
  );
  const make = async (): Promise<void> => {
    for await (const thumbnail of drawThumbnails(timeline, feed, track, stop.current.signal)) {
      setMade((known) => [...known, thumbnail]);
    }
  };
  if (made.length === 0) {
    return (
      <div class="row">
        <Button unavailable={task.isBusy ? 'under way' : undefined} onPress={() => void task.run(make)}>
          Show thumbnails
        </Button>
        <LiveRegion isShown>{task.isBusy && 'Fetching the first picture…'}</LiveRegion>
        <FailureNote failure={task.failure} />
      </div>
    );
  }
  return (
    <ol class="thumbnails" aria-label="Thumbnails">
      {made.map(({ atMs, url }) => (
        <li key={atMs}>
          <button
            type="button"
            onClick={() => {
              onSeek(atMs);
            }}
          >
            <img src={url} alt={`Go to ${formatMoment(atMs)}`} />
            <span aria-hidden="true">{formatMoment(atMs)}</span>
          </button>
        </li>
      ))}
    </ol>
  );
}

/** Plays nothing: an element that is not on the page is set from moment to moment, and what it shows is drawn. */
async function* drawThumbnails(
  timeline: Timeline,
  feed: MediaFeed,
  track: number,
  signal: AbortSignal,
): AsyncGenerator<Thumbnail> {
  const element = Object.assign(document.createElement('video'), { muted: true });
  let failure: unknown;
  const stream = new TrackStream({
    ...{ element, track, timeline, feed },
    onFailure: (error) => {
      failure = error;
    },
  });
  try {
    for (let index = 0; index < COUNT; index++) {
      const atMs = (timeline.endMs * (index + 0.5)) / COUNT;
      if (!(await show(stream, atMs, signal, () => failure))) continue;
      const height = Math.round((WIDTH * element.videoHeight) / element.videoWidth);
      const canvas = new OffscreenCanvas(WIDTH, height);
      canvas.getContext('2d')!.drawImage(element, 0, 0, WIDTH, height);
      yield { atMs, url: URL.createObjectURL(await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.7 })) };
    }
  } finally {
    stream.close();
  }
}

/** False where there is no picture at this moment. */
async function show(stream: TrackStream, atMs: number, signal: AbortSignal, failure: () => unknown): Promise<boolean> {
  const { element } = stream;
  let isSet = false;
  for (const deadline = performance.now() + PATIENCE_MS; performance.now() < deadline && !signal.aborted;) {
    if (failure() !== undefined) throw failure();
    stream.follow(atMs, 0.1);
    const state = stream.state(atMs);
    if (state === 'absent') return false;
    if (state === 'ready' && !isSet) {
      element.currentTime = atMs / 1000;
      isSet = true;
    } else if (isSet && !element.seeking && element.readyState >= element.HAVE_CURRENT_DATA) return true;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return false;
}
