import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { impatient } from '../../../src/server/jobs/impatience.ts';
import { type Bucket, BucketError, type ListedObject, type Ports } from '../../../src/server/ports.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function over(list: Bucket['list']): Bucket['list'] {
  const { bucket } = impatient({ bucket: { list } } as unknown as Ports);
  return (prefix) => bucket.list(prefix);
}

async function collect(list: AsyncIterable<ListedObject>): Promise<string[] | BucketError> {
  const keys: string[] = [];
  try {
    for await (const { key } of list) keys.push(key);
  } catch (error) {
    return error as BucketError;
  }
  return keys;
}

it('hands a listing on as it is, however long it is, and leaves no timer behind', async () => {
  const list = over(async function* (prefix) {
    for (let seq = 0; seq < 5000; seq++) yield await Promise.resolve({ key: `${prefix}${seq}`, bytes: 1 });
  });
  expect(await collect(list('x/'))).toHaveLength(5000);
  expect(vi.getTimerCount()).toBe(0);
});

it('gives up a listing that hangs, and every further one at once', async () => {
  let asked = 0;
  const list = over(async function* () {
    asked++;
    yield { key: 'first', bytes: 1 };
    await new Promise(() => undefined);
  });
  const first = collect(list('x/'));
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await first).toMatchObject({ name: 'BucketError', code: 'unavailable' });
  expect(await collect(list('y/'))).toMatchObject({ code: 'unavailable' });
  expect(asked).toBe(1);
});

it('goes on asking a bucket that refused one listing', async () => {
  const list = over(async function* (prefix) {
    await Promise.resolve();
    if (prefix === 'x/') throw new BucketError('refused', 'not this one');
    yield { key: prefix, bytes: 1 };
  });
  expect(await collect(list('x/'))).toMatchObject({ code: 'refused' });
  expect(await collect(list('y/'))).toEqual(['y/']);
});
