import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openBucketCredentials } from '../../src/server/adapters/keyring.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { BucketError, type Bucket } from '../../src/server/ports.ts';
import { probeBucket } from '../doctor/bucket-probe.ts';
import type { Finding } from '../doctor/finding.ts';
import { probeServer } from '../doctor/server-probe.ts';
import { command, parseWords, SERVER_FLAGS } from '../shell/arguments.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { connect } from '../shell/server.ts';
import { readSettings } from '../shell/settings.ts';

const USAGE = `zeroreel doctor [--server URL] [--bucket] [--data DIR] [--bucket-port N] [--json]

Examines a running server: health, clock, log. With --bucket also its bucket, with real objects and real refusals: signature, expiry, signed
length, hash, create-only, ranges, listing, CORS, versioning, lock, lifecycle, clock. The bucket is the one that \`zeroreel serve\` would use
with the same settings and environment, so this runs where the server's credentials are.

exit codes: 0 all promises hold (some perhaps weakly), 1 one of them is false, 69 nobody answers

  $ zeroreel doctor --bucket --data /var/lib/zeroreel
  ok    server.health      the server is healthy: its database and its bucket answer
  ok    bucket.create-only refuses the same PUT again (412)
  weak  bucket.lifecycle   no lifecycle rule stands behind the purge`;

export const doctor = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      bucket: { type: 'boolean', default: false },
      data: { type: 'string' },
      'bucket-port': { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const api = await connect(shell, values);
  const findings = await probeServer(
    api,
    () => performance.now(),
    () => Date.now(),
  );
  if (values.bucket)
    findings.push(
      ...(await examineBucket(
        openBucket({
          ...shell.environment,
          ...given('ZEROREEL_DATA', values.data),
          ...given('ZEROREEL_BUCKET_PORT', values['bucket-port']),
        }),
      )),
    );
  if (values.json) shell.printJson(findings);
  else for (const finding of findings) tell(finding);
  return findings.some(({ state }) => state === 'bad') ? EXIT.unwell : EXIT.well;

  function tell({ check, state, message, hint }: Finding): void {
    shell.print(`${state.padEnd(8)}${check.padEnd(20)}${message}`);
    if (hint !== undefined && state !== 'ok') shell.say(`hint: ${check}: ${hint}`);
  }
});

function given(name: string, value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { [name]: value };
}

/** The bucket of a server with these settings; never makes credentials where there are none. */
function openBucket(environment: Readonly<Record<string, string | undefined>>): Bucket {
  const { storage, bucket, region, host, dataDir } = readSettings(environment);
  if (storage.kind === 's3') return createS3Bucket({ ...storage, bucket, region });
  if (!existsSync(join(dataDir, 'bucket.key'))) {
    throw new CommandError(
      'storage',
      'no-credentials',
      `${dataDir}: no embedded bucket has been here`,
      '--data names the folder of the server, or ZEROREEL_S3_ENDPOINT another store',
    );
  }
  return createS3Bucket({
    endpoint: `http://${host}:${storage.port}`,
    credentials: openBucketCredentials(dataDir),
    bucket,
    region,
  });
}

async function examineBucket(bucket: Bucket): Promise<Finding[]> {
  try {
    return await probeBucket(bucket, Date.now());
  } catch (error) {
    if (error instanceof BucketError && error.code !== 'unavailable')
      return [{ check: 'bucket', state: 'bad', message: `the bucket cannot be used: ${error.message}` }];
    if (error instanceof BucketError || error instanceof TypeError)
      throw new CommandError('unreachable', 'bucket', 'the bucket does not answer', undefined, { cause: error });
    throw error;
  }
}
