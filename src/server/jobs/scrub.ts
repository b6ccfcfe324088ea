/**
 * The blind audit of the bucket: without any key it finds what rotted, what is missing and what does not belong there, by
 * the recorders' own signatures. Each finding is an anomaly in the log, closed by the walk that no longer sees it.
 *
 * Nothing is deleted here. A scrub that takes a live recording for a leftover destroys data; what came back after a
 * deletion is the purge's, and what is foreign is a person's to explain.
 *
 * A walk may be longer than a run: where it is, inside a recording too, is then in a bookmark, and the next run goes on from there.
 */
import { newId } from '../../../crypto/format/ids.ts';
import type { Ports } from '../ports.ts';
import type { RecordingRow } from '../store.ts';
import { type AnomalyKind, BUCKET } from './anomaly.ts';
import { eachSafely, type Failure } from './batch.ts';
import { fromBookmark } from './bookmark.ts';
import { withLease } from './lease.ts';
import { areOwed, type Count, examine, type Half, record } from './scrub-recording.ts';

export interface ScrubOptions {
  /** Reads whole objects and checks every segment's hash; otherwise only signed heads are read, 4 KiB an object. */
  isDeep?: boolean;
  /** Looks at about this many recordings, chosen at random, and at no stranger's; otherwise at everything. */
  sample?: number;
  /** Told how far it has come, after every hundred recordings or so. */
  onProgress?: (summary: ScrubSummary) => void;
}

export interface ScrubSummary {
  /** False where another walk is under way: then this one did nothing. */
  isRun: boolean;
  /** False where the budget was spent before the end: the next run goes on. */
  isFinished: boolean;
  recordings: number;
  objects: number;
  /** Cases of each kind that are in the log now as open anomalies of what was looked at. */
  found: Count;
  failed: Failure[];
}

const PAGE = 100;
/** Bookmark of the walk that is not finished, a `Walk` as JSON. */
const WALK = 'scrub';

interface Walk {
  isDeep: boolean;
  /** Of a sample: how many are still to be drawn, and whose turn it is. Absent: everything. */
  sample?: { toDraw: number; drawn: string[] };
  /** Of everything: the last exam that is done, the one that is not, and the last page's last recording of that. */
  place: { examsDone?: string | undefined; exam?: string | undefined; after?: string | undefined };
  /** Recordings of the page that are done, though the page is not. */
  done: string[];
  /** Recordings that are done in part. */
  halves: Record<string, Half>;
  strangers: {
    after?: string;
    unknown: number;
    current?: { id: string; state: RecordingRow['state'] | undefined; objects: number } | undefined;
  };
  totals: Pick<ScrubSummary, 'recordings' | 'objects' | 'found' | 'failed'>;
}

/** Begins a walk, or goes on with one that was not finished and is as thorough; as far as the budget allows. */
export async function scrub(
  ports: Ports,
  { isDeep = false, sample, onProgress = () => undefined }: ScrubOptions = {},
): Promise<ScrubSummary> {
  const summary: ScrubSummary = { isRun: false, isFinished: false, recordings: 0, objects: 0, found: {}, failed: [] };
  summary.isRun = await withLease(ports, 'scrub', async (renew) => {
    const { store, clock } = ports;
    const run = newId();
    await store.append([{ v: 1, type: 'run.started', at: clock.now(), job: 'scrub', run }]);
    const before = { recordings: 0, failed: 0 };
    summary.isFinished = await fromBookmark<Walk>(store, WALK, async (unfinished, keep) => {
      const walk = unfinished && isEnough(unfinished, isDeep, sample) ? unfinished : newWalk(isDeep, sample);
      keep(walk);
      Object.assign(summary, walk.totals);
      Object.assign(before, { recordings: walk.totals.recordings, failed: walk.totals.failed.length });
      walk.totals = summary;
      await take(ports, walk, renew, () => {
        onProgress(summary);
      });
    });
    const due = summary.recordings - before.recordings;
    const failed = summary.failed.length - before.failed;
    const at = clock.now();
    await store.append([{ v: 1, type: 'run.finished', at, job: 'scrub', run, due, done: due - failed, failed }]);
  });
  return summary;
}

/** Goes on with a walk that was not finished; undefined where there is none. */
export async function resumeScrub(ports: Ports): Promise<ScrubSummary | undefined> {
  const unfinished = await ports.store.bookmark(WALK);
  if (unfinished === undefined) return undefined;
  const { isDeep, sample } = JSON.parse(unfinished) as Walk;
  return scrub(ports, { isDeep, ...(sample && { sample: sample.toDraw }) });
}

function isEnough(walk: Walk, isDeep: boolean, sample: number | undefined): boolean {
  return (walk.isDeep || !isDeep) && (walk.sample === undefined || sample !== undefined);
}

function newWalk(isDeep: boolean, sample: number | undefined): Walk {
  return {
    isDeep,
    ...(sample !== undefined && { sample: { toDraw: sample, drawn: [] } }),
    ...{ place: {}, done: [], halves: {}, strangers: { unknown: 0 } },
    totals: { recordings: 0, objects: 0, found: {}, failed: [] },
  };
}

/** The walk, from where it is to its end, or until `renew` throws. */
async function take(ports: Ports, walk: Walk, renew: () => Promise<void>, tell: () => void): Promise<void> {
  const { totals } = walk;
  const note = (kind: AnomalyKind, count: number) => {
    totals.found[kind] = (totals.found[kind] ?? 0) + count;
  };
  const seen = () => {
    totals.objects++;
  };
  for (;;) {
    const page = await nextPage(ports, walk, renew);
    if (!page) break;
    const rows = areOwed(page.rows, ports.clock.now()).filter(({ id }) => !walk.done.includes(id));
    const { failed } = await eachSafely(rows, renew, async (recording) => {
      await examine(ports, recording, { isDeep: walk.isDeep, halves: walk.halves, renew, seen, note });
      totals.recordings++;
      walk.done.push(recording.id);
    });
    totals.recordings += failed.length;
    totals.failed.push(...failed);
    walk.done.push(...failed.map(({ recordingId }) => recordingId));
    // With rows left this throws: the budget is spent.
    await renew();
    page.turn();
    walk.done = [];
    tell();
  }
  if (!walk.sample) await findStrangers(ports, walk, renew, note);
}

interface Page {
  rows: RecordingRow[];
  /** The page is done. */
  turn: () => void;
}

async function nextPage(ports: Ports, walk: Walk, renew: () => Promise<void>): Promise<Page | undefined> {
  return walk.sample ? nextDrawn(ports, walk.sample, renew) : nextOfAll(ports, walk.place, renew);
}

async function nextOfAll(
  { store }: Ports,
  place: Walk['place'],
  renew: () => Promise<void>,
): Promise<Page | undefined> {
  for (;;) {
    place.exam ??= (await store.exams(1, place.examsDone))[0]?.examId;
    if (place.exam === undefined) return undefined;
    const rows = await store.recordings(place.exam, PAGE, place.after);
    const last = rows.at(-1);
    if (last) return { rows, turn: () => (place.after = last.id) };
    Object.assign(place, { examsDone: place.exam, exam: undefined, after: undefined });
    await renew();
  }
}

/** Ids are random, so whoever follows a random id is a random choice. */
async function nextDrawn(
  { store }: Ports,
  sample: NonNullable<Walk['sample']>,
  renew: () => Promise<void>,
): Promise<Page | undefined> {
  for (; sample.toDraw > 0; sample.toDraw--) {
    await renew();
    const [exam] = [...(await store.exams(1, newId())), ...(await store.exams(1))];
    if (!exam) return undefined;
    const [row] = [...(await store.recordings(exam.examId, 1, newId())), ...(await store.recordings(exam.examId, 1))];
    if (row && !sample.drawn.includes(row.id)) sample.drawn.push(row.id);
  }
  const ids = sample.drawn.slice(0, PAGE);
  if (ids.length === 0) return undefined;
  const rows = await Promise.all(ids.map((id) => store.recording(id)));
  return { rows: rows.filter((row) => row !== undefined), turn: () => sample.drawn.splice(0, PAGE) };
}

/** Objects under no recording that is owed: unknown, or left after a deletion was verified. */
async function findStrangers(
  ports: Ports,
  { strangers }: Walk,
  renew: () => Promise<void>,
  note: (kind: AnomalyKind, count: number) => void,
): Promise<void> {
  const { store, bucket } = ports;
  const settle = async () => {
    const { current } = strangers;
    if (!current) return;
    if (current.state === 'verified') await record(ports, current.id, { 'object-returned': current.objects }, note);
    else if (current.state === undefined) strangers.unknown += current.objects;
    strangers.current = undefined;
  };
  for await (const { key } of bucket.list('', strangers.after)) {
    const id = /^([A-Za-z0-9_-]{22})\//.exec(key)?.[1] ?? '';
    if (strangers.current?.id !== id) {
      await settle();
      const state = id === '' ? undefined : (await store.recording(id))?.state;
      strangers.current = { id, state, objects: 0 };
    }
    strangers.current.objects++;
    strangers.after = key;
    await renew();
  }
  await settle();
  await record(ports, BUCKET, { 'object-foreign': strangers.unknown }, note);
}
