/** An audit of a versioned bucket: what no plain listing shows is found too, in the bucket itself and in what another client listed. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../crypto/format/ids.ts';
import { gateway, gatewayAbsence } from '../ceph.ts';
import { media, type TestRecorder } from '../server/recorder.ts';
import { expectStatus, Stage } from '../server/stage.ts';
import { CommandLine } from './command-line.ts';

const HOUR_MS = 3_600_000;
const absence = gatewayAbsence();

const hasAws = (() => {
  try {
    execFileSync('aws', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false; // then the same answers come from the SDK
  }
})();

describe.skipIf(absence !== undefined)(
  `log verify and a versioned bucket of a Ceph Object Gateway${absence === undefined ? '' : ` (${absence})`}`,
  () => {
    const cli = new CommandLine();
    const Bucket = `audit-${newId()
      .toLowerCase()
      .replaceAll(/[^a-z0-9]/g, '0')}`;
    let client: S3Client;
    let stage: Stage;
    let recorder: TestRecorder;
    let keys: string[];

    beforeAll(async () => {
      const { endpoint, region, credentials } = gateway()!;
      client = new S3Client({ endpoint, region, credentials, forcePathStyle: true });
      await client.send(new CreateBucketCommand({ Bucket }));
      const VersioningConfiguration = { Status: 'Enabled' } as const;
      await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
      stage = await Stage.start({ storage: { endpoint, region, credentials, bucket: Bucket } });
      recorder = await stage.recorder(await stage.exam());
      for (const seed of [1, 2]) await stage.upload(recorder, await recorder.chunk(1, media(2000, seed)));
      expectStatus(await stage.sendHead(recorder, await recorder.close()), 200);
      keys = [0, 1].map((seq) => `${recorder.sessionId}/0000/00001/000000000${seq}`);
      stage.clock.advance(60_000);
      await stage.server.jobs.publish();
    });
    afterAll(async () => {
      if (absence !== undefined) return;
      await stage.stop();
      client.destroy();
      cli.remove();
    });

    const at = () => new Date(stage.clock.now()).toISOString();

    function verifyBucket() {
      const { endpoint, region, credentials } = gateway()!;
      return cli.run(['log', 'verify', '--server', stage.server.url, '--at', at(), '--bucket'], {
        environment: {
          ZEROREEL_S3_ENDPOINT: endpoint,
          ZEROREEL_S3_REGION: region,
          ZEROREEL_S3_BUCKET: Bucket,
          ZEROREEL_S3_ACCESS_KEY_ID: credentials.accessKeyId,
          ZEROREEL_S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
        },
      });
    }

    /** What `aws s3api` prints, in a file. */
    async function listInto(file: string, call: 'list-object-versions' | 'list-multipart-uploads'): Promise<string> {
      const { endpoint, region, credentials } = gateway()!;
      const env = {
        PATH: process.env['PATH'],
        HOME: cli.folder,
        AWS_DEFAULT_REGION: region,
        AWS_ACCESS_KEY_ID: credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      };
      const sdk = () =>
        call === 'list-object-versions'
          ? client.send(new ListObjectVersionsCommand({ Bucket }))
          : client.send(new ListMultipartUploadsCommand({ Bucket }));
      const text = hasAws
        ? execFileSync('aws', ['--endpoint-url', endpoint, 's3api', call, '--bucket', Bucket], {
            env,
            encoding: 'utf8',
          })
        : JSON.stringify(await sdk());
      writeFileSync(cli.path(file), text);
      return file;
    }

    /** Offline: listings that another client made, and the log exported after them. */
    async function verifyFiles(folder: string, ...files: readonly string[]) {
      const listedAt = at();
      stage.clock.advance(1000);
      await stage.server.jobs.publish();
      await cli.run(['log', 'export', folder, '--server', stage.server.url, '--at', at()]);
      const listings = files.flatMap((file) => ['--listing', file]);
      return cli.run(['log', 'verify', folder, '--at', at(), ...listings, '--listed-at', listedAt]);
    }

    it('is well where there is nothing beneath the objects', async () => {
      const { exit, output, error } = await verifyBucket();
      expect(exit, error + output).toBe(0);
      expect(output).toContain('2 objects listed of 1 recordings: 0 nobody owes, 0 kept after deletion, 0 lost');
      expect(output).toContain('beneath them: 0 noncurrent versions, 0 delete markers\n0 unfinished uploads');
    });

    it('finds a version that was overwritten, an object under a marker, and an unfinished upload of a recording that is owed', async () => {
      await client.send(new PutObjectCommand({ Bucket, Key: keys[0], Body: media(2000, 3) }));
      await client.send(new DeleteObjectCommand({ Bucket, Key: keys[1] }));
      await client.send(
        new CreateMultipartUploadCommand({ Bucket, Key: `${recorder.sessionId}/0000/00001/0000000009` }),
      );
      const expected =
        /2 noncurrent versions, 1 delete marker, 1 unfinished upload, which no recorder makes and no plain listing shows/;
      const live = await verifyBucket();
      expect(live.exit, live.error).toBe(2); // what is under a marker is lost to every reader
      expect(live.output).toMatch(expected);
      expect(live.output).toMatch(/1 of the 2 objects counted at its end are not there/);
      const versions = await listInto('versions.json', 'list-object-versions');
      const uploads = await listInto('uploads.json', 'list-multipart-uploads');
      const offline = await verifyFiles('alive', versions, uploads);
      expect(offline.exit, offline.error).toBe(2);
      expect(offline.output).toMatch(expected);
      expect(offline.error).not.toContain('is not known');
    });

    it('finds what is hidden like this after the deletion was verified, and says so of a stranger', async () => {
      const path = `/v1/recordings/${recorder.sessionId}/erasure`;
      expectStatus(await stage.call('POST', path, { token: stage.admin, body: { reason: 'student' } }), 202);
      stage.clock.advance(26 * HOUR_MS);
      await stage.server.jobs.purge();
      expect(await stage.holdings()).toMatchObject({ objects: {} });
      const versions = await listInto('versions.json', 'list-object-versions');
      const uploads = await listInto('uploads.json', 'list-multipart-uploads');
      const gone = await verifyFiles('gone', versions, uploads);
      expect(gone.output).toContain('0 objects listed of 0 recordings: 0 nobody owes, 0 kept after deletion');

      await client.send(new PutObjectCommand({ Bucket, Key: keys[0], Body: media(100) }));
      await client.send(new DeleteObjectCommand({ Bucket, Key: keys[0] }));
      await client.send(new CreateMultipartUploadCommand({ Bucket, Key: `${newId()}/0000/00001/0000000000` }));
      await listInto('versions.json', 'list-object-versions');
      await listInto('uploads.json', 'list-multipart-uploads');
      const kept = await verifyFiles('kept', versions, uploads);
      expect(kept.exit, kept.error).toBe(2);
      expect(kept.output).toMatch(/1 nobody owes, 2 kept after deletion/);
      expect(kept.output).toMatch(/1 noncurrent version, 1 delete marker, and it was deleted at/);
      expect(kept.output).toMatch(/1 unfinished upload, and the log never opened it/);

      // A plain listing shows none of it, and says that it cannot.
      writeFileSync(cli.path('plain.txt'), '');
      const plain = await verifyFiles('plain', 'plain.txt');
      expect(plain.output).toContain('0 objects listed of 0 recordings');
      expect(plain.error).toMatch(/shows no noncurrent versions and delete markers, unfinished uploads/);
    });

    it.each([
      ['a listing that was cut short', { IsTruncated: true, Versions: [] }, /cut short/],
      ['one that goes on elsewhere', { NextToken: 'x', Uploads: [] }, /cut short/],
      ['one whose sizes are none', { Versions: [{ Key: 'x', Size: '1', IsLatest: true }] }, /Size/],
    ])('cannot be said by %s', async (_, answer, why) => {
      writeFileSync(cli.path('bad.json'), JSON.stringify(answer));
      const { exit, error } = await verifyFiles('bad', 'bad.json');
      expect(exit).toBe(3);
      expect(error).toMatch(why);
    });

    it('cannot be said by two listings of the same', async () => {
      const versions = await listInto('versions.json', 'list-object-versions');
      const { exit, error } = await verifyFiles('twice', versions, versions);
      expect(exit).toBe(3);
      expect(error).toMatch(/would count them twice/);
    });
  },
);
