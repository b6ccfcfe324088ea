import { requireAccepted } from '../../src/server/adapters/renewed-bucket.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { URLS_DEAD_AFTER_MS } from '../../src/server/jobs/move.ts';
import { BucketError } from '../../src/server/ports.ts';
import { command, parseWords, required } from '../shell/arguments.ts';
import { BESIDE_FLAGS, settingsBeside } from '../shell/beside.ts';
import { placeOf } from '../shell/bucket.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { formatTime } from '../shell/figures.ts';
import { readSecretFile, writePrivateFile } from '../shell/secrets.ts';

/** A server looks at its files every few seconds; a busy one may take longer. */
const NOTICED_WITHIN_MS = 60_000;

const USAGE = `zeroreel bucket credentials --access-key-id-file FILE --secret-access-key-file FILE [--dry-run] [--json]

Replaces the credentials with which servers on this machine sign, while they sign. Make the second set at the store first, for the same
bucket. This command writes, reads, lists and deletes an object with it, puts it into the files that ZEROREEL_S3_ACCESS_KEY_ID_FILE and
ZEROREEL_S3_SECRET_ACCESS_KEY_FILE name, and says from when on the former set may be ended at the store: until then URLs are good that
were signed with it. A running server looks at these files every few seconds, tries the new set as well, and needs no restart.

  --dry-run  tries the new set, and changes nothing

  $ zeroreel bucket credentials --access-key-id-file new.id --secret-access-key-file new.secret
  the store accepts the new set; end the former one after 2026-11-23 09:21 UTC`;

export const credentials = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...BESIDE_FLAGS,
      'access-key-id-file': { type: 'string' },
      'secret-access-key-file': { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const next = {
    accessKeyId: await readSecretFile(required(values['access-key-id-file'], 'access-key-id-file'), shell),
    secretAccessKey: await readSecretFile(required(values['secret-access-key-file'], 'secret-access-key-file'), shell),
  };
  const files = {
    id: shell.environment['ZEROREEL_S3_ACCESS_KEY_ID_FILE'],
    secret: shell.environment['ZEROREEL_S3_SECRET_ACCESS_KEY_FILE'],
  };
  const config = settingsBeside(shell, values);
  if (config.storage.kind !== 's3' || !files.id || !files.secret) {
    throw new CommandError(
      'usage',
      'no-credential-files',
      'the credentials of this server are not in files',
      'ZEROREEL_S3_ACCESS_KEY_ID_FILE and ZEROREEL_S3_SECRET_ACCESS_KEY_FILE name them; what stands in the environment changes with a restart',
    );
  }
  const isSame = next.accessKeyId === config.storage.credentials.accessKeyId;
  const bucket = createS3Bucket({ ...placeOf(config, config), credentials: next });
  await requireAccepted(bucket, { now: () => Date.now() }).catch((error: unknown) => {
    if (!(error instanceof BucketError)) throw error;
    throw new CommandError('refused', 'credentials-refused', error.message, 'nothing was changed', { cause: error });
  });
  const endFormerMs = Date.now() + NOTICED_WITHIN_MS + URLS_DEAD_AFTER_MS;
  if (!values['dry-run']) {
    // Between the two a server finds a pair that the store refuses, and goes on with the one that it has.
    await writePrivateFile(files.secret, `${next.secretAccessKey}\n`, true);
    await writePrivateFile(files.id, `${next.accessKeyId}\n`, true);
  }
  if (values.json) {
    shell.printJson({ dry_run: values['dry-run'], changed: !isSame, end_former_after_ms: endFormerMs });
  } else if (values['dry-run']) shell.print('the store accepts the new set');
  else shell.print(`the store accepts the new set; end the former one after ${formatTime(endFormerMs)}`);
  return EXIT.well;
});
