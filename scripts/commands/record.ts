import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Policy } from '../../crypto/format/policy.ts';
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { parseReceipt } from '../../crypto/format/receipt.ts';
import type { ExamLink } from '../../src/client/link.ts';
import { formatReceipt } from '../../src/client/kept-receipt.ts';
import { ClientError } from '../../src/client/errors.ts';
import type { QuotaNews } from '../../src/client/quota.ts';
import { sleep } from '../../src/client/environment.ts';
import type { SealedMedia } from '../../src/client/live-epoch.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { fetchPinnedPolicy } from '../../src/client/pinning.ts';
import { Recorder, type RecorderOptions, type RecorderProgress } from '../../src/client/recorder.ts';
import { paced, skipBytes } from '../recording/pieces.ts';
import { SourceJournal } from '../recording/source-journal.ts';
import { assignTracks, openSource, parseTrack, piecesOf, type SourceTrack } from '../recording/tracks.ts';
import { command, parseCount, parseWords, SERVER_FLAGS, usageError } from '../shell/arguments.ts';
import { CommandError, EXIT, type ExitCode } from '../shell/exits.ts';
import { formatBytes, formatTime } from '../shell/figures.ts';
import { connect, readExamLink, readTicketLink } from '../shell/server.ts';
import type { Shell } from '../shell/shell.ts';

const USAGE = `zeroreel record --ticket FILE [--outbox DIR] [--name TEXT] [--pace N] [--patience SECONDS] [--json] FILE...
zeroreel record --ticket FILE --finish

Seals each FILE as a track under the readers' keys and uploads it. A file's name tells what it is (webcam.webm, screen.webm,
microphone.ogg, events.ndjson); --track id:kind:codec=FILE tells it for any other; - is standard input, as from ffmpeg.

What is sealed waits in the outbox until a receipt covers it. After a crash, the same command goes on where the outbox ends: files
to the byte, standard input with what comes now. --finish uploads what is left and closes, without recording more.

  --ticket   file with a seat's link (or ZEROREEL_TICKET); --exam LINK where the policy admits by link
  --outbox   folder for what is not stored yet (default: zeroreel-outbox); it holds no key
  --name     what the readers see as the student's name; the server never does
  --pace     N times as fast as it was recorded, as \`ffmpeg -re\` does with 1; default: as fast as can be
  --patience give up after so many seconds without any answer; everything stays in the outbox

A recording that becomes as large or as long as its service or its exam allows is told so before, ends by itself, is closed, and makes
the exit code 1: what was sealed until then is stored, and a receipt covers it.

Ctrl-C ends the recording and closes it; a second Ctrl-C, or SIGTERM, leaves it to be resumed.

  $ ffmpeg -f v4l2 -i /dev/video0 -f pulse -i default -c:v libvpx -c:a libopus -f webm - |
      zeroreel record --ticket 0001.link --track 1:webcam:video/webm=-
  recording pVnGJ0mYQ1e6d0aXwz2u7A, to be destroyed by 2026-12-23 09:05 UTC
  24 of 24 chunks stored
  closed; the receipt is in zeroreel-outbox/receipt.txt`;

export const record = command(USAGE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      ticket: { type: 'string' },
      exam: { type: 'string' },
      outbox: { type: 'string', default: 'zeroreel-outbox' },
      track: { type: 'string', multiple: true, default: [] },
      name: { type: 'string' },
      pace: { type: 'string' },
      patience: { type: 'string' },
      finish: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 64, names: 'at most 64 files' },
  );
  const sources = [...values.track, ...positionals].map(parseTrack);
  if (values.finish === sources.length > 0) {
    throw usageError(
      values.finish ? '--finish records nothing more: expected no FILE' : 'expected a FILE, or - for standard input',
    );
  }
  const pace = values.pace === undefined ? undefined : parsePace(values.pace);
  const patience =
    values.patience === undefined ? undefined : parseCount(values.patience, '--patience', { from: 1, to: 86_400 });
  const link =
    values.exam === undefined ? await readTicketLink(shell, values.ticket) : await readExamLink(shell, values.exam);
  const api = await connect(shell, { server: values.server }, link);
  const { policy, revoked } = await fetchPinnedPolicy(api, link, undefined);
  for (const { label } of revoked) {
    shell.say(`warning: ${label} has revoked the key that this exam seals to; tell whoever runs the exam`);
  }
  const tracks = await assignTracks(sources, policy);
  const session = new RecordingSession(shell, link, policy, values.outbox, values.json, patience);
  const outbox = await openFolderOutbox({ directory: values.outbox });
  const journal = await SourceJournal.open(join(values.outbox, 'sources.journal'));
  try {
    const options = {
      api,
      link,
      outbox,
      tracks,
      onSealed: (sealed: SealedMedia) => journal.remember(sealed),
      ...(values.name !== undefined && { about: { name: values.name } }),
      onProgress: (progress: RecorderProgress) => {
        session.tell(progress);
      },
    };
    return values.finish
      ? await session.finish(options)
      : await session.run(
          options,
          tracks,
          await journal.positions(
            outbox,
            tracks.map(({ track }) => track),
          ),
          pace,
        );
  } finally {
    await journal.close();
    await outbox.close();
  }
});

function parsePace(text: string): number {
  const factor = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (!(factor > 0)) throw usageError(`--pace: expected a factor like 1 or 2.5, found ${JSON.stringify(text)}`);
  return factor;
}

/** One run of the command, from the outbox to the receipt. */
class RecordingSession {
  readonly #shell: Shell;
  readonly #link: ExamLink;
  readonly #policy: Policy;
  readonly #directory: string;
  readonly #isJson: boolean;
  readonly #patience: { patienceMs?: number };
  #told = '';
  #limit: QuotaNews | undefined;

  constructor(
    shell: Shell,
    link: ExamLink,
    policy: Policy,
    directory: string,
    isJson: boolean,
    patienceSeconds: number | undefined,
  ) {
    this.#shell = shell;
    this.#link = link;
    this.#policy = policy;
    this.#directory = directory;
    this.#isJson = isJson;
    this.#patience = patienceSeconds === undefined ? {} : { patienceMs: patienceSeconds * 1000 };
  }

  async run(
    options: RecorderOptions,
    tracks: readonly SourceTrack[],
    positions: ReadonlyMap<number, number>,
    pace: number | undefined,
  ): Promise<ExitCode> {
    const recorder = await this.#start(options);
    this.#announce(recorder, positions);
    const stop = new Interrupts();
    try {
      const feeding = Promise.all(
        tracks.map((track) => this.#feed(recorder, track, positions.get(track.track) ?? 0, pace, stop.ending)),
      );
      await Promise.race([feeding, stop.leaving]);
      const receipt = await Promise.race([recorder.close(1, this.#patience), stop.leaving]);
      return await this.#keep(receipt);
    } catch (error) {
      if (error instanceof CommandError && error.exit === 'interrupted') await recorder.suspend();
      throw error;
    } finally {
      stop.release();
    }
  }

  async finish(options: RecorderOptions): Promise<ExitCode> {
    const receipt = await Recorder.finish(options, 1, this.#patience);
    return this.#keep(receipt);
  }

  /** Opens a recording, or goes on with the one of the outbox. */
  async #start(options: RecorderOptions): Promise<Recorder> {
    const standing = await options.outbox.session();
    if (!standing || standing.epochs.length === 0) return Recorder.open(options);
    if (standing.closeReceipt) {
      throw new CommandError(
        'storage',
        'outbox-used',
        `the outbox holds recording ${standing.recordingId}, which is closed`,
        'record anew with another --outbox; --finish writes the receipt again',
      );
    }
    return Recorder.resume(options);
  }

  async #feed(
    recorder: Recorder,
    track: SourceTrack,
    position: number,
    pace: number | undefined,
    ending: AbortSignal,
  ): Promise<void> {
    const writer = recorder.track(track.track);
    const now = (): number => performance.now();
    const isFile = track.source !== '-';
    const pieces = skipBytes(piecesOf(track, openSource(track, this.#shell.input), now), isFile ? position : 0);
    const timed = pace === undefined || !isFile ? pieces : paced(pieces, pace, now, (ms) => sleep(ms, ending));
    for await (const { bytes, tMs, durMs } of timed) {
      if (ending.aborted) break;
      try {
        await writer.write(bytes, { tMs, durMs });
      } catch (error) {
        if (error instanceof ClientError && error.code === 'quota') break;
        throw error;
      }
    }
    await writer.end();
  }

  #announce(recorder: Recorder, positions: ReadonlyMap<number, number>): void {
    const { recordingId, deleteByMs } = recorder;
    const resumed = [...positions.values()].reduce((sum, bytes) => sum + bytes, 0);
    if (this.#isJson)
      this.#shell.printJson({
        event: 'opened',
        recording_id: recordingId,
        delete_by_ms: deleteByMs,
        resumed_at: Object.fromEntries(positions),
      });
    else this.#shell.print(`recording ${recordingId}, to be destroyed by ${formatTime(deleteByMs)}`);
    if (resumed > 0) this.#shell.say(`going on after the ${formatBytes(resumed)} that were sealed before`);
  }

  tell({ state, sealed, stored, bytes, backlog, quota }: RecorderProgress): void {
    this.#warn(quota);
    const line = `${stored} of ${sealed} chunks stored, ${formatBytes(backlog)} waiting, ${state}`;
    if (line === this.#told) return;
    this.#told = line;
    if (this.#isJson) this.#shell.printJson({ event: 'progress', state, sealed, stored, bytes, backlog });
    else this.#shell.progress(line);
  }

  /** Once when the limit is near, once when it is reached. */
  #warn(quota: QuotaNews | undefined): void {
    if (!quota || (this.#limit?.isReached ?? false) || this.#limit?.isReached === quota.isReached) return;
    this.#limit = quota;
    const { bytesLeft, secondsLeft, isReached } = quota;
    const what = quota.quota === 'bytes' ? 'large' : 'long';
    const left =
      quota.quota === 'bytes' ? formatBytes(bytesLeft ?? 0) : `${Math.ceil((secondsLeft ?? 0) / 60)} minutes`;
    if (this.#isJson)
      this.#shell.printJson({
        ...{ event: 'quota', quota: quota.quota, reached: isReached, bytes_left: bytesLeft, seconds_left: secondsLeft },
      });
    else if (isReached)
      this.#shell.say(`the recording is as ${what} as it may be: it ends now, and is closed with what was sealed`);
    else this.#shell.say(`warning: the recording is nearly as ${what} as it may be; it ends by itself in ${left}`);
  }

  async #keep(receipt: Bytes): Promise<ExitCode> {
    const path = join(this.#directory, 'receipt.txt');
    await writeFile(path, formatReceipt({ server: this.#link.url, vkey: this.#policy.log.vkey, receipt }), {
      mode: 0o600,
    });
    const { sessionId, deleteByMs } = parseReceipt(receipt);
    this.#shell.progress('');
    if (this.#isJson) {
      this.#shell.printJson({
        event: 'closed',
        recording_id: sessionId,
        delete_by_ms: deleteByMs,
        receipt: toBase64Url(receipt),
        receipt_file: path,
      });
    } else {
      this.#shell.print(this.#told.split(',', 1)[0]!);
      this.#shell.print(`closed; the receipt is in ${path}`);
    }
    return this.#limit?.isReached === true ? EXIT.unwell : EXIT.well;
  }
}

/** Ctrl-C once: end and close. Twice, or SIGTERM: leave it to be resumed. */
class Interrupts {
  readonly #end = new AbortController();
  readonly #release: () => void;
  /** Rejects when this process is to leave at once. */
  readonly leaving: Promise<never>;

  constructor() {
    let leave: (error: CommandError) => void = () => undefined;
    this.leaving = new Promise<never>((_resolve, reject) => (leave = reject));
    this.leaving.catch(() => undefined);
    const onTerminate = (): void => {
      leave(
        new CommandError(
          'interrupted',
          'interrupted',
          'stopped; what is sealed is in the outbox',
          'the same command goes on',
        ),
      );
    };
    const onInterrupt = (): void => {
      if (this.#end.signal.aborted) onTerminate();
      else this.#end.abort();
    };
    process.on('SIGINT', onInterrupt).on('SIGTERM', onTerminate);
    this.#release = () => process.off('SIGINT', onInterrupt).off('SIGTERM', onTerminate);
  }

  /** Aborted when no more is to be recorded. */
  get ending(): AbortSignal {
    return this.#end.signal;
  }

  release(): void {
    this.#release();
  }
}
