/** The purge's pace, beside a bare loop of DeleteObjects over as many objects, on the embedded bucket and on Ceph. */
import { DeleteObjectsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { recordingPrefix } from '../../src/server/core/names.ts';
import { purge } from '../../src/server/jobs/purge.ts';
import { DAY_MS, Desk, type StoreAddress } from '../server/jobs/desk.ts';
import type { TestExam } from '../server/recorder.ts';
import { type Comparison, timed } from './comparison.ts';
import type { Workshop } from './programs.ts';

const OBJECTS = Number(process.env['BENCH_OBJECTS'] ?? 10_000);
const KEYS_PER_DELETE = 1000;
const AT_ONCE = 16;

export async function purging(workshop: Workshop): Promise<Comparison[]> {
  const credentials = { accessKeyId: 'AKBENCH', secretAccessKey: 'SKBENCH' };
  const { endpoint, close } = await startEmbeddedBucket({ dir: workshop.path('bucket'), credentials });
  workshop.atEnd(close);
  const ceph = await workshop.ceph();
  return [
    await purgeOf(workshop, 'embedded', { endpoint, region: 'us-east-1', credentials }),
    await purgeOf(workshop, 'ceph', ceph),
  ];
}

async function purgeOf(workshop: Workshop, name: string, address: StoreAddress): Promise<Comparison> {
  const desk = await Desk.open(address);
  workshop.atEnd(() => desk.close());
  const exam = await desk.exam({ not_after: Date.now() + 400 * DAY_MS });
  let loops = 0;
  return {
    key: `purge-${name}`,
    title: `destroy a recording of ${OBJECTS.toLocaleString('en')} objects, ${name}`,
    unit: 'objects/s',
    per: 'second',
    target: 0.9,
    rounds: 3,
    contenders: [
      {
        name: 'purge: shares, wraps, versions, until a listing is empty, with its log',
        run: async () => {
          await record(desk, exam);
          desk.pass(31 * DAY_MS);
          const { result, ...figures } = await timed(() => purge(desk.ports));
          if (result.deleted !== 1) throw new Error(`expected one recording to go, found ${JSON.stringify(result)}`);
          return { units: result.objects, ...figures };
        },
      },
      {
        name: 'a bare loop of DeleteObjects over known keys',
        run: async () => {
          const keys = await fill(desk, `bare-${loops++}/0/1/`, OBJECTS);
          const { seconds, cpuSeconds } = await timed(async () => {
            for (let at = 0; at < keys.length; at += KEYS_PER_DELETE) {
              const Objects = keys.slice(at, at + KEYS_PER_DELETE).map((Key) => ({ Key }));
              const Delete = { Objects, Quiet: true };
              await desk.client.send(new DeleteObjectsCommand({ Bucket: desk.bucketName, Delete }));
            }
          });
          return { units: keys.length, seconds, cpuSeconds };
        },
      },
    ],
    remark: 'the purge lists before it deletes and after: what a bare loop believes, it looks at',
  };
}

/** A closed recording, and beside its two chunks as many objects as a day of recording leaves. */
async function record(desk: Desk, exam: TestExam): Promise<void> {
  const { id } = await desk.record(exam);
  await fill(desk, `${recordingPrefix(id)}0/1/`, OBJECTS - 2, 1_000_000);
}

async function fill(desk: Desk, prefix: string, count: number, first = 0): Promise<string[]> {
  const keys = Array.from({ length: count }, (_, i) => `${prefix}${first + i}`);
  const Body = new Uint8Array(100);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      await desk.client.send(new PutObjectCommand({ Bucket: desk.bucketName, Key: keys[next++]!, Body }));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return keys;
}
