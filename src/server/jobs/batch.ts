/** Work on many recordings of which one may be bad: a few at a time, and a failure never stops the rest. */
import type { RecordingRow } from '../store.ts';
import { BudgetSpentError, Stopped } from './lease.ts';

/** Recordings worked on at once. */
const AT_ONCE = 4;

/** What could not be done this time; the next run takes it up again. */
export interface Failure {
  recordingId: string;
  reason: string;
}

export interface Outcome {
  failed: Failure[];
  /** How many rows at the end the budget did not reach, or did not let finish. */
  left: number;
}

/**
 * Does `work` for each row and answers what failed, with its reason. A lost lease ends it: somebody else is at work. So does a spent
 * budget, but that is no failure.
 */
export async function eachSafely(
  rows: readonly RecordingRow[],
  renew: () => Promise<void>,
  work: (row: RecordingRow) => Promise<void>,
): Promise<Outcome> {
  const failed: Failure[] = [];
  let end = rows.length;
  const queue = rows.entries();
  const worker = async () => {
    for (const [index, row] of queue) {
      try {
        await renew();
        await work(row).catch((error: unknown) => {
          if (error instanceof Stopped) throw error;
          failed.push({ recordingId: row.id, reason: error instanceof Error ? error.message : String(error) });
        });
      } catch (error) {
        if (!(error instanceof BudgetSpentError)) throw error;
        end = Math.min(end, index);
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { failed, left: rows.length - end };
}
