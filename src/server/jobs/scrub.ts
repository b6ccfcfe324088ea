/**
 * The blind audit of the bucket: without any key it finds what rotted, what is missing and what does not belong there, by
 * the recorders' own signatures. Each finding is an anomaly in the log, closed by the walk that no longer sees it.
 *
 * Nothing is deleted here. A scrub that takes a live recording for a leftover destroys data; what came back after a
 * deletion is the purge's, and what is foreign is a person's to explain.
 */
import { type Bytes, equal, fromBase64Url } from '../../../crypto/format/bytes.ts';
import {
  chunkHeadLength,
  MAX_PLAINTEXT,
  parseChunkHead,
  segmentRange,
  verifyChunkHead,
  verifySegment,
} from '../../../crypto/format/chunk.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { parseHead } from '../../../crypto/format/head.ts';
import { newId } from '../../../crypto/format/ids.ts';
import { shredCommitments } from '../core/opening.ts';
import { type ObjectName, parseObjectKey, recordingPrefix } from '../core/names.ts';
import type { Bucket, ListedObject, Ports } from '../ports.ts';
import type { EpochRow, PendingRow, RecordingRow, TrackRow } from '../store.ts';
import { type AnomalyKind, BUCKET, closeAnomalies, reportAnomaly } from './anomaly.ts';
import { eachSafely, type Failure } from './batch.ts';
import { withLease } from './lease.ts';

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
  recordings: number;
  objects: number;
  /** Cases of each kind that are in the log now as open anomalies of what was looked at. */
  found: Partial<Record<AnomalyKind, number>>;
  failed: Failure[];
}

type Count = Partial<Record<AnomalyKind, number>>;

/** What this job speaks about; it closes no other's anomalies. */
const KINDS = ['object-missing', 'object-damaged', 'object-foreign', 'share-missing'] as const;
const PAGE = 100;
/** A head is never longer, whatever the object: 224 + 32 bytes for each of at most 128 segments. */
const LONGEST_HEAD = chunkHeadLength(MAX_PLAINTEXT);

export async function scrub(
  ports: Ports,
  { isDeep = false, sample, onProgress = () => undefined }: ScrubOptions = {},
): Promise<ScrubSummary> {
  const summary: ScrubSummary = { isRun: false, recordings: 0, objects: 0, found: {}, failed: [] };
  summary.isRun = await withLease(ports, 'scrub', async (renew) => {
    const { store, clock } = ports;
    const run = newId();
    await store.append([{ v: 1, type: 'run.started', at: clock.now(), job: 'scrub', run }]);
    for await (const page of sample === undefined ? everything(ports) : someOf(ports, sample)) {
      summary.recordings += page.length;
      const { failed, left } = await eachSafely(page, renew, (recording) => examine(ports, recording, isDeep, summary));
      summary.failed.push(...failed);
      summary.recordings -= left;
      onProgress(summary);
      if (left > 0) break;
    }
    if (sample === undefined) await findStrangers(ports, renew, summary);
    const due = summary.recordings;
    const failed = summary.failed.length;
    const at = clock.now();
    await store.append([{ v: 1, type: 'run.finished', at, job: 'scrub', run, due, done: due - failed, failed }]);
  });
  return summary;
}

/** Recordings that are owed whole: those that no deletion was begun of, and whose time has not come. */
export function areOwed(rows: readonly RecordingRow[], now: number): RecordingRow[] {
  return rows.filter(
    ({ state, deleteByMs }) => (state === 'open' || state === 'closed' || state === 'abandoned') && now < deleteByMs,
  );
}

async function* everything({ store, clock }: Ports): AsyncIterable<RecordingRow[]> {
  let examCursor: string | undefined;
  for (;;) {
    const exams = await store.exams(PAGE, examCursor);
    for (const { examId } of exams) {
      let cursor: string | undefined;
      for (;;) {
        const rows = await store.recordings(examId, PAGE, cursor);
        yield areOwed(rows, clock.now());
        if (rows.length < PAGE) break;
        cursor = rows.at(-1)!.id;
      }
    }
    if (exams.length < PAGE) return;
    examCursor = exams.at(-1)!.examId;
  }
}

/** Ids are random, so whoever follows a random id is a random choice. */
async function* someOf({ store, clock }: Ports, sample: number): AsyncIterable<RecordingRow[]> {
  const seen = new Set<string>();
  for (let draw = 0; draw < sample; draw++) {
    const [exam] = [...(await store.exams(1, newId())), ...(await store.exams(1))];
    if (!exam) return;
    const [row] = [...(await store.recordings(exam.examId, 1, newId())), ...(await store.recordings(exam.examId, 1))];
    if (!row || seen.has(row.id)) continue;
    seen.add(row.id);
    yield areOwed([row], clock.now());
  }
}

interface Owed {
  epoch: EpochRow;
  tracks: Map<number, TrackRow>;
  pending: PendingRow[];
}

/** One recording, object by object, and then what the log must say about it. */
async function examine(ports: Ports, recording: RecordingRow, isDeep: boolean, summary: ScrubSummary): Promise<void> {
  const { store, bucket } = ports;
  const { id } = recording;
  const owed = await whatIsOwed(ports, id);
  const counts: Count = {};
  const note = (kind: AnomalyKind, by = 1) => {
    if (by > 0) counts[kind] = (counts[kind] ?? 0) + by;
  };
  const unexpected: (ObjectName | undefined)[] = [];
  const intact = new Map<string, number>();
  let before: { name: ObjectName; entryHash: Uint8Array } | undefined;
  for await (const object of bucket.list(recordingPrefix(id))) {
    summary.objects++;
    const name = parseObjectKey(object.key);
    const epoch = name && owed.get(name.epoch);
    const track = name && epoch?.tracks.get(name.track);
    if (!name || !epoch || !track || !isExpected(name, epoch)) {
      unexpected.push(name);
      continue;
    }
    const place = `${name.epoch}/${name.track}`;
    if (name.seq < track.count) intact.set(place, (intact.get(place) ?? 0) + 1);
    const isNext = before && `${before.name.epoch}/${before.name.track}` === place && before.name.seq + 1 === name.seq;
    const previous = isNext ? before!.entryHash : name.seq === 0 ? fromBase64Url(epoch.epoch.openHash) : undefined;
    const entryHash = await entryOf(bucket, object, name, epoch.epoch, previous, isDeep);
    if (entryHash && !(name.seq === track.count - 1 && !isLastOf(epoch.epoch, name.track, entryHash))) {
      before = { name, entryHash };
    } else {
      note('object-damaged');
      before = undefined;
    }
  }
  for (const { epoch, tracks } of owed.values()) {
    for (const { track, count } of tracks.values()) {
      note('object-missing', count - (intact.get(`${epoch.epoch}/${track}`) ?? 0));
    }
  }
  // A recorder at work may have been promised more since the rows were read; then it is in the rows by now.
  const later = unexpected.length > 0 ? await whatIsOwed(ports, id) : owed;
  const isStrange = (name: ObjectName | undefined) => {
    const epoch = name && later.get(name.epoch);
    return !epoch || !isExpected(name, epoch);
  };
  note('object-foreign', unexpected.filter(isStrange).length);
  note('share-missing', await missingShares(ports, id, owed));
  // What was deleted while it was looked at is not missing.
  const now = await store.recording(id);
  if (!now || areOwed([now], ports.clock.now()).length === 0) return;
  await record(ports, id, counts, summary);
}

async function whatIsOwed({ store }: Ports, id: string): Promise<Map<number, Owed>> {
  const [epochs, tracks] = await Promise.all([store.epochs(id), store.tracks(id)]);
  const owed = epochs.map(async (epoch): Promise<[number, Owed]> => {
    const own = tracks.filter((track) => track.epoch === epoch.epoch).map((track) => [track.track, track] as const);
    return [epoch.epoch, { epoch, tracks: new Map(own), pending: await store.pending(id, epoch.epoch) }];
  });
  return new Map(await Promise.all(owed));
}

/** Counted by a head, or promised to a recorder. */
function isExpected({ track, seq }: ObjectName, { tracks, pending }: Owed): boolean {
  const count = tracks.get(track)?.count ?? 0;
  return seq < count || pending.some((row) => row.track === track && row.seq === seq);
}

/** entry_hash of an object that is what its recorder signed for this place; undefined for any other. */
async function entryOf(
  bucket: Bucket,
  { key, bytes }: ListedObject,
  name: ObjectName,
  row: EpochRow,
  previous: Uint8Array | undefined,
  isDeep: boolean,
): Promise<Uint8Array | undefined> {
  const stored = await bucket.get(key, isDeep ? undefined : { from: 0, to: Math.min(bytes, LONGEST_HEAD) - 1 });
  return stored && signedEntry(stored, bytes, name, row, previous, isDeep);
}

/**
 * entry_hash of an object of `bytes` bytes, if it is what the recorder of this epoch signed for this place; undefined for any other.
 * `stored` is the whole of it where `isDeep`, and at least its head otherwise.
 */
export async function signedEntry(
  stored: Bytes,
  bytes: number,
  { epoch, track, seq }: ObjectName,
  row: EpochRow,
  previous: Uint8Array | undefined,
  isDeep: boolean,
): Promise<Uint8Array | undefined> {
  try {
    const head = parseChunkHead(stored, bytes);
    const { header } = head;
    const isHere = header.sessionId === row.recordingId && header.epoch === epoch;
    if (!isHere || header.track !== track || header.seq !== seq) return undefined;
    if (previous && !equal(header.prev, previous)) return undefined;
    const entryHash = await verifyChunkHead(head, fromBase64Url(row.recorderPk));
    for (let index = 0; isDeep && index < head.segments; index++) {
      const { from, to } = segmentRange(head, index);
      await verifySegment(head, index, stored.subarray(from, to));
    }
    return entryHash;
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

/** Whether the newest head, which counts this chunk as the last of its track, names it. */
function isLastOf(epoch: EpochRow, track: number, entryHash: Uint8Array): boolean {
  const claimed = epoch.head && parseHead(epoch.head).tracks.find((one) => one.track === track);
  return claimed ? equal(claimed.last, entryHash) : true;
}

/** Epochs without the shred share that was committed to: nobody could open them. */
async function missingShares({ vault, clock }: Ports, id: string, owed: ReadonlyMap<number, Owed>): Promise<number> {
  const epochs = [...owed.values()].map(({ epoch }) => epoch);
  const shares = await vault.get(id, shredCommitments(epochs));
  const settled = clock.now() - vault.settlesMs;
  return epochs.filter(({ epoch, openedMs }) => openedMs <= settled && !shares.has(epoch)).length;
}

/** Objects under no recording that is owed: unknown, or left after a deletion was verified. */
async function findStrangers(ports: Ports, renew: () => Promise<void>, summary: ScrubSummary): Promise<void> {
  const { store, bucket } = ports;
  let unknown = 0;
  let current: { id: string; state: RecordingRow['state'] | undefined; objects: number } | undefined;
  const settle = async () => {
    if (!current || current.objects === 0) return;
    if (current.state === 'verified') {
      await record(ports, current.id, { 'object-returned': current.objects }, summary);
    } else if (current.state === undefined) unknown += current.objects;
  };
  for await (const { key } of bucket.list('')) {
    const id = /^([A-Za-z0-9_-]{22})\//.exec(key)?.[1] ?? '';
    if (current?.id !== id) {
      await settle();
      await renew();
      current = { id, state: id === '' ? undefined : (await store.recording(id))?.state, objects: 0 };
    }
    current.objects++;
  }
  await settle();
  await record(ports, BUCKET, { 'object-foreign': unknown }, summary);
}

/** Brings the log's open anomalies of a subject in line with what was seen. */
async function record(ports: Ports, subject: string, counts: Count, summary: ScrubSummary): Promise<void> {
  await closeAnomalies(ports, subject, (kind) => {
    if (!(KINDS as readonly AnomalyKind[]).includes(kind) || (counts[kind] ?? 0) > 0) return undefined;
    return kind === 'object-foreign' ? 'deleted' : 'repaired';
  });
  for (const [kind, count] of Object.entries(counts) as [AnomalyKind, number][]) {
    if (count === 0) continue;
    summary.found[kind] = (summary.found[kind] ?? 0) + count;
    await reportAnomaly(ports, subject, kind, count);
  }
}
