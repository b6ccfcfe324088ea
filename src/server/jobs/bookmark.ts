/** Where a job goes on that the run before could not finish within its budget. */
import type { Store } from '../ports.ts';
import { BudgetSpentError } from './lease.ts';

/**
 * Runs `work` from the place that the run before kept, or from the beginning; false when the budget was spent before the work was done.
 * Whatever else ends it forgets the place, so that nothing is passed over for ever: the next run begins at the beginning.
 */
export async function fromBookmark<Place>(
  store: Store,
  name: string,
  work: (from: Place | undefined, keep: (place: Place) => void) => Promise<void>,
): Promise<boolean> {
  const before = await store.bookmark(name);
  let place = before === undefined ? undefined : (JSON.parse(before) as Place);
  let after: string | undefined;
  try {
    await work(place, (reached) => {
      place = reached;
    });
    return true;
  } catch (error) {
    if (!(error instanceof BudgetSpentError)) throw error;
    if (place !== undefined) after = JSON.stringify(place);
    return false;
  } finally {
    if (after !== before) await store.setBookmark(name, after);
  }
}
