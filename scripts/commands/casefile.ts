import { fingerprint, IDENTITY_SUITE, decodeIdentity } from '../../crypto/format/ids.ts';
import { parsePolicy } from '../../crypto/format/policy.ts';
import { exportCaseFile, openCaseFile, readSummary } from '../../src/client/casefile.ts';
import { NodeCaseFolder } from '../../src/client/casefile-node.ts';
import { ClientError } from '../../src/client/errors.ts';
import { watchLog, watchLogOffline } from '../../src/client/pinning.ts';
import { verdictOf, worst, type RecordingFindings } from '../../src/client/verdict.ts';
import { checkRemainder } from '../evidence/case-remainder.ts';
import { command, KEY_FLAGS, parseWords, required, SERVER_FLAGS, usageError } from '../shell/arguments.ts';
import { CommandError } from '../shell/exits.ts';
import { openKey } from '../shell/keys.ts';
import { seenLogs } from '../shell/seen-logs.ts';
import { connect, readExamLink } from '../shell/server.ts';
import { exitOf, tellVerdict } from '../shell/verdicts.ts';
import { parseRecordingId } from './fetch.ts';

const USAGE_EXPORT = `zeroreel export --key FILE --exam LINK --out DIR [--json] RECORDING

Exports one recording as a case file: every object as it is in the bucket, still encrypted, with everything that is needed to verify
it offline, years later, and to open it with an instructor's key. The export is declared in the log first: the copy outlives the
service's 30 days and is then under your institution's own records policy.

exit codes: 0 COMPLETE, 1 OPEN-ENDED or GAPS, 2 INVALID or EQUIVOCATION

  $ zeroreel export --key instructor.key --exam physics.link --out case-17 pVnGJ0mYQ1e6d0aXwz2u7A
  COMPLETE`;

export const exportCommand = command(USAGE_EXPORT, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      ...KEY_FLAGS,
      exam: { type: 'string' },
      out: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    { from: 1, to: 1, names: 'one RECORDING' },
  );
  const recordingId = parseRecordingId(positionals[0]!);
  const directory = required(values.out, 'out');
  const link = await readExamLink(shell, values.exam);
  const { decryptionKey: key } = await openKey(shell, values);
  const api = await connect(shell, values, link);
  const folder = await createFolder(directory);
  const { ownerHash, examId } = link;
  const watch = watchLog(api, seenLogs(shell));
  const findings = await exportCaseFile({ api, recordingId, key, pins: { ownerHash, examId }, folder, watch });
  if (values.json) shell.printJson({ directory, ...findings });
  else tellVerdict(shell, findings);
  return exitOf(findings.verdict);
});

async function createFolder(directory: string): Promise<NodeCaseFolder> {
  try {
    return await NodeCaseFolder.create(directory);
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    throw new CommandError('storage', 'exists', error.message, error.hint, { cause: error });
  }
}

const USAGE_VERIFY = `zeroreel verify [--exam LINK] [--key FILE] [--json] DIR

Verifies a case file without any network: policy, log proofs, signatures, chains, every hash; with --key also that everything opens.
--exam pins the exam's owner; without it the case file's own owner is believed, and shown to be compared by voice.

exit codes: 0 COMPLETE, 1 OPEN-ENDED or GAPS, 2 INVALID or EQUIVOCATION, 3 not a whole case file

  $ zeroreel verify --exam physics.link case-17
  COMPLETE`;

export const verify = command(USAGE_VERIFY, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    { ...KEY_FLAGS, exam: { type: 'string' }, json: { type: 'boolean', default: false } },
    { from: 1, to: 1, names: 'one DIR' },
  );
  if (values['passphrase-file'] !== undefined && values.key === undefined)
    throw usageError('--passphrase-file opens a --key: expected both');
  const link = values.exam === undefined ? undefined : await readExamLink(shell, values.exam);
  const key = values.key === undefined ? undefined : (await openKey(shell, values)).decryptionKey;
  const folder = new NodeCaseFolder(positionals[0]!);
  const summary = await readSummary(folder);
  if (link && summary.exam_id !== link.examId) {
    throw new CommandError('violation', 'identity', 'the case file is of another exam than the link');
  }
  const reader = await openCaseFile({
    folder,
    ...(link && { ownerHash: link.ownerHash }),
    ...(key && { key }),
    nowMs: Date.now(),
    watch: watchLogOffline(seenLogs(shell)),
  });
  const found = await reader.verify(key ? 'plaintext' : 'ciphertext');
  const remainder = await checkRemainder(folder, reader);
  const findings: RecordingFindings = {
    ...found,
    verdict: worst([found.verdict, verdictOf(remainder)]),
    problems: [...found.problems, ...remainder],
    reasons: [...found.reasons, ...remainder.map(({ message }) => message)],
  };
  if (values.json) shell.printJson({ pinned: link !== undefined, opened: key !== undefined, ...findings });
  else tellVerdict(shell, findings);
  if (!link)
    shell.say(`note: the owner was taken on the case file's word; compare ${await ownerOf(folder)}, or give --exam`);
  return exitOf(findings.verdict);
});

async function ownerOf(folder: NodeCaseFolder): Promise<string> {
  const { policy } = await parsePolicy((await folder.read('policy.bin'))!);
  return fingerprint(IDENTITY_SUITE, decodeIdentity(policy.owner));
}
