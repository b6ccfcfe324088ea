/**
 * The death of a recording, top to bottom. Success is a later listing that is empty, never a delete's reply.
 *
 *   1 intend    the row is marked and the intent logged, in one commit; from here no URL is signed and no key released
 *   2 shred     the shred share dies in the vault, then the wraps in the store: ciphertext that is left opens for nobody
 *   3 destroy   multiparts, versions and markers under the prefix, until a listing of the prefix is empty
 *   4 complete  rows are reduced to a tombstone and `deletion.completed` is logged, in one commit
 *   5 look      while a URL may be alive and for an hour after, and at last when the longest upload is surely over, the
 *               prefix is listed again. Not empty: an anomaly, and 3 again. Empty at the last look: `deletion.verified`
 *
 * Every step finds what a crash in the one before left behind: the row stays `purging` until 4 and `deleted` until 5, and
 * each step may be done twice. One bad recording never stops the rest, and nothing is ever given up and marked as done.
 * A bucket that does not answer delays 3 and never 1 and 2: the keys of everything that is due die before the first object.
 */
import { newId } from '../../../crypto/format/ids.ts';
import { parseOpen } from '../../../crypto/format/open.ts';
import { decodeEntry, type LogEntryOf } from '../../../crypto/log/entry.ts';
import { recordingPrefix } from '../core/names.ts';
import { mayBeVerified, mayReturnSoon } from '../core/retention.ts';
import { tally } from '../core/tally.ts';
import { BucketError, type ListedVersion, type Ports } from '../ports.ts';
import type { RecordingRow } from '../store.ts';
import { endSilent } from './abandon.ts';
import { type AnomalyKind, closings, openAnomalies, type Resolution, reportAnomaly } from './anomaly.ts';
import { cautiousClock } from './attest.ts';
import { eachSafely, type Failure } from './batch.ts';
import { impatient } from './impatience.ts';
import { fromBookmark } from './bookmark.ts';
import { BudgetSpentError, withLease } from './lease.ts';

export interface PurgeSummary {
  due: number;
  deleted: number;
  verified: number;
  objects: number;
  /** What could not be finished this time; the next run takes it up again. */
  failed: Failure[];
}

type Reason = LogEntryOf<'deletion.intended'>['reason'];

/** Rows read from the store at a time. */
const PAGE = 100;

/** How often one run lists a prefix and deletes what it finds before it leaves the rest to the next run. */
const MOST_PASSES = 5;
const KEYS_PER_DELETE = 1000;
/** Deletes under way at once: a store answers four together in little more than half of the time, and eight no faster. */
const DELETES_AT_ONCE = 4;

/** Steps of up to a thousand objects that an erasure takes while its caller waits, budget permitting. */
const ERASURE_STEPS = 200;

/** A lifecycle rule behind the purge may act this long after `delete_by` (doctor: 31 days against 30). */
const BACKSTOP_MS = 24 * 60 * 60_000;

/**
 * Deletes everything that is due and looks again at everything that was deleted. A second run at the same time does nothing.
 * A run that finds nothing due is logged only when `isAlwaysLogged`: the heartbeat's, twice a day.
 */
export async function purge(ports: Ports, isAlwaysLogged = false): Promise<PurgeSummary> {
  const summary: PurgeSummary = { due: 0, deleted: 0, verified: 0, objects: 0, failed: [] };
  await withLease(ports, 'purge', async (renew) => {
    await deleteDue(ports, isAlwaysLogged, summary, renew);
    await lookAgain(ports, summary, renew);
  });
  return summary;
}

async function deleteDue(
  patient: Ports,
  isAlwaysLogged: boolean,
  summary: PurgeSummary,
  renew: () => Promise<void>,
): Promise<void> {
  const ports = impatient(patient);
  const { store, clock } = ports;
  const log = { run: newId(), isStarted: false };
  const start = async () => {
    if (log.isStarted) return;
    log.isStarted = true;
    await store.append([{ v: 1, type: 'run.started', at: clock.now(), job: 'purge', run: log.run }]);
  };
  if (isAlwaysLogged) await start();
  const work: Work = { summary, renew, start, shredded: new Set() };
  // All keys before the first object: a bucket that is slow or silent delays no key of the last recording in the queue.
  const shredded: { to?: Place } = {};
  const areKeysDead = await fromBookmark<Place>(store, KEYS, (from, keep) => {
    if (from) shredded.to = from;
    return shredDue(ports, work, from, (place) => {
      keep((shredded.to = place));
    });
  });
  const areObjectsGone =
    areKeysDead && (await fromBookmark<Place>(store, OBJECTS, (from, keep) => destroyDue(patient, work, from, keep)));
  // Whose keys are dead is not asked again for as long as runs are cut short: or a backlog would leave no time for its objects.
  if (areKeysDead && !areObjectsGone && shredded.to) await store.setBookmark(KEYS, JSON.stringify(shredded.to));
  if (!log.isStarted) return;
  const { due, deleted, failed } = summary;
  const at = clock.now();
  await store.append([
    { v: 1, type: 'run.finished', at, job: 'purge', run: log.run, due, done: deleted, failed: failed.length },
  ]);
}

/** Where a run is in the queue of what is due. */
type Place = Pick<RecordingRow, 'deleteByMs' | 'id'>;
/** Bookmarks (bookmark.ts) of the two ways through the queue. */
const KEYS = 'purge: keys';
const OBJECTS = 'purge: objects';

interface Work {
  summary: PurgeSummary;
  renew: () => Promise<void>;
  /** Logs that the run began; once. */
  start: () => Promise<void>;
  /** Whose keys this run destroyed. */
  shredded: Set<string>;
}

/** Steps 1 and 2 for everything that is due, after `from`. */
async function shredDue(
  ports: Ports,
  work: Work,
  from: Place | undefined,
  keep: (place: Place) => void,
): Promise<void> {
  const { summary, renew, start, shredded } = work;
  for await (const page of duePages(ports, from)) {
    await start();
    const { failed, left } = await eachSafely(page, renew, async (recording) => {
      await intend(ports, recording, await reasonOf(ports, recording));
      await shred(ports, recording.id);
      shredded.add(recording.id);
    });
    summary.due += page.length - left;
    summary.failed.push(...failed);
    keepLast(page, left, keep);
    // With rows left this throws: the budget is spent, and the next run begins with the first of them.
    await renew();
  }
}

/** Steps 3 and 4 for everything whose keys are dead, after `from`. */
async function destroyDue(
  ports: Ports,
  work: Work,
  from: Place | undefined,
  keep: (place: Place) => void,
): Promise<void> {
  const { summary, renew, start, shredded } = work;
  const failedBefore = new Set(summary.failed.map(({ recordingId }) => recordingId));
  for await (const page of duePages(ports, from)) {
    const ready = page.filter(({ id, state }) => state === 'purging' && !failedBefore.has(id));
    if (ready.length > 0) await start();
    const { failed, left } = await eachSafely(ready, renew, async (recording) => {
      summary.objects += await destroy(ports, recording.id, renew);
      summary.deleted++;
    });
    const done = ready.slice(0, ready.length - left);
    summary.due += done.filter(({ id }) => !shredded.has(id)).length;
    summary.failed.push(...failed);
    keepLast(left === 0 ? page : ready, left, keep);
    await renew();
  }
}

function keepLast(rows: readonly RecordingRow[], left: number, keep: (place: Place) => void): void {
  const last = rows.at(-1 - left);
  if (last) keep({ deleteByMs: last.deleteByMs, id: last.id });
}

async function* duePages(ports: Ports, from: Place | undefined): AsyncIterable<RecordingRow[]> {
  const { store } = ports;
  const clock = await cautiousClock(ports);
  let cursor = from;
  for (;;) {
    const page = await store.due(clock.now(), PAGE, cursor);
    const last = page.at(-1);
    if (!last) return;
    yield page;
    cursor = { deleteByMs: last.deleteByMs, id: last.id };
  }
}

/**
 * Erasure on request, which the log has recorded: the keys die before this returns, whatever the bucket says. What of the
 * objects cannot be deleted now is due, and the next run goes on with it and reports what is wrong.
 */
export async function eraseNow(ports: Ports, recordingId: string): Promise<void> {
  const recording = await ports.store.recording(recordingId);
  if (!recording) return;
  await intend(impatient(ports), recording, await reasonOf(ports, recording));
  await shred(ports, recordingId);
  let steps = 0;
  const takeStep = async () => {
    if (++steps > ERASURE_STEPS || ports.budget?.isSpent() === true)
      throw new BudgetSpentError('the purge goes on with the rest');
    return Promise.resolve();
  };
  await destroy(ports, recordingId, takeStep).catch(() => undefined);
}

/** What the log says: an erasure that crashed half-way is taken up by the purge, and stays an erasure. */
async function reasonOf({ store }: Ports, { id }: RecordingRow): Promise<Reason> {
  const entries = (await store.entriesOf(id)).map(({ bytes }) => decodeEntry(bytes));
  return entries.some(({ type }) => type === 'erasure.requested') ? 'erasure' : 'expired';
}

/** Step 1. A recording that is still open is ended first, so that the log says how much there was. */
async function intend(ports: Ports, recording: RecordingRow, reason: Reason): Promise<void> {
  const { store, clock } = ports;
  const { id, deleteByMs, state } = recording;
  if (state === 'purging') return;
  const found = await whatIsThere(ports, recording, reason);
  await reportLosses(ports, recording, found.objects);
  const entry = {
    v: 1,
    type: 'deletion.intended',
    // Whoever brings `delete_by` forward dates it now; a clock that stepped back since must not make the deletion come early.
    at: Math.max(clock.now(), deleteByMs),
    recording: id,
    delete_by: deleteByMs,
    reason,
  } as const;
  // Not won: somebody else marked it first. Go on; what follows is the same.
  await store.intendDeletion(id, found, entry);
}

/** What a listing shows before the first delete; what the rows say where the bucket does not answer, or not within the budget. */
async function whatIsThere(ports: Ports, recording: RecordingRow, reason: Reason) {
  const { store, bucket } = ports;
  try {
    if (recording.state === 'open') await endSilent(ports, recording, reason);
    const { objects, bytes } = await tally(bucket.list(recordingPrefix(recording.id)));
    return { objects, bytes };
  } catch (error) {
    if (!(error instanceof BucketError || error instanceof BudgetSpentError)) throw error;
    if (recording.state !== 'open') return { objects: recording.objects, bytes: recording.bytes };
    const counted = await store.tracks(recording.id);
    return {
      objects: counted.reduce((sum, { count }) => sum + count, 0),
      bytes: counted.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  }
}

/**
 * What is not there any more when its time comes was lost before it, and `deletion.completed` must not claim to have destroyed it.
 * Before the intent: from there on another run may be deleting, and what that took is not lost.
 */
async function reportLosses(ports: Ports, recording: RecordingRow, objects: number): Promise<void> {
  const { store, vault, clock } = ports;
  const { id, lastEpoch, deleteByMs, seenMs } = recording;
  const shares = (await vault.get(id)).size;
  const state = (await store.recording(id))?.state;
  if (state !== 'open' && state !== 'closed' && state !== 'abandoned') return;
  const lostShares = lastEpoch + 1 - shares;
  // What a vault does not show yet is not lost.
  const isSettled = Math.max(0, clock.now() - seenMs) >= vault.settlesMs;
  if (lostShares > 0 && isSettled) await reportAnomaly(ports, id, 'share-missing', lostShares);
  // A purge that comes a day late may find that the store's own lifecycle rule was quicker, as it should be.
  const isCounted = recording.state !== 'open' && clock.now() - deleteByMs < BACKSTOP_MS;
  if (isCounted && objects < recording.objects) {
    await reportAnomaly(ports, id, 'object-missing', recording.objects - objects);
  }
}

/**
 * Step 2. A crash before it leaves a recording whose keys nobody is given any more; the next run destroys them. When it
 * returns they are in no file: the vault sees to its own, `scrub` to the store's.
 */
async function shred({ store, vault }: Ports, id: string): Promise<void> {
  await vault.destroy(id);
  await store.destroyWraps(id);
  await store.scrub();
}

/** Steps 3 and 4, for what opens for nobody any more; answers how many objects there were. */
async function destroy(ports: Ports, id: string, renew: () => Promise<void>): Promise<number> {
  const { store, vault, clock } = ports;
  // A vault that settles slowly may show a share a little longer than it has it: then the next run goes on.
  const isShredded = (await vault.get(id)).size === 0 && (await store.wraps(id)).length === 0;
  if (!isShredded) throw new Error('keys are still there');
  const found = await emptyPrefix(ports, id, renew);
  const [recording, epochs] = await Promise.all([store.recording(id), store.epochs(id)]);
  // Counts survive a crash half-way: keys are counted by what OPEN promised, objects by the listing before the first delete.
  const objects = Math.max(recording?.objects ?? 0, found.objects);
  const bytes = Math.max(recording?.bytes ?? 0, found.bytes);
  const { open } = await openAnomalies(store, id);
  const lostShares = open.reduce((sum, { kind, count }) => sum + (kind === 'share-missing' ? count : 0), 0);
  const wraps = epochs.reduce((sum, { open }) => sum + parseOpen(open).wrapHashes.length, 0);
  const now = clock.now();
  await store.completeDeletion(id, { objects, bytes }, now, {
    v: 1,
    type: 'deletion.completed',
    at: now,
    recording: id,
    objects,
    bytes,
    shares: Math.max(0, epochs.length - lostShares),
    wraps,
    vault_horizon: now + vault.horizonMs,
  });
  return objects;
}

/** Objects that a plain listing shows, and their bytes. */
interface Removed {
  objects: number;
  bytes: number;
}

/**
 * Deletes until a listing is empty; an anomaly and a throw if it never is. Answers what was there. It may be stopped at every batch: how
 * much is gone is kept, and the next run lists what is left.
 */
async function emptyPrefix(ports: Ports, recordingId: string, renew: () => Promise<void>): Promise<Removed> {
  const removed: Removed = { objects: 0, bytes: 0 };
  const isEmpty = await fromBookmark<Removed>(ports.store, `purge: ${recordingId}`, async (before, keep) => {
    keep(Object.assign(removed, before));
    await deleteAll(ports, recordingId, removed, renew);
  });
  if (!isEmpty) throw new BudgetSpentError('the prefix is not empty yet');
  return removed;
}

async function deleteAll(
  ports: Ports,
  recordingId: string,
  removed: Removed,
  renew: () => Promise<void>,
): Promise<void> {
  const { bucket } = ports;
  const prefix = recordingPrefix(recordingId);
  let refused: Removal['refused'] = [];
  let found = 0;
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    found = await bucket.abortMultiparts(prefix);
    // What a later pass finds was refused in the first.
    const counted = pass === 0 ? removed : { objects: 0, bytes: 0 };
    const removal = await deleteListed(batches(bucket.listVersions(prefix), KEYS_PER_DELETE), bucket, counted, renew);
    ({ refused } = removal);
    found += removal.versions;
    if (found === 0) return;
  }
  await reportAnomaly(ports, recordingId, 'delete-failed', found, endOf);
  const code = refused[0] ? `; the store says ${refused[0].code} for ${refused.length} objects` : '';
  throw new Error(`the prefix is not empty after ${MOST_PASSES} passes${code}`);
}

/** What one pass over a listing found, and what the store would not delete of it. */
interface Removal {
  versions: number;
  refused: { key: string; code: string }[];
}

/**
 * Deletes what is listed while the listing goes on, a few batches at a time, and adds it to `removed`. Answers once every delete was
 * answered, or throws.
 */
async function deleteListed(
  listing: AsyncIterable<ListedVersion[]>,
  bucket: Ports['bucket'],
  removed: Removed,
  renew: () => Promise<void>,
): Promise<Removal> {
  const removal: Removal = { versions: 0, refused: [] };
  const work = async () => {
    for await (const batch of listing) {
      removal.versions += batch.length;
      removal.refused.push(...(await bucket.deleteVersions(batch)));
      for (const { bytes } of batch.filter(({ kind }) => kind === 'current')) {
        removed.objects++;
        removed.bytes += bytes;
      }
      // After the delete and not before: however little a run may do, it leaves less than it found.
      await renew();
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: DELETES_AT_ONCE }, work));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return removal;
}

/** Step 5, in a later run than step 4. */
async function lookAgain(ports: Ports, summary: PurgeSummary, renew: () => Promise<void>): Promise<void> {
  const { store, clock } = ports;
  await fromBookmark<string>(store, 'purge: look again', async (from, keep) => {
    for (let cursor = from; ;) {
      const page = await store.unverified(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, PAGE, cursor);
      const now = clock.now();
      const { failed, left } = await eachSafely(page, renew, async (recording) => {
        const isLast = mayBeVerified(recording, now);
        if (!isLast && !mayReturnSoon(recording, now)) return;
        const isEmpty = await isEmptyNow(ports, recording.id, renew);
        if (isEmpty && isLast && (await settle(ports, recording.id))) summary.verified++;
      });
      summary.failed.push(...failed);
      if (page.length < PAGE && left === 0) return;
      const last = page.at(-1 - left);
      if (last) keep((cursor = last.id));
      await renew();
    }
  });
}

/** Anything that came back is an anomaly and is deleted; another look has to find nothing before it counts as gone. */
async function isEmptyNow(ports: Ports, id: string, renew: () => Promise<void>): Promise<boolean> {
  const { bucket } = ports;
  let returned = await bucket.abortMultiparts(recordingPrefix(id));
  for await (const _ of bucket.listVersions(recordingPrefix(id))) {
    returned++;
    // So many at least: what is left of the run is for their deletion.
    if (returned % KEYS_PER_DELETE === 0 && ports.budget?.isSpent() === true) break;
  }
  if (returned === 0) return true;
  await reportAnomaly(ports, id, 'object-returned', returned, endOf);
  await emptyPrefix(ports, id, renew);
  return false;
}

/**
 * The end: the last listing was empty, and no open that was under way at the deletion has put a share back. Anomalies end in the
 * same commit, which fails if another run has just reported one: then the next look closes that too.
 */
async function settle(ports: Ports, id: string): Promise<boolean> {
  const { store, vault, clock } = ports;
  if ((await vault.get(id)).size > 0) {
    await vault.destroy(id);
    return false;
  }
  await store.scrub();
  const { open, known } = await openAnomalies(store, id);
  const at = clock.now();
  return store.verifyDeletion(id, known, [
    ...closings(open, at, endOf),
    { v: 1, type: 'deletion.verified', at, recording: id, listed: 0 },
  ]);
}

/** How an anomaly ends with its recording. What was missing or damaged until the end was lost before its time. */
function endOf(kind: AnomalyKind): Resolution | undefined {
  switch (kind) {
    case 'object-returned':
    case 'object-foreign':
    case 'delete-failed':
      return 'deleted';
    case 'object-missing':
    case 'object-damaged':
    case 'share-missing':
      return 'lost';
    case 'equivocation': // of two records by one recorder; whoever read the recording was told, and nobody can read it any more
      return 'explained';
    case 'clock-stepped':
    case 'store-weak':
      return undefined; // whatever these mean, it does not end with one recording
  }
}

async function* batches(versions: AsyncIterable<ListedVersion>, size: number): AsyncIterable<ListedVersion[]> {
  let batch: ListedVersion[] = [];
  for await (const version of versions) {
    batch.push(version);
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}
