import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openCheckpoint } from '../../crypto/log/checkpoint.ts';
import { parsePolicy } from '../../crypto/format/policy.ts';
import {
  FORMER_LOG_KEY,
  LOG_KEY,
  makeLogKey,
  openLogSigner,
  readFormerLogSigner,
} from '../../src/server/adapters/keyring.ts';
import { retirementOf } from '../../src/server/http/log-keys.ts';
import { announceRetirement } from '../../src/server/jobs/rotation.ts';
import type { Signer, Store } from '../../src/server/ports.ts';
import { vkeyOf } from '../../src/server/signing.ts';
import { command, parseWords } from '../shell/arguments.ts';
import { settingsBeside, withDatabases } from '../shell/beside.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { formatTime } from '../shell/figures.ts';
import { writePrivateFile } from '../shell/secrets.ts';
import type { Shell } from '../shell/shell.ts';

const USAGE = `zeroreel log rotate [--retire] [--dry-run] [--data DIR] [--json]

Gives the log another key, and in the end retires the former one, so that whoever pinned either goes on verifying. This makes a fresh
log.key and keeps the old one as log.key.former; restart the server afterwards. It then logs the rotation, signs every
checkpoint with both keys, and lets new exams pin the new one. An exam keeps the key that it began with. For a key that was
stolen this is not enough: schema/LOG.md section 11 says what is.

  --retire   ends the former key: once every exam that pins it is over and all its recordings are destroyed and looked for again. The server
             must run; it signs one last checkpoint with both keys, to which the certificates of those exams lead from then on
  --dry-run  says what stands in the way, and changes nothing

exit codes: 0 done, 1 the former key cannot be retired yet

  $ zeroreel log rotate --data /var/lib/zeroreel
  university.example/zeroreel+5d1f2a90+AQ9x...
  $ zeroreel log rotate --retire --data /var/lib/zeroreel
  retired university.example/zeroreel+0ff2062b+AcFL... at 18432 entries`;

const PUBLISHED_WITHIN_MS = 30_000;
const PAGE = 100;

export const rotateLog = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      data: { type: 'string' },
      retire: { type: 'boolean', default: false },
      'dry-run': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const config = settingsBeside(shell, values);
  const dataDir = resolve(config.dataDir);
  if (!existsSync(join(dataDir, LOG_KEY))) {
    throw new CommandError(
      'storage',
      'log-key',
      `${dataDir}: ${LOG_KEY} is not here`,
      '--data names the server\u2019s folder',
    );
  }
  const signer = openLogSigner(dataDir, config.logOrigin);
  const isDry = values['dry-run'];
  if (!values.retire) return rotate();
  return withDatabases(shell, config, ({ store }) => retire(store));

  async function rotate() {
    if (signer.former) {
      throw new CommandError(
        'unwell',
        'rotating',
        'a rotation is under way: the log has two keys',
        '--retire ends the former one; then there may be another',
      );
    }
    const path = join(dataDir, LOG_KEY);
    if (!isDry) {
      // A death between the two leaves one key in two files, which is no rotation, and the next run goes on from there.
      await writePrivateFile(join(dataDir, FORMER_LOG_KEY), await readFile(path), true);
      await writePrivateFile(path, makeLogKey(), true);
    }
    const next = isDry ? undefined : vkeyOf(openLogSigner(dataDir, config.logOrigin));
    if (values.json) shell.printJson({ dry_run: isDry, former: vkeyOf(signer), vkey: next ?? null });
    else if (next === undefined) shell.print(`would replace ${vkeyOf(signer)}`);
    else shell.print(next);
    if (!isDry) {
      shell.say(
        `restart every server that signs this log, with both files; back up ${LOG_KEY}; tell auditors and witnesses the new key`,
      );
    }
    return EXIT.well;
  }

  async function retire(store: Store) {
    const former = readFormerLogSigner(dataDir, config.logOrigin);
    if (!former || !signer.former) {
      throw new CommandError('unwell', 'not-rotating', `${dataDir}: there is no former key`, 'nothing is to be done');
    }
    const inTheWay = await reliesOn(store, vkeyOf(former), shell);
    const isFree = inTheWay.exams === 0 && inTheWay.recordings === 0;
    if (isDry || !isFree) {
      if (values.json) shell.printJson({ dry_run: isDry, retired: false, ...inTheWay });
      else if (isFree) shell.print('nothing relies on the former key any more');
      else {
        const until = inTheWay.until_ms > 0 ? `, the last until ${formatTime(inTheWay.until_ms)}` : '';
        shell.print(`${inTheWay.exams} exams${until}, and ${inTheWay.recordings} recordings rely on the former key`);
      }
      return isFree ? EXIT.well : EXIT.unwell;
    }
    const index = await announceRetirement(store, former, { now: () => Date.now() });
    const size = await signedBeyond(store, index, former, shell);
    await store.setBookmark(retirementOf(vkeyOf(former)), String(size));
    await rm(join(dataDir, FORMER_LOG_KEY));
    if (values.json) shell.printJson({ dry_run: false, retired: true, former: vkeyOf(former), size });
    else shell.print(`retired ${vkeyOf(former)} at ${size} entries`);
    shell.say(`restart every server that signs this log; destroy the former key and its backups`);
    return EXIT.well;
  }
});

/** Exams that pin this key and are not over, and recordings of exams that pin it whose deletion is not verified. */
async function reliesOn(store: Store, vkey: string, shell: Shell) {
  const found = { exams: 0, recordings: 0, until_ms: 0 };
  let cursor: string | undefined;
  for (;;) {
    const exams = await store.exams(PAGE, cursor);
    for (const { examId, bytes } of exams) {
      const { policy } = await parsePolicy(bytes);
      if (policy.log.vkey !== vkey) continue;
      if (policy.not_after > Date.now()) {
        found.exams++;
        found.until_ms = Math.max(found.until_ms, policy.not_after);
      }
      found.recordings += await unverifiedOf(store, examId);
      shell.progress(`${found.exams} exams, ${found.recordings} recordings`);
    }
    if (exams.length < PAGE) break;
    cursor = exams.at(-1)!.examId;
  }
  shell.progress('');
  return found;
}

async function unverifiedOf(store: Store, examId: string): Promise<number> {
  let count = 0;
  let cursor: string | undefined;
  for (;;) {
    const page = await store.recordings(examId, PAGE, cursor);
    count += page.filter(({ state }) => state !== 'verified').length;
    if (page.length < PAGE) return count;
    cursor = page.at(-1)!.id;
  }
}

/** Waits for a checkpoint over the entry of this index which the former key signed too; answers its size. */
async function signedBeyond(store: Store, index: number, former: Signer, shell: Shell): Promise<number> {
  const until = Date.now() + PUBLISHED_WITHIN_MS;
  for (;;) {
    const newest = await store.newestCheckpoint();
    if (newest && newest.size > index) {
      await openCheckpoint(newest.note, vkeyOf(former), former.origin);
      return newest.size;
    }
    if (Date.now() > until) {
      throw new CommandError(
        'unwell',
        'unpublished',
        'no server publishes the log',
        'the server must run, with both keys; then run this again',
      );
    }
    shell.progress('waiting for the last checkpoint of both keys');
    await sleep(250);
  }
}
