import { probeBucket } from '../../src/server/adapters/bucket-probe.ts';
import { createS3BucketAdmin } from '../../src/server/adapters/s3-bucket-admin.ts';
import { createS3Bucket, type S3BucketOptions } from '../../src/server/adapters/s3-bucket.ts';
import { judge } from '../../src/server/core/attestation.ts';
import { BucketError } from '../../src/server/ports.ts';
import type { Finding } from '../doctor/finding.ts';
import { probeServer } from '../doctor/server-probe.ts';
import { command, parseWords, SERVER_FLAGS } from '../shell/arguments.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { bucketOf } from '../shell/bucket.ts';
import { connect } from '../shell/server.ts';

const USAGE = `zeroreel doctor [--server URL] [--bucket] [--fix] [--origin URL]... [--data DIR] [--bucket-port N] [--json]

Examines a running server: health, clock, log. With --bucket also its bucket, with real objects and real refusals: signature, expiry, signed
length, hash, create-only, ranges, listing, CORS, versioning, lock, lifecycle, clock. The bucket is the one that \`zeroreel serve\` would use
with the same settings and environment, so this runs where the server's credentials are. The server makes the same probe when it starts.

  --fix     lets browsers upload (CORS) and sets a lifecycle rule of 31 days behind the purge, where they lack; implies --bucket
  --origin  whose pages must be able to upload, instead of any; what a signed URL allows is all that they can do

exit codes: 0 all promises hold (some perhaps weakly), 1 one of them is false, 69 nobody answers

  $ zeroreel doctor --bucket --data /var/lib/zeroreel
  ok      server.health       the server is healthy: its database and its bucket answer
  ok      bucket.create-only  refuses the same PUT again (412)
  weak    bucket.lifecycle    no lifecycle rule stands behind the purge`;

/** Behind the purge, never in place of it: a store's rules run on whole days, and late. */
const BACKSTOP_DAYS = 31;

export const doctor = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      bucket: { type: 'boolean', default: false },
      fix: { type: 'boolean', default: false },
      origin: { type: 'string', multiple: true, default: ['*'] },
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
  if (values.bucket || values.fix) {
    const where = bucketOf({
      ...shell.environment,
      ...given('ZEROREEL_DATA', values.data),
      ...given('ZEROREEL_BUCKET_PORT', values['bucket-port']),
    });
    let examined = await examineBucket(where, values.origin);
    if (values.fix && (await fix(where, examined, values.origin))) examined = await examineBucket(where, values.origin);
    findings.push(...examined);
  }
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

async function examineBucket(where: S3BucketOptions, origins: readonly string[]): Promise<Finding[]> {
  const origin = origins.find((one) => one !== '*');
  try {
    return judge(await probeBucket(createS3Bucket(where), { now: () => Date.now() }, { origin }));
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
    if (error.code !== 'unavailable')
      return [{ check: 'bucket', state: 'bad', message: `the bucket cannot be used: ${error.message}` }];
    throw new CommandError('unreachable', 'bucket', 'the bucket does not answer', undefined, { cause: error });
  }
}

/** Mends what a setting can mend; answers whether anything was changed. What is well is left alone. */
async function fix(where: S3BucketOptions, findings: readonly Finding[], origins: readonly string[]): Promise<boolean> {
  const isWeak = (check: string): boolean => findings.some((one) => one.check === check && one.state === 'weak');
  const admin = createS3BucketAdmin(where);
  try {
    if (isWeak('bucket.cors')) await admin.allowOrigins(origins);
    if (isWeak('bucket.lifecycle')) await admin.keepBackstop(BACKSTOP_DAYS);
    return isWeak('bucket.cors') || isWeak('bucket.lifecycle');
  } catch (error) {
    const reason = error instanceof Error ? error.name : 'no answer';
    throw new CommandError('refused', 'bucket', `the store did not take the settings: ${reason}`, undefined, {
      cause: error,
    });
  } finally {
    admin.close();
  }
}
