/** Clients that nobody here wrote, as Debian and PyPI ship them, against the embedded bucket. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningBucket, startEmbeddedBucket } from '../../../../src/server/adapters/embedded-bucket/index.ts';
import { createS3Bucket } from '../../../../src/server/adapters/s3-bucket.ts';
import { viewFolder } from './folder-view.ts';
import { keysOf, sample, sha256 } from './wire.ts';

const run = promisify(execFile);
const CREDENTIALS = { accessKeyId: 'CLIENTS', secretAccessKey: 'clients-secret' };
/** Above the 16 MiB from which awscli, here rclone too, sends parts. */
const LARGE = 17 * 1024 * 1024 + 5;
const FILES: Record<string, number> = {
  'empty.bin': 0,
  'small.txt': 11,
  'folder/medium.bin': 1_500_000,
  'folder/deep/name with blanks, + and ü.bin': 70_000,
  'large.bin': LARGE,
};

function absence(command: string): string | undefined {
  try {
    execFileSync(command, ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    if (process.env['ZEROREEL_REQUIRE_ALL'] === '1')
      throw new Error(`expected ${command}: ZEROREEL_REQUIRE_ALL is set`);
    return ` (skipped: no ${command} on this machine)`;
  }
}

let work: string;
let running: RunningBucket;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'zeroreel-clients-'));
  running = await startEmbeddedBucket({ dir: join(work, 'store'), credentials: CREDENTIALS });
  for (const [name, bytes] of Object.entries(FILES)) {
    await mkdir(join(work, 'up', name, '..'), { recursive: true });
    await writeFile(join(work, 'up', name), sample(bytes, name));
  }
});

afterAll(async () => {
  await running.close();
  await rm(work, { recursive: true, force: true });
});

async function expectSameFiles(folder: string): Promise<void> {
  for (const [name, bytes] of Object.entries(FILES)) {
    expect(sha256(await readFile(join(folder, name))), name).toEqual(sha256(sample(bytes, name)));
  }
}

function bucketNamed(bucket: string) {
  return createS3Bucket({ endpoint: running.endpoint, region: 'us-east-1', bucket, credentials: CREDENTIALS });
}

const noRclone = absence('rclone');
describe.skipIf(noRclone !== undefined)(`rclone${noRclone ?? ''}`, () => {
  const rclone = async (...args: string[]): Promise<string> => {
    const { stdout } = await run('rclone', [...args, '--retries', '1', '--low-level-retries', '1'], {
      env: {
        PATH: process.env['PATH'],
        HOME: work,
        RCLONE_CONFIG: join(work, 'rclone.conf'),
        RCLONE_CONFIG_STORE_TYPE: 's3',
        RCLONE_CONFIG_STORE_PROVIDER: 'Other',
        RCLONE_CONFIG_STORE_ENDPOINT: running.endpoint,
        RCLONE_CONFIG_STORE_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
        RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
        RCLONE_CONFIG_STORE_REGION: 'us-east-1',
        RCLONE_S3_UPLOAD_CUTOFF: '16M',
        RCLONE_S3_CHUNK_SIZE: '5M',
      },
    });
    return stdout;
  };

  it('copies up, lists, checks, copies down and deletes', async () => {
    await rclone('mkdir', 'store:rclone');
    await rclone('copy', join(work, 'up'), 'store:rclone/in');
    const listed = (await rclone('lsf', '-R', '--files-only', 'store:rclone/in')).trim().split('\n');
    expect(listed.sort()).toEqual(Object.keys(FILES).sort());
    // Compares the hashes where the store's tag is one, and downloads the rest.
    await rclone('check', join(work, 'up'), 'store:rclone/in');
    await rclone('check', '--download', join(work, 'up'), 'store:rclone/in');
    await rclone('copy', 'store:rclone/in', join(work, 'rclone-down'));
    await expectSameFiles(join(work, 'rclone-down'));
    await rclone('copy', join(work, 'up'), 'store:rclone/in', '--ignore-times');
    await rclone('check', '--download', join(work, 'up'), 'store:rclone/in');

    await rclone('deletefile', 'store:rclone/in/small.txt');
    expect(await keysOf(bucketNamed('rclone').list(''))).toHaveLength(Object.keys(FILES).length - 1);
    await rclone('purge', 'store:rclone');
    expect(await rclone('lsd', 'store:')).not.toContain('rclone');
  });

  it('notices a file that was changed behind its back', async () => {
    await rclone('mkdir', 'store:changed');
    await rclone('copy', join(work, 'up', 'small.txt'), 'store:changed');
    await mkdir(join(work, 'changed'));
    await writeFile(join(work, 'changed', 'small.txt'), sample(11, 'other'));
    await expect(rclone('check', join(work, 'changed'), 'store:changed')).rejects.toThrow('1 differences found');
    await rclone('purge', 'store:changed');
  });
});

const noAws = absence('aws');
describe.skipIf(noAws !== undefined)(`awscli${noAws ?? ''}`, () => {
  const aws = async (...args: string[]): Promise<string> => {
    const { stdout } = await run('aws', ['--endpoint-url', running.endpoint, ...args], {
      env: {
        ...process.env,
        HOME: work,
        AWS_CONFIG_FILE: join(work, 'aws.config'),
        AWS_SHARED_CREDENTIALS_FILE: join(work, 'aws.credentials'),
        AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
        AWS_DEFAULT_REGION: 'us-east-1',
        AWS_MAX_ATTEMPTS: '1',
        AWS_EC2_METADATA_DISABLED: 'true',
      },
    });
    return stdout;
  };

  it('copies up in parts, lists, copies down and deletes', async () => {
    await aws('s3', 'mb', 's3://awscli');
    await aws('s3', 'cp', '--recursive', '--quiet', join(work, 'up'), 's3://awscli/in');
    const listed = await aws('s3', 'ls', '--recursive', 's3://awscli/in/');
    expect(listed.trim().split('\n')).toHaveLength(Object.keys(FILES).length);
    expect(listed).toContain(` ${LARGE} in/large.bin`);
    expect(await aws('s3', 'ls', 's3://awscli/in/')).toContain('PRE folder/');
    await aws('s3', 'cp', '--recursive', '--quiet', 's3://awscli/in', join(work, 'aws-down'));
    await expectSameFiles(join(work, 'aws-down'));
    const head = JSON.parse(await aws('s3api', 'head-object', '--bucket', 'awscli', '--key', 'in/large.bin')) as {
      ETag: string;
    };
    expect(head.ETag).toMatch(/^"[0-9a-f]{32}-3"$/);
    await aws('s3', 'rm', '--recursive', '--quiet', 's3://awscli/in');
    expect(await keysOf(bucketNamed('awscli').list(''))).toEqual([]);
    await aws('s3', 'rb', 's3://awscli');
  });
});

it('leaves no file behind when the clients have deleted what they wrote', () => {
  expect(viewFolder(join(work, 'store'))).toEqual({ incoming: [], files: [], indexed: [], doomed: 0 });
});
