/** Upload URLs signed per second on one core, beside the SDK's presigner, and beside the one HMAC that no signature can do without. */
import { createHmac } from 'node:crypto';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import type { Comparison, Contender } from './comparison.ts';

const CREDENTIALS = { accessKeyId: 'BENCH', secretAccessKey: 'bench-secret' };
const ENDPOINT = 'http://127.0.0.1:9';
const SIGNED_HEADERS = ['content-length', 'if-none-match', 'x-amz-content-sha256', 'x-amz-checksum-sha256'];
const LIFE_SECONDS = 300;

export async function presigning(): Promise<Comparison[]> {
  const bucket = createS3Bucket({ endpoint: ENDPOINT, region: 'us-east-1', bucket: 'bench', credentials: CREDENTIALS });
  const client = new S3Client({
    endpoint: ENDPOINT,
    region: 'us-east-1',
    credentials: CREDENTIALS,
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
  });
  const sha256 = new Uint8Array(32).fill(7);
  const checksum = Buffer.from(sha256).toString('base64');
  const text = 'x'.repeat(150);
  const now = Date.now();
  const ours: Contender = {
    name: 'bucket.presignPut',
    run: () => {
      const count = 20_000;
      for (let seq = 0; seq < count; seq++) {
        bucket.presignPut(
          { key: `sessionsessionsession/0/1/${seq}`, bytes: 4_197_000 + seq, sha256 },
          now,
          LIFE_SECONDS,
        );
      }
      return { units: count };
    },
  };
  return [
    {
      key: 'presign',
      title: 'sign upload URLs',
      unit: 'URLs/s',
      per: 'cpu-second',
      target: 20,
      contenders: [
        ours,
        {
          name: '@aws-sdk/s3-request-presigner',
          run: async () => {
            const count = 1000;
            for (let seq = 0; seq < count; seq++) {
              const command = new PutObjectCommand({
                Bucket: 'bench',
                Key: `sessionsessionsession/0/1/${seq}`,
                ContentLength: 4_197_000 + seq,
                IfNoneMatch: '*',
                ChecksumSHA256: checksum,
              });
              await getSignedUrl(client, command, {
                expiresIn: LIFE_SECONDS,
                signableHeaders: new Set(SIGNED_HEADERS),
                unhoistableHeaders: new Set(SIGNED_HEADERS),
              });
            }
            return { units: count };
          },
        },
      ],
    },
    {
      key: 'presign-limit',
      title: 'sign upload URLs, beside one HMAC-SHA-256 each',
      unit: 'URLs/s',
      per: 'cpu-second',
      target: 0.25,
      contenders: [
        ours,
        {
          name: 'one HMAC-SHA-256 of 150 bytes, node:crypto',
          run: () => {
            const count = 50_000;
            for (let seq = 0; seq < count; seq++) createHmac('sha256', sha256).update(text).digest('hex');
            return { units: count };
          },
        },
      ],
      remark: 'a signature is one HMAC and one SHA-256 of the canonical request; no target was set, 0.25 is a reminder',
    },
  ];
}
