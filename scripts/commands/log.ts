import { readFile, writeFile } from 'node:fs/promises';
import { ProtocolError } from '../../crypto/format/errors.ts';
import type { AuditItem } from '../../crypto/log/audit.ts';
import { describeStatement, verifyCertificate } from '../../crypto/log/certificate.ts';
import { verdictOf, type BundleReport } from '../../crypto/log/bundle.ts';
import { type Reconciliation, type ReconcileReport, unseenBy } from '../../crypto/log/reconcile.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { BucketError } from '../../src/server/ports.ts';
import { exportLog, verifyBundle, verifyLiveLog } from '../evidence/bundle-folder.ts';
import { certificateFromTiles, openLiveLog } from '../../src/client/live-log.ts';
import { listBucket, readListing } from '../evidence/listing.ts';
import { renderReportPage } from '../evidence/report-page.ts';
import { bucketOf } from '../shell/bucket.ts';
import { command, commandGroup, parseTime, parseWords, SERVER_FLAGS, usageError } from '../shell/arguments.ts';
import { CommandError, EXIT, type ExitCode } from '../shell/exits.ts';
import { formatTime } from '../shell/figures.ts';
import { readReceiptFile } from '../shell/receipts.ts';
import { connect } from '../shell/server.ts';
import { rotateLog } from './log-rotate.ts';
import type { Shell } from '../shell/shell.ts';

const VERDICT_EXITS = { well: EXIT.well, exceptions: EXIT.unwell, violation: EXIT.violation } as const;

const USAGE_VERIFY = `zeroreel log verify [DIR] [--vkey FILE|TEXT] [--checkpoint FILE]... [--witness FILE|TEXT]... [--at TIME]
                    [--json] [--html FILE] [--bucket [--data DIR] [--bucket-port N] | --listing FILE... [--listed-at TIME]]

Answers "was everything deleted on time?" from evidence: signatures, root, consistency with every checkpoint that was kept,
every obligation's end, delete_by recomputed, heartbeats, missed runs, order of events. DIR is what \`log export\` wrote and
needs no network; without DIR the server's live log is read, whole.

  --vkey        the log's key as you pinned it (it stands in receipts and exam policies); without it the log's own word is taken
  --checkpoint  a signed checkpoint that you kept: the log must have grown from it
  --witness     the key of a witness whom you trust: says what it has cosigned, and whether entries are dated after it saw them
  --at          the time of the question (default: now)
  --bucket      lists the server's bucket first, and reconciles it with the obligations both ways: what nobody owes, what was kept, what
                is lost; noncurrent versions, delete markers and unfinished uploads too. Runs where the server's settings and credentials are
  --listing     the same from a file of lines \`SIZE KEY\`, as rclone lsf -R --format sp --separator ' ' or aws s3 ls --recursive print
                them, or from what aws s3api list-object-versions prints; and in another --listing what aws s3api list-multipart-uploads
                prints. DIR must have been exported after it. --listed-at: when it was made (default: the oldest file's own time)
  --html        writes the report as one HTML file to print or to keep: no script, nothing from elsewhere

exit codes: 0 all well, 1 exceptions, 2 violation, 3 cannot be verified

  $ zeroreel log verify audit-2026-12 --vkey university.vkey
  18432 entries, 1204 recordings opened, 1180 deleted, 1176 verified, 0 overdue
  well: every recording that was due is destroyed, and was destroyed in time`;

const verify = command(USAGE_VERIFY, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      vkey: { type: 'string' },
      checkpoint: { type: 'string', multiple: true, default: [] },
      witness: { type: 'string', multiple: true, default: [] },
      at: { type: 'string' },
      bucket: { type: 'boolean', default: false },
      data: { type: 'string' },
      'bucket-port': { type: 'string' },
      listing: { type: 'string', multiple: true, default: [] },
      'listed-at': { type: 'string' },
      html: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 1, names: 'one DIR' },
  );
  const directory = positionals[0];
  if (directory !== undefined && values.server !== undefined) throw usageError('expected DIR or --server, found both');
  const pinned = values.vkey === undefined ? undefined : await readVkey(values.vkey);
  const kept = await Promise.all(values.checkpoint.map((path) => readFile(path, 'utf8')));
  const witnesses = await Promise.all(values.witness.map(readVkey));
  if (values.bucket && directory !== undefined)
    throw usageError('--bucket: expected the live log, found DIR', 'a bundle is from before the bucket is listed now');
  // The listing first: an upload begins only once its recording is in the log, so no listed object can be missing there.
  const reconciliation = await listingOf(shell, values);
  const options = {
    now: values.at === undefined ? Date.now() : parseTime(values.at, '--at'),
    kept,
    audit: { witnesses },
    onEntry:
      reconciliation &&
      ((entry: AuditItem) => {
        reconciliation.acceptEntry(entry);
      }),
  };
  return unverifiable(async () => {
    const api = directory === undefined ? await connect(shell, values) : undefined;
    const live = api && (await openLiveLog(api, pinned, witnesses));
    const found = live ? await verifyLiveLog(api, live, options) : await verifyBundle(directory!, pinned, options);
    const listing = reconciliation?.finish();
    if (values.html !== undefined) {
      const vkey = live?.vkey ?? pinned ?? (found as BundleReport & { vkey: string }).vkey;
      const verdict = verdictOf(bothOf(found, listing));
      await writeFile(
        values.html,
        renderReportPage({ verdict, report: found, listing, vkey, isPinned: pinned !== undefined }),
      );
    }
    return report(shell, found, values.json, pinned, listing);
  });
});

interface ListingFlags {
  bucket: boolean;
  data?: string | undefined;
  'bucket-port'?: string | undefined;
  listing: string[];
  'listed-at'?: string | undefined;
}

/** The listing that was asked for, taken now or read; undefined where none was. */
async function listingOf(shell: Shell, flags: ListingFlags): Promise<Reconciliation | undefined> {
  const { bucket, listing, data } = flags;
  if (bucket && listing.length > 0) throw usageError('expected --bucket or --listing, found both');
  if (listing.length > 0) {
    const at = flags['listed-at'];
    return readListing(listing, at === undefined ? undefined : parseTime(at, '--listed-at'));
  }
  if (!bucket) return undefined;
  const port = flags['bucket-port'];
  const where = bucketOf({
    ...shell.environment,
    ...(data !== undefined && { ZEROREEL_DATA: data }),
    ...(port !== undefined && { ZEROREEL_BUCKET_PORT: port }),
  });
  try {
    return await listBucket(createS3Bucket(where), Date.now());
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
    throw new CommandError('unreachable', 'bucket', `the bucket was not listed: ${error.message}`, undefined, {
      cause: error,
    });
  }
}

type Counts = Pick<BundleReport, 'exceptions' | 'violations'>;

function bothOf(found: Counts, listing: Counts | undefined): Counts {
  return {
    exceptions: found.exceptions + (listing?.exceptions ?? 0),
    violations: found.violations + (listing?.violations ?? 0),
  };
}

const USAGE_EXPORT = `zeroreel log export DIR [--server URL] [--vkey FILE|TEXT] [--at TIME] [--json]

Writes the whole log as files that anybody can verify without a network: \`checkpoint\`, \`log.vkey\`, \`entries.jsonl\` (one entry a line,
the exact bytes that are hashed), \`checkpoints/\` (those of earlier exports into DIR) and \`export.csv\`. Verified while it is written.

  $ zeroreel log export audit-2026-12
  18432 entries, 1204 recordings opened, 1180 deleted, 1176 verified, 0 overdue
  well: every recording that was due is destroyed, and was destroyed in time`;

const exportCommand = command(USAGE_EXPORT, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    { ...SERVER_FLAGS, vkey: { type: 'string' }, at: { type: 'string' }, json: { type: 'boolean', default: false } },
    { from: 1, to: 1, names: 'one DIR' },
  );
  const pinned = values.vkey === undefined ? undefined : await readVkey(values.vkey);
  const now = values.at === undefined ? Date.now() : parseTime(values.at, '--at');
  const api = await connect(shell, values);
  return unverifiable(async () => {
    const log = await openLiveLog(api, pinned);
    return report(shell, await exportLog(api, log, positionals[0]!, now), values.json, pinned);
  });
});

const USAGE_PROVE = `zeroreel log prove RECEIPT [--out FILE] [--witness FILE|TEXT]... [--server URL] [--json]
zeroreel log prove --offline CERTIFICATE --receipt RECEIPT [--witness FILE|TEXT]... [--json]

Asks what became of the recording that a receipt is for, and checks the answer against the log's key in the receipt: state, when it is
to be destroyed, how often it was opened, and after the deletion its proof. Needs no account. --out keeps the certificate, and
--offline checks a kept one again, without the server, years later. Exit code 1 while the deletion is not in the log.

  $ zeroreel log prove receipt.txt --out deleted.json
  recording pVnGJ0mYQ1e6d0aXwz2u7A: deleted 2026-12-23 09:06 UTC, looked for again 2026-12-24 09:12 UTC, opened by readers 2 times
  Proven:
    ...`;

const prove = command(USAGE_PROVE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      out: { type: 'string' },
      offline: { type: 'string' },
      receipt: { type: 'string' },
      witness: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 1, names: 'one RECEIPT' },
  );
  const path = positionals[0] ?? values.receipt;
  if (path === undefined || (positionals.length > 0 && values.receipt !== undefined))
    throw usageError('expected one RECEIPT');
  const { record, vkey, server } = await readReceiptFile(path);
  const witnesses = await Promise.all(values.witness.map(readVkey));
  return unverifiable(async () => {
    const certificate =
      values.offline === undefined
        ? await certificateFromTiles(
            await connect(shell, { server: values.server ?? server }),
            record.sessionId,
            vkey,
            witnesses,
          )
        : await readFile(values.offline, 'utf8');
    const statement = await verifyCertificate(certificate, vkey, witnesses);
    if (statement.recording !== record.sessionId)
      throw new CommandError('violation', 'identity', 'the certificate is of another recording');
    if (statement.deleteBy > record.deleteByMs) {
      throw new CommandError(
        'violation',
        'delete-by',
        `the receipt promises deletion by ${formatTime(record.deleteByMs)}, the log by ${formatTime(statement.deleteBy)}`,
      );
    }
    if (values.out !== undefined) await writeFile(values.out, certificate);
    if (values.json) {
      const { checkpoint, findings, ...rest } = statement;
      shell.printJson({ ...rest, findings, log: { origin: checkpoint.origin, size: checkpoint.size } });
    } else {
      const { deleted, verified, deleteBy, releases } = statement;
      const fate = deleted === null ? `to be destroyed by ${formatTime(deleteBy)}` : `deleted ${formatTime(deleted)}`;
      const second = verified === null ? '' : `, looked for again ${formatTime(verified)}`;
      shell.print(`recording ${record.sessionId}: ${fate}${second}, opened by readers ${releases} times`);
      for (const line of describeStatement(statement).trimEnd().split('\n')) shell.print(line);
    }
    if (statement.findings.some(({ severity }) => severity === 'violation')) return EXIT.violation;
    return statement.deleted === null || statement.findings.length > 0 ? EXIT.unwell : EXIT.well;
  });
});

async function readVkey(textOrPath: string): Promise<string> {
  return /\+[0-9a-f]{8}\+/.test(textOrPath) ? textOrPath : (await readFile(textOrPath, 'utf8')).trim();
}

/** What does not verify under the log's key proves nothing, either way: exit code 3. */
async function unverifiable(work: () => Promise<ExitCode>): Promise<ExitCode> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new CommandError('unverifiable', error.code, error.message, undefined, { cause: error });
  }
}

/** Findings shown without --json; all are counted. */
const SHOWN_FINDINGS = 20;

const VERDICT_WORDS = {
  well: 'well: every recording that was due is destroyed, and was destroyed in time',
  exceptions: 'exceptions: the log is sound, and tells of what was not as promised',
  violation: 'violation: a promise was broken, or the log contradicts itself',
} as const;

function report(
  shell: Shell,
  found: BundleReport,
  isJson: boolean,
  pinned: string | undefined,
  listing?: ReconcileReport,
): ExitCode {
  const verdict = verdictOf(bothOf(found, listing));
  const findings = [...found.findings, ...(listing?.findings ?? [])];
  const { checkpoint, ...rest } = found;
  if (isJson) {
    shell.printJson({
      verdict,
      ...rest,
      ...(listing && { listing }),
      log: { origin: checkpoint.origin, size: checkpoint.size },
      pinned: pinned !== undefined,
    });
  } else {
    shell.print(
      `${found.entries} entries, ${found.opened} recordings opened, ${found.deleted} deleted, ${found.verified} verified, ${found.overdue.length} overdue`,
    );
    if (listing) {
      const { objects, recordings, unowed, kept, missing, noncurrent, markers, multiparts, scope } = listing;
      shell.print(
        `${objects} objects listed of ${recordings} recordings: ${unowed} nobody owes, ${kept} kept after deletion, ${missing} lost before their time`,
      );
      if (scope.versions) shell.print(`beneath them: ${noncurrent} noncurrent versions, ${markers} delete markers`);
      if (scope.multiparts) shell.print(`${multiparts} unfinished uploads`);
      const unseen = unseenBy(scope);
      if (unseen !== undefined) shell.say(`note: the listing shows no ${unseen}: whether there are any is not known`);
    }
    for (const { name, cosigned } of found.witnesses)
      if (cosigned) shell.print(`cosigned by ${name}: ${cosigned.size} entries, at ${formatTime(cosigned.at)}`);
    for (const { severity, message } of findings.slice(0, SHOWN_FINDINGS)) shell.print(`${severity}: ${message}`);
    if (findings.length > SHOWN_FINDINGS)
      shell.print(`... and ${findings.length - SHOWN_FINDINGS} more; --json has all`);
    shell.print(VERDICT_WORDS[verdict]);
  }
  if (pinned === undefined) shell.say("note: the log's key was taken on its own word; --vkey pins it");
  return VERDICT_EXITS[verdict];
}

export const log = commandGroup(
  'log',
  `zeroreel log verify | export | prove      evidence about deletion, checked offline
zeroreel log rotate                       another key for the log, while it goes on

  $ zeroreel log export audit-2026-12
  $ zeroreel log verify audit-2026-12 --vkey university.vkey`,
  { verify, export: exportCommand, prove, rotate: rotateLog },
);
