/** Changes a bucket's settings, for `doctor --fix`. Apart from the app's port: a server never changes the bucket it is given. */
import {
  GetBucketCorsCommand,
  GetBucketLifecycleConfigurationCommand,
  type LifecycleRule,
  PutBucketCorsCommand,
  PutBucketLifecycleConfigurationCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import type { S3BucketOptions } from './s3-bucket.ts';

export interface BucketAdmin {
  /** Lets pages of these origins upload and read; rules that are there stay. */
  allowOrigins(origins: readonly string[]): Promise<void>;
  /** Makes the store itself end objects, versions and unfinished uploads after `days`; rules that are there stay. */
  keepBackstop(days: number): Promise<void>;
  close(): void;
}

const RULE_ID = 'zeroreel-backstop';

export function createS3BucketAdmin(options: S3BucketOptions): BucketAdmin {
  const { endpoint, region, credentials, bucket: Bucket, pathStyle = true } = options;
  const client = new S3Client({ endpoint, region, credentials, forcePathStyle: pathStyle });

  return {
    async allowOrigins(origins) {
      const standing = await orNone(client.send(new GetBucketCorsCommand({ Bucket })), 'NoSuchCORSConfiguration');
      const rule = {
        AllowedOrigins: [...origins],
        AllowedMethods: ['GET', 'HEAD', 'PUT'],
        AllowedHeaders: ['*'],
        ExposeHeaders: ['etag', 'content-range', 'content-length'],
        MaxAgeSeconds: 3600,
      };
      const CORSRules = [...(standing?.CORSRules ?? []), rule];
      await client.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules } }));
    },

    async keepBackstop(days) {
      const standing = await orNone(
        client.send(new GetBucketLifecycleConfigurationCommand({ Bucket })),
        'NoSuchLifecycleConfiguration',
      );
      const rule: LifecycleRule = {
        ID: RULE_ID,
        Status: 'Enabled',
        Filter: { Prefix: '' },
        Expiration: { Days: days },
        NoncurrentVersionExpiration: { NoncurrentDays: days },
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: days },
      };
      const Rules = [...(standing?.Rules ?? []).filter(({ ID }) => ID !== RULE_ID), rule];
      await client.send(new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules } }));
    },

    close() {
      client.destroy();
    },
  };
}

async function orNone<T>(answer: Promise<T>, none: string): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof S3ServiceException && error.name === none) return undefined;
    throw error;
  }
}
