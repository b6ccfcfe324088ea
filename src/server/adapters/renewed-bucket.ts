/**
 * A bucket whose credentials may be replaced while it is used. The store accepts both sets for a while: a URL that was signed with the
 * former one stays good for as long as that set does, and nothing is signed with a new set that the store has not accepted.
 */
import { type Bucket, BucketError, type Clock } from '../ports.ts';
import { probeBucket } from './bucket-probe.ts';
import type { Credentials } from './sigv4.ts';

export interface RenewedBucket {
  bucket: Bucket;
  /**
   * Signs with this set from now on, once the store has taken an object, shown it and deleted it under it; answers whether it is another
   * set than before. Throws `BucketError` where the store did not, and goes on with the set that it has.
   */
  renew(next: Credentials, clock: Clock): Promise<boolean>;
}

export function createRenewedBucket(first: Credentials, open: (credentials: Credentials) => Bucket): RenewedBucket {
  let credentials = first;
  let now = open(first);
  return {
    bucket: {
      presignPut: (...given) => now.presignPut(...given),
      presignGet: (...given) => now.presignGet(...given),
      list: (...given) => now.list(...given),
      listVersions: (...given) => now.listVersions(...given),
      deleteVersions: (...given) => now.deleteVersions(...given),
      abortMultiparts: (...given) => now.abortMultiparts(...given),
      get: (...given) => now.get(...given),
      settings: () => now.settings(),
    },
    async renew(next, clock) {
      if (isSame(next, credentials)) return false;
      const trial = open(next);
      await requireAccepted(trial, clock);
      [credentials, now] = [next, trial];
      return true;
    },
  };
}

/** A real object written, read, listed and deleted; throws `BucketError`, refused. */
export async function requireAccepted(bucket: Bucket, clock: Clock): Promise<void> {
  const { put, isReadable, isListed, left } = await probeBucket(bucket, clock);
  if (put === 200 && isReadable && isListed && left === 0) return;
  throw new BucketError('refused', 'the store does not let these credentials write, read, list and delete');
}

function isSame(a: Credentials, b: Credentials): boolean {
  return a.accessKeyId === b.accessKeyId && a.secretAccessKey === b.secretAccessKey;
}
