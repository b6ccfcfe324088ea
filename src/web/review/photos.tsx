/** Photos of an ID, as the student took them: each a JPEG in a chunk of its own (EVENTS.md section 1). */
import { useEffect, useState } from 'preact/hooks';
import { LiveRegion } from '../parts/status.tsx';
import { FailureNote, useTask } from '../parts/task.tsx';
import type { Opened } from './recording.tsx';

const PHOTO = 6;

export function Photos({ opened: { desk, recordingId, timeline } }: { opened: Opened }) {
  const [urls, setUrls] = useState<readonly string[]>();
  const task = useTask();
  const tracks = timeline.spans.flatMap(({ epoch, tracks }) =>
    tracks.filter(({ kind }) => kind === PHOTO).map(({ track, chunks }) => ({ epoch, track, chunks })),
  );
  useEffect(() => {
    const made: string[] = [];
    void task.run(async () => {
      for (const { epoch, track, chunks } of tracks) {
        for (let seq = 0; seq < chunks; seq++) {
          const chunk = await desk.chunk(recordingId, epoch, track, seq);
          // The last chunk of a track may be empty.
          if (chunk && chunk.bytes.length > 0)
            made.push(URL.createObjectURL(new Blob([chunk.bytes], { type: 'image/jpeg' })));
        }
      }
      setUrls(made);
    });
    return () => {
      for (const url of made) URL.revokeObjectURL(url);
    };
  }, [recordingId]);
  if (tracks.length === 0) return null;
  return (
    <div class="photos">
      <LiveRegion isShown>{task.isBusy && 'Fetching the photo of the ID…'}</LiveRegion>
      {urls?.map((url, index) => (
        <figure key={url}>
          <img src={url} alt={`Photo ${index + 1} of ${urls.length} of an ID, as the student took it`} />
          <figcaption>{urls.length === 1 ? 'Photo of the ID' : `Photo ${index + 1} of the ID`}</figcaption>
        </figure>
      ))}
      {urls?.length === 0 && <p>No photo of an ID was taken.</p>}
      <FailureNote failure={task.failure} />
    </div>
  );
}
