import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromBase64Url } from '../../crypto/format/bytes.ts';
import { parseReceipt, RECEIPT_CLOSED, verifyReceipt } from '../../crypto/format/receipt.ts';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { parseVkey } from '../../crypto/log/note.ts';
import { verifyProof } from '../../crypto/log/proof.ts';
import { gateway, gatewayAbsence } from '../ceph.ts';
import { media, type TestExam, type TestRecorder } from './recorder.ts';
import { read } from './reader.ts';
import { DAY_MS, expectStatus, filesOnly, MINUTE_MS, Stage, type S3Storage } from './stage.ts';

interface Status {
  state: string;
  delete_by_ms: number;
  deleted_ms: number | null;
  entries: { index: number; entry: string; proof: string | null }[];
  vkey: string;
}

async function gatewayBucket(): Promise<S3Storage> {
  const { endpoint, region, credentials } = gateway()!;
  const bucket = `life-${randomUUID()}`;
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return { endpoint, region, credentials, bucket };
}

const stores = [
  { name: 'the embedded bucket', absence: undefined, storage: async () => undefined },
  { name: 'a Ceph Object Gateway', absence: gatewayAbsence(), storage: gatewayBucket },
];

describe.each(stores)('a life on $name', ({ absence, storage }) => {
  let stage: Stage;
  let exam: TestExam;
  let recorder: TestRecorder;
  let resumed: TestRecorder;
  const plaintexts = {
    '0/1': [media(150_000, 1), media(65_536, 2)],
    '0/4': [media(333, 3)],
    '1/1': [media(1, 4)],
    '1/4': [] as ReturnType<typeof media>[],
  };

  beforeAll(async () => {
    if (absence !== undefined) return;
    const where = await storage();
    stage = await Stage.start(where ? { storage: where } : {});
    exam = await stage.exam();
  });
  afterAll(async () => {
    if (absence === undefined) await stage.stop();
  });

  test.skipIf(absence !== undefined)(
    `a recording is uploaded, resumed, closed and countersigned${absence === undefined ? '' : `: ${absence}`}`,
    async () => {
      recorder = await stage.recorder(exam);
      for (const plaintext of plaintexts['0/1']) await stage.upload(recorder, await recorder.chunk(1, plaintext));
      await stage.upload(recorder, await recorder.chunk(4, plaintexts['0/4'][0]!));
      expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);

      resumed = await recorder.resume({ now: stage.clock.now() });
      expectStatus(await stage.open(resumed), 201);
      await stage.upload(resumed, await resumed.chunk(1, plaintexts['1/1'][0]!));
      const closing = await stage.sendHead(resumed, await resumed.close());
      const { receipt, state } = expectStatus<{ receipt: string; state: string }>(closing, 200);
      expect(state).toBe('closed');
      const record = parseReceipt(fromBase64Url(receipt));
      await verifyReceipt(record, parseVkey(exam.policy.log.vkey).publicKey);
      expect(record).toMatchObject({
        state: RECEIPT_CLOSED,
        epoch: 1,
        headSeq: 0,
        deleteByMs: stage.clock.now() + 30 * DAY_MS,
      });
    },
  );

  test.skipIf(absence !== undefined)('each instructor, in either suite, decrypts the same bytes', async () => {
    for (const reader of exam.readers) {
      const opened = await read(stage, recorder.sessionId, reader);
      expect(Object.fromEntries(opened)).toEqual(plaintexts);
    }
  });

  test.skipIf(absence !== undefined)(
    'after 30 days a listing is empty, and again after the last URL died',
    async () => {
      stage.clock.advance(30 * DAY_MS - 1);
      expect(await stage.server.jobs.purge()).toMatchObject({ due: 0 });
      stage.clock.advance(1);
      expect(await stage.server.jobs.purge()).toMatchObject({ due: 1, deleted: 1, objects: 4, failed: [] });
      expect((await stage.holdings()).objects).toEqual({});
      // Its URLs died a month ago: all that is waited for is that the second look is a later one.
      stage.clock.advance(2 * MINUTE_MS);
      expect(await stage.server.jobs.purge()).toMatchObject({ due: 0, verified: 1, failed: [] });
      expect((await stage.holdings()).shares).toEqual([]);
    },
  );

  const files = filesOnly('where the files are Cloudflare’s');
  test.skipIf(absence !== undefined || files.isSkipped)(
    `the shred share and the wraps are in no file of the server${files.why}`,
    () => {
      const secrets = [recorder, resumed].flatMap(({ secrets: { shred }, openBody }) => [
        Buffer.from(shred),
        ...openBody.wraps.map((wrap) => Buffer.from(fromBase64Url(wrap)).subarray(64)),
      ]);
      const names = readdirSync(stage.dataDir).filter((name) => /\.db/.test(name));
      expect(names).toContain('vault.db');
      for (const name of names) {
        const content = readFileSync(join(stage.dataDir, name));
        for (const secret of secrets) expect(content.includes(secret), name).toBe(false);
      }
    },
  );

  test.skipIf(absence !== undefined)('anybody can check the deletion offline with the receipt’s id', async () => {
    await stage.server.jobs.publish();
    const status = expectStatus<Status>(await stage.call('GET', `/v1/receipts/${recorder.sessionId}`), 200);
    expect(status.state).toBe('verified');
    const types: string[] = [];
    for (const { entry, proof, index } of status.entries) {
      const bytes = fromBase64Url(entry);
      expect((await verifyProof(bytes, proof!, exam.policy.log.vkey)).index).toBe(index);
      types.push(decodeEntry(bytes).type);
    }
    expect(types).toEqual([
      'policy.published',
      'recording.opened',
      'recording.reopened',
      'recording.closed',
      'access.released',
      'access.released',
      'deletion.intended',
      'deletion.completed',
      'deletion.verified',
    ]);
    expect(status.deleted_ms).toBe(status.delete_by_ms);
  });

  test.skipIf(absence !== undefined)('what is asked of a deleted recording is answered with its end', async () => {
    const replay = await stage.open(recorder);
    expect(replay).toMatchObject({ status: 410, body: { code: 'recording-deleted' } });
    expect((await stage.holdings()).shares).toEqual([]);
    const body = { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' };
    const late = await stage.call('POST', `/v1/recordings/${recorder.sessionId}/release`, { token: stage.admin, body });
    expect(late).toMatchObject({ status: 410, body: { code: 'recording-deleted' } });
    expect(stage.reported).toEqual([]);
  });
});
