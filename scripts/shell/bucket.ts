/** Where the objects of a server with these settings are, for whoever stands beside it and has its credentials. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openBucketCredentials } from '../../src/server/adapters/keyring.ts';
import type { S3BucketOptions } from '../../src/server/adapters/s3-bucket.ts';
import type { Config, StoragePlace } from '../../src/server/config.ts';
import { CommandError } from './exits.ts';
import { readSettings } from './settings.ts';

/** The bucket of a server with these settings; never makes credentials where there are none. */
export function bucketOf(environment: Readonly<Record<string, string | undefined>>): S3BucketOptions {
  const config = readSettings(environment);
  return placeOf(config, config);
}

/** One bucket of a server: its own, or the one that objects are moved from. */
export function placeOf(
  { host, dataDir }: Pick<Config, 'host' | 'dataDir'>,
  { storage, bucket, region }: StoragePlace,
): S3BucketOptions {
  if (storage.kind === 's3') return { ...storage, bucket, region };
  if (!existsSync(join(dataDir, 'bucket.key'))) {
    throw new CommandError(
      'storage',
      'no-credentials',
      `${dataDir}: no embedded bucket has been here`,
      '--data names the folder of the server, or ZEROREEL_S3_ENDPOINT another store',
    );
  }
  const credentials = openBucketCredentials(dataDir);
  const { port, publicEndpoint } = storage;
  const seen = publicEndpoint === undefined ? {} : { publicEndpoint };
  return { endpoint: `http://${host}:${port}`, ...seen, credentials, bucket, region };
}
