/**
 * The death of a recording, top to bottom. Success is a later listing that is empty, never a delete's reply.
 *
 *   1 intend    the row is marked and the intent logged, in one commit; from here no URL is signed and no key released
 *   2 shred     the shred share dies in the vault, then the wraps in the store: ciphertext that is left opens for nobody
 *   3 destroy   multiparts, versions and markers under the prefix, until a listing of the prefix is empty
 *   4 complete  rows are reduced to a tombstone and `deletion.completed` is logged, in one commit
 *   5 verify    after the last URL, clock skew and the longest upload have passed, the prefix is listed again:
 *               empty: `deletion.verified`; not empty: an anomaly, and 3 again until it is
 *
 * Every step finds what a crash in the one before left behind: the row stays `purging` until 4 and `deleted` until 5, and
 * each step may be done twice. One bad recording never stops the rest, and nothing is ever given up and marked as done.
 */
import { newId } from '../../../crypto/format/ids.ts';
import { parseOpen } from '../../../crypto/format/open.ts';
import { decodeEntry, type LogEntryOf } from '../../../crypto/log/entry.ts';
import { recordingPrefix } from '../core/names.ts';
import { urlsDeadBefore, VERIFY_AFTER_MS } from '../core/retention.ts';
import { tally } from '../core/tally.ts';
import type { ObjectVersion, Ports } from '../ports.ts';
import type { RecordingRow } from '../store.ts';
import { withLease } from './lease.ts';

export interface PurgeSummary {
  due: number;
  deleted: number;
  verified: number;
  objects: number;
  /** What could not be finished this time; the next run takes it up again. */
  failed: { recordingId: string; reason: string }[];
}

type Reason = LogEntryOf<'deletion.intended'>['reason'];

/** Recordings worked on at once, and read from the store at a time. */
const AT_ONCE = 4;
const PAGE = 100;

/** How often one run lists a prefix and deletes what it finds before it leaves the rest to the next run. */
const MOST_PASSES = 5;
const KEYS_PER_DELETE = 1000;

/**
 * Deletes everything that is due and verifies everything that was deleted. A second run at the same time does nothing. A
 * run that finds nothing due is logged only when `isAlwaysLogged`: the heartbeat's, twice a day.
 */
export async function purge(ports: Ports, isAlwaysLogged = false): Promise<PurgeSummary> {
  const summary: PurgeSummary = { due: 0, deleted: 0, verified: 0, objects: 0, failed: [] };
  await withLease(ports, 'purge', async (renew) => {
    const { store, clock } = ports;
    const run = newId();
    const started = () => store.append([{ v: 1, type: 'run.started', at: clock.now(), job: 'purge', run }]);
    let cursor: { deleteByMs: number; id: string } | undefined;
    if (isAlwaysLogged) await started();
    for (;;) {
      const page = await store.due(clock.now(), PAGE, cursor);
      if (page.length === 0) break;
      if (summary.due === 0 && !isAlwaysLogged) await started();
      summary.due += page.length;
      await eachSafely(page, summary, async (recording) => {
        await intendAndShred(ports, recording, 'expired');
        summary.objects += await destroyObjects(ports, recording.id);
        summary.deleted++;
      });
      const last = page.at(-1)!;
      cursor = { deleteByMs: last.deleteByMs, id: last.id };
      await renew();
    }
    if (summary.due > 0) await store.scrub();
    if (summary.due > 0 || isAlwaysLogged) {
      const { due, deleted, failed } = summary;
      const at = clock.now();
      await store.append([
        { v: 1, type: 'run.finished', at, job: 'purge', run, due, done: deleted, failed: failed.length },
      ]);
    }
    await verifyDeletions(ports, summary, renew);
  });
  return summary;
}

/**
 * Erasure on request: the keys die before this returns. What of the objects cannot be deleted now is due, and the next run
 * goes on with it and reports what is wrong.
 */
export async function eraseNow(ports: Ports, recordingId: string): Promise<void> {
  const recording = await ports.store.recording(recordingId);
  if (!recording) return;
  await intendAndShred(ports, recording, 'erasure');
  await destroyObjects(ports, recordingId).catch(() => undefined);
  await ports.store.scrub();
}

/** Steps 1 and 2. Both may be done twice: by a run and an erasure at once, or again after a crash. */
async function intendAndShred(
  { store, vault, bucket, clock }: Ports,
  recording: RecordingRow,
  reason: Reason,
): Promise<void> {
  const { id, deleteByMs } = recording;
  if (recording.state !== 'purging') {
    const { objects, bytes } = await tally(bucket.list(recordingPrefix(id)));
    const entry = {
      v: 1,
      type: 'deletion.intended',
      at: clock.now(),
      recording: id,
      delete_by: deleteByMs,
      reason,
    } as const;
    // Not won: somebody else marked it first. Go on; what follows is the same.
    await store.intendDeletion(id, { objects, bytes }, entry);
  }
  // A crash here leaves a recording whose keys nobody is given any more; the next run destroys them.
  await vault.destroy(id);
  await store.destroyWraps(id);
  if ((await vault.get(id)).size > 0 || (await store.wraps(id)).length > 0) throw new Error('keys are still there');
}

/** Steps 3 and 4; answers how many objects there were. */
async function destroyObjects(ports: Ports, id: string): Promise<number> {
  const { store, vault, clock } = ports;
  const found = await emptyPrefix(ports, id);
  const [recording, epochs] = await Promise.all([store.recording(id), store.epochs(id)]);
  // Counts survive a crash half-way: keys are counted by what OPEN promised, objects by the listing before the first delete.
  const objects = Math.max(recording?.objects ?? 0, found.objects);
  const bytes = Math.max(recording?.bytes ?? 0, found.bytes);
  const wraps = epochs.reduce((sum, { open }) => sum + parseOpen(open).wrapHashes.length, 0);
  const now = clock.now();
  await store.completeDeletion(id, { objects, bytes }, now, {
    v: 1,
    type: 'deletion.completed',
    at: now,
    recording: id,
    objects,
    bytes,
    shares: epochs.length,
    wraps,
    vault_horizon: now + vault.horizonMs,
  });
  return objects;
}

/** Deletes until a listing is empty, and throws if it never is. Answers what was there. */
async function emptyPrefix({ bucket }: Ports, recordingId: string): Promise<{ objects: number; bytes: number }> {
  const prefix = recordingPrefix(recordingId);
  const { objects, bytes } = await tally(bucket.list(prefix));
  let refused: { key: string; code: string }[] = [];
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    const aborted = await bucket.abortMultiparts(prefix);
    let found = 0;
    refused = [];
    for await (const batch of batches(bucket.listVersions(prefix), KEYS_PER_DELETE)) {
      found += batch.length;
      refused.push(...(await bucket.deleteVersions(batch)));
    }
    if (found === 0 && aborted === 0) return { objects, bytes };
  }
  const code = refused[0] ? `; the store says ${refused[0].code} for ${refused.length} objects` : '';
  throw new Error(`the prefix is not empty after ${MOST_PASSES} passes${code}`);
}

/** Step 5, in a later run than step 4. */
async function verifyDeletions(ports: Ports, summary: PurgeSummary, renew: () => Promise<void>): Promise<void> {
  const { store, clock } = ports;
  let cursor: string | undefined;
  for (;;) {
    const now = clock.now();
    const page = await store.unverified(urlsDeadBefore(now), now - VERIFY_AFTER_MS, PAGE, cursor);
    if (page.length === 0) return;
    await eachSafely(page, summary, async (recording) => {
      if (await verify(ports, recording.id)) summary.verified++;
    });
    cursor = page.at(-1)!.id;
    await renew();
  }
}

/** True when the prefix was empty at the first look. Anything that came back is an anomaly, is deleted, and is looked for again next time. */
async function verify(ports: Ports, id: string): Promise<boolean> {
  const { store, bucket, clock } = ports;
  let returned = await bucket.abortMultiparts(recordingPrefix(id));
  for await (const _ of bucket.listVersions(recordingPrefix(id))) returned++;
  const open = openAnomaly((await store.entriesOf(id)).map(({ bytes }) => decodeEntry(bytes)));
  const at = clock.now();
  if (returned > 0) {
    if (!open) {
      const anomaly = newId();
      await store.append([
        { v: 1, type: 'anomaly.found', at, anomaly, kind: 'object-returned', recording: id, count: returned },
      ]);
    }
    await emptyPrefix(ports, id);
    return false;
  }
  if (open) await store.append([{ v: 1, type: 'anomaly.closed', at, anomaly: open.anomaly, resolution: 'deleted' }]);
  return store.verifyDeletion(id, { v: 1, type: 'deletion.verified', at, recording: id, listed: 0 });
}

function openAnomaly(entries: readonly ReturnType<typeof decodeEntry>[]): LogEntryOf<'anomaly.found'> | undefined {
  const closed = new Set(entries.flatMap((entry) => (entry.type === 'anomaly.closed' ? [entry.anomaly] : [])));
  return entries.find(
    (entry) => entry.type === 'anomaly.found' && entry.kind === 'object-returned' && !closed.has(entry.anomaly),
  ) as LogEntryOf<'anomaly.found'> | undefined;
}

/** A few at a time; a failure is noted with its reason and the others go on. */
async function eachSafely(
  rows: readonly RecordingRow[],
  summary: PurgeSummary,
  work: (row: RecordingRow) => Promise<void>,
): Promise<void> {
  const queue = rows.values();
  const worker = async () => {
    for (const row of queue) {
      try {
        await work(row);
      } catch (error) {
        summary.failed.push({ recordingId: row.id, reason: error instanceof Error ? error.message : String(error) });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function* batches(versions: AsyncIterable<ObjectVersion>, size: number): AsyncIterable<ObjectVersion[]> {
  let batch: ObjectVersion[] = [];
  for await (const version of versions) {
    batch.push(version);
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}
