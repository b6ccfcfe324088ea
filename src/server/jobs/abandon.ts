/** Ends recordings whose recorder fell silent, so that reviewers see them end and the log says how much there was. */
import { recordingPrefix } from '../core/names.ts';
import { RESUME_WINDOW_MS } from '../core/retention.ts';
import { tally } from '../core/tally.ts';
import type { Ports } from '../ports.ts';
import type { RecordingRow } from '../store.ts';
import { withLease } from './lease.ts';

const PAGE = 100;

/** Answers how many it ended. Until then the recorder may resume, within `RESUME_WINDOW_MS`. */
export async function abandon(ports: Ports): Promise<number> {
  let ended = 0;
  await withLease(ports, 'abandon', async (renew) => {
    for (;;) {
      const now = ports.clock.now();
      const page = await ports.store.idle(now - RESUME_WINDOW_MS, now, PAGE);
      let progress = 0;
      for (const recording of page) if (await abandonOne(ports, recording, now)) progress++;
      ended += progress;
      // A page without progress was resumed or ended by somebody else meanwhile; the next run looks again.
      if (page.length < PAGE || progress === 0) return;
      await renew();
    }
  });
  return ended;
}

async function abandonOne({ store, bucket }: Ports, recording: RecordingRow, now: number): Promise<boolean> {
  const { id, lastEpoch, seenMs } = recording;
  const [listed, newest, tracks] = await Promise.all([
    tally(bucket.list(recordingPrefix(id))),
    store.epoch(id, lastEpoch),
    store.tracks(id),
  ]);
  const counted = tracks.reduce((sum, { count }) => sum + count, 0);
  const present = tracks.reduce((sum, { epoch, track, count }) => {
    const found = listed.tracks.find((one) => one.epoch === epoch && one.track === track);
    return sum + Math.min(count, (found?.end ?? 0) - (found?.missing.filter((seq) => seq < count).length ?? 0));
  }, 0);
  const { objects, bytes } = listed;
  return store.abandon(
    id,
    seenMs,
    now,
    { objects, bytes },
    {
      v: 1,
      type: 'recording.abandoned',
      at: now,
      recording: id,
      epoch: lastEpoch,
      head_hash: newest?.epoch.headHash ?? null,
      head_seq: newest?.epoch.headSeq ?? null,
      objects,
      bytes,
      missing: counted - present,
      reason: 'silent',
    },
  );
}
