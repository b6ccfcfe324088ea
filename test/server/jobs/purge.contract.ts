import { type ClientRequest, request } from 'node:http';
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { objectKey } from '../../../src/server/core/names.ts';
import { reportAnomaly } from '../../../src/server/jobs/anomaly.ts';
import { purge } from '../../../src/server/jobs/purge.ts';
import { type Bucket, BucketError, type Ports } from '../../../src/server/ports.ts';
import { media, promiseOf } from '../recorder.ts';
import { DAY_MS, Desk, HOUR_MS, MINUTE_MS, put, type StoreAddress, type TestRecording } from './desk.ts';

const SLOW = process.env['SLOW'] === '1';
/** OBJECTS=n as many as asked, SLOW=1 what is claimed in the README; either compares with the store's own speed. */
const MANY_OBJECTS = Number(process.env['OBJECTS'] ?? (SLOW ? 100_050 : 1_050));
const STALLED_UPLOADS = SLOW ? 1_000 : 4;

const DIED = ['recording.closed', 'deletion.intended', 'deletion.completed'];

export interface PurgeContract {
  name: string;
  start: () => Promise<StoreAddress & { close(): Promise<void> }>;
  skipped?: string | undefined;
  /** Why nothing about versions can be tried here, if so. */
  isUnversioned?: string;
}

/** Death on a real store: success is an empty listing and nothing else. */
export function describePurge({ name, start, skipped, isUnversioned }: PurgeContract): void {
  describe.skipIf(skipped !== undefined)(
    `purge: ${name}${skipped === undefined ? '' : ` (${skipped})`}`,
    { timeout: 3_600_000 },
    () => {
      let address: StoreAddress & { close(): Promise<void> };
      const desks: Desk[] = [];

      const openDesk = async (isVersioned = false): Promise<Desk> => {
        const desk = await Desk.open(address, isVersioned);
        desks.push(desk);
        return desk;
      };

      beforeAll(async () => {
        address = await start();
      });
      afterAll(async () => {
        if (skipped !== undefined) return;
        for (const desk of desks) await desk.close();
        await address.close();
      });

      async function expectGone(desk: Desk, id: string): Promise<void> {
        expect(await desk.stored(id)).toBe(0);
        expect(await desk.bucket.abortMultiparts(`${id}/`)).toBe(0);
        expect((await desk.vault.get(id)).size).toBe(0);
        expect(await desk.store.wraps(id)).toEqual([]);
      }

      it('deletes what is due and not a minute earlier, and verifies it in a later run', async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam());
        desk.pass(30 * DAY_MS - MINUTE_MS);
        expect(await purge(desk.ports)).toMatchObject({ due: 0, deleted: 0 });
        expect(await desk.stored(recording.id)).toBe(2);
        expect(await desk.release(recording)).toBe(200);
        desk.pass(2 * MINUTE_MS);
        expect(await desk.release(recording)).toBe(410);
        expect(await purge(desk.ports)).toMatchObject({ due: 1, deleted: 1, verified: 0, objects: 2, failed: [] });
        await expectGone(desk, recording.id);
        desk.pass(2 * MINUTE_MS);
        expect(await purge(desk.ports)).toMatchObject({ due: 0, verified: 1 });
        expect(await desk.death(recording.id)).toEqual([...DIED, 'deletion.verified']);
        expect(await purge(desk.ports)).toMatchObject({ due: 0, verified: 0 });
        expect(await desk.audit()).toMatchObject({ violations: 0, exceptions: 0, verified: 1 });
      });

      it('deletes a practice recording after 24 hours', async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam({ practice: true }));
        desk.pass(DAY_MS + MINUTE_MS);
        expect(await purge(desk.ports)).toMatchObject({ deleted: 1 });
        await expectGone(desk, recording.id);
      });

      it.skipIf(isUnversioned !== undefined)('deletes every version and every marker', async () => {
        const desk = await openDesk(true);
        const recording = await desk.record(await desk.exam());
        const Key = objectKey(recording.id, { epoch: 0, track: 1, seq: 0 });
        const where = { Bucket: desk.bucketName, Key };
        await desk.client.send(new PutObjectCommand({ ...where, Body: media(10) }));
        await desk.client.send(new DeleteObjectCommand(where));
        await desk.client.send(new PutObjectCommand({ ...where, Body: media(11) }));
        await desk.client.send(new DeleteObjectCommand(where));
        expect(await desk.stored(recording.id)).toBe(6);
        desk.pass(30 * DAY_MS + MINUTE_MS);
        expect(await purge(desk.ports)).toMatchObject({ deleted: 1, failed: [] });
        await expectGone(desk, recording.id);
      });

      it('aborts unfinished multipart uploads, which no listing of objects shows', async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam());
        const where = { Bucket: desk.bucketName, Key: `${recording.id}/0000/00001/0000000007` };
        const { UploadId } = await desk.client.send(new CreateMultipartUploadCommand(where));
        await desk.client.send(new UploadPartCommand({ ...where, UploadId, PartNumber: 1, Body: media(100) }));
        desk.pass(30 * DAY_MS + MINUTE_MS);
        expect(await purge(desk.ports)).toMatchObject({ deleted: 1, failed: [] });
        await expectGone(desk, recording.id);
      });

      it(`deletes ${MANY_OBJECTS} objects of one recording`, async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam(), true);
        await fill(desk, recording.id);
        desk.pass(30 * DAY_MS + MINUTE_MS);
        const began = performance.now();
        expect(await purge(desk.ports)).toMatchObject({ deleted: 1, objects: MANY_OBJECTS + 2, failed: [] });
        const seconds = (performance.now() - began) / 1000;
        process.stderr.write(`${name}: ${MANY_OBJECTS} objects purged in ${seconds.toFixed(1)} s\n`);
        await expectGone(desk, recording.id);
      });

      it(`destroys ${MANY_OBJECTS} objects of one recording while whoever asked for its erasure waits`, async () => {
        const desk = await openDesk();
        const exam = await desk.exam();
        const [erased, bare] = [await desk.record(exam, true), await desk.record(exam, true)];
        await fill(desk, erased.id);
        const began = performance.now();
        expect(await desk.erase(erased.id)).toBe(202);
        const seconds = (performance.now() - began) / 1000;
        await expectGone(desk, erased.id);
        process.stderr.write(`${name}: ${MANY_OBJECTS} objects erased on request in ${seconds.toFixed(1)} s\n`);
        if (MANY_OBJECTS < 3_000) return;
        // What the store itself can do: the same deletes, of keys that are known, and nothing else.
        await fill(desk, bare.id);
        for (const [index, atOnce] of [1, 4, 16].entries()) {
          const third = Math.floor(MANY_OBJECTS / 3);
          const rate = await bareDeletes(desk, bare.id, atOnce, SEQS.slice(index * third, (index + 1) * third));
          process.stderr.write(`${name}: ${atOnce} DeleteObjects at once: ${rate.toFixed(0)} objects a second\n`);
        }
      });

      it('takes a key that the store refuses, inside a 200, up again until it is gone', async () => {
        const desk = await openDesk();
        const exam = await desk.exam();
        const [stuck, other] = [await desk.record(exam), await desk.record(exam)];
        desk.pass(30 * DAY_MS + MINUTE_MS);
        const ports = withBucket(desk, {
          deleteVersions: async (versions) => {
            const [mine, rest] = [
              versions.filter(({ key }) => key.startsWith(stuck.id)),
              versions.filter(({ key }) => !key.startsWith(stuck.id)),
            ];
            if (rest.length > 0) await desk.bucket.deleteVersions(rest);
            return mine.map(({ key }) => ({ key, code: 'InternalError' }));
          },
        });
        const summary = await purge(ports);
        expect(summary).toMatchObject({ due: 2, deleted: 1, failed: [{ recordingId: stuck.id }] });
        expect(summary.failed[0]?.reason).toMatch(/InternalError for 2 objects/);
        await expectGone(desk, other.id);
        expect((await desk.store.recording(stuck.id))?.state).toBe('purging');
        expect((await desk.vault.get(stuck.id)).size).toBe(0);
        await purge(ports); // reported once, however often it fails
        expect(await purge(desk.ports)).toMatchObject({ due: 1, deleted: 1, failed: [] });
        desk.pass(2 * MINUTE_MS);
        await purge(desk.ports);
        expect(await desk.death(stuck.id)).toEqual([
          'recording.closed',
          'deletion.intended',
          'anomaly.found',
          'deletion.completed',
          'anomaly.closed',
          'deletion.verified',
        ]);
      });

      it('does not believe a store that claims to have deleted', async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam());
        desk.pass(30 * DAY_MS + MINUTE_MS);
        const liar = withBucket(desk, { deleteVersions: () => Promise.resolve([]) });
        expect(await purge(liar)).toMatchObject({ deleted: 0, failed: [{ recordingId: recording.id }] });
        expect((await desk.store.recording(recording.id))?.state).toBe('purging');
        expect(await desk.death(recording.id)).toEqual(['recording.closed', 'deletion.intended', 'anomaly.found']);
        expect(await purge(desk.ports)).toMatchObject({ deleted: 1 });
        await expectGone(desk, recording.id);
      });

      it('kills the keys on time also when the bucket does not answer', async () => {
        const desk = await openDesk();
        const exam = await desk.exam();
        const [expired, erased] = [await desk.record(exam), await desk.record(exam)];
        // eslint-disable-next-line require-yield -- it fails before it could
        const silent = async function* () {
          throw new BucketError('unavailable', 'down');
        };
        const down = withBucket(desk, { list: silent, listVersions: silent });
        await desk.erase(erased.id, down);
        expect((await desk.vault.get(erased.id)).size).toBe(0);
        expect(await desk.store.wraps(erased.id)).toEqual([]);
        desk.pass(30 * DAY_MS + MINUTE_MS);
        expect((await purge(down)).failed).toHaveLength(2);
        expect((await desk.vault.get(expired.id)).size).toBe(0);
        expect(await purge(desk.ports)).toMatchObject({ deleted: 2, failed: [] });
        await expectGone(desk, expired.id);
      });

      it('destroys the keys of everything that is due before the first object', async () => {
        const desk = await openDesk();
        const exam = await desk.exam();
        const recordings: TestRecording[] = [];
        for (let count = 0; count < 6; count++) recordings.push(await desk.record(exam));
        desk.pass(30 * DAY_MS + MINUTE_MS);
        const keysLeft: number[] = [];
        const watched = withBucket(desk, {
          deleteVersions: async (versions) => {
            const left = await Promise.all(
              recordings.map(async ({ id }) => (await desk.vault.get(id)).size + (await desk.store.wraps(id)).length),
            );
            keysLeft.push(left.reduce((sum, count) => sum + count, 0));
            return desk.bucket.deleteVersions(versions);
          },
        });
        expect(await purge(watched)).toMatchObject({ due: 6, deleted: 6, failed: [] });
        expect(keysLeft.length).toBeGreaterThanOrEqual(6);
        expect(new Set(keysLeft)).toEqual(new Set([0]));
      });

      it('claims to have destroyed only what was still there, and calls the rest lost', async () => {
        const desk = await openDesk();
        const exam = await desk.exam();
        const [gap, shareless] = [await desk.record(exam), await desk.record(exam)];
        const Key = objectKey(gap.id, { epoch: 0, track: 1, seq: 0 });
        await desk.client.send(new DeleteObjectCommand({ Bucket: desk.bucketName, Key }));
        await desk.vault.destroy(shareless.id);
        desk.pass(30 * DAY_MS + MINUTE_MS);
        expect(await purge(desk.ports)).toMatchObject({ due: 2, deleted: 2, failed: [] });
        desk.pass(2 * MINUTE_MS);
        expect(await purge(desk.ports)).toMatchObject({ verified: 2 });
        const completed = (await desk.log()).filter((entry) => entry.type === 'deletion.completed');
        const of = ({ id }: TestRecording) => completed.find(({ recording }) => recording === id);
        expect(of(gap)).toMatchObject({ objects: 1, shares: 1 });
        expect(of(shareless)).toMatchObject({ objects: 2, shares: 0 });
        const { findings } = await desk.audit();
        const told = findings.map(({ code, recording }) => `${code} ${recording === gap.id ? 'gap' : 'shareless'}`);
        expect(told.sort()).toEqual(['counts gap', 'lost gap', 'lost shareless', 'shares shareless']);
      });

      it('does not verify a deletion while a share is in the vault that a late open put back', async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam());
        const [share] = (await desk.vault.get(recording.id)).values();
        desk.pass(30 * DAY_MS + MINUTE_MS);
        await purge(desk.ports);
        await desk.vault.put(recording.id, 0, share!, desk.ports.clock.now());
        desk.pass(2 * MINUTE_MS);
        expect(await purge(desk.ports)).toMatchObject({ verified: 0, failed: [] });
        await expectGone(desk, recording.id);
        expect(await purge(desk.ports)).toMatchObject({ verified: 1 });
      });

      it('leaves no anomaly open that a slow run reports after another has verified the deletion, and dies', async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam(), true);
        const chunk = await recording.recorder.chunk(1, media(1000));
        const [upload] = await desk.sign(recording, [chunk]);
        expect(await desk.erase(recording.id)).toBe(202);
        expect(upload?.state === 'signed' && (await put(upload, chunk.object))).toBe(200);
        // The slow run has listed the object that came back; then another deletes it, and verifies a day later.
        let isListed!: () => void;
        const listed = new Promise<void>((resolve) => (isListed = resolve));
        let goOn!: () => void;
        const wait = new Promise<void>((resolve) => (goOn = resolve));
        const bucket = withBucket(desk, {
          listVersions: async function* (prefix) {
            yield* desk.bucket.listVersions(prefix);
            isListed();
            await wait;
          },
        });
        const { store } = desk;
        const dying: Ports = {
          ...bucket,
          store: {
            ...store,
            lease: () => Promise.resolve(true), // outlived
            appendAbout: async (...given) => {
              await store.appendAbout(...given);
              throw new Error('killed');
            },
          },
        };
        const slow = purge(dying);
        await listed;
        await purge(desk.ports);
        desk.pass(25 * HOUR_MS);
        expect(await purge(desk.ports)).toMatchObject({ verified: 1 });
        goOn();
        expect((await slow).failed[0]?.reason).toBe('killed');
        expect((await desk.death(recording.id)).slice(-3)).toEqual([
          'deletion.verified',
          'anomaly.found',
          'anomaly.closed',
        ]);
        expect(await desk.audit()).toMatchObject({ openAnomalies: 0, violations: 0 });
      });

      it('does not verify a deletion in the moment in which another run reports an anomaly, and closes that at its next look', async () => {
        const desk = await openDesk();
        const { id } = await desk.record(await desk.exam(), true);
        expect(await desk.erase(id)).toBe(202);
        desk.pass(25 * HOUR_MS);
        const { store } = desk;
        const raced: Ports = {
          ...desk.ports,
          store: {
            ...store,
            verifyDeletion: async (...given) => {
              await reportAnomaly(desk.ports, id, 'object-returned', 1);
              return store.verifyDeletion(...given);
            },
          },
        };
        expect(await purge(raced)).toMatchObject({ verified: 0, failed: [] });
        expect(await desk.audit()).toMatchObject({ openAnomalies: 1 });
        expect(await purge(desk.ports)).toMatchObject({ verified: 1 });
        expect((await desk.death(id)).slice(-3)).toEqual(['anomaly.found', 'anomaly.closed', 'deletion.verified']);
      });

      it('ends an equivocation of its recorder with the recording', async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam());
        await reportAnomaly(desk.ports, recording.id, 'equivocation', 1);
        expect((await desk.audit()).openAnomalies).toBe(1);
        desk.pass(30 * DAY_MS + MINUTE_MS);
        await purge(desk.ports);
        desk.pass(2 * MINUTE_MS);
        await purge(desk.ports);
        expect(await desk.audit()).toMatchObject({ openAnomalies: 0, violations: 0, exceptions: 0 });
      });

      it('erases on request: keys and objects at once, and the end of an open recording is in the log', async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam(), true);
        expect(await desk.erase(recording.id)).toBe(202);
        await expectGone(desk, recording.id);
        expect(await desk.release(recording)).toBe(410);
        expect(await desk.death(recording.id)).toEqual(
          ['recording.abandoned', 'erasure.requested', 'deletion.intended', 'deletion.completed'].sort(byDeath),
        );
        desk.pass(25 * HOUR_MS);
        expect(await purge(desk.ports)).toMatchObject({ verified: 1 });
        expect((await desk.audit()).violations).toBe(0);
      });

      it('finds and deletes what a live URL brings back after the purge', async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam(), true);
        const chunk = await recording.recorder.chunk(1, media(1000));
        const [upload] = await desk.sign(recording, [chunk]);
        expect(await desk.erase(recording.id)).toBe(202);
        expect(upload?.state === 'signed' && (await put(upload, chunk.object))).toBe(200);
        expect(await desk.stored(recording.id)).toBe(1);
        await purge(desk.ports);
        await expectGone(desk, recording.id);
        await expectEnd(desk, recording);
      });

      it(`finds and deletes what ${STALLED_UPLOADS} uploads bring back that began in time and end after expiry and delete`, async () => {
        const desk = await openDesk();
        const recording = await desk.record(await desk.exam(), true);
        const stalled = await Promise.all(
          Array.from({ length: STALLED_UPLOADS }, (_, seq) => stall(desk, recording.id, seq)),
        );
        await new Promise((resolve) => setTimeout(resolve, 2_500)); // the URLs' life, by the store's own clock
        expect(await desk.erase(recording.id)).toBe(202);
        await expectGone(desk, recording.id);
        const statuses = await Promise.all(stalled.map((finish) => finish()));
        const returned = await desk.stored(recording.id);
        process.stderr.write(
          `${name}: ${returned} of ${statuses.length} stalled uploads came back after expiry and delete\n`,
        );
        expect(returned).toBe(statuses.filter((status) => status === 200).length);
        expect(returned).toBeGreaterThan(0);
        await purge(desk.ports);
        await expectGone(desk, recording.id);
        await expectEnd(desk, recording);
      });

      async function expectEnd(desk: Desk, { id }: TestRecording): Promise<void> {
        desk.pass(25 * HOUR_MS);
        expect(await purge(desk.ports)).toMatchObject({ verified: 1, failed: [] });
        expect((await desk.death(id)).slice(-4)).toEqual([
          'deletion.completed',
          'anomaly.found',
          'anomaly.closed',
          'deletion.verified',
        ]);
        expect(await desk.audit()).toMatchObject({ violations: 0, openAnomalies: 0 });
      }
    },
  );
}

const ORDER = ['erasure.requested', 'recording.abandoned', 'deletion.intended', 'deletion.completed'];
function byDeath(a: string, b: string): number {
  return ORDER.indexOf(a) - ORDER.indexOf(b);
}

function withBucket(desk: Desk, changes: Partial<Bucket>): Ports {
  return { ...desk.ports, bucket: { ...desk.bucket, ...changes } };
}

const SEQS = Array.from({ length: MANY_OBJECTS }, (_, seq) => seq);

/** Puts many objects below a recording. */
async function fill(desk: Desk, id: string): Promise<void> {
  const seqs = SEQS.values();
  const worker = async (): Promise<void> => {
    for (const seq of seqs) {
      const Key = objectKey(id, { epoch: 0, track: 2, seq });
      await desk.client.send(new PutObjectCommand({ Bucket: desk.bucketName, Key, Body: 'x' }));
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
}

/** Deletes some of them by their keys; answers how many a second. */
async function bareDeletes(desk: Desk, id: string, atOnce: number, seqs: readonly number[]): Promise<number> {
  const count = seqs.length;
  const keys = seqs.map((seq) => objectKey(id, { epoch: 0, track: 2, seq }));
  const batches = Array.from({ length: Math.ceil(count / 1000) }, (_, i) =>
    keys.slice(i * 1000, i * 1000 + 1000),
  ).values();
  const began = performance.now();
  const worker = async (): Promise<void> => {
    for (const batch of batches) await desk.bucket.deleteVersions(batch.map((key) => ({ key })));
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return (count / (performance.now() - began)) * 1000;
}

/** Begins an upload by a URL that lives two seconds, and answers how to end it. */
async function stall(desk: Desk, id: string, seq: number): Promise<() => Promise<number>> {
  const object = media(200_000, seq + 1);
  const key = objectKey(id, { epoch: 0, track: 1, seq: seq + 100 });
  const { bytes, sha256 } = await promiseOf(1, seq, object);
  const { url, headers } = desk.bucket.presignPut(
    { key, bytes, sha256: Buffer.from(sha256, 'base64url') },
    Date.now(),
    2,
  );
  let upload!: ClientRequest;
  const answered = new Promise<number>((resolve) => {
    const options = { method: 'PUT', headers: { ...headers, 'content-length': bytes }, agent: false };
    upload = request(url, options, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    upload.on('error', () => {
      resolve(0);
    });
  });
  await new Promise((resolve) => upload.write(object.subarray(0, 1000), resolve));
  return () => {
    upload.end(object.subarray(1000));
    return answered;
  };
}
