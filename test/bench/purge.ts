/** The purge's pace, beside a bare loop of DeleteObjects over as many objects, on the embedded bucket and on Ceph. */
import { DeleteObjectsCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { recordingPrefix } from '../../src/server/core/names.ts';
import { purge } from '../../src/server/jobs/purge.ts';
import { DAY_MS, Desk, type StoreAddress } from '../server/jobs/desk.ts';
import { type Comparison, type Run, timed } from './comparison.ts';
import type { Workshop } from './programs.ts';

const OBJECTS = Number(process.env['BENCH_OBJECTS'] ?? 10_000);
const KEYS_PER_DELETE = 1000;
const AT_ONCE = 16;

export async function purging(workshop: Workshop): Promise<Comparison[]> {
  const credentials = { accessKeyId: 'AKBENCH', secretAccessKey: 'SKBENCH' };
  const { endpoint, close } = await startEmbeddedBucket({ dir: workshop.path('bucket'), credentials });
  workshop.atEnd(close);
  const ceph = await workshop.ceph();
  const embedded = { endpoint, region: 'us-east-1', credentials };
  return [
    await purgeOf(workshop, 'embedded', embedded),
    await purgeOf(workshop, 'ceph', ceph),
    {
      key: 'purge-growth',
      title: 'destroy recordings of more and more objects, embedded',
      unit: 'objects/s',
      per: 'second',
      target: 1,
      rounds: 3,
      contenders: [1, 10, 100, 1000].map((share) => ({
        name: `${(OBJECTS / share).toLocaleString('en')} objects`,
        size: OBJECTS / share,
        run: () => purged(embedded, OBJECTS / share),
      })),
    },
  ];
}

async function purgeOf(workshop: Workshop, name: string, address: StoreAddress): Promise<Comparison> {
  const bare = await Desk.open(address);
  workshop.atEnd(() => bare.close());
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
        run: () => purged(address, OBJECTS),
      },
      {
        name: 'a bare loop of DeleteObjects over known keys',
        run: async () => {
          const keys = await fill(bare, `bare-${loops++}/0/1/`, OBJECTS);
          const { seconds, cpuSeconds } = await timed(async () => {
            for (let at = 0; at < keys.length; at += KEYS_PER_DELETE) {
              const Objects = keys.slice(at, at + KEYS_PER_DELETE).map((Key) => ({ Key }));
              const Delete = { Objects, Quiet: true };
              await bare.client.send(new DeleteObjectsCommand({ Bucket: bare.bucketName, Delete }));
            }
          });
          return { units: keys.length, seconds, cpuSeconds };
        },
      },
    ],
    remark: 'the purge lists before it deletes and after: what a bare loop believes, it looks at',
  };
}

/** One recording of so many objects, due and destroyed; by a server of its own, whose clock passes 31 days. */
async function purged(address: StoreAddress, objects: number): Promise<Run> {
  const desk = await Desk.open(address);
  try {
    const { id } = await desk.record(await desk.exam());
    // Beside its two chunks as many as a day of recording leaves.
    await fill(desk, `${recordingPrefix(id)}0/1/`, objects - 2, 1_000_000);
    desk.pass(31 * DAY_MS);
    const { result, ...figures } = await timed(() => purge(desk.ports));
    if (result.deleted !== 1) throw new Error(`expected one recording to go, found ${JSON.stringify(result)}`);
    return { units: result.objects, ...figures };
  } finally {
    await desk.close();
  }
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
