/** A listing of the bucket, from the bucket itself or from a file that another program wrote. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { ListedObject } from '../../crypto/log/reconcile.ts';
import { Reconciliation } from '../../crypto/log/reconcile.ts';
import type { Bucket } from '../../src/server/ports.ts';
import { CommandError } from '../shell/exits.ts';

/** `SIZE KEY`, as `rclone lsf -R --format sp --separator ' '` prints it, or with a date in front, as `aws s3 ls --recursive` does. */
const LINE = /^(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\s+)?(\d{1,15})\s+(\S.*)$/;

/** Lists the bucket, now. */
export async function listBucket(bucket: Bucket, now: number): Promise<Reconciliation> {
  return collect(bucket.list(''), now);
}

/** Reads a listing from a file; its time is the file's, unless `listedMs` says otherwise. Throws `unverifiable` on a line that is none. */
export async function readListing(path: string, listedMs?: number): Promise<Reconciliation> {
  return collect(linesOf(path), listedMs ?? (await stat(path)).mtimeMs);
}

async function collect(objects: AsyncIterable<ListedObject>, listedMs: number): Promise<Reconciliation> {
  const reconciliation = new Reconciliation(Math.floor(listedMs));
  for await (const object of objects) reconciliation.acceptObject(object);
  return reconciliation;
}

async function* linesOf(path: string): AsyncGenerator<ListedObject> {
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    number++;
    if (line === '' || line.endsWith('/')) continue;
    const match = LINE.exec(line);
    if (!match) throw new CommandError('unverifiable', 'listing', `${path}: line ${number}: expected a size and a key`);
    yield { key: match[2]!, bytes: Number(match[1]) };
  }
}
