import { describe, expect, test } from 'vitest';
import { chunkObjectLength } from '../../../crypto/format/chunk.ts';
import type { HeadRecord } from '../../../crypto/format/head.ts';
import { UPLOAD_WINDOW } from '../../../schema/api.ts';
import {
  type ChunkRequest,
  claimsOf,
  confirm,
  planUploads,
  requireExisting,
  requireSameContent,
  requireUploading,
} from '../../../src/server/core/uploading.ts';
import { URL_LIFE_SECONDS } from '../../../src/server/core/retention.ts';
import type { PendingRow, RecordingRow, RecordingState, TrackRow } from '../../../src/server/store.ts';

const row = (changes: Partial<RecordingRow> = {}): RecordingRow => ({
  ...{ id: 'r', examId: 'e', state: 'open', practice: false, openedMs: 0, deleteByMs: 1_000_000_000 },
  ...{ uploadsUntilMs: 500_000_000, openedPosition: 0, ticket: null, lastEpoch: 0, seenMs: 0, endedMs: null },
  ...{ releases: 0, lastUrlMs: 0, objects: 0, bytes: 0, deletedMs: null },
  ...{ quotaBytes: null, quotaUntilMs: null, quotaExamBytes: null, quotaReached: null },
  ...changes,
});
const track = (number: number, count: number, bytes = 0): TrackRow => ({
  ...{ recordingId: 'r', epoch: 0, track: number, kind: 1, codec: '', count, bytes },
});
const chunk = (number: number, seq: number, changes: Partial<ChunkRequest> = {}): ChunkRequest => ({
  ...{ track: number, seq, bytes: 1000, sha256: 'hash' },
  ...changes,
});

describe('what may be uploaded', () => {
  test.each<[RecordingState, string]>([
    ['closed', 'recording-ended'],
    ['abandoned', 'recording-ended'],
    ['purging', 'recording-deleted'],
    ['deleted', 'recording-deleted'],
    ['verified', 'recording-deleted'],
  ])('nothing to a recording that is %s', (state, code) => {
    expect(() => {
      requireUploading(row({ state }), 0);
    }).toThrow(expect.objectContaining({ code }));
  });

  test('nothing whose URL would live past the end of uploads', () => {
    const last = 500_000_000 - URL_LIFE_SECONDS * 1000;
    requireUploading(row(), last);
    expect(() => {
      requireUploading(row(), last + 1);
    }).toThrow(expect.objectContaining({ code: 'uploads-over' }));
  });

  test('nothing from delete_by on, whatever the state says', () => {
    requireExisting(row({ state: 'closed' }), 999_999_999);
    for (const state of ['open', 'closed', 'abandoned'] as const) {
      expect(() => {
        requireExisting(row({ state }), 1_000_000_000);
      }).toThrow(expect.objectContaining({ code: 'recording-deleted' }));
    }
  });
});

describe('a plan', () => {
  test('splits what a head covers from what may be signed, up to the window’s last', () => {
    const plan = planUploads(
      [chunk(1, 4), chunk(1, 5), chunk(1, 4 + UPLOAD_WINDOW), chunk(2, 0)],
      [track(1, 5), track(2, 0)],
    );
    expect(plan.stored.map(({ seq }) => seq)).toEqual([4]);
    expect(plan.wanted.map((wanted) => [wanted.track, wanted.seq])).toEqual([
      [1, 5],
      [1, 4 + UPLOAD_WINDOW],
      [2, 0],
    ]);
  });

  test.each([
    ['an unknown track', [chunk(3, 0)], 'chunk-refused'],
    ['a repeated chunk', [chunk(1, 5), chunk(1, 5)], 'chunk-refused'],
    ['a chunk without a segment', [chunk(1, 5, { bytes: chunkObjectLength(0) - 1 })], 'chunk-refused'],
    ['one past the window', [chunk(1, 5 + UPLOAD_WINDOW)], 'window-full'],
  ])('refuses %s', (_, chunks, code) => {
    expect(() => planUploads(chunks, [track(1, 5)])).toThrow(expect.objectContaining({ code }));
  });

  test('conflicts with other content of the same name, and with nothing else', () => {
    const pending: PendingRow[] = [{ track: 1, seq: 5, bytes: 1000, sha256: 'hash' }];
    requireSameContent([chunk(1, 5), chunk(1, 6, { sha256: 'other' }), chunk(2, 5, { sha256: 'other' })], pending);
    for (const other of [{ sha256: 'other' }, { bytes: 1001 }]) {
      expect(() => {
        requireSameContent([chunk(1, 5, other)], pending);
      }).toThrow(expect.objectContaining({ code: 'chunk-conflict' }));
    }
  });
});

describe('a head’s claims', () => {
  const head = (counts: Record<number, number>) =>
    ({ tracks: Object.entries(counts).map(([number, count]) => ({ track: Number(number), count })) }) as HeadRecord;

  test('are what it counts beyond the rows', () => {
    expect(claimsOf(head({ 1: 7, 2: 0 }), [track(1, 5, 50), track(2, 0)])).toEqual([
      { track: 1, from: 5, to: 7, bytesBefore: 50 },
      { track: 2, from: 0, to: 0, bytesBefore: 0 },
    ]);
  });

  test.each([
    ['a track too many', { 1: 5, 9: 0 }],
    ['a track too few', {}],
    ['more than was ever in the window', { 1: 5 + UPLOAD_WINDOW + 1 }],
  ])('are refused with %s', (_, counts) => {
    expect(() => claimsOf(head(counts), [track(1, 5)])).toThrow(expect.objectContaining({ code: 'head-refused' }));
  });

  const claim = { track: 1, from: 5, to: 8, bytesBefore: 50 };
  const pending = [5, 6, 7].map((seq) => ({ track: 1, seq, bytes: 100 + seq, sha256: 'hash' }));
  const listed = (...seqs: number[]) => new Map(seqs.map((seq) => [seq, 100 + seq]));

  test('are confirmed by a listing with every chunk at its promised length', () => {
    expect(confirm(claim, pending, listed(5, 6, 7))).toEqual({ track: 1, count: 8, bytes: 50 + 318, missing: [] });
  });

  test('miss what is not listed, is listed in another length, or was never asked for', () => {
    expect(confirm(claim, pending, listed(5, 7)).missing).toEqual([{ track: 1, seq: 6 }]);
    expect(confirm(claim, pending, listed(5, 6, 7).set(6, 1)).missing).toEqual([{ track: 1, seq: 6 }]);
    expect(confirm(claim, pending.slice(1), listed(5, 6, 7)).missing).toEqual([{ track: 1, seq: 5 }]);
    const elsewhere = pending.map((promise) => ({ ...promise, track: 2 }));
    expect(confirm(claim, elsewhere, listed(5, 6, 7)).missing).toHaveLength(3);
  });
});
