/** Work on many recordings of which one may be bad: a few at a time, and a failure never stops the rest. */
import type { RecordingRow } from '../store.ts';
import { LeaseLostError } from './lease.ts';

/** Recordings worked on at once. */
const AT_ONCE = 4;

/** What could not be done this time; the next run takes it up again. */
export interface Failure {
  recordingId: string;
  reason: string;
}

/**
 * Does `work` for each row and answers what failed, with its reason. A lost lease ends it: somebody else is at work.
 */
export async function eachSafely(
  rows: readonly RecordingRow[],
  renew: () => Promise<void>,
  work: (row: RecordingRow) => Promise<void>,
): Promise<Failure[]> {
  const failed: Failure[] = [];
  const queue = rows.values();
  const worker = async () => {
    for (const row of queue) {
      await renew();
      try {
        await work(row);
      } catch (error) {
        if (error instanceof LeaseLostError) throw error;
        failed.push({ recordingId: row.id, reason: error instanceof Error ? error.message : String(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return failed;
}
