/** For what must not wait for a bucket: keys die on time, whether or not a listing can still say how much there was. */
import { type Bucket, BucketError, type ListedObject, type Ports } from '../ports.ts';
import { BudgetSpentError } from './lease.ts';

/** How long one page of a listing is waited for. */
const PATIENCE_MS = 10_000;

/** Objects in a page of a listing. */
const PAGE = 1_000;

/** Objects of one recording that are counted while keys of others wait, where a budget has to do for all of them. */
const MOST_COUNTED = 20_000;

/**
 * The same ports, whose bucket is not waited for: after one listing without an answer, all of them fail at once. And where there is a
 * budget, no listing uses it up: one that would throws `BudgetSpentError`.
 */
export function impatient(ports: Ports): Ports {
  let isSilent = false;
  async function* list(...given: Parameters<Bucket['list']>): AsyncIterable<ListedObject> {
    const objects = ports.bucket.list(...given)[Symbol.asyncIterator]();
    for (let count = 0; ; count++) {
      const isAtPage = count > 0 && count % PAGE === 0;
      if (isAtPage && ports.budget && (count >= MOST_COUNTED || ports.budget.isSpent())) {
        throw new BudgetSpentError('list: more objects than may be counted now');
      }
      if (isSilent) throw new BucketError('unavailable', 'list: the bucket gave no answer a moment ago');
      let next: IteratorResult<ListedObject>;
      try {
        next = await withinPatience(objects.next());
      } catch (error) {
        isSilent ||= error instanceof BucketError && error.code === 'unavailable';
        throw error;
      }
      if (next.done === true) return;
      yield next.value;
    }
  }
  return { ...ports, bucket: { ...ports.bucket, list } };
}

async function withinPatience<T>(answer: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new BucketError('unavailable', 'list: no answer in time'));
    }, PATIENCE_MS);
  });
  try {
    return await Promise.race([answer, silence]);
  } finally {
    clearTimeout(timer);
  }
}
