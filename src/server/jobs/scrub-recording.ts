/**
 * The blind audit of one recording, object by object. It may be stopped after each of them, because a recording may have more than a
 * Worker's invocation can read: `Half` is then what it has come to.
 */
import { type Bytes, equal, fromBase64Url, toBase64Url } from '../../../crypto/format/bytes.ts';
import {
  parseChunkHead,
  segmentRange,
  verifyChunkHead,
  verifySegment,
  chunkHeadLength,
  MAX_PLAINTEXT,
} from '../../../crypto/format/chunk.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { parseHead } from '../../../crypto/format/head.ts';
import { type ObjectName, parseObjectKey, recordingPrefix } from '../core/names.ts';
import { shredCommitments } from '../core/opening.ts';
import type { Bucket, ListedObject, Ports } from '../ports.ts';
import type { EpochRow, PendingRow, RecordingRow, TrackRow } from '../store.ts';
import { type AnomalyKind, closeAnomalies, reportAnomaly } from './anomaly.ts';

export type Count = Partial<Record<AnomalyKind, number>>;

/** What this job speaks about; it closes no other's anomalies. */
const KINDS = ['object-missing', 'object-damaged', 'object-foreign', 'share-missing'] as const;
/** A head is never longer, whatever the object: 224 + 32 bytes for each of at most 128 segments. */
const LONGEST_HEAD = chunkHeadLength(MAX_PLAINTEXT);

/** A recording that is looked at in several runs, as JSON. */
export interface Half {
  /** Key of the last object that was looked at. */
  after?: string;
  counts: Count;
  /**
   * By `epoch/track`, as it was when the look began: how many chunks are owed, and the entry hash of the last one where a head names it,
   * base64url. And how many were found so far.
   */
  places: Record<string, { count: number; last?: string; intact: number }>;
  /** Entry hash of the object at `after`, base64url, if that is what it should be: the next chunk has to name it. */
  previous?: string | undefined;
}

/** Told of each object; throws where the run has to end. */
type Renew = () => Promise<void>;

/** Recordings that are owed whole: those that no deletion was begun of, and whose time has not come. */
export function areOwed(rows: readonly RecordingRow[], now: number): RecordingRow[] {
  return rows.filter(
    ({ state, deleteByMs }) => (state === 'open' || state === 'closed' || state === 'abandoned') && now < deleteByMs,
  );
}

/** Goes on with `half`, if there is one, and then brings the log in line with what was seen. `note` is told of what is in the log now. */
export async function examine(
  ports: Ports,
  { id }: RecordingRow,
  {
    isDeep,
    halves,
    renew,
    seen,
    note,
  }: {
    isDeep: boolean;
    halves: Record<string, Half>;
    renew: Renew;
    /** Told of each object. */
    seen: () => void;
    note: (kind: AnomalyKind, count: number) => void;
  },
): Promise<void> {
  const owed = await whatIsOwed(ports, id);
  const half = (halves[id] ??= beginning(owed));
  const unexpected: (ObjectName | undefined)[] = [];
  try {
    for await (const object of ports.bucket.list(recordingPrefix(id), half.after)) {
      if (!(await look(ports.bucket, object, half, owed, isDeep))) unexpected.push(parseObjectKey(object.key));
      half.after = object.key;
      seen();
      await renew();
    }
  } finally {
    await settleUnexpected(ports, id, half, owed, unexpected);
  }
  for (const { count, intact } of Object.values(half.places)) add(half.counts, 'object-missing', count - intact);
  add(half.counts, 'share-missing', await missingShares(ports, id, owed));
  Reflect.deleteProperty(halves, id);
  // What was deleted while it was looked at is not missing.
  const now = await ports.store.recording(id);
  if (!now || areOwed([now], ports.clock.now()).length === 0) return;
  await record(ports, id, half.counts, note);
}

function add(counts: Count, kind: AnomalyKind, by = 1): void {
  if (by > 0) counts[kind] = (counts[kind] ?? 0) + by;
}

function beginning(owed: ReadonlyMap<number, Owed>): Half {
  const half: Half = { counts: {}, places: {} };
  for (const { epoch, tracks } of owed.values()) {
    const claimed = epoch.head ? parseHead(epoch.head).tracks : [];
    for (const { track, count } of tracks.values()) {
      const last = claimed.find((one) => one.track === track)?.last;
      half.places[placeOf({ epoch: epoch.epoch, track })] = {
        count,
        intact: 0,
        ...(last && { last: toBase64Url(last) }),
      };
    }
  }
  return half;
}

function placeOf({ epoch, track }: { epoch: number; track: number }): string {
  return `${epoch}/${track}`;
}

/** Looks at one object; false where nothing of this name is expected. */
async function look(
  bucket: Bucket,
  object: ListedObject,
  half: Half,
  owed: ReadonlyMap<number, Owed>,
  isDeep: boolean,
): Promise<boolean> {
  const name = parseObjectKey(object.key);
  const epoch = name && owed.get(name.epoch);
  const { previous } = half;
  if (!name || !epoch || !isExpected(name, epoch)) return false;
  half.previous = undefined;
  const place = half.places[placeOf(name)];
  const isCounted = place !== undefined && name.seq < place.count;
  if (isCounted) place.intact++;
  const before = half.after === undefined ? undefined : parseObjectKey(half.after);
  const isNext = before && placeOf(before) === placeOf(name) && before.seq + 1 === name.seq;
  const wanted = name.seq === 0 ? epoch.epoch.openHash : isNext ? previous : undefined;
  const found = await entryOf(bucket, object, name, epoch.epoch, wanted, isDeep);
  const entryHash = found && toBase64Url(found);
  // The newest head counts this chunk as the last of its track, and names it.
  const isOther = isCounted && name.seq === place.count - 1 && place.last !== undefined && place.last !== entryHash;
  if (entryHash !== undefined && !isOther) half.previous = entryHash;
  else add(half.counts, 'object-damaged');
  return true;
}

/** A recorder at work may have been promised more since the rows were read; then it is in the rows by now. */
async function settleUnexpected(
  ports: Ports,
  id: string,
  half: Half,
  owed: ReadonlyMap<number, Owed>,
  unexpected: readonly (ObjectName | undefined)[],
): Promise<void> {
  if (unexpected.length === 0) return;
  const later = unexpected.every((name) => name === undefined) ? owed : await whatIsOwed(ports, id);
  const strange = unexpected.filter((name) => {
    const epoch = name && later.get(name.epoch);
    return !epoch || !isExpected(name, epoch);
  });
  add(half.counts, 'object-foreign', strange.length);
}

interface Owed {
  epoch: EpochRow;
  tracks: Map<number, TrackRow>;
  pending: PendingRow[];
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
  previous: string | undefined,
  isDeep: boolean,
): Promise<Uint8Array | undefined> {
  const stored = await bucket.get(key, isDeep ? undefined : { from: 0, to: Math.min(bytes, LONGEST_HEAD) - 1 });
  return stored && signedEntry(stored, bytes, name, row, previous, isDeep);
}

/**
 * entry_hash of an object of `bytes` bytes, if it is what the recorder of this epoch signed for this place; undefined for any other.
 * `stored` is the whole of it where `isDeep`, and at least its head otherwise. `previous`: the entry hash that it has to name, base64url.
 */
export async function signedEntry(
  stored: Bytes,
  bytes: number,
  { epoch, track, seq }: ObjectName,
  row: EpochRow,
  previous: string | undefined,
  isDeep: boolean,
): Promise<Uint8Array | undefined> {
  try {
    const head = parseChunkHead(stored, bytes);
    const { header } = head;
    const isHere = header.sessionId === row.recordingId && header.epoch === epoch;
    if (!isHere || header.track !== track || header.seq !== seq) return undefined;
    if (previous !== undefined && !equal(header.prev, fromBase64Url(previous))) return undefined;
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

/** Epochs without the shred share that was committed to: nobody could open them. */
async function missingShares({ vault, clock }: Ports, id: string, owed: ReadonlyMap<number, Owed>): Promise<number> {
  const epochs = [...owed.values()].map(({ epoch }) => epoch);
  const shares = await vault.get(id, shredCommitments(epochs));
  const settled = clock.now() - vault.settlesMs;
  return epochs.filter(({ epoch, openedMs }) => openedMs <= settled && !shares.has(epoch)).length;
}

/** Brings the log's open anomalies of a subject in line with what was seen. */
export async function record(
  ports: Ports,
  subject: string,
  counts: Count,
  note: (kind: AnomalyKind, count: number) => void,
): Promise<void> {
  await closeAnomalies(ports, subject, (kind) => {
    if (!(KINDS as readonly AnomalyKind[]).includes(kind) || (counts[kind] ?? 0) > 0) return undefined;
    return kind === 'object-foreign' ? 'deleted' : 'repaired';
  });
  for (const [kind, count] of Object.entries(counts) as [AnomalyKind, number][]) {
    if (count === 0) continue;
    note(kind, count);
    await reportAnomaly(ports, subject, kind, count);
  }
}
