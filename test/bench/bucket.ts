/** The embedded bucket beside nginx with WebDAV on the same disk: plain PUT and GET, four at a time. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { freePort } from '../free-port.ts';
import type { Comparison, Contender, Run } from './comparison.ts';
import { requirePrograms, type Workshop } from './programs.ts';

const AT_ONCE = 4;
const REGION = 'us-east-1';

interface Target {
  name: string;
  put(key: string, body: Uint8Array<ArrayBuffer>, sha256: Uint8Array): Promise<Response>;
  get(key: string): Promise<Response>;
}

export async function bucketing(workshop: Workshop): Promise<Comparison[]> {
  const targets = [await ours(workshop), await nginx(workshop)];
  let slot = 0;
  return (
    [
      { size: 4 * 2 ** 20, count: 48, unit: 'MB/s', scale: 1e6, isCounted: false, what: 'objects of 4 MiB' },
      { size: 16 * 2 ** 10, count: 1500, unit: 'objects/s', scale: 1, isCounted: true, what: 'objects of 16 KiB' },
    ] as const
  ).flatMap(({ size, count, unit, scale, isCounted, what }) => {
    const body = new Uint8Array(randomBytes(size));
    const sha256 = createHash('sha256').update(body).digest();
    const units = isCounted ? count : count * size;
    const slots = new Map<string, string>();
    const puts = targets.map((target): Contender => ({
      name: target.name,
      run: async () => {
        const prefix = `bench${slot++}`;
        slots.set(target.name, prefix);
        return many(count, units, async (i) => expectOk(await target.put(`${prefix}-${i}`, body, sha256)));
      },
    }));
    const gets = targets.map((target): Contender => ({
      name: target.name,
      run: () =>
        many(count, units, async (i) => {
          const length = await expectOk(await target.get(`${slots.get(target.name)!}-${i}`));
          if (length !== size) throw new Error(`expected ${size} bytes, found ${length}`);
        }),
    }));
    const common = { unit, scale, per: 'second', target: 0.7 } as const;
    return [
      { ...common, key: `put-${size}`, title: `put ${what}`, contenders: puts },
      { ...common, key: `get-${size}`, title: `get ${what}`, contenders: gets },
    ];
  });
}

async function many(count: number, units: number, work: (i: number) => Promise<unknown>): Promise<Run> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return { units };
}

async function expectOk(response: Response): Promise<number> {
  const { byteLength } = await response.arrayBuffer();
  if (!response.ok) throw new Error(`the store answered ${response.status}`);
  return byteLength;
}

/** Every check as in production: signature, expiry, length, SHA-256, create-only, and each object on the disk before its answer. */
async function ours(workshop: Workshop): Promise<Target> {
  const credentials = { accessKeyId: 'AKBENCH', secretAccessKey: 'SKBENCH' };
  const { endpoint, close } = await startEmbeddedBucket({
    dir: workshop.path('embedded'),
    credentials,
    buckets: ['bench'],
  });
  workshop.atEnd(close);
  const bucket = createS3Bucket({ endpoint, region: REGION, bucket: 'bench', credentials });
  return {
    name: 'embedded bucket, presigned and durable',
    put: (key, body, sha256) => {
      const { url, headers } = bucket.presignPut({ key, bytes: body.length, sha256 }, Date.now(), 300);
      return fetch(url, { method: 'PUT', headers, body });
    },
    get: (key) => fetch(bucket.presignGet(key, Date.now(), 300)),
  };
}

async function nginx(workshop: Workshop): Promise<Target> {
  requirePrograms('nginx');
  const port = await freePort();
  const root = workshop.path('webdav');
  for (const folder of [root, workshop.path('nginx-body')]) await mkdir(folder, { mode: 0o777, recursive: true });
  const config = workshop.path('nginx.conf');
  await writeFile(
    config,
    `daemon off; pid ${workshop.path('nginx.pid')}; error_log stderr; worker_processes 2; user root;
events {}
http {
  access_log off;
  client_body_temp_path ${workshop.path('nginx-body')};
  client_max_body_size 16m;
  server { listen 127.0.0.1:${port}; root ${root}; location / { dav_methods PUT; create_full_put_path on; } }
}
`,
  );
  workshop.keep('nginx', ['-c', config]).stderr!.resume();
  const origin = `http://127.0.0.1:${port}`;
  await workshop.answers(origin);
  return {
    name: 'nginx WebDAV, unchecked and not synced',
    put: (key, body) => fetch(`${origin}/${key}`, { method: 'PUT', body }),
    get: (key) => fetch(`${origin}/${key}`),
  };
}
