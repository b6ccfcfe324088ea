/** Ends recordings whose recorder fell silent, so that reviewers see them end and the log says how much there was. */
import type { LogEntryOf } from '../../../crypto/log/entry.ts';
import { recordingPrefix } from '../core/names.ts';
import { RESUME_WINDOW_MS } from '../core/retention.ts';
import { tally } from '../core/tally.ts';
import type { Ports } from '../ports.ts';
import type { RecordingRow } from '../store.ts';
import { eachSafely, type Failure } from './batch.ts';
import { withLease } from './lease.ts';

const PAGE = 100;

/**
 * Answers how many it ended. Until then the recorder may resume, within `RESUME_WINDOW_MS`. Throws at the end, when the
 * others are done, where one could not be ended.
 */
export async function abandon(ports: Ports): Promise<number> {
  let ended = 0;
  let failed: Failure[] = [];
  await withLease(ports, 'abandon', async (renew) => {
    for (;;) {
      const now = ports.clock.now();
      const page = await ports.store.idle(now - RESUME_WINDOW_MS, now, PAGE);
      let progress = 0;
      const outcome = await eachSafely(page, renew, async (recording) => {
        if (await endSilent(ports, recording, 'silent')) progress++;
      });
      failed = outcome.failed;
      ended += progress;
      // A page without progress was resumed or ended by somebody else meanwhile; the next run looks again.
      if (page.length < PAGE || progress === 0) return;
    }
  });
  const [first] = failed;
  if (first) throw new Error(`${failed.length} silent recordings could not be ended, the first one: ${first.reason}`);
  return ended;
}

/** open -> abandoned, with what a listing shows; false when the recorder was heard of, or somebody else ended it, meanwhile. */
export async function endSilent(
  { store, bucket, clock }: Ports,
  { id, lastEpoch, seenMs }: RecordingRow,
  reason: LogEntryOf<'recording.abandoned'>['reason'],
): Promise<boolean> {
  const [listed, newest, tracks] = await Promise.all([
    tally(bucket.list(recordingPrefix(id))),
    store.epoch(id, lastEpoch),
    store.tracks(id),
  ]);
  const counted = tracks.reduce((sum, { count }) => sum + count, 0);
  const present = tracks.reduce((sum, { epoch, track, count }) => {
    const found = listed.tracks.find((one) => one.epoch === epoch && one.track === track);
    return sum + (found ? Math.min(count, found.end) - found.missing.filter((seq) => seq < count).length : 0);
  }, 0);
  const { objects, bytes } = listed;
  const at = clock.now();
  return store.abandon(
    id,
    seenMs,
    at,
    { objects, bytes },
    {
      v: 1,
      type: 'recording.abandoned',
      at,
      recording: id,
      epoch: lastEpoch,
      head_hash: newest?.epoch.headHash ?? null,
      head_seq: newest?.epoch.headSeq ?? null,
      objects,
      bytes,
      missing: counted - present,
      reason,
    },
  );
}
