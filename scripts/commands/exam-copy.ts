import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { utf8 } from '../../crypto/format/bytes.ts';
import { parsePolicy } from '../../crypto/format/policy.ts';
import { copyCaseFile } from '../../src/client/casefile.ts';
import { NodeCaseFolder } from '../../src/client/casefile-node.ts';
import { watchLog } from '../../src/client/pinning.ts';
import type { Verdict } from '../../src/client/verdict.ts';
import { createMovingBucket } from '../../src/server/adapters/moving-bucket.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { areOwed } from '../../src/server/jobs/scrub-recording.ts';
import type { Store } from '../../src/server/ports.ts';
import type { RecordingRow } from '../../src/server/store.ts';
import { StoredSource } from '../evidence/stored-recording.ts';
import { command, parseWords, required, SERVER_FLAGS } from '../shell/arguments.ts';
import { BESIDE_FLAGS, settingsBeside, withDatabases } from '../shell/beside.ts';
import { placeOf } from '../shell/bucket.ts';
import { EXIT } from '../shell/exits.ts';
import { formatBytes } from '../shell/figures.ts';
import { seenLogs } from '../shell/seen-logs.ts';
import { connect, readExamLink } from '../shell/server.ts';

const USAGE = `zeroreel exam copy --exam LINK --out DIR [--dry-run] [--data DIR] [--bucket-port N] [--server URL] [--json]

Copies all that a server has of one exam into DIR, for an archive or another supervisor: its policies, and of every recording that is
owed a case file with the signed records, the log's entries and proofs, and each object as it is in the bucket. This runs beside the
server, with its data folder and its bucket's credentials. No key is in it: the wraps are sealed to the readers, and the shred shares stay in the
vault. So the copy can be verified by anybody, for ever, and opens for nobody once the recording is destroyed. Every copy is declared in the
log before it is made, under a key id of zeros. Run again, it goes on with what is missing.

  --dry-run  counts what there is to copy, and declares nothing

exit codes: 0 all verified, 1 some have gaps or no end, 2 some are not what was signed

  $ zeroreel exam copy --exam physics.link --out physics --data /var/lib/zeroreel
  118 recordings, 20.1 GB: 117 COMPLETE, 1 OPEN-ENDED
  $ zeroreel verify --exam physics.link physics/recordings/pVnGJ0mYQ1e6d0aXwz2u7A
  COMPLETE`;

/** In `export.declared`: the operator's copy, which is for no reader's key. */
export const NO_KEY = 'A'.repeat(22);
const PAGE = 100;

export const copy = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      ...BESIDE_FLAGS,
      exam: { type: 'string' },
      out: { type: 'string' },
      'dry-run': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const directory = required(values.out, 'out');
  const link = await readExamLink(shell, values.exam);
  const { examId, ownerHash } = link;
  const config = settingsBeside(shell, values);
  const current = createS3Bucket(placeOf(config, config));
  const bucket = config.former ? createMovingBucket(current, createS3Bucket(placeOf(config, config.former))) : current;
  const api = await connect(shell, values, link);
  const watch = watchLog(api, seenLogs(shell));
  return withDatabases(shell, config, async ({ store }) => {
    const rows = await owedOf(store, examId);
    if (values['dry-run']) {
      const bytes = rows.reduce((sum, row) => sum + row.bytes, 0);
      if (values.json) shell.printJson({ dry_run: true, recordings: rows.length, bytes });
      else shell.print(`${rows.length} recordings, ${formatBytes(bytes)} of those that have ended`);
      return EXIT.well;
    }
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const top = new NodeCaseFolder(directory);
    for (const { seq, bytes } of await policiesOf(store, examId)) await top.write(`policies/${seq}.bin`, bytes);
    const verdicts: { recording_id: string; verdict: Verdict }[] = [];
    for (const row of rows) {
      shell.progress(`${verdicts.length} of ${rows.length} recordings`);
      const verdict = await copyOne(row);
      if (verdict) verdicts.push({ recording_id: row.id, verdict });
    }
    shell.progress('');
    const index = { v: 1, exam_id: examId, copied_ms: Date.now(), recordings: verdicts };
    await top.write('exam.json', utf8(`${JSON.stringify(index, null, 2)}\n`));
    const counts = new Map<Verdict, number>();
    for (const { verdict } of verdicts) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
    if (values.json) shell.printJson({ directory, ...index });
    else {
      const told = [...counts].map(([verdict, count]) => `${count} ${verdict}`).join(', ');
      shell.print(`${verdicts.length} recordings${told && `: ${told}`}`);
    }
    if (counts.has('INVALID') || counts.has('EQUIVOCATION')) return EXIT.violation;
    return verdicts.every(({ verdict }) => verdict === 'COMPLETE') ? EXIT.well : EXIT.unwell;

    /** Undefined for a recording whose deletion began meanwhile: of that nothing may be kept. */
    async function copyOne(row: RecordingRow): Promise<Verdict | undefined> {
      const path = join(directory, 'recordings', row.id);
      const folder = new NodeCaseFolder(path);
      const whole = await folder.read('recording.json');
      if (whole) return (JSON.parse(new TextDecoder().decode(whole)) as { verdict: Verdict }).verdict;
      // What an unfinished run left is not a case file.
      if (await stat(path).catch(() => undefined)) await rm(path, { recursive: true });
      const at = Date.now();
      const entry = { v: 1, type: 'export.declared', at, recording: row.id, key_id: NO_KEY, kind: 'sealed' } as const;
      if (!(await store.declareExport(row.id, entry))) return undefined;
      const { verdict } = await copyCaseFile({
        source: new StoredSource({ store, bucket, api, row }),
        recording: {
          ...{ recording_id: row.id, exam_id: row.examId },
          ...{ opened_ms: row.openedMs, delete_by_ms: row.deleteByMs },
        },
        pins: { ownerHash, examId },
        ...{ folder, watch, nowMs: at },
      });
      return verdict;
    }
  });
});

async function owedOf(store: Store, examId: string): Promise<RecordingRow[]> {
  const found: RecordingRow[] = [];
  let cursor: string | undefined;
  for (;;) {
    const page = await store.recordings(examId, PAGE, cursor);
    found.push(...areOwed(page, Date.now()));
    if (page.length < PAGE) return found;
    cursor = page.at(-1)!.id;
  }
}

/** Newest first, each naming the one before. */
async function policiesOf(store: Store, examId: string): Promise<{ seq: number; bytes: Uint8Array<ArrayBuffer> }[]> {
  const found = [];
  for (let row = await store.latestPolicy(examId); row;) {
    found.push(row);
    const { policy } = await parsePolicy(row.bytes);
    row = policy.prev_policy_hash === null ? undefined : await store.policyByHash(examId, policy.prev_policy_hash);
  }
  return found;
}
