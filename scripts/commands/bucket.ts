import { setTimeout as sleep } from 'node:timers/promises';
import { probeBucket } from '../../src/server/adapters/bucket-probe.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { attestationOf, judge } from '../../src/server/core/attestation.ts';
import { BUCKET } from '../../src/server/jobs/anomaly.ts';
import { moveObjects, type MoveSummary, URLS_DEAD_AFTER_MS } from '../../src/server/jobs/move.ts';
import { type Bucket, BucketError, type Clock, type Store } from '../../src/server/ports.ts';
import { command, commandGroup, parseCount, parseWords } from '../shell/arguments.ts';
import { BESIDE_FLAGS, settingsBeside, withDatabases } from '../shell/beside.ts';
import { placeOf } from '../shell/bucket.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { formatBytes } from '../shell/figures.ts';
import type { Shell } from '../shell/shell.ts';
import { credentials } from './credentials.ts';

const MINUTE_MS = 60_000;
const URLS_DEAD_AFTER_MINUTES = URLS_DEAD_AFTER_MS / MINUTE_MS;
const CLOCK: Clock = { now: () => Date.now() };

const USAGE_MOVE = `zeroreel bucket move [--dry-run] [--wait MINUTES] [--data DIR] [--bucket-port N] [--json]

Moves all objects from the former bucket (ZEROREEL_FORMER_S3_*) to the server's own (ZEROREEL_S3_*), while the server records and is
read from. Restart every server with both settings first: from then on what is new goes to the new bucket, and the former one is read
where the new one has nothing yet. Each object is held against its recorder's signature and the server's promise, and deleted from the
former bucket only after both copies were read and are the same. A run that was stopped, however, is run again. The log keeps what the
new bucket was found to enforce.

  --dry-run  counts what there is to move
  --wait     minutes between copying and deleting (default ${URLS_DEAD_AFTER_MINUTES}: by then no URL for the former bucket is good any more)

exit codes: 0 a listing of the former bucket is empty, 1 something is left there

  $ zeroreel bucket move --data /var/lib/zeroreel
  1204 recordings, 51204 objects, 210.3 GB: copied 51204, deleted 51204
  a listing of the former bucket is empty`;

const move = command(USAGE_MOVE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...BESIDE_FLAGS,
      'dry-run': { type: 'boolean', default: false },
      wait: { type: 'string', default: String(URLS_DEAD_AFTER_MINUTES) },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const waitMs = parseCount(values.wait, '--wait', { from: 0, to: 7 * 24 * 60 }) * MINUTE_MS;
  const isDry = values['dry-run'];
  const config = settingsBeside(shell, values);
  if (!config.former) {
    throw new CommandError(
      'usage',
      'no-former-bucket',
      'no former bucket is set',
      'ZEROREEL_FORMER_S3_ENDPOINT and ZEROREEL_FORMER_S3_BUCKET say where objects are; ZEROREEL_S3_* where they go',
    );
  }
  const former = createS3Bucket(placeOf(config, config.former));
  const current = createS3Bucket(placeOf(config, config));
  const summary = await withDatabases(shell, config, async ({ store }) => {
    if (!isDry) await attestNew(store, current);
    return moveObjects({ store, clock: CLOCK }, former, current, {
      isDry,
      onProgress: (phase, { recordings, objects, copied }) => {
        shell.progress(`${phase}: ${recordings} recordings, ${objects} objects, ${copied} copied`);
      },
      untilUrlsAreDead: () => waitFor(shell, waitMs),
    });
  }).catch((error: unknown) => {
    if (!(error instanceof BucketError)) throw error;
    throw new CommandError('unreachable', error.code, error.message, 'nothing is lost; run the same command again');
  });
  shell.progress('');
  if (values.json) shell.printJson({ dry_run: isDry, ...summary });
  else tell(shell, summary, isDry);
  return isDry || summary.left === 0 ? EXIT.well : EXIT.unwell;
});

/** A bucket in which the promises would be false gets nothing; what the new one enforces is in the log before the first object is in it. */
async function attestNew(store: Store, bucket: Bucket): Promise<void> {
  const probed = await probeBucket(bucket, CLOCK);
  const bad = judge(probed).filter(({ state }) => state === 'bad');
  if (bad.length > 0) {
    const reasons = bad.map(({ message }) => message).join('; ');
    throw new CommandError('unwell', 'bucket-unfit', `the new bucket cannot keep what is promised: ${reasons}`);
  }
  const known = (await store.entriesOf(BUCKET)).length;
  await store.appendAbout(BUCKET, known, [attestationOf(probed, CLOCK.now())]);
}

async function waitFor(shell: Shell, waitMs: number): Promise<void> {
  const until = CLOCK.now() + waitMs;
  for (let left = waitMs; left > 0; left = until - CLOCK.now()) {
    shell.progress(`copied; ${Math.ceil(left / 1000)} s until no URL for the former bucket is good any more`);
    await sleep(Math.min(left, 1000));
  }
}

function tell(shell: Shell, summary: MoveSummary, isDry: boolean): void {
  const { recordings, objects, bytes, copied, deleted, damaged, different, left, foreign } = summary;
  const found = `${recordings} recordings, ${objects} objects, ${formatBytes(bytes)}`;
  if (isDry) shell.print(`${found} to move`);
  else shell.print(`${found}: copied ${copied}, deleted ${deleted}`);
  if (damaged > 0) shell.say(`${damaged} were damaged before, and were moved as they are: see zeroreel scrub --deep`);
  if (different > 0) shell.say(`${different} objects are not the same in both buckets, and stay in both`);
  if (isDry) return;
  if (left === 0) {
    shell.print('a listing of the former bucket is empty');
    return;
  }
  shell.print(`a listing of the former bucket shows ${left} objects`);
  if (foreign > 0)
    shell.say(`${foreign} of them are of no recording that this server opened: they are yours to explain`);
  if (left > foreign) shell.say('a late upload, or a deletion under way: run this again');
}

export const bucket = commandGroup(
  'bucket',
  `zeroreel bucket move | credentials

  $ zeroreel bucket move --dry-run`,
  { move, credentials },
);
