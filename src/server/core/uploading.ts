/** Uploading: which objects may be promised, and which head may be believed. Pure: rows and a listing in, a decision out. */
import type { z } from 'zod';
import { UPLOAD_WINDOW, type uploadsRequest } from '../../../schema/api.ts';
import { chunkObjectLength, MAX_PLAINTEXT } from '../../../crypto/format/chunk.ts';
import type { HeadRecord } from '../../../crypto/format/head.ts';
import { ServerError } from '../errors.ts';
import type { PendingRow, RecordingRow, TrackRow } from '../store.ts';
import { URL_LIFE_SECONDS } from './retention.ts';

export type ChunkRequest = z.infer<typeof uploadsRequest>['chunks'][number];

/** Throws unless an upload signed at `now` is dead before the recording's uploads end. */
export function requireUploading(recording: RecordingRow, now: number): void {
  requireExisting(recording, now);
  if (recording.state !== 'open') throw new ServerError('recording-ended', `the recording is ${recording.state}`);
  if (now + URL_LIFE_SECONDS * 1000 > recording.uploadsUntilMs) {
    throw new ServerError('uploads-over', 'the time for uploads to this recording is over', {
      extra: { uploads_until_ms: recording.uploadsUntilMs },
    });
  }
}

/** Throws once a deletion was begun, or is due: from there nothing is signed and nothing released, however late the purge comes. */
export function requireExisting(recording: RecordingRow, now: number): void {
  const isDying = recording.state === 'purging' || recording.state === 'deleted' || recording.state === 'verified';
  if (isDying || now >= recording.deleteByMs) {
    throw new ServerError('recording-deleted', 'the recording was deleted', {
      extra: { delete_by_ms: recording.deleteByMs, deleted_ms: recording.deletedMs },
    });
  }
}

/**
 * Splits a request into what a head covers already and what may be signed. Throws `chunk-refused` for a track, sequence or
 * length that no chunk has, `window-full` for a track that runs too far ahead of its head.
 */
export function planUploads(chunks: readonly ChunkRequest[], tracks: readonly TrackRow[]) {
  const counts = new Map(tracks.map(({ track, count }) => [track, count]));
  const stored: ChunkRequest[] = [];
  const wanted: ChunkRequest[] = [];
  const seen = new Set<string>();
  for (const chunk of chunks) {
    const count = counts.get(chunk.track);
    if (count === undefined) throw new ServerError('chunk-refused', `track ${chunk.track} is not in the open record`);
    const name = `${chunk.track}/${chunk.seq}`;
    if (seen.has(name)) throw new ServerError('chunk-refused', `chunk ${name} is asked for twice in one call`);
    seen.add(name);
    if (chunk.bytes < chunkObjectLength(0) || chunk.bytes > chunkObjectLength(MAX_PLAINTEXT)) {
      throw new ServerError('chunk-refused', `chunk ${name} has ${chunk.bytes} bytes, which no chunk has`);
    }
    if (chunk.seq < count) stored.push(chunk);
    else if (chunk.seq >= count + UPLOAD_WINDOW) {
      throw new ServerError('window-full', `chunk ${name} is more than ${UPLOAD_WINDOW} ahead of the newest head`, {
        hint: 'send a head, then ask again',
        extra: { track: chunk.track, count },
      });
    } else wanted.push(chunk);
  }
  return { stored, wanted };
}

/** One sequence number is only ever signed for one content: throws `chunk-conflict` where another was remembered first. */
export function requireSameContent(wanted: readonly ChunkRequest[], pending: readonly PendingRow[]): void {
  const remembered = new Map(pending.map((row) => [`${row.track}/${row.seq}`, row]));
  for (const chunk of wanted) {
    const row = remembered.get(`${chunk.track}/${chunk.seq}`);
    if (row && (row.bytes !== chunk.bytes || row.sha256 !== chunk.sha256)) {
      throw new ServerError(
        'chunk-conflict',
        `chunk ${chunk.track}/${chunk.seq} was asked for with other content before`,
      );
    }
  }
}

/** A stretch of one track that a head counts for the first time. */
export interface Claim {
  track: number;
  /** First sequence number that no earlier head counted. */
  from: number;
  /** One past the last. */
  to: number;
  /** Bytes that earlier heads counted. */
  bytesBefore: number;
}

/** What `head` counts beyond the stored counts. The head was verified and may follow the newest one. */
export function claimsOf(head: HeadRecord, tracks: readonly TrackRow[]): Claim[] {
  const claimed = new Map(head.tracks.map(({ track, count }) => [track, count]));
  for (const track of claimed.keys()) {
    if (!tracks.some((row) => row.track === track))
      throw new ServerError('head-refused', `track ${track} is not in the open record`);
  }
  return tracks.map(({ track, count, bytes }) => {
    const to = claimed.get(track);
    if (to === undefined) throw new ServerError('head-refused', `track ${track} is missing in the head`);
    if (to > count + UPLOAD_WINDOW)
      throw new ServerError('head-refused', `track ${track} counts chunks that were never asked for`);
    return { track, from: count, to, bytesBefore: bytes };
  });
}

/**
 * Holds a claim against what the bucket's listing shows: `listed` is seq -> bytes. Every chunk must have been asked for
 * and must be there with exactly the promised length; the store has checked its SHA-256 on the way in.
 */
export function confirm(claim: Claim, pending: readonly PendingRow[], listed: ReadonlyMap<number, number>) {
  const promised = new Map(pending.filter((row) => row.track === claim.track).map((row) => [row.seq, row.bytes]));
  const missing: { track: number; seq: number }[] = [];
  let bytes = claim.bytesBefore;
  for (let seq = claim.from; seq < claim.to; seq++) {
    const found = listed.get(seq);
    if (found === undefined || found !== promised.get(seq)) missing.push({ track: claim.track, seq });
    else bytes += found;
  }
  return { track: claim.track, count: claim.to, bytes, missing };
}
