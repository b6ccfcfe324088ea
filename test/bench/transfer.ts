/**
 * A file recorded into a bucket and fetched back, by the command line as a user runs it, beside what a user would take instead:
 * `rclone` to a crypt remote, `restic`, `age` piped into `aws s3 cp`; and beside the same bytes unencrypted. All against the
 * same server on the same disk, four transfers at a time where the program can.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile, rm } from 'node:fs/promises';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { freePort } from '../free-port.ts';
import type { Comparison, Contender } from './comparison.ts';
import { type Credentials, requirePrograms, runOf, type Workshop } from './programs.ts';

const REGION = 'us-east-1';
const TRANSFERS = '4';
const PASSPHRASE = 'six drawn words are enough here';
const ROUNDS = 3;
const SEATS = 64;

interface Place {
  name: 'embedded' | 'ceph';
  endpoint: string;
  credentials: Credentials;
  server: { url: string; tokenFile: string };
}

/** Both ways, against the embedded bucket and against Ceph. `mebibytes` is the size of the file. */
export async function transfers(mebibytes: number, workshop: Workshop): Promise<Comparison[]> {
  requirePrograms('/usr/bin/time', 'rclone', 'restic', 'age', 'aws');
  const file = workshop.path('media.bin');
  const sha256 = await writeRandomFile(file, mebibytes);
  const places = [await embedded(workshop), await ceph(workshop)];
  const comparisons: Comparison[] = [];
  for (const place of places) {
    const peers = [await zeroreel(workshop, place, file), ...(await others(workshop, place, file))];
    comparisons.push(...bothWays(place, peers, { bytes: mebibytes * 2 ** 20, sha256 }));
  }
  return comparisons;
}

/** A program that stores a file and brings it back; `slot` keeps rounds apart, so that nobody is helped by the one before. */
interface Program {
  name: string;
  isEncrypted: boolean;
  put: (slot: string) => ReturnType<Workshop['time']>;
  /** Brings back what `put` stored in this slot, as the file whose path it answers. */
  get: (slot: string) => Promise<Awaited<ReturnType<Workshop['time']>> & { path: string }>;
}

function bothWays(
  place: Place,
  programs: readonly Program[],
  { bytes, sha256 }: { bytes: number; sha256: string },
): Comparison[] {
  let slots = 0;
  const lastSlot = new Map<string, string>();
  const puts = programs.map(({ name, put }): Contender & { isEncrypted?: boolean } => ({
    name,
    run: async () => {
      const slot = `s${slots++}`;
      const run = await put(slot);
      lastSlot.set(name, slot);
      return runOf(run, bytes);
    },
  }));
  const gets = programs.map(({ name, get }): Contender => ({
    name,
    run: async () => {
      const { path, ...run } = await get(lastSlot.get(name)!);
      if ((await hashOf(path)) !== sha256) throw new Error(`${name} brought back another file`);
      await rm(path);
      return runOf(run, bytes);
    },
  }));
  const common = { unit: 'MB/s', scale: 1e6, per: 'second', rounds: ROUNDS } as const;
  const encrypted = (all: Contender[]) => all.filter((_, index) => programs[index]!.isEncrypted);
  const plain = (all: Contender[]) => all.filter((_, index) => index === 0 || !programs[index]!.isEncrypted);
  const size = `${bytes / 2 ** 20} MiB`;
  return [
    {
      ...common,
      key: `record-${place.name}`,
      title: `store ${size}, ${place.name}`,
      contenders: encrypted(puts),
      target: 1,
    },
    {
      ...common,
      key: `wire-${place.name}`,
      title: `store ${size} beside plain bytes, ${place.name}`,
      contenders: plain(puts),
      target: 0.9,
    },
    {
      ...common,
      key: `fetch-${place.name}`,
      title: `bring back ${size}, ${place.name}`,
      contenders: encrypted(gets),
      target: 1,
    },
  ];
}

async function zeroreel(workshop: Workshop, place: Place, file: string): Promise<Program> {
  const { name, server } = place;
  const key = workshop.path(`${name}.key`);
  const environment = {
    ZEROREEL_SERVER: server.url,
    ZEROREEL_TOKEN_FILE: server.tokenFile,
    ZEROREEL_PASSPHRASE: PASSPHRASE,
  };
  await workshop.zeroreel(['keygen', key], environment);
  const { output: link } = await workshop.zeroreel(['exam', 'create', '--key', key, '--title', 'Bench'], environment);
  const seats = workshop.path(`${name}-seats`);
  const staff = { ...environment, ZEROREEL_EXAM: link };
  await workshop.zeroreel(['exam', 'tickets', '--key', key, '--out', seats, String(SEATS)], staff);
  let seat = 0;
  const recordings = new Map<string, string>();
  return {
    name: 'zeroreel',
    isEncrypted: true,
    put: async (slot) => {
      const ticket = `${seats}/${String(++seat).padStart(4, '0')}.link`;
      const outbox = workshop.path(`${name}-outbox-${slot}`);
      const track = `1:webcam:application/octet-stream=${file}`;
      const run = await workshop.zeroreel(
        ['record', '--ticket', ticket, '--outbox', outbox, '--json', '--track', track],
        environment,
      );
      recordings.set(slot, (JSON.parse(run.output.split('\n')[0]!) as { recording_id: string }).recording_id);
      return run;
    },
    get: async (slot) => {
      const out = workshop.path(`${name}-out-${slot}`);
      const run = await workshop.zeroreel(['fetch', '--key', key, '--out', out, recordings.get(slot)!], staff);
      return { ...run, path: `${out}/webcam.bin` };
    },
  };
}

async function others(workshop: Workshop, place: Place, file: string): Promise<Program[]> {
  const { endpoint, credentials, name } = place;
  const aws = { AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey };
  const client = new S3Client({ endpoint, region: REGION, credentials, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: 'peers' }));
  client.destroy();
  const { output: obscured } = await workshop.shell('rclone obscure "$WORD"', { WORD: PASSPHRASE });
  const rclone = {
    RCLONE_CONFIG: workshop.path('rclone.conf'),
    RCLONE_CONFIG_STORE_TYPE: 's3',
    RCLONE_CONFIG_STORE_PROVIDER: name === 'ceph' ? 'Ceph' : 'Other',
    RCLONE_CONFIG_STORE_ENDPOINT: endpoint,
    RCLONE_CONFIG_STORE_ACCESS_KEY_ID: credentials.accessKeyId,
    RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    RCLONE_CONFIG_STORE_REGION: REGION,
    RCLONE_CONFIG_SECRET_TYPE: 'crypt',
    RCLONE_CONFIG_SECRET_REMOTE: 'store:peers/crypt',
    RCLONE_CONFIG_SECRET_PASSWORD: obscured,
  };
  const rcloneBy = (title: string, remote: (slot: string) => string, isEncrypted: boolean): Program => {
    const flags = `--transfers ${TRANSFERS} --s3-upload-concurrency ${TRANSFERS} --multi-thread-streams ${TRANSFERS} --multi-thread-cutoff 1M`;
    return {
      name: title,
      isEncrypted,
      put: (slot) => workshop.shell(`rclone copy ${flags} ${file} ${remote(slot)}`, rclone),
      get: async (slot) => {
        const out = workshop.path(`${name}-${title.replaceAll(' ', '-')}`);
        return {
          ...(await workshop.shell(`rclone copy ${flags} ${remote(slot)} ${out}`, rclone)),
          path: `${out}/media.bin`,
        };
      },
    };
  };
  const identity = workshop.path(`${name}.age`);
  await workshop.shell(`age-keygen -o ${identity}`);
  const s3 = `aws --region ${REGION} --endpoint-url ${endpoint} s3 cp`;
  const restic = (slot: string) => ({
    ...aws,
    RESTIC_REPOSITORY: `s3:${endpoint}/peers/restic-${slot}`,
    RESTIC_PASSWORD: PASSPHRASE,
    RESTIC_CACHE_DIR: workshop.path('restic-cache'),
  });
  return [
    rcloneBy('rclone crypt', (slot) => `secret:${slot}`, true),
    {
      name: 'restic',
      isEncrypted: true,
      put: async (slot) => {
        await workshop.shell('restic init -q', restic(slot));
        return workshop.shell(`restic backup -q -o s3.connections=${TRANSFERS} ${file}`, restic(slot));
      },
      get: async (slot) => {
        const out = workshop.path(`${name}-restic`);
        const run = await workshop.shell(
          `restic restore latest -q -o s3.connections=${TRANSFERS} --target ${out}`,
          restic(slot),
        );
        return { ...run, path: `${out}${file}` };
      },
    },
    {
      name: 'age | aws s3 cp',
      isEncrypted: true,
      put: (slot) =>
        workshop.shell(`age -e -i ${identity} ${file} | ${s3} - s3://peers/age-${slot} --expected-size $SIZE`, {
          ...aws,
          SIZE: String(2 ** 30),
        }),
      get: async (slot) => {
        const path = workshop.path(`${name}-age.bin`);
        return {
          ...(await workshop.shell(`${s3} s3://peers/age-${slot} - | age -d -i ${identity} > ${path}`, aws)),
          path,
        };
      },
    },
    rcloneBy('rclone, plain', (slot) => `store:peers/plain/${slot}`, false),
  ];
}

async function embedded(workshop: Workshop): Promise<Place> {
  const port = await freePort();
  const server = await workshop.serve('embedded', { ZEROREEL_BUCKET_PORT: String(port) });
  const credentials = JSON.parse(await readFile(workshop.path('embedded', 'bucket.key'), 'utf8')) as Credentials;
  return { name: 'embedded', endpoint: `http://127.0.0.1:${port}`, credentials, server };
}

async function ceph(workshop: Workshop): Promise<Place> {
  const { endpoint, credentials } = await workshop.ceph();
  const client = new S3Client({ endpoint, region: REGION, credentials, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: 'zeroreel' }));
  client.destroy();
  const server = await workshop.serve('beside-ceph', {
    ZEROREEL_S3_ENDPOINT: endpoint,
    ZEROREEL_S3_ACCESS_KEY_ID: credentials.accessKeyId,
    ZEROREEL_S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  });
  return { name: 'ceph', endpoint, credentials, server };
}

/** Bytes that neither compress nor repeat. */
async function writeRandomFile(path: string, mebibytes: number): Promise<string> {
  const file = await open(path, 'w');
  const digest = createHash('sha256');
  for (let at = 0; at < mebibytes; at++) {
    const piece = randomBytes(2 ** 20);
    digest.update(piece);
    await file.write(piece);
  }
  await file.close();
  return digest.digest('hex');
}

async function hashOf(path: string): Promise<string> {
  const digest = createHash('sha256');
  for await (const piece of createReadStream(path)) digest.update(piece as Buffer);
  return digest.digest('hex');
}
