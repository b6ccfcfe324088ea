/**
 * Two buckets as one, while objects are moved from the former to the current one (`zeroreel bucket move`): what is new goes to the
 * current one, what is not there yet is read from the former one, and what is deleted is deleted in both. A listing is of both, so
 * nothing that is still in the former one is ever missing from a head, or forgotten by a purge.
 */
import type { Bucket, ListedObject, ListedVersion, ObjectVersion } from '../ports.ts';

/** Marks the versions of the former bucket; a store's own version ids are handed back as they came. */
const FORMER = 'former/';

export function createMovingBucket(current: Bucket, former: Bucket): Bucket {
  return {
    presignPut: (promise, now, expiresInSeconds) => current.presignPut(promise, now, expiresInSeconds),
    presignGet: (key, now, expiresInSeconds) => current.presignGet(key, now, expiresInSeconds),
    holder: async (key) => ((await current.get(key, { from: 0, to: 0 })) ? current : former),
    get: async (key, range) => (await current.get(key, range)) ?? (await former.get(key, range)),
    list: (prefix, startAfter) => merge(current.list(prefix, startAfter), former.list(prefix, startAfter)),
    listVersions: (prefix) => versionsOfBoth(current, former, prefix),
    async deleteVersions(versions) {
      const [here, there] = [versions.filter((version) => !isFormer(version)), versions.filter(isFormer)];
      return [...(await current.deleteVersions(here)), ...(await former.deleteVersions(there.map(ownVersion)))];
    },
    abortMultiparts: async (prefix) => (await current.abortMultiparts(prefix)) + (await former.abortMultiparts(prefix)),
    settings: () => current.settings(),
  };
}

/** Both listings in key order; of a key that is in both, the current bucket's object. */
async function* merge(
  current: AsyncIterable<ListedObject>,
  former: AsyncIterable<ListedObject>,
): AsyncIterable<ListedObject> {
  const [left, right] = [current[Symbol.asyncIterator](), former[Symbol.asyncIterator]()];
  let [here, there] = await Promise.all([left.next(), right.next()]);
  while (here.done !== true || there.done !== true) {
    const order = here.done === true ? 1 : there.done === true ? -1 : compare(here.value.key, there.value.key);
    if (order <= 0) yield here.value as ListedObject;
    else yield there.value as ListedObject;
    const [isLeft, isRight] = [order <= 0, order >= 0];
    if (isLeft) here = await left.next();
    if (isRight) there = await right.next();
  }
}

/** Keys are ASCII (core/names.ts), where the order of UTF-16 is that of S3. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function* versionsOfBoth(current: Bucket, former: Bucket, prefix: string): AsyncIterable<ListedVersion> {
  const here = new Set<string>();
  for await (const version of current.listVersions(prefix)) {
    if (version.kind === 'current') here.add(version.key);
    yield version;
  }
  for await (const version of former.listVersions(prefix)) {
    // What was copied already is one object, as a plain listing has it.
    const kind = version.kind === 'current' && here.has(version.key) ? 'noncurrent' : version.kind;
    yield { ...version, kind, versionId: FORMER + (version.versionId ?? '') };
  }
}

function isFormer({ versionId }: ObjectVersion): boolean {
  return versionId?.startsWith(FORMER) === true;
}

function ownVersion({ key, versionId }: ObjectVersion): ObjectVersion {
  const own = versionId!.slice(FORMER.length);
  return own === '' ? { key } : { key, versionId: own };
}
