/** A listing of the bucket, from the bucket itself or from files that another program wrote. */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { type HeldKind, type ListedObject, type ListingScope, Reconciliation } from '../../crypto/log/reconcile.ts';
import type { S3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { CommandError } from '../shell/exits.ts';

/** `SIZE KEY`, as `rclone lsf -R --format sp --separator ' '` prints it, or with a date in front, as `aws s3 ls --recursive` does. */
const LINE = /^(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\s+)?(\d{1,15})\s+(\S.*)$/;

const key = z.object({ Key: z.string() });
const sized = z.object({ Key: z.string(), Size: z.number() });
/** What `aws s3api list-objects-v2`, `list-object-versions` and `list-multipart-uploads` print: the answers of S3 in JSON. */
const answerSchema = z.object({
  IsTruncated: z.boolean().nullish(),
  NextToken: z.string().nullish(),
  Contents: z.array(sized).nullish(),
  Versions: z.array(z.object({ Key: z.string(), Size: z.number(), IsLatest: z.boolean() })).nullish(),
  DeleteMarkers: z.array(key).nullish(),
  Uploads: z.array(key).nullish(),
  /** Fields that say what was asked where the answer is empty. */
  VersionIdMarker: z.string().nullish(),
  MaxUploads: z.number().nullish(),
});

/** Lists the bucket, now: objects, noncurrent versions, delete markers, unfinished multipart uploads. */
export async function listBucket(bucket: S3Bucket, now: number): Promise<Reconciliation> {
  const reconciliation = new Reconciliation(now, { versions: true, multiparts: true });
  for await (const version of bucket.listVersions('')) reconciliation.acceptObject(version);
  for await (const { key } of bucket.listMultiparts('')) {
    reconciliation.acceptObject({ key, bytes: 0, kind: 'multipart' });
  }
  return reconciliation;
}

/**
 * Reads listings from files, each of lines or of the JSON of one call of S3; their time is that of the oldest file, unless `listedMs`
 * says otherwise. Throws `unverifiable` on what is no listing, or not a whole one, and where two files list the same.
 */
export async function readListing(paths: readonly string[], listedMs?: number): Promise<Reconciliation> {
  const read = await Promise.all(paths.map(readOne));
  for (const what of ['objects', 'multiparts'] as const) {
    const [, second] = read.filter((one) => one.lists === what || (what === 'objects' && one.lists === 'versions'));
    if (second) throw notListing(second.path, `another file lists ${what} too, which would count them twice`);
  }
  const scope: ListingScope = {
    versions: read.some(({ lists }) => lists === 'versions'),
    multiparts: read.some(({ lists }) => lists === 'multiparts'),
  };
  const times = await Promise.all(paths.map(async (path) => (await stat(path)).mtimeMs));
  const reconciliation = new Reconciliation(Math.floor(listedMs ?? Math.min(...times)), scope);
  for (const { held } of read) for await (const one of held) reconciliation.acceptObject(one);
  return reconciliation;
}

interface Listing {
  path: string;
  /** What it is a listing of; `nothing` where it is empty and does not say. */
  lists: 'objects' | 'versions' | 'multiparts' | 'nothing';
  held: AsyncIterable<ListedObject> | Iterable<ListedObject>;
}

async function readOne(path: string): Promise<Listing> {
  const first = await firstByte(path);
  if (first === undefined) return { path, lists: 'nothing', held: [] };
  if (first !== '{') return { path, lists: 'objects', held: linesOf(path) };
  const parsed = answerSchema.safeParse(jsonOf(path, await readFile(path, 'utf8')));
  if (!parsed.success) throw notListing(path, z.prettifyError(parsed.error));
  const { data } = parsed;
  if (data.IsTruncated === true || typeof data.NextToken === 'string') throw notListing(path, 'it is cut short');
  const of = (kind: HeldKind, found: readonly { Key: string; Size?: number }[] | null | undefined) =>
    (found ?? []).map(({ Key, Size = 0 }): ListedObject => ({ key: Key, bytes: Size, kind }));
  const { Contents, Versions, DeleteMarkers, Uploads } = data;
  if (Uploads ?? typeof data.MaxUploads === 'number')
    return { path, lists: 'multiparts', held: of('multipart', Uploads) };
  if (Versions ?? DeleteMarkers ?? typeof data.VersionIdMarker === 'string') {
    const isLatest = (wanted: boolean) => Versions?.filter(({ IsLatest }) => IsLatest === wanted);
    const held = [
      ...of('current', isLatest(true)),
      ...of('noncurrent', isLatest(false)),
      ...of('marker', DeleteMarkers),
    ];
    return { path, lists: 'versions', held };
  }
  return Contents ? { path, lists: 'objects', held: of('current', Contents) } : { path, lists: 'nothing', held: [] };
}

async function firstByte(path: string): Promise<string | undefined> {
  for await (const piece of createReadStream(path, { encoding: 'utf8', end: 4095 })) {
    return (piece as string).trimStart().at(0);
  }
  return undefined;
}

function jsonOf(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notListing(path, 'expected the JSON of one answer of S3');
  }
}

function notListing(path: string, why: string): CommandError {
  return new CommandError('unverifiable', 'listing', `${path}: ${why}`);
}

async function* linesOf(path: string): AsyncGenerator<ListedObject> {
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    number++;
    if (line === '' || line.endsWith('/')) continue;
    const match = LINE.exec(line);
    if (!match) throw notListing(path, `line ${number}: expected a size and a key`);
    yield { key: match[2]!, bytes: Number(match[1]) };
  }
}
