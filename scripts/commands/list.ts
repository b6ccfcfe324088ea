import type { RecordingSummary } from '../../schema/api.ts';
import { recordingsOf } from '../../src/client/listing.ts';
import { checkLogNow, fetchPinnedPolicy } from '../../src/client/pinning.ts';
import { command, parseWords, SERVER_FLAGS } from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { formatBytes, formatTable, formatTime } from '../shell/figures.ts';
import { seenLogs } from '../shell/seen-logs.ts';
import { connect, readExamLink } from '../shell/server.ts';

const USAGE = `zeroreel list --exam LINK [--token-file FILE] [--json]

Lists an exam's recordings: what the server knows of them, which is no name and no content. "At its limit" is one that became as large or as
long as the service or the exam allows. LINK is what \`exam create\` printed, or a
file of it. With --json, one object a line. A log that was forked or rolled back since the last run here is refused (exit code 2).

  $ zeroreel list --exam physics.link
  recording               state   opened                delete by             epochs  objects    size  opened by readers
  pVnGJ0mYQ1e6d0aXwz2u7A  closed  2026-11-23 09:05 UTC  2026-12-23 09:05 UTC       2       24  498 KB                  3`;

export const list = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    { ...SERVER_FLAGS, exam: { type: 'string' }, json: { type: 'boolean', default: false } },
    { from: 0, to: 0, names: '' },
  );
  const link = await readExamLink(shell, values.exam);
  const api = await connect(shell, values, link);
  const { policy } = await fetchPinnedPolicy(api, link, undefined);
  await checkLogNow(api, policy.log, seenLogs(shell));
  const rows: (string | number)[][] = [];
  for await (const recording of recordingsOf(api, link.examId)) {
    if (values.json) shell.printJson(recording);
    else rows.push(rowOf(recording));
  }
  if (values.json) return EXIT.well;
  const header = ['recording', 'state', 'opened', 'delete by', 'epochs', 'objects', 'size', 'opened by readers'];
  for (const line of formatTable(header, rows)) shell.print(line);
  return EXIT.well;
});

function rowOf(recording: RecordingSummary): (string | number)[] {
  return [
    recording.recording_id,
    recording.quota_reached === null ? recording.state : `${recording.state}, at its limit`,
    formatTime(recording.opened_ms),
    formatTime(recording.delete_by_ms),
    recording.epochs,
    recording.objects,
    formatBytes(recording.bytes),
    recording.releases,
  ];
}
