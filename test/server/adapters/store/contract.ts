/**
 * What every store keeps, whatever database is under it: one suite, run by each adapter's own test file. `open` answers
 * an empty store each time.
 */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeEntry } from '../../../../crypto/log/entry.ts';
import type { PendingRow, RecordingState, Store } from '../../../../src/server/store.ts';
import {
  abandoned,
  bring,
  closed,
  completed,
  DAY_MS,
  enrolled,
  epochRow,
  erasure,
  exported,
  grantRow,
  noteRow,
  granted,
  heartbeat,
  intended,
  keyRow,
  newBytes,
  newHash,
  newId,
  type NewRecording,
  open,
  OPENED_MS,
  opening,
  pendingRow,
  policyRow,
  publish,
  published,
  released,
  reopened,
  sessionRow,
  story,
  tokenRow,
  trackRows,
  verified,
  wrapRows,
  write,
} from './rows.ts';

const NOTHING = { objects: 0, bytes: 0 };
const ALIVE: RecordingState[] = ['open', 'closed', 'abandoned'];
const DYING: RecordingState[] = ['purging', 'deleted', 'verified'];

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const ids = (rows: readonly { id: string }[]): string[] => rows.map(({ id }) => id);

export function storeContract(name: string, openStore: () => Promise<Store>): void {
  describe(`${name} as a store`, () => {
    let store: Store;

    beforeEach(async () => {
      store = await openStore();
    });

    afterEach(async () => {
      await store.close();
    });

    /** The write lost its race: it says so, and neither the log nor the recording knows of it. */
    async function expectRefused(attempt: () => Promise<boolean>, recordingId?: string): Promise<void> {
      const before = recordingId === undefined ? undefined : await everythingOf(recordingId);
      const size = await store.logSize();
      expect(await attempt()).toBe(false);
      expect(await store.logSize()).toBe(size);
      if (recordingId !== undefined) expect(await everythingOf(recordingId)).toEqual(before);
    }

    async function everythingOf(id: string): Promise<unknown> {
      const epochs = await store.epochs(id);
      return {
        recording: await store.recording(id),
        epochs,
        tracks: await store.tracks(id),
        wraps: await store.wraps(id),
        grants: await store.grants(id),
        notes: await store.notes(id),
        pending: await Promise.all(epochs.map(({ epoch }) => store.pending(id, epoch))),
        entries: await store.entriesOf(id),
      };
    }

    /** A head over epoch 0 that claims `count` chunks of track 1. */
    function claim(recordingId: string, headSeq: number, count: number): Parameters<Store['acceptHead']> {
      const head = { recordingId, epoch: 0, head: newBytes(250), headHash: newHash(), headSeq };
      return [head, null, [{ track: 1, count, bytes: count * 1000 }], OPENED_MS + 30_000 * (headSeq + 1)];
    }

    describe('exams', () => {
      it('hands back a policy as it was published, by exam and by hash', async () => {
        const policy = await publish(store);
        expect(await store.latestPolicy(policy.examId)).toEqual(policy);
        expect(await store.policyByHash(policy.examId, policy.policyHash)).toEqual(policy);
        const [entry] = await store.entries(0, 10);
        expect(entry).toEqual({ index: 0, bytes: encodeEntry(published(policy)) });
      });

      it('knows no policy of another exam or by another hash', async () => {
        const policy = await publish(store);
        expect(await store.latestPolicy(newId())).toBeUndefined();
        expect(await store.policyByHash(newId(), policy.policyHash)).toBeUndefined();
        expect(await store.policyByHash(policy.examId, newHash())).toBeUndefined();
      });

      it('takes a policy of a higher seq and keeps the older one readable', async () => {
        const first = await publish(store);
        const { examId, ownerHash } = first;
        const third = await publish(store, { examId, ownerHash, seq: 3 });
        expect(await store.latestPolicy(examId)).toEqual(third);
        expect(await store.policyByHash(examId, first.policyHash)).toEqual(first);
      });

      it.each([1, 2])('refuses seq %d after seq 2', async (seq) => {
        const { examId, ownerHash } = await publish(store, { seq: 2 });
        const late = policyRow({ examId, ownerHash, seq });
        await expectRefused(() => store.publishPolicy(late, [], published(late)));
        expect(await store.policyByHash(examId, late.policyHash)).toBeUndefined();
      });

      it("refuses another owner's policy, even one of a higher seq", async () => {
        const { examId } = await publish(store);
        const foreign = policyRow({ examId, seq: 2 });
        await expectRefused(() => store.publishPolicy(foreign, [], published(foreign)));
      });

      it('knows whom the newest policy of an exam names, and lists the exams within reach', async () => {
        const first = await publish(store, {}, ['ada', 'ben', 'ada']);
        const other = await publish(store, {}, ['ben']);
        const { examId, ownerHash } = first;
        expect(await store.isNamed(examId, 'ada')).toBe(true);
        expect(await store.isNamed(other.examId, 'ada')).toBe(false);
        expect(await store.exams(10, undefined, { identity: 'ada' })).toEqual([first]);
        const second = await publish(store, { examId, ownerHash, seq: 2 }, ['cyd']);
        expect(await store.isNamed(examId, 'ada')).toBe(false);
        expect(await store.exams(10, undefined, { identity: 'ada' })).toEqual([]);
        expect(await store.exams(10, undefined, { identity: 'cyd' })).toEqual([second]);
        expect(await store.exams(10, undefined, { identity: 'ben' })).toEqual([other]);
        expect(await store.exams(10, undefined, { examIds: [examId, newId()] })).toEqual([second]);
        expect(await store.exams(10, examId, { examIds: [examId] })).toEqual([]);
        expect(await store.exams(10, undefined, { examIds: [] })).toEqual([]);
      });

      it('lists the newest policy of each exam by exam id, in pages', async () => {
        const newest = [];
        for (let i = 0; i < 7; i++) {
          const { examId, ownerHash } = await publish(store);
          newest.push(await publish(store, { examId, ownerHash, seq: 2 + i }));
        }
        newest.sort((a, b) => byText(a.examId, b.examId));
        const found = [];
        for (let cursor: string | undefined; ;) {
          const page = await store.exams(3, cursor);
          if (page.length === 0) break;
          expect(page.length).toBeLessThanOrEqual(3);
          found.push(...page);
          cursor = page.at(-1)!.examId;
        }
        expect(found).toEqual(newest);
      });
    });

    describe('opening', () => {
      it('hands back the recording, its epoch, tracks and wraps as they were written', async () => {
        const policy = await publish(store);
        const all = opening(policy, { ticket: newHash(), practice: true });
        expect(await write(store, all)).toBe(true);
        const { id } = all.recording;
        const recording = { ...all.recording, openedPosition: 1 };
        expect(await store.recording(id)).toEqual(recording);
        expect(await store.epoch(id, 0)).toEqual({ recording, epoch: all.epoch, tracks: all.tracks });
        expect(await store.epochs(id)).toEqual([all.epoch]);
        expect(await store.tracks(id)).toEqual(all.tracks);
        expect(await store.wraps(id)).toEqual(all.wraps);
        expect(await store.grants(id)).toEqual([]);
        expect(await store.pending(id, 0)).toEqual([]);
      });

      it('knows nothing of a recording or an epoch that was not opened', async () => {
        const { recording } = await open(store);
        expect(await store.recording(newId())).toBeUndefined();
        expect(await store.epoch(recording.id, 1)).toBeUndefined();
        expect(await store.epoch(newId(), 0)).toBeUndefined();
        expect(await store.wraps(newId())).toEqual([]);
      });

      it('names the position at which the obligation stands in the log', async () => {
        await store.append([heartbeat(0), heartbeat(1)]);
        const { recording } = await open(store);
        const row = await store.recording(recording.id);
        const [entry] = await store.entriesOf(recording.id);
        expect(row!.openedPosition).toBe(entry!.index);
        expect(await story(store, recording.id)).toEqual(['recording.opened']);
      });

      it('keeps 64 wraps in the order of OPEN, several for one key among them', async () => {
        const all = opening(await publish(store));
        const keyId = newId();
        all.wraps = Array.from({ length: 64 }, (_, i) => ({
          ...wrapRows(all.epoch)[i % 2]!,
          ...(i % 8 === 0 ? { keyId } : {}),
        }));
        expect(await write(store, all)).toBe(true);
        expect(await store.wraps(all.recording.id)).toEqual(all.wraps);
      });

      it('refuses an id that was used', async () => {
        const { recording } = await open(store);
        const again = opening(await publish(store), { id: recording.id });
        await expectRefused(() => write(store, again), recording.id);
      });

      it('refuses a ticket that was used, also after the deletion of what it opened', async () => {
        const ticket = newHash();
        const { recording } = await open(store, { ticket });
        const again = opening(await publish(store), { ticket });
        await expectRefused(() => write(store, again));
        await bring(store, recording.id, 'deleted');
        await expectRefused(() => write(store, again));
        expect(await store.recording(again.recording.id)).toBeUndefined();
      });

      it('lets any number of recordings go without a ticket', async () => {
        const policy = await publish(store);
        await open(store, {}, policy);
        await open(store, {}, policy);
        expect(await store.recordings(policy.examId, 10)).toHaveLength(2);
      });

      it('writes nothing at all where one row is impossible', async () => {
        const all = opening(await publish(store));
        all.tracks.push(all.tracks[0]!);
        const size = await store.logSize();
        await expect(write(store, all)).rejects.toThrow();
        expect(await store.logSize()).toBe(size);
        expect(await store.recording(all.recording.id)).toBeUndefined();
      });

      it('refuses to open under a policy that it does not have', async () => {
        await expect(write(store, opening(policyRow()))).rejects.toThrow();
        expect(await store.logSize()).toBe(0);
      });

      it('opens one of several racing for one ticket', async () => {
        const policy = await publish(store);
        const ticket = newHash();
        const won = await Promise.all(Array.from({ length: 8 }, () => write(store, opening(policy, { ticket }))));
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(await store.recordings(policy.examId, 10)).toHaveLength(1);
        expect(await store.logSize()).toBe(2);
      });
    });

    describe('a new epoch', () => {
      async function nextEpoch(epoch: number) {
        const policy = await publish(store);
        const all = await open(store, {}, policy);
        const row = epochRow(all.recording, policy, { epoch, openedMs: OPENED_MS + 60_000 });
        return { ...all, next: row };
      }

      it('continues the recording with keys and tracks of its own', async () => {
        const { recording, epoch, tracks, wraps, next } = await nextEpoch(1);
        const more = { tracks: trackRows(next), wraps: wrapRows(next) };
        expect(await store.openEpoch(next, more.tracks, more.wraps, reopened(next))).toBe(true);
        expect(await store.epochs(recording.id)).toEqual([epoch, next]);
        expect(await store.tracks(recording.id)).toEqual([...tracks, ...more.tracks]);
        expect(await store.wraps(recording.id)).toEqual([...wraps, ...more.wraps]);
        const found = await store.epoch(recording.id, 1);
        expect(found).toMatchObject({ recording: { lastEpoch: 1, seenMs: next.openedMs }, epoch: next });
        expect(found!.tracks).toEqual(more.tracks);
        expect(await story(store, recording.id)).toEqual(['recording.opened', 'recording.reopened']);
      });

      it('is refused where it skips one', async () => {
        const { recording, next } = await nextEpoch(2);
        await expectRefused(() => store.openEpoch(next, [], [], reopened(next)), recording.id);
      });

      it('is refused a second time, with other keys', async () => {
        const { recording, next } = await nextEpoch(1);
        expect(await store.openEpoch(next, [], [], reopened(next))).toBe(true);
        const other = { ...next, openHash: newHash() };
        await expectRefused(() => store.openEpoch(other, [], [], reopened(other)), recording.id);
      });

      it.each(['closed', 'abandoned', 'purging', 'deleted', 'verified'] as const)(
        'is refused once the recording is %s',
        async (state) => {
          const { recording, next } = await nextEpoch(1);
          await bring(store, recording.id, state);
          await expectRefused(() => store.openEpoch(next, [], [], reopened(next)), recording.id);
        },
      );
    });

    describe('listing recordings', () => {
      it('pages through one exam by id and shows no other', async () => {
        const policy = await publish(store);
        const expected: string[] = [];
        for (let i = 0; i < 9; i++) expected.push((await open(store, {}, policy)).recording.id);
        await open(store);
        expected.sort(byText);
        const first = await store.recordings(policy.examId, 4);
        const second = await store.recordings(policy.examId, 4, first.at(-1)!.id);
        const third = await store.recordings(policy.examId, 4, second.at(-1)!.id);
        expect(ids([...first, ...second, ...third])).toEqual(expected);
        expect(await store.recordings(policy.examId, 4, third.at(-1)!.id)).toEqual([]);
        expect(await store.recordings(newId(), 4)).toEqual([]);
      });
    });

    describe('uploads', () => {
      const EXPIRES_MS = OPENED_MS + 300_000;

      it('are remembered, by track and seq, before they are handed out', async () => {
        const { recording } = await open(store);
        const rows = [pendingRow(4, 0), pendingRow(1, 1), pendingRow(1, 0)];
        expect(await store.rememberUploads(recording.id, 0, rows, EXPIRES_MS, OPENED_MS + 5)).toBe(true);
        expect(await store.pending(recording.id, 0)).toEqual([rows[2], rows[1], rows[0]]);
        expect(await store.recording(recording.id)).toMatchObject({ lastUrlMs: EXPIRES_MS, seenMs: OPENED_MS + 5 });
      });

      it('keep the bytes that were promised first for a seq', async () => {
        const { recording } = await open(store);
        const first = pendingRow(1, 0);
        await store.rememberUploads(recording.id, 0, [first], EXPIRES_MS, OPENED_MS);
        const second = [pendingRow(1, 0), pendingRow(1, 1)];
        expect(await store.rememberUploads(recording.id, 0, second, EXPIRES_MS, OPENED_MS)).toBe(true);
        expect(await store.pending(recording.id, 0)).toEqual([first, second[1]]);
      });

      it("never lower the last URL's expiry nor when the recorder was seen", async () => {
        const { recording } = await open(store);
        await store.rememberUploads(recording.id, 0, [pendingRow(1, 0)], EXPIRES_MS, OPENED_MS + 50);
        await store.rememberUploads(recording.id, 0, [pendingRow(1, 1)], EXPIRES_MS - 1, OPENED_MS + 49);
        expect(await store.recording(recording.id)).toMatchObject({ lastUrlMs: EXPIRES_MS, seenMs: OPENED_MS + 50 });
      });

      it('take none for an epoch or a track that does not exist', async () => {
        const { recording } = await open(store);
        for (const [epoch, track] of [
          [1, 1],
          [0, 2],
        ] as const) {
          const attempt = store.rememberUploads(recording.id, epoch, [pendingRow(track, 0)], EXPIRES_MS, OPENED_MS);
          await expect(attempt).rejects.toThrow();
        }
        expect(await store.recording(recording.id)).toMatchObject({ lastUrlMs: 0 });
      });

      it.each(['closed', 'abandoned', ...DYING] as const)('are refused once the recording is %s', async (state) => {
        const { recording } = await open(store);
        await bring(store, recording.id, state);
        await expectRefused(
          () => store.rememberUploads(recording.id, 0, [pendingRow(1, 0)], EXPIRES_MS, OPENED_MS),
          recording.id,
        );
      });

      it('are refused for a recording that does not exist', async () => {
        await expectRefused(() => store.rememberUploads(newId(), 0, [], EXPIRES_MS, OPENED_MS));
      });
    });

    describe('heads', () => {
      it('raise the counts and drop exactly the uploads that they cover', async () => {
        const { recording } = await open(store);
        const rows = [pendingRow(1, 0), pendingRow(1, 1), pendingRow(1, 2), pendingRow(4, 0)];
        await store.rememberUploads(recording.id, 0, rows, OPENED_MS + 1, OPENED_MS);
        const [head, , counts, now] = claim(recording.id, 0, 2);
        expect(await store.acceptHead(head, null, counts, now)).toBe(true);
        expect(await store.pending(recording.id, 0)).toEqual([rows[2], rows[3]]);
        const found = await store.epoch(recording.id, 0);
        expect(found!.epoch).toMatchObject({ head: head.head, headHash: head.headHash, headSeq: 0 });
        expect(found!.tracks).toMatchObject([
          { track: 1, count: 2, bytes: 2000 },
          { track: 4, count: 0, bytes: 0 },
        ]);
        expect(found!.recording).toMatchObject({ state: 'open', seenMs: now, endedMs: null });
        expect(await story(store, recording.id)).toEqual(['recording.opened']);
      });

      it('count with what is promised beyond them, for a recording and for its exam', async () => {
        const { recording } = await open(store);
        const rows = [pendingRow(1, 0), pendingRow(1, 1), pendingRow(1, 2), pendingRow(4, 0)];
        const promised = rows.reduce((sum, { bytes }) => sum + bytes, 0);
        const sums = async () => [await store.bytesOf(recording.id), await store.bytesOfExam(recording.examId)];
        expect(await sums()).toEqual([0, 0]);
        await store.rememberUploads(recording.id, 0, rows, OPENED_MS + 1, OPENED_MS);
        expect(await sums()).toEqual([promised, promised]);
        const [head, , counts, now] = claim(recording.id, 0, 2);
        await store.acceptHead(head, null, counts, now);
        const covered = 2000 + rows[2]!.bytes + rows[3]!.bytes;
        expect(await sums()).toEqual([covered, covered]);
        expect([await store.bytesOf(newId()), await store.bytesOfExam(newId())]).toEqual([0, 0]);
        await store.reachQuota(recording.id, 'time');
        await store.reachQuota(recording.id, 'bytes');
        expect(await store.recording(recording.id)).toMatchObject({ quotaReached: 'time' });
      });

      it('follow one another by hash', async () => {
        const { recording } = await open(store);
        const first = claim(recording.id, 0, 1);
        const second = claim(recording.id, 1, 3);
        expect(await store.acceptHead(...first)).toBe(true);
        expect(await store.acceptHead(second[0], first[0].headHash, second[2], second[3])).toBe(true);
        expect(await store.tracks(recording.id)).toMatchObject([{ count: 3 }, { count: 0 }]);
      });

      it('are refused after a predecessor that is not the newest', async () => {
        const { recording } = await open(store);
        const first = claim(recording.id, 0, 1);
        await expectRefused(() => store.acceptHead(first[0], newHash(), first[2], first[3]), recording.id);
        expect(await store.acceptHead(...first)).toBe(true);
        // The null says: I have seen no head. It was true once.
        await expectRefused(() => store.acceptHead(...claim(recording.id, 1, 2)), recording.id);
      });

      it('close the recording, with its entry, in the same step', async () => {
        const { recording } = await open(store);
        const [head, , counts, now] = claim(recording.id, 0, 2);
        const ending = { objects: 7, bytes: 4242, entry: closed(recording.id) };
        expect(await store.acceptHead(head, null, counts, now, ending)).toBe(true);
        const row = await store.recording(recording.id);
        expect(row).toMatchObject({ state: 'closed', endedMs: now, objects: 7, bytes: 4242 });
        expect(await story(store, recording.id)).toEqual(['recording.opened', 'recording.closed']);
      });

      it.each(['closed', 'abandoned', ...DYING] as const)('are refused once the recording is %s', async (state) => {
        const { recording } = await open(store);
        await bring(store, recording.id, state);
        const previous = state === 'closed' ? (await store.epochs(recording.id))[0]!.headHash : null;
        const [head, , counts, now] = claim(recording.id, 1, 1);
        await expectRefused(() => store.acceptHead(head, previous, counts, now), recording.id);
      });

      it('that fork leave one winner', async () => {
        const { recording } = await open(store);
        const won = await Promise.all([1, 2, 3, 4].map((count) => store.acceptHead(...claim(recording.id, 0, count))));
        expect(won.filter(Boolean)).toHaveLength(1);
        const [track] = await store.tracks(recording.id);
        expect(track!.count).toBe(won.indexOf(true) + 1);
      });
    });

    describe('abandonment', () => {
      it('ends a recording that was not seen since', async () => {
        const { recording } = await open(store);
        const totals = { objects: 3, bytes: 99 };
        expect(await store.abandon(recording.id, OPENED_MS, OPENED_MS + DAY_MS, totals, abandoned(recording.id))).toBe(
          true,
        );
        const row = await store.recording(recording.id);
        expect(row).toMatchObject({ state: 'abandoned', endedMs: OPENED_MS + DAY_MS, ...totals });
        expect(await story(store, recording.id)).toEqual(['recording.opened', 'recording.abandoned']);
      });

      it('is refused where the recorder was heard of meanwhile', async () => {
        const { recording } = await open(store);
        await store.rememberUploads(recording.id, 0, [], OPENED_MS + 1, OPENED_MS + 1);
        await expectRefused(
          () => store.abandon(recording.id, OPENED_MS, OPENED_MS + DAY_MS, NOTHING, abandoned(recording.id)),
          recording.id,
        );
      });

      it.each(['closed', 'abandoned', ...DYING] as const)('is refused once the recording is %s', async (state) => {
        const { recording } = await open(store);
        await bring(store, recording.id, state);
        await expectRefused(
          () => store.abandon(recording.id, OPENED_MS + DAY_MS, OPENED_MS + DAY_MS, NOTHING, abandoned(recording.id)),
          recording.id,
        );
      });

      it('finds the idle and the overrun, oldest first, and nothing else', async () => {
        const silent = await open(store, { seenMs: OPENED_MS + 10 });
        const older = await open(store, { seenMs: OPENED_MS });
        const overrun = await open(store, { seenMs: OPENED_MS + 900, uploadsUntilMs: OPENED_MS + 50 });
        const lively = await open(store, { seenMs: OPENED_MS + 500 });
        const ended = await open(store, { seenMs: OPENED_MS });
        await bring(store, ended.recording.id, 'closed');
        const expected = [older, silent, overrun].map(({ recording }) => recording.id);
        expect(ids(await store.idle(OPENED_MS + 500, OPENED_MS + 51, 10))).toEqual(expected);
        expect(ids(await store.idle(OPENED_MS + 500, OPENED_MS + 51, 2))).toEqual(expected.slice(0, 2));
        expect(ids(await store.idle(OPENED_MS + 501, 0, 10))).toContain(lively.recording.id);
        expect(await store.idle(OPENED_MS, OPENED_MS + 50, 10)).toEqual([]);
      });
    });

    describe('release, grant, erasure', () => {
      it.each(ALIVE)('count an opening by a reader while it is %s', async (state) => {
        const { recording } = await open(store);
        await bring(store, recording.id, state);
        expect(await store.release(recording.id, [released(recording.id)])).toBe(true);
        expect(await store.release(recording.id, [released(recording.id)])).toBe(true);
        expect(await store.recording(recording.id)).toMatchObject({ state, releases: 2 });
        expect((await story(store, recording.id)).slice(-2)).toEqual(['access.released', 'access.released']);
      });

      it('log every entry of one opening', async () => {
        const { recording } = await open(store);
        await store.release(recording.id, [released(recording.id), released(recording.id)]);
        expect(await store.recording(recording.id)).toMatchObject({ releases: 1 });
        expect(await store.entriesOf(recording.id)).toHaveLength(3);
      });

      it('declare an export, as often as one is made', async () => {
        const { recording } = await open(store);
        for (let copy = 0; copy < 2; copy++)
          expect(await store.declareExport(recording.id, exported(recording.id))).toBe(true);
        expect((await story(store, recording.id)).slice(-2)).toEqual(['export.declared', 'export.declared']);
        expect(await store.recording(recording.id)).toMatchObject({ releases: 0 });
      });

      it('keep a grant as it was signed, once', async () => {
        const { recording } = await open(store);
        const grant = grantRow(recording.id);
        expect(await store.addGrant(grant, granted(grant))).toBe(true);
        expect(await store.grants(recording.id)).toEqual([grant]);
        await expectRefused(() => store.addGrant(grant, granted(grant)), recording.id);
      });

      it('keep a note as it was sealed, once, and no more of them than the recording takes', async () => {
        const { recording } = await open(store);
        const [first, second, third] = [1, 2, 3].map((createdMs) => noteRow(recording.id, createdMs));
        expect(await store.addNote(second!, 2)).toBe(true);
        expect(await store.addNote(first!, 2)).toBe(true);
        expect(await store.notes(recording.id)).toEqual([first, second]);
        await expectRefused(() => store.addNote(first!, 3), recording.id);
        await expectRefused(() => store.addNote(third!, 2), recording.id);
      });

      it('bring a deletion forward and never put it off', async () => {
        const { recording } = await open(store);
        const sooner = recording.deleteByMs - DAY_MS;
        expect(await store.bringForward(recording.id, sooner, erasure(recording.id, sooner))).toBe(true);
        expect(await store.recording(recording.id)).toMatchObject({ deleteByMs: sooner });
        for (const later of [sooner, sooner + 1, recording.deleteByMs]) {
          await expectRefused(
            () => store.bringForward(recording.id, later, erasure(recording.id, later)),
            recording.id,
          );
        }
      });

      it.each(DYING)('are refused once it is %s', async (state) => {
        const { recording } = await open(store);
        await bring(store, recording.id, state);
        const { id } = recording;
        const grant = grantRow(id);
        await expectRefused(() => store.release(id, [released(id)]), id);
        await expectRefused(() => store.declareExport(id, exported(id)), id);
        await expectRefused(() => store.addGrant(grant, granted(grant)), id);
        await expectRefused(() => store.addNote(noteRow(id), 9), id);
        await expectRefused(() => store.bringForward(id, OPENED_MS, erasure(id, OPENED_MS)), id);
      });

      it('are refused for a recording that does not exist', async () => {
        const grant = grantRow(newId());
        await expectRefused(() => store.release(newId(), [released(newId())]));
        await expectRefused(() => store.declareExport(newId(), exported(newId())));
        await expectRefused(() => store.addGrant(grant, granted(grant)));
        await expectRefused(() => store.bringForward(newId(), OPENED_MS, erasure(newId(), OPENED_MS)));
      });
    });

    describe('death', () => {
      it('finds what is due, by (delete_by, id), in pages, those already purging too', async () => {
        const policy = await publish(store);
        const at = [3, 1, 2, 2, 2, 1].map((day) => OPENED_MS + day * DAY_MS);
        const rows: NewRecording[] = [];
        for (const deleteByMs of at) rows.push((await open(store, { deleteByMs }, policy)).recording);
        await bring(store, rows[1]!.id, 'purging');
        await bring(store, rows[5]!.id, 'deleted');
        const expected = rows
          .filter((row) => row !== rows[5] && row.deleteByMs <= OPENED_MS + 2 * DAY_MS)
          .sort((a, b) => a.deleteByMs - b.deleteByMs || byText(a.id, b.id));
        const found = [];
        for (let cursor: { deleteByMs: number; id: string } | undefined; ;) {
          const page = await store.due(OPENED_MS + 2 * DAY_MS, 2, cursor);
          if (page.length === 0) break;
          found.push(...page);
          cursor = page.at(-1);
        }
        expect(ids(found)).toEqual(ids(expected));
      });

      it('is due at delete_by and not a millisecond before', async () => {
        const { recording } = await open(store);
        expect(await store.due(recording.deleteByMs - 1, 10)).toEqual([]);
        expect(ids(await store.due(recording.deleteByMs, 10))).toEqual([recording.id]);
      });

      it.each(ALIVE)('begins from %s, with what the listing found', async (state) => {
        const { recording } = await open(store);
        await bring(store, recording.id, state);
        const found = { objects: 11, bytes: 12 };
        expect(await store.intendDeletion(recording.id, found, intended(recording.id))).toBe(true);
        expect(await store.recording(recording.id)).toMatchObject({ state: 'purging', ...found });
        expect((await story(store, recording.id)).at(-1)).toBe('deletion.intended');
      });

      it.each(DYING)('does not begin again from %s', async (state) => {
        const { recording } = await open(store);
        await bring(store, recording.id, state);
        const { id } = recording;
        await expectRefused(() => store.intendDeletion(id, NOTHING, intended(id)), id);
      });

      it('destroys wraps, grants and notes, counts the wraps, and finds nothing the second time', async () => {
        const { recording, wraps } = await open(store);
        const grant = grantRow(recording.id);
        await store.addGrant(grant, granted(grant));
        await store.addNote(noteRow(recording.id), 9);
        await bring(store, recording.id, 'purging');
        expect(await store.destroyWraps(recording.id)).toBe(wraps.length);
        expect(await store.wraps(recording.id)).toEqual([]);
        expect(await store.grants(recording.id)).toEqual([]);
        expect(await store.notes(recording.id)).toEqual([]);
        expect(await store.destroyWraps(recording.id)).toBe(0);
      });

      it.each(ALIVE)('destroys no wrap of a recording that is %s', async (state) => {
        const { recording, wraps } = await open(store);
        await bring(store, recording.id, state);
        expect(await store.destroyWraps(recording.id)).toBe(0);
        expect(await store.wraps(recording.id)).toEqual(wraps);
      });

      it("leaves other recordings' keys alone", async () => {
        const policy = await publish(store);
        const dying = await open(store, {}, policy);
        const living = await open(store, {}, policy);
        const before = await everythingOf(living.recording.id);
        await bring(store, dying.recording.id, 'verified');
        expect(await everythingOf(living.recording.id)).toEqual(before);
      });

      it('completes into a tombstone and nothing else', async () => {
        const { recording } = await open(store, { ticket: newHash() });
        const { id } = recording;
        await store.rememberUploads(id, 0, [pendingRow(1, 0)], OPENED_MS + 1, OPENED_MS);
        await bring(store, id, 'purging');
        await store.destroyWraps(id);
        const now = recording.deleteByMs + 5;
        expect(await store.completeDeletion(id, { objects: 3, bytes: 30 }, now, completed(id))).toBe(true);
        expect(await everythingOf(id)).toMatchObject({ epochs: [], tracks: [], wraps: [], grants: [], pending: [] });
        const tombstone = { state: 'deleted', deletedMs: now, objects: 3, bytes: 30, ticket: recording.ticket };
        expect(await store.recording(id)).toMatchObject(tombstone);
        expect(await store.epoch(id, 0)).toBeUndefined();
        expect(await story(store, id)).toEqual(['recording.opened', 'deletion.intended', 'deletion.completed']);
        expect(await store.due(now + DAY_MS, 10)).toEqual([]);
      });

      it('does not complete while a wrap or a grant is left', async () => {
        const { recording } = await open(store);
        const { id } = recording;
        await bring(store, id, 'purging');
        await expectRefused(() => store.completeDeletion(id, NOTHING, OPENED_MS, completed(id)), id);
      });

      it.each(['open', 'closed', 'abandoned', 'deleted', 'verified'] as const)(
        'does not complete from %s',
        async (state) => {
          const { recording } = await open(store);
          const { id } = recording;
          await bring(store, id, state);
          await expectRefused(() => store.completeDeletion(id, NOTHING, OPENED_MS, completed(id)), id);
        },
      );

      it('is unverified until the last URL has died and time has passed, by id', async () => {
        const policy = await publish(store);
        const dead = [];
        for (let i = 0; i < 5; i++) dead.push((await open(store, { lastUrlMs: OPENED_MS + i }, policy)).recording.id);
        for (const id of dead) await bring(store, id, 'deleted');
        await bring(store, (await open(store, {}, policy)).recording.id, 'purging');
        const deletedMs = OPENED_MS + 30 * DAY_MS;
        const expected = dead.slice(0, 3).sort(byText);
        const first = await store.unverified(OPENED_MS + 3, deletedMs + 1, 2);
        const second = await store.unverified(OPENED_MS + 3, deletedMs + 1, 2, first.at(-1)!.id);
        expect(ids([...first, ...second])).toEqual(expected);
        expect(await store.unverified(OPENED_MS, deletedMs + 1, 10)).toEqual([]);
        expect(await store.unverified(OPENED_MS + 10, deletedMs, 10)).toEqual([]);
      });

      it('is verified once', async () => {
        const { recording } = await open(store);
        const { id } = recording;
        await bring(store, id, 'deleted');
        const known = (await store.entriesOf(id)).length;
        expect(await store.verifyDeletion(id, known, [verified(id)])).toBe(true);
        expect(await store.recording(id)).toMatchObject({ state: 'verified' });
        expect(await store.unverified(OPENED_MS + DAY_MS, OPENED_MS + 99 * DAY_MS, 10)).toEqual([]);
        await expectRefused(() => store.verifyDeletion(id, known + 1, [verified(id)]), id);
      });

      it('is not verified while something was logged about it that the verifier has not read', async () => {
        const { recording } = await open(store);
        const { id } = recording;
        await bring(store, id, 'deleted');
        const known = (await store.entriesOf(id)).length;
        await store.appendAbout(id, known, [heartbeat(1)]);
        await expectRefused(() => store.verifyDeletion(id, known, [verified(id)]), id);
        expect(await store.verifyDeletion(id, known + 1, [verified(id)])).toBe(true);
      });

      it.each(['open', 'closed', 'abandoned', 'purging'] as const)('is not verified from %s', async (state) => {
        const { recording } = await open(store);
        await bring(store, recording.id, state);
        const known = (await store.entriesOf(recording.id)).length;
        await expectRefused(() => store.verifyDeletion(recording.id, known, [verified(recording.id)]), recording.id);
      });

      it('begins once, whoever races for it', async () => {
        const { recording } = await open(store);
        const { id } = recording;
        const won = await Promise.all([
          store.intendDeletion(id, NOTHING, intended(id)),
          store.intendDeletion(id, NOTHING, intended(id)),
          store.intendDeletion(id, NOTHING, intended(id)),
        ]);
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(await story(store, id)).toEqual(['recording.opened', 'deletion.intended']);
      });

      it('scrubs with nothing to scrub', async () => {
        await expect(store.scrub()).resolves.toBeUndefined();
      });

      it('tells the epochs that exist from those that never did and those that are gone', async () => {
        const policy = await publish(store);
        const living = await open(store, {}, policy);
        const gone = await open(store, {}, policy);
        await bring(store, gone.recording.id, 'deleted');
        const mine = { recordingId: living.recording.id, epoch: 0 };
        const asked = [
          { recordingId: newId(), epoch: 0 },
          { recordingId: gone.recording.id, epoch: 0 },
          { ...mine, epoch: 1 },
          mine,
        ];
        expect(await store.existingEpochs(asked)).toEqual([mine]);
        expect(await store.existingEpochs([])).toEqual([]);
      });
    });

    describe('the log', () => {
      it('is empty at first', async () => {
        expect(await store.logSize()).toBe(0);
        expect(await store.entries(0, 10)).toEqual([]);
        expect(await store.newestCheckpoint()).toBeUndefined();
        expect(await store.append([])).toBe(0);
      });

      it('keeps exact bytes, in order, and answers where the first went', async () => {
        const entries = [0, 1, 2, 3, 4].map(heartbeat);
        expect(await store.append(entries.slice(0, 2))).toBe(0);
        expect(await store.append(entries.slice(2))).toBe(2);
        const expected = entries.map((entry, index) => ({ index, bytes: encodeEntry(entry) }));
        expect(await store.entries(0, 10)).toEqual(expected);
        expect(await store.entries(1, 2)).toEqual(expected.slice(1, 3));
        expect(await store.entries(5, 10)).toEqual([]);
      });

      it('finds the entries of one recording and of no other', async () => {
        const policy = await publish(store);
        const mine = await open(store, {}, policy);
        await open(store, {}, policy);
        await store.append([heartbeat(3)]);
        await store.release(mine.recording.id, [released(mine.recording.id)]);
        expect((await store.entriesOf(mine.recording.id)).map(({ index }) => index)).toEqual([1, 4]);
        expect(await store.entriesOf(newId())).toEqual([]);
      });

      it('takes none of a list in which one is invalid', async () => {
        const invalid = { ...heartbeat(0), entries: -1 };
        await expect(store.append([heartbeat(0), invalid])).rejects.toThrow();
        expect(await store.logSize()).toBe(0);
      });

      it('files entries under a subject that they do not name, once for all who saw the same', async () => {
        const { recording } = await open(store);
        expect(await store.appendAbout(recording.id, 1, [heartbeat(1), heartbeat(2)])).toBe(true);
        expect(await story(store, recording.id)).toEqual(['recording.opened', 'heartbeat', 'heartbeat']);
        await expectRefused(() => store.appendAbout(recording.id, 1, [heartbeat(3)]), recording.id);
        await expectRefused(() => store.appendAbout(recording.id, 4, [heartbeat(3)]), recording.id);
        const won = await Promise.all([1, 2, 3].map((i) => store.appendAbout('', 0, [heartbeat(i)])));
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(await store.entriesOf('')).toHaveLength(1);
      });

      it('stays gapless under any mixture of concurrent appends, winners and losers', async () => {
        const policy = await publish(store);
        const step = fc.constantFrom('append', 'open', 'lose' as const);
        await fc.assert(
          fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
            const from = await store.logSize();
            const positions = await Promise.all(
              steps.map(async (kind) => {
                if (kind === 'append') return store.append([heartbeat(0), heartbeat(1)]);
                if (kind === 'lose') {
                  expect(await store.intendDeletion(newId(), NOTHING, intended(newId()))).toBe(false);
                  return undefined;
                }
                const { recording } = await open(store, {}, policy);
                return (await store.recording(recording.id))!.openedPosition;
              }),
            );
            const written = steps.reduce((sum, kind) => sum + { append: 2, open: 1, lose: 0 }[kind], 0);
            const entries = await store.entries(from, 1000);
            expect(entries.map(({ index }) => index)).toEqual(Array.from({ length: written }, (_, i) => from + i));
            const taken = positions.filter((position) => position !== undefined);
            expect(new Set(taken).size).toBe(taken.length);
          }),
          { numRuns: 20 },
        );
      });

      it('publishes a checkpoint with its tiles, as they are', async () => {
        await store.append([heartbeat(0), heartbeat(1), heartbeat(2)]);
        const checkpoint = { size: 3, note: 'zeroreel.example/log\n3\nroot\n\n— signature\n', publishedMs: OPENED_MS };
        const tile = { level: 0, index: 0, hashes: newBytes(96) };
        expect(await store.publish(checkpoint, [tile], 0)).toBe(true);
        expect(await store.newestCheckpoint()).toEqual(checkpoint);
        expect(await store.tile(0, 0)).toEqual(tile);
        expect(await store.tile(0, 1)).toBeUndefined();
        expect(await store.tile(1, 0)).toBeUndefined();
      });

      it('grows a tile and finds checkpoints by size', async () => {
        await store.append(Array.from({ length: 5 }, (_, i) => heartbeat(i)));
        const notes = [2, 3, 5].map((size) => ({ size, note: `of ${size}`, publishedMs: OPENED_MS + size }));
        const hashes = newBytes(160);
        let previous = 0;
        for (const checkpoint of notes) {
          const tile = { level: 0, index: 0, hashes: hashes.slice(0, 32 * checkpoint.size) };
          expect(await store.publish(checkpoint, [tile], previous)).toBe(true);
          previous = checkpoint.size;
        }
        expect((await store.tile(0, 0))!.hashes).toEqual(hashes);
        expect(await store.checkpointAt(1)).toBeUndefined();
        expect(await store.checkpointAt(2)).toEqual(notes[0]);
        expect(await store.checkpointAt(4)).toEqual(notes[1]);
        expect(await store.checkpointAt(99)).toEqual(notes[2]);
        expect(await store.checkpoints(3, 10)).toEqual(notes.slice(1));
        expect(await store.checkpoints(0, 1)).toEqual(notes.slice(0, 1));
      });

      it("gives a checkpoint with its witnesses' lines behind the log's own, each witness once", async () => {
        await store.append([heartbeat(0), heartbeat(1)]);
        expect(await store.cosign(1, 'a', 'too early\n')).toBe(false);
        await store.publish({ size: 1, note: 'one\n\n— log\n', publishedMs: OPENED_MS }, [], 0);
        await store.publish({ size: 2, note: 'two\n\n— log\n', publishedMs: OPENED_MS }, [], 1);
        expect(await store.cosign(1, 'a', '— a\n')).toBe(true);
        expect(await store.cosign(1, 'a', '— a again\n')).toBe(false);
        expect(await store.cosign(1, 'b', '— b\n')).toBe(true);
        const notes = (await store.checkpoints(0, 10)).map(({ note }) => note);
        expect(notes).toEqual(['one\n\n— log\n— a\n— b\n', 'two\n\n— log\n']);
        expect(await store.checkpointAt(1)).toMatchObject({ note: notes[0] });
        expect(await store.newestCheckpoint()).toMatchObject({ note: notes[1] });
      });

      it('refuses a checkpoint on another predecessor, tiles included', async () => {
        await store.append([heartbeat(0), heartbeat(1)]);
        const tile = { level: 0, index: 0, hashes: newBytes(32) };
        await store.publish({ size: 1, note: 'one', publishedMs: OPENED_MS }, [tile], 0);
        const two = { size: 2, note: 'two', publishedMs: OPENED_MS };
        const other = { ...tile, hashes: newBytes(64) };
        await expectRefused(() => store.publish(two, [other], 0));
        await expectRefused(() => store.publish(two, [other], 2));
        expect(await store.newestCheckpoint()).toMatchObject({ size: 1 });
        expect(await store.tile(0, 0)).toEqual(tile);
      });

      it('refuses a checkpoint over entries that are not there', async () => {
        await store.append([heartbeat(0)]);
        await expect(store.publish({ size: 2, note: 'two', publishedMs: OPENED_MS }, [], 0)).rejects.toThrow();
        expect(await store.newestCheckpoint()).toBeUndefined();
      });

      it('lets one of two publishers win', async () => {
        await store.append([heartbeat(0), heartbeat(1)]);
        const won = await Promise.all(
          [1, 2].map((size) => store.publish({ size, note: `of ${size}`, publishedMs: OPENED_MS }, [], 0)),
        );
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(await store.checkpoints(0, 10)).toHaveLength(1);
      });
    });

    describe('keys, tokens, leases', () => {
      it("keeps an identity's key documents in the order of enrolment, each once", async () => {
        const identity = newHash();
        const keys = [1, 2, 3].map((op) => keyRow({ identity, op }));
        for (const key of keys) expect(await store.enrolKey(key, enrolled(key))).toBe(true);
        await store.enrolKey(keyRow(), enrolled(keyRow()));
        expect(await store.keys(identity)).toEqual(keys);
        expect(await store.keys(newHash())).toEqual([]);
        await expectRefused(() => store.enrolKey(keys[0]!, enrolled(keys[0]!)));
      });

      it('keeps tokens by their hash and lists all', async () => {
        const tokens = [tokenRow(), tokenRow({ role: 'admin', createdMs: OPENED_MS + 1 })];
        for (const token of tokens) await store.addToken(token);
        expect(await store.tokenByHash(tokens[1]!.tokenHash)).toEqual(tokens[1]);
        expect(await store.tokenByHash(newHash())).toBeUndefined();
        expect(await store.tokens()).toEqual(tokens);
      });

      it('takes no token twice', async () => {
        const token = tokenRow();
        await store.addToken(token);
        await expect(store.addToken({ ...token, role: 'admin' })).rejects.toThrow();
        expect(await store.tokenByHash(token.tokenHash)).toEqual(token);
      });

      it('revokes by prefix, once', async () => {
        const token = tokenRow();
        const other = tokenRow();
        await store.addToken(token);
        await store.addToken(other);
        expect(await store.revokeToken(token.prefix, OPENED_MS + 7)).toBe(true);
        expect(await store.revokeToken(token.prefix, OPENED_MS + 8)).toBe(false);
        expect(await store.revokeToken('nobody', OPENED_MS)).toBe(false);
        expect(await store.tokenByHash(token.tokenHash)).toMatchObject({ revokedMs: OPENED_MS + 7 });
        expect(await store.tokenByHash(other.tokenHash)).toMatchObject({ revokedMs: null });
      });

      it('notes when a token was used', async () => {
        const token = tokenRow({ examIds: [newId(), newId()] });
        await store.addToken(token);
        await store.tokenUsed(token.tokenHash, OPENED_MS + 5);
        expect(await store.tokenByHash(token.tokenHash)).toEqual({ ...token, lastUsedMs: OPENED_MS + 5 });
      });

      it('keeps sessions by their hash and notes their use', async () => {
        const session = sessionRow({ examIds: [newId()] });
        await store.addSession(session);
        expect(await store.sessionByHash(session.sessionHash)).toEqual(session);
        expect(await store.sessionByHash(newHash())).toBeUndefined();
        await store.sessionUsed(session.sessionHash, OPENED_MS + 5);
        expect(await store.sessionByHash(session.sessionHash)).toEqual({ ...session, lastUsedMs: OPENED_MS + 5 });
      });

      it('forgets sessions that had expired when another begins', async () => {
        const [old, recent] = [sessionRow({ expiresMs: OPENED_MS + 1 }), sessionRow()];
        for (const session of [old, recent]) await store.addSession(session);
        await store.addSession(sessionRow({ createdMs: OPENED_MS + 1 }));
        expect(await store.sessionByHash(old.sessionHash)).toBeUndefined();
        expect(await store.sessionByHash(recent.sessionHash)).toEqual(recent);
      });

      it('ends a session by itself, with its token, and with a key of its identity', async () => {
        const token = tokenRow();
        await store.addToken(token);
        const key = keyRow();
        const [itself, ofToken, ofIdentity, other] = [
          sessionRow(),
          sessionRow({ identity: null, tokenHash: token.tokenHash }),
          sessionRow({ identity: key.identity }),
          sessionRow(),
        ];
        for (const session of [itself, ofToken, ofIdentity, other]) await store.addSession(session);
        await store.enrolKey(key, enrolled(key));
        const ended = async () =>
          Promise.all(
            [itself, ofToken, ofIdentity, other].map(
              async ({ sessionHash }) => (await store.sessionByHash(sessionHash))!.revokedMs,
            ),
          );
        expect(await ended()).toEqual([null, null, null, null]);
        await store.revokeSession(itself.sessionHash, OPENED_MS + 1);
        await store.revokeToken(token.prefix, OPENED_MS + 2);
        const revocation = keyRow({ identity: key.identity, op: 3, enrolledMs: OPENED_MS + 3 });
        await store.enrolKey(revocation, enrolled(revocation));
        expect(await ended()).toEqual([OPENED_MS + 1, OPENED_MS + 2, OPENED_MS + 3, null]);
        await store.revokeSession(itself.sessionHash, OPENED_MS + 9);
        expect(await ended()).toEqual([OPENED_MS + 1, OPENED_MS + 2, OPENED_MS + 3, null]);
      });

      it('redeems what was issued once, for its purpose, in its time', async () => {
        const hash = newHash();
        await store.issue('challenge', hash, OPENED_MS + 10, OPENED_MS);
        expect(await store.redeem('setup', hash, OPENED_MS)).toBe(false);
        expect(await store.redeem('challenge', newHash(), OPENED_MS)).toBe(false);
        expect(await store.redeem('challenge', hash, OPENED_MS + 10)).toBe(false);
        const races = Array.from({ length: 8 }, () => store.redeem('challenge', hash, OPENED_MS + 9));
        expect((await Promise.all(races)).filter(Boolean)).toHaveLength(1);
        expect(await store.redeem('challenge', hash, OPENED_MS + 9)).toBe(false);
      });

      it('trades one setup link for one token; the other links end with it', async () => {
        const [first, second] = [newHash(), newHash()];
        for (const hash of [first, second]) await store.issue('setup', hash, OPENED_MS + 10, OPENED_MS);
        await store.issue('challenge', newHash(), OPENED_MS + 10, OPENED_MS);
        expect(await store.redeemSetup(newHash(), tokenRow(), OPENED_MS)).toBe(false);
        expect(await store.redeemSetup(first, tokenRow(), OPENED_MS + 10)).toBe(false);
        expect(await store.tokens()).toEqual([]);
        const races = [first, second].map((hash) => store.redeemSetup(hash, tokenRow({ role: 'admin' }), OPENED_MS));
        expect((await Promise.all(races)).filter(Boolean)).toHaveLength(1);
        expect(await store.tokens()).toHaveLength(1);
      });

      it('leases to one holder until it expires or is given back', async () => {
        expect(await store.lease('purge', 'a', 0, 100)).toBe(true);
        expect(await store.lease('purge', 'b', 99, 200)).toBe(false);
        expect(await store.lease('publish', 'b', 99, 200)).toBe(true);
        expect(await store.lease('purge', 'a', 50, 150)).toBe(true);
        expect(await store.lease('purge', 'b', 149, 300)).toBe(false);
        expect(await store.lease('purge', 'b', 150, 300)).toBe(true);
        await store.unlease('purge', 'a');
        expect(await store.lease('purge', 'a', 200, 400)).toBe(false);
        await store.unlease('purge', 'b');
        expect(await store.lease('purge', 'a', 200, 400)).toBe(true);
      });

      it('takes a lease back that no honest clock can have given', async () => {
        const now = OPENED_MS;
        expect(await store.lease('purge', 'fast', now + 400 * DAY_MS, now + 400 * DAY_MS + 60_000)).toBe(true);
        expect(await store.lease('purge', 'right', now, now + 60_000)).toBe(true);
        // Ten minutes ahead is a clock within bounds: its lease stands.
        expect(await store.lease('publish', 'ahead', now + 600_000, now + 660_000)).toBe(true);
        expect(await store.lease('publish', 'right', now, now + 60_000)).toBe(false);
      });

      it('leases to one of many who ask at once', async () => {
        const won = await Promise.all(['a', 'b', 'c', 'd'].map((holder) => store.lease('purge', holder, 0, 100)));
        expect(won.filter(Boolean)).toHaveLength(1);
      });
    });

    it('reads text as text: quotes, nul-like escapes and SQL in an argument stay data', async () => {
      const hostile = [`'; DROP TABLE recordings; --`, `"`, '\\u0000', `%' OR 1=1 --`];
      const { recording } = await open(store);
      for (const text of hostile) {
        expect(await store.recording(text)).toBeUndefined();
        expect(await store.recordings(text, 10, text)).toEqual([]);
        expect(await store.existingEpochs([{ recordingId: text, epoch: 0 }])).toEqual([]);
        const rows: PendingRow[] = [pendingRow(1, hostile.indexOf(text), { sha256: text })];
        expect(await store.rememberUploads(recording.id, 0, rows, OPENED_MS, OPENED_MS)).toBe(true);
      }
      expect((await store.pending(recording.id, 0)).map(({ sha256 }) => sha256)).toEqual(hostile);
    });
  });
}

/**
 * What holds between two connections to one database, as between two servers on one store. `openPair` answers two stores
 * over the same, empty database.
 */
export function storeRaces(name: string, openPair: () => Promise<[Store, Store]>): void {
  describe(`${name} with two connections`, () => {
    let pair: [Store, Store];

    beforeEach(async () => {
      pair = await openPair();
    });

    afterEach(async () => {
      await Promise.all(pair.map((store) => store.close()));
    });

    it('lets exactly one win each race', async () => {
      const [here, there] = pair;
      const policy = await publish(here);
      for (let round = 0; round < 25; round++) {
        const { recording } = await open(here, {}, policy);
        const won = await Promise.all(
          pair.map((store) => store.intendDeletion(recording.id, NOTHING, intended(recording.id))),
        );
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(await story(there, recording.id)).toEqual(['recording.opened', 'deletion.intended']);
      }
    });

    it('shows one the writes of the other', async () => {
      const [here, there] = pair;
      const { recording } = await open(here);
      expect(await there.recording(recording.id)).toEqual(await here.recording(recording.id));
    });

    it('keeps one gapless log', async () => {
      const first = await Promise.all(
        Array.from({ length: 200 }, (_, i) => pair[i % 2]!.append([heartbeat(i), heartbeat(i)])),
      );
      expect(new Set(first).size).toBe(200);
      const entries = await pair[0].entries(0, 1000);
      expect(entries.map(({ index }) => index)).toEqual(Array.from({ length: 400 }, (_, i) => i));
      for (const position of first) expect(entries[position]!.bytes).toEqual(entries[position + 1]!.bytes);
    });

    it('scrubs while the other writes', async () => {
      const [here, there] = pair;
      const writes = Array.from({ length: 50 }, (_, i) => there.append([heartbeat(i)]));
      await Promise.all([here.scrub(), ...writes]);
      expect(await here.logSize()).toBe(50);
    });
  });
}
