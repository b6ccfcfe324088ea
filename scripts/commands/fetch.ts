import { mkdir } from 'node:fs/promises';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { parseId } from '../../crypto/format/ids.ts';
import { TRACK_KINDS, type OpenTrack } from '../../crypto/format/open.ts';
import { watchLog } from '../../src/client/pinning.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { ApiSource } from '../../src/client/source.ts';
import { mediaOf, writeTracks, type WrittenTrack } from '../recording/track-files.ts';
import { parseKind } from '../recording/tracks.ts';
import { command, KEY_FLAGS, parseWords, SERVER_FLAGS, usageError } from '../shell/arguments.ts';
import { EXIT, type ExitCode } from '../shell/exits.ts';
import { formatBytes } from '../shell/figures.ts';
import { openKey } from '../shell/keys.ts';
import { seenLogs } from '../shell/seen-logs.ts';
import { connect, readExamLink } from '../shell/server.ts';
import type { Shell } from '../shell/shell.ts';
import { exitOf, tellVerdict } from '../shell/verdicts.ts';

const USAGE = `zeroreel fetch --key FILE --exam LINK [--out DIR] [--track KIND|ID]... [--json] RECORDING

Asks the server for one recording (which is logged), verifies it against the exam's owner, decrypts it here, and writes a file a
track. Says COMPLETE, OPEN-ENDED (never closed), GAPS, INVALID or EQUIVOCATION. --out - writes one track to standard output.

exit codes: 0 COMPLETE, 1 OPEN-ENDED or GAPS, 2 INVALID or EQUIVOCATION, 78 sealed for other keys

  $ zeroreel fetch --key instructor.key --exam physics.link --out review pVnGJ0mYQ1e6d0aXwz2u7A
  review/webcam.webm    404482 bytes  sha256 238c2703c3316ad2beb56b89a51d1030dcc894bfd0f1dc84b5ba9d67c77cf602
  COMPLETE
  $ zeroreel fetch --key instructor.key --exam physics.link --track webcam --out - pVnGJ0mYQ1e6d0aXwz2u7A | ffplay -`;

export const fetch = command(USAGE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      ...KEY_FLAGS,
      exam: { type: 'string' },
      out: { type: 'string', default: '.' },
      track: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
    },
    { from: 1, to: 1, names: 'one RECORDING' },
  );
  const recordingId = parseRecordingId(positionals[0]!);
  const isWanted = parseWanted(values.track);
  if (values.out === '-' && (values.track.length !== 1 || values.json)) {
    throw usageError('--out - writes one track: expected one --track, and no --json');
  }
  const link = await readExamLink(shell, values.exam);
  const { decryptionKey } = await openKey(shell, values);
  const keyIdB64 = toBase64Url(decryptionKey.keyId);
  const api = await connect(shell, values, link);
  const source = new ApiSource({ api, recordingId, keyIdB64, purpose: 'review' });
  // The link's min_seq is for recorders: a recording of an older policy stays readable.
  const { ownerHash, examId } = link;
  const reader = await RecordingReader.open({
    source,
    pins: { ownerHash, examId },
    key: decryptionKey,
    nowMs: Date.now(),
    watch: watchLog(api, seenLogs(shell)),
  });
  if (values.out === '-') return stream(reader, isWanted, shell);

  await mkdir(values.out, { recursive: true, mode: 0o700 });
  const files: WrittenTrack[] = [];
  let total = 0;
  const onBytes = (bytes: number): void => {
    total += bytes;
    shell.progress(`${formatBytes(total)} decrypted`);
  };
  for await (const file of writeTracks(reader, values.out, isWanted, onBytes)) {
    files.push(file);
    shell.progress('');
    if (!values.json)
      shell.print(`${file.file.padEnd(24)} ${String(file.bytes).padStart(9)} bytes  sha256 ${file.sha256}`);
  }
  const findings = await reader.verify(values.track.length === 0 ? 'plaintext' : 'heads');
  if (values.json) {
    const { verdict, reasons } = findings;
    shell.printJson({
      recording_id: recordingId,
      key_id: keyIdB64,
      verdict,
      reasons,
      epochs: reader.epochs.length,
      files,
    });
  } else {
    tellVerdict(shell, findings);
  }
  return exitOf(findings.verdict);
});

export function parseRecordingId(text: string): string {
  try {
    parseId(text);
  } catch {
    throw usageError(
      `expected a recording's id of 22 characters, found ${JSON.stringify(text)}`,
      '`zeroreel list` shows them',
    );
  }
  return text;
}

function parseWanted(wanted: readonly string[]): (track: OpenTrack) => boolean {
  if (wanted.length === 0) return () => true;
  const ids = new Set(wanted.filter((text) => /^\d+$/.test(text)).map(Number));
  const kinds = new Set(wanted.filter((text) => !/^\d+$/.test(text)).map(parseKind));
  return ({ track, kind }) => ids.has(track) || kinds.has(kind);
}

/** One track to standard output, as it is decrypted. */
async function stream(
  reader: RecordingReader,
  isWanted: (track: OpenTrack) => boolean,
  shell: Shell,
): Promise<ExitCode> {
  const tracks = new Map(
    reader.epochs.flatMap((epoch) => epoch.tracks.filter(isWanted)).map((track) => [track.track, track]),
  );
  const [only, ...more] = tracks.values();
  if (!only) throw usageError('the recording has no such track');
  if (more.length > 0) {
    throw usageError(
      `the recording has ${tracks.size} tracks of this kind`,
      `--track ID chooses: ${[...tracks.values()].map(({ track, kind }) => `${track} ${TRACK_KINDS[kind]}`).join(', ')}`,
    );
  }
  for (const { epoch, checked } of reader.epochs) {
    if (!checked) continue;
    for await (const bytes of mediaOf(reader, epoch, only.track)) await shell.write(bytes);
  }
  const { verdict, reasons } = await reader.verify('heads');
  shell.say([verdict, ...reasons].join('\n'));
  return verdict === 'COMPLETE' ? EXIT.well : exitOf(verdict);
}
