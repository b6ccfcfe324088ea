/**
 * Moves every object that is owed from one bucket to another, while the server goes on over both (adapters/moving-bucket.ts).
 *
 *   1 copy     each object is read, held against what its recorder signed and what the server promised, and put under the same key:
 *              create-only, its length and SHA-256 signed. What was there already is not put again
 *   2 wait     until the last URL that was signed for the former bucket is dead, and copy what came meanwhile
 *   3 compare  an object is deleted from the former bucket only when both copies were read and are the same bytes
 *   4 list     the former bucket is empty when a listing of it says so
 *
 * Nothing is remembered but what lies in the two buckets: whatever step a run died at, the next one begins at 1. What a purge has begun
 * is left to it, which deletes in both.
 */
import { equal, fromBase64Url, type Bytes } from '../../../crypto/format/bytes.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { parseObjectKey, recordingPrefix } from '../core/names.ts';
import { CLOCK_SKEW_MS, URL_LIFE_SECONDS } from '../core/retention.ts';
import { type Bucket, BucketError, type ListedObject, type ObjectVersion, type Ports } from '../ports.ts';
import type { EpochRow, PendingRow } from '../store.ts';
import { areOwed, signedEntry } from './scrub-recording.ts';

/** No URL that a server signed before this long ago is good any more, by whichever clock. */
export const URLS_DEAD_AFTER_MS = URL_LIFE_SECONDS * 1000 + CLOCK_SKEW_MS;

export interface MoveSummary {
  /** What was looked at, or would be: recordings, and the objects of theirs in the former bucket. */
  recordings: number;
  objects: number;
  bytes: number;
  copied: number;
  /** Moved as they are, and not what their recorder signed: they were damaged before. */
  damaged: number;
  /** Objects that both buckets hold under one key with different bytes; both stay. */
  different: number;
  deleted: number;
  /** What a listing of the former bucket shows at the end, and of that, under no recording that this server ever opened. */
  left: number;
  foreign: number;
}

export interface MoveOptions {
  /** Counts, and changes nothing. */
  isDry?: boolean;
  /** Told after each recording. */
  onProgress?: (phase: 'copying' | 'comparing', summary: MoveSummary) => void;
  /** Resolves when the last URL for the former bucket is dead. */
  untilUrlsAreDead: () => Promise<void>;
}

/** Objects that are copied at once; a chunk may have 8 MiB. */
const AT_ONCE = 8;
const KEYS_PER_DELETE = 1000;

type MovePorts = Pick<Ports, 'store' | 'clock'>;

export async function moveObjects(
  ports: MovePorts,
  former: Bucket,
  current: Bucket,
  { isDry = false, onProgress = () => undefined, untilUrlsAreDead }: MoveOptions,
): Promise<MoveSummary> {
  const summary: MoveSummary = {
    ...{ recordings: 0, objects: 0, bytes: 0, copied: 0, damaged: 0 },
    ...{ different: 0, deleted: 0, left: 0, foreign: 0 },
  };
  const copy = async () => {
    for await (const { id, objects } of byRecording(former)) {
      if (!(await isOwed(ports, id))) continue;
      summary.recordings++;
      summary.objects += objects.length;
      for (const { bytes } of objects) summary.bytes += bytes;
      if (!isDry) await copyRecording(ports, id, objects, former, current, summary);
      onProgress('copying', summary);
    }
  };
  await copy();
  if (!isDry) {
    await untilUrlsAreDead();
    Object.assign(summary, { recordings: 0, objects: 0, bytes: 0 });
    await copy();
    for await (const { id, objects } of byRecording(former)) {
      if (await isOwed(ports, id)) await releaseRecording(id, objects, former, current, summary);
      onProgress('comparing', summary);
    }
    await former.abortMultiparts('');
  }
  for await (const { id, objects } of byRecording(former)) {
    summary.left += objects.length;
    if (id === '' || !(await ports.store.recording(id))) summary.foreign += objects.length;
  }
  return summary;
}

/** A listing of everything, by recording; id '' for keys that begin with none. */
async function* byRecording(bucket: Bucket): AsyncIterable<{ id: string; objects: ListedObject[] }> {
  let group: { id: string; objects: ListedObject[] } | undefined;
  for await (const object of bucket.list('')) {
    const id = /^([A-Za-z0-9_-]{22})\//.exec(object.key)?.[1] ?? '';
    if (group && group.id !== id) yield group;
    if (group?.id !== id) group = { id, objects: [] };
    group.objects.push(object);
  }
  if (group) yield group;
}

async function isOwed({ store, clock }: MovePorts, id: string): Promise<boolean> {
  const row = id === '' ? undefined : await store.recording(id);
  return row !== undefined && areOwed([row], clock.now()).length > 0;
}

async function copyRecording(
  ports: MovePorts,
  id: string,
  objects: readonly ListedObject[],
  former: Bucket,
  current: Bucket,
  summary: MoveSummary,
): Promise<void> {
  const there = new Map<string, number>();
  for await (const { key, bytes } of current.list(recordingPrefix(id))) there.set(key, bytes);
  const missing = objects.filter(({ key, bytes }) => there.get(key) !== bytes);
  if (missing.length === 0) return;
  const epochs = new Map((await ports.store.epochs(id)).map((row) => [row.epoch, row]));
  const promised = new Map<number, PendingRow[]>();
  for (const epoch of epochs.keys()) promised.set(epoch, await ports.store.pending(id, epoch));
  const copied: string[] = [];
  await someAtOnce(missing, async ({ key }) => {
    const bytes = await former.get(key);
    // Deleted since it was listed.
    if (!bytes) return;
    if (!(await isAsSigned(key, bytes, epochs, promised))) summary.damaged++;
    if (await put(current, key, bytes, ports.clock.now())) summary.copied++;
    copied.push(key);
  });
  // A purge that began meanwhile may have listed before these were put.
  if (!(await isOwed(ports, id))) await deleteKeys(current, recordingPrefix(id), new Set(copied));
}

async function someAtOnce(
  objects: readonly ListedObject[],
  work: (object: ListedObject) => Promise<void>,
): Promise<void> {
  for (let from = 0; from < objects.length; from += AT_ONCE) {
    await Promise.all(objects.slice(from, from + AT_ONCE).map(work));
  }
}

/** By the recorder's signature over every segment; where the server's own promise still stands, by that too. */
async function isAsSigned(
  key: string,
  bytes: Bytes,
  epochs: ReadonlyMap<number, EpochRow>,
  promised: ReadonlyMap<number, readonly PendingRow[]>,
): Promise<boolean> {
  const name = parseObjectKey(key);
  const row = name && epochs.get(name.epoch);
  if (!row) return false;
  const promise = promised.get(name.epoch)?.find(({ track, seq }) => track === name.track && seq === name.seq);
  if (promise && !equal(fromBase64Url(promise.sha256), await sha256(bytes))) return false;
  return (await signedEntry(bytes, bytes.length, name, row, undefined, true)) !== undefined;
}

/** False where the store has an object of this name already; which one is compared before anything is deleted. */
async function put(bucket: Bucket, key: string, body: Bytes, now: number): Promise<boolean> {
  const promise = { key, bytes: body.length, sha256: await sha256(body) };
  const { url, headers } = bucket.presignPut(promise, now, URL_LIFE_SECONDS);
  let status: number;
  try {
    const response = await fetch(url, { method: 'PUT', headers, body });
    await response.arrayBuffer();
    ({ status } = response);
  } catch {
    // What fetch throws may have the URL in its cause, and its query is a credential.
    throw new BucketError('unavailable', 'put: no answer');
  }
  if (status === 412) return false;
  if (status === 403) throw new BucketError('refused', 'put: the store refused the credentials');
  if (status !== 200) throw new BucketError('unavailable', `put: the store answered ${status}`);
  return true;
}

async function releaseRecording(
  id: string,
  objects: readonly ListedObject[],
  former: Bucket,
  current: Bucket,
  summary: MoveSummary,
): Promise<void> {
  const same = new Set<string>();
  await someAtOnce(objects, async ({ key }) => {
    const [before, after] = await Promise.all([former.get(key), current.get(key)]);
    if (before && after && equal(before, after)) same.add(key);
    else if (before && after) summary.different++;
  });
  summary.deleted += await deleteKeys(former, recordingPrefix(id), same);
}

/** Every version of these objects; answers how many objects there were. */
async function deleteKeys(bucket: Bucket, prefix: string, keys: ReadonlySet<string>): Promise<number> {
  if (keys.size === 0) return 0;
  const versions: ObjectVersion[] = [];
  for await (const version of bucket.listVersions(prefix)) if (keys.has(version.key)) versions.push(version);
  for (let from = 0; from < versions.length; from += KEYS_PER_DELETE) {
    await bucket.deleteVersions(versions.slice(from, from + KEYS_PER_DELETE));
  }
  return keys.size;
}
