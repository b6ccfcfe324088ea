/**
 * A recorder: opens or resumes a recording, hands out track writers, closes.
 *
 * Each start is a new epoch with new keys (PROTOCOL.md section 1). What older epochs left in the outbox goes up in the
 * background, with their own upload tokens and last words, while the new epoch already records; the new OPEN names the hash of
 * the old epoch's last words as prev_head, so a reader knows how much the old epoch must have. CLOSE is sent when every
 * older epoch is drained: a recording that closed is complete.
 */
import { toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import type { Reason } from '../../crypto/format/head.ts';
import { newId } from '../../crypto/format/ids.ts';
import { parseOpen } from '../../crypto/format/open.ts';
import type { ParsedPolicy } from '../../crypto/format/policy.ts';
import { drainEpoch } from './dead-epoch.ts';
import { KIND_ABOUT, startEpoch, type RecorderOptions, type StartedEpoch } from './epoch-start.ts';
import { ClientError } from './errors.ts';
import { formatExamLink, parseExamLink, withoutTicket } from './link.ts';
import type { LiveEpoch } from './live-epoch.ts';
import { countChunks, isClosing, requireSession } from './outbox-session.ts';
import type { OutboxSession, SealedChunk } from './outbox.ts';
import { fetchPinnedPolicy } from './pinning.ts';
import { QuotaWatch, type QuotaNews } from './quota.ts';
import type { TrackWriter } from './track-writer.ts';
import { Changes } from './turns.ts';
import type { Uploader } from './uploader.ts';

export type { RecorderOptions } from './epoch-start.ts';

const TICK_MS = 1000;
/** The end was the exam's or the service's rule, and nobody's decision. */
const QUOTA_REASON: Reason = 3;

export interface RecorderProgress {
  state: 'recording' | 'offline' | 'outbox-full' | 'closing' | 'closed' | 'failed';
  /** Chunks sealed in all epochs, as their heads count them. */
  sealed: number;
  /** Of these, chunks that a verified receipt covers: the only ones that are called stored. */
  stored: number;
  /** Bytes sealed by this process. */
  bytes: number;
  /** Bytes that wait in the outbox. */
  backlog: number;
  /** Told from when a limit is near. When it is reached the recording ends by itself: `close` answers its receipt. */
  quota?: QuotaNews;
}

export interface CloseOptions {
  /** Gives up with `unreachable` after so long without any answer; everything stays in the outbox. Default: never. */
  patienceMs?: number;
}

export class Recorder {
  readonly recordingId: string;
  readonly policy: ParsedPolicy;
  readonly #options: RecorderOptions;
  readonly #session: OutboxSession;
  readonly #live: LiveEpoch;
  readonly #changes: Changes;
  readonly #quota: QuotaWatch;
  readonly #abort: AbortController;
  readonly #uploaders: Uploader[];
  /** Chunks of older epochs, and those of them that receipts cover. */
  readonly #older = new Map<number, { sealed: number; stored: number }>();
  readonly #heads: Promise<Bytes>;
  readonly #drains: Promise<void>;
  #closing: Reason | undefined;
  #isClosed = false;
  #failure: Error | undefined;
  #patienceMs: number | undefined;
  #quotaNews: QuotaNews | undefined;
  #closed: Promise<Bytes> | undefined;

  private constructor(options: RecorderOptions, { session, policy, live, changes, quota, abort }: StartedEpoch) {
    this.#options = options;
    this.#session = session;
    this.#live = live;
    this.#changes = changes;
    this.#quota = quota;
    this.#abort = abort;
    this.recordingId = session.recordingId;
    this.policy = policy;
    this.#uploaders = [live.uploader];
    live.afterSeal = () => {
      this.#checkQuota();
    };
    this.#heads = live.runHeads(() => this.#closing);
    this.#drains = this.#drainOlder();
    this.#heads.catch((error: unknown) => {
      this.#fail(error);
    });
    // What an older epoch left may be past saving; that must not end the recording that runs. `close` tells it.
    this.#drains.catch(() => undefined);
    void this.#run();
  }

  /**
   * Begins a recording in an empty outbox. Throws `policy` for a policy that is not the pinned owner's, `log` for a log that
   * forked or shrank, `ApiError` where the server refuses, `outbox-used` where the outbox holds a recording.
   */
  static async open(options: RecorderOptions): Promise<Recorder> {
    const standing = await options.outbox.session();
    if (standing && standing.epochs.length > 0) {
      throw new ClientError('outbox-used', `the outbox holds recording ${standing.recordingId}`, {
        hint: 'resume it, or use another folder',
      });
    }
    const { environment } = options.api;
    return Recorder.#start(options, {
      link: formatExamLink(withoutTicket(options.link)),
      recordingId: newId(environment.randomBytes),
      participantSalt: environment.randomBytes(16),
      epochs: [],
      checkpoint: standing?.checkpoint ?? null,
      openedMs: null,
      deleteByMs: null,
      closeReceipt: null,
    });
  }

  /**
   * Goes on after a crash or a suspension, in a new epoch; older ones drain in the background. Throws `outbox-used` for an
   * empty outbox, `ended` where the recording was closed or its closing head was released already (`finish` completes that).
   */
  static async resume(options: RecorderOptions): Promise<Recorder> {
    const session = await requireSession(options.outbox);
    if (parseExamLink(session.link).examId !== options.link.examId) {
      throw new ClientError('outbox-used', 'the outbox holds a recording of another exam');
    }
    if (session.closeReceipt || (await isClosing(options.outbox, session))) {
      throw new ClientError('ended', `recording ${session.recordingId} was closed`, { hint: 'finish it instead' });
    }
    return Recorder.#start(options, session);
  }

  /**
   * Completes a recording whose recorder crashed and that nobody continues: drains, and closes in an epoch without media.
   * Answers the closing receipt. Idempotent.
   */
  static async finish(
    options: Omit<RecorderOptions, 'tracks'>,
    reason: Reason,
    close: CloseOptions = {},
  ): Promise<Bytes> {
    const session = await requireSession(options.outbox);
    if (session.closeReceipt) return session.closeReceipt;
    if (await isClosing(options.outbox, session)) return finishClosing(options, session, close);
    const [newest] = session.epochs.slice(-1);
    const tracks = newest ? parseOpen(newest.open).tracks : [];
    const recorder = await Recorder.resume({ ...options, tracks });
    return recorder.close(reason, close);
  }

  static async #start(options: RecorderOptions, session: OutboxSession): Promise<Recorder> {
    const started = await startEpoch(options, session);
    const recorder = new Recorder(options, started);
    // A recording that is full already ends at once; whoever writes is told.
    await recorder.#writeAbout(started).catch((error: unknown) => {
      if (!(error instanceof ClientError && error.code === 'quota')) throw error;
    });
    return recorder;
  }

  /** When the server will have destroyed the recording, ms. */
  get deleteByMs(): number {
    return this.#session.deleteByMs!;
  }

  /** Throws `track` for a track that was not declared. */
  track(id: number): TrackWriter {
    return this.#live.writer(id);
  }

  /** Media time now, ms since this epoch's OPEN: what every track's times count from. */
  mediaNow(): number {
    return this.#live.mediaNow();
  }

  /** Number of the epoch that is being recorded; above 0 where the recording was resumed. */
  get epoch(): number {
    return this.#session.epochs.at(-1)!.epoch;
  }

  /** At a pause: what is gathered becomes durable, and a head over it goes out as soon as it is stored. */
  async flush(): Promise<void> {
    await this.#orFailure(this.#live.flush());
  }

  /**
   * Ends every track, uploads everything of every epoch, closes. Answers the server's closing receipt (ZRRC). When it throws,
   * nothing is lost: `finish` or `resume` go on from the outbox. Where a limit ended the recording, this answers the receipt of that end.
   */
  async close(reason: Reason = 1, options: CloseOptions = {}): Promise<Bytes> {
    this.#patienceMs ??= options.patienceMs;
    return this.#orFailure((this.#closed ??= this.#close(reason)));
  }

  /** Makes what is gathered durable and stops, so that a later process can resume. The outbox stays open: it is the caller's. */
  async suspend(): Promise<void> {
    try {
      if (!this.#failure) await this.#live.flush();
    } finally {
      this.#abort.abort();
      this.#changes.notify();
      await Promise.allSettled([this.#heads, this.#drains]);
    }
  }

  progress(): RecorderProgress {
    const sum = (counts: ReadonlyMap<number, number>) =>
      [...counts.values()].reduce((total, count) => total + count, 0);
    const older = [...this.#older.values()];
    return {
      state: this.#state(),
      sealed: older.reduce((total, { sealed }) => total + sealed, sum(this.#live.sealedCounts)),
      stored: older.reduce((total, { stored }) => total + stored, sum(this.#live.coveredCounts)),
      bytes: this.#live.sealedBytes,
      backlog: this.#options.outbox.backlogBytes,
      ...(this.#quotaNews && { quota: this.#quotaNews }),
    };
  }

  #state(): RecorderProgress['state'] {
    if (this.#isClosed) return 'closed';
    if (this.#failure) return 'failed';
    if (this.#live.isWaitingForRoom) return 'outbox-full';
    if (this.#uploaders.some(({ isOffline }) => isOffline)) return 'offline';
    return this.#closing === undefined ? 'recording' : 'closing';
  }

  async #close(reason: Reason): Promise<Bytes> {
    await this.#live.endTracks();
    await this.#drains;
    this.#closing = reason;
    this.#changes.notify();
    const receipt = await this.#heads;
    Object.assign(this.#session, { closeReceipt: receipt });
    await this.#markDrained(this.#session.epochs.at(-1)!.epoch);
    this.#isClosed = true;
    this.#abort.abort();
    this.#changes.notify();
    return receipt;
  }

  async #drainOlder(): Promise<void> {
    const { api, outbox, concurrency } = this.#options;
    const { vkey } = this.policy.policy.log;
    const older = this.#session.epochs.slice(0, -1).filter(({ state }) => state !== 'drained');
    for (const epoch of older) this.#older.set(epoch.epoch, await countChunks(outbox, epoch.epoch));
    for (const epoch of older) {
      const options = {
        api,
        outbox,
        recordingId: this.recordingId,
        epoch,
        vkey,
        changes: this.#changes,
        quota: this.#quota,
        signal: this.#abort.signal,
        concurrency,
      };
      try {
        await drainEpoch(options, (uploader) => this.#uploaders.push(uploader));
      } catch (error) {
        if (!(error instanceof ClientError && error.code === 'quota')) throw error;
        // What is left of it can never be stored. A reader sees the gap: this epoch's OPEN names its last words.
        await outbox.release(epoch.epoch, endsOf(await outbox.chunks(epoch.epoch)));
      }
      await this.#markDrained(epoch.epoch);
    }
  }

  async #markDrained(epoch: number): Promise<void> {
    const entry = this.#session.epochs.find((candidate) => candidate.epoch === epoch);
    if (entry) entry.state = 'drained';
    await this.#options.outbox.saveSession(this.#session);
  }

  async #writeAbout({ participant, clientAddress }: StartedEpoch): Promise<void> {
    const track = this.policy.policy.tracks.find(({ kind }) => kind === KIND_ABOUT);
    if (!track) return;
    const { about = {}, link } = this.#options;
    const launch = link.launch && { launch: { id_token: link.launch.idToken, jwk: link.launch.jwk } };
    const salt = toBase64Url(this.#session.participantSalt);
    const writer = this.#live.writer(track.id);
    const address = this.policy.policy.capture['address'] === true && { address: clientAddress };
    const told = { ...about, ...launch, ...address, participant: { ...participant, salt } };
    await writer.write(utf8(JSON.stringify(told)));
    await writer.end();
  }

  /** The recorder's pulse: seals what is old, wakes who waits for a moment, tells progress, notices silence. */
  async #run(): Promise<void> {
    const { environment } = this.#options.api;
    let ticking: Promise<void> | undefined;
    while (!this.#abort.signal.aborted) {
      await environment.sleep(TICK_MS, this.#abort.signal);
      // Not awaited: it stands still while the outbox is full, and that is when progress is looked at.
      ticking ??= this.#live
        .tick()
        .catch((error: unknown) => {
          this.#fail(error);
        })
        .finally(() => {
          ticking = undefined;
        });
      for (const { epoch } of this.#session.epochs) {
        if (this.#older.has(epoch)) this.#older.set(epoch, await countChunks(this.#options.outbox, epoch));
      }
      this.#checkQuota();
      this.#checkPatience();
      this.#changes.notify();
      this.#options.onProgress?.(this.progress());
    }
    this.#options.onProgress?.(this.progress());
  }

  /** Ends the recording while what is sealed still fits. */
  #checkQuota(): void {
    if (this.#quotaNews?.isReached === true || this.#closed || this.#failure) return;
    const older = this.#uploaders.slice(1).reduce((sum, uploader) => sum + uploader.unsignedBytes, 0);
    this.#quotaNews = this.#live.quotaNews(older);
    if (this.#quotaNews?.isReached !== true) return;
    this.#live.refuseMore(new ClientError('quota', 'the recording is as large or as long as it may be, and ends'));
    this.#closed = this.#close(QUOTA_REASON);
    this.#closed.catch((error: unknown) => {
      this.#fail(error);
    });
  }

  #checkPatience(): void {
    if (this.#patienceMs === undefined || this.#isClosed) return;
    const heardMs = Math.max(...this.#uploaders.map((uploader) => uploader.heardMs));
    if (this.#options.api.environment.clock.monotonic() - heardMs < this.#patienceMs) return;
    this.#fail(
      new ClientError(
        'unreachable',
        `no answer for ${Math.round(this.#patienceMs / 1000)} s; everything is in the outbox`,
        {
          hint: 'run the same command again when the network is back',
        },
      ),
    );
  }

  #fail(error: unknown): void {
    if (this.#isClosed || this.#abort.signal.aborted) return;
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#abort.abort();
    this.#changes.notify();
  }

  /** The work's result, or the reason why the recorder failed rather than the "stopped" that follows from it. */
  async #orFailure<Result>(work: Promise<Result>): Promise<Result> {
    try {
      return await work;
    } catch (error) {
      this.#fail(error);
      throw this.#failure ?? error;
    }
  }
}

/** The closing head was made durable and perhaps released: it is released again, the same bytes, until its receipt is here. */
async function finishClosing(
  { api, outbox, link, concurrency }: Omit<RecorderOptions, 'tracks'>,
  session: OutboxSession,
  { patienceMs }: CloseOptions,
): Promise<Bytes> {
  const { policy } = await fetchPinnedPolicy(api, link, undefined);
  const abort = new AbortController();
  const { signal } = abort;
  const patience = { isOver: false };
  if (patienceMs !== undefined) {
    void api.environment.sleep(patienceMs, signal).then(() => {
      patience.isOver = !signal.aborted;
      abort.abort();
      changes.notify();
    });
  }
  const changes = new Changes();
  const epoch = session.epochs.at(-1)!;
  const { recordingId } = session;
  try {
    const quota = new QuotaWatch(api.environment.clock);
    const options = { api, outbox, recordingId, epoch, vkey: policy.log.vkey, changes, quota, signal, concurrency };
    const closeReceipt = await drainEpoch(options, () => undefined);
    const epochs = session.epochs.map((entry) => ({ ...entry, state: 'drained' as const }));
    await outbox.saveSession({ ...session, epochs, closeReceipt });
    return closeReceipt;
  } catch (error) {
    if (patience.isOver)
      throw new ClientError('unreachable', 'the closing head was not answered; it is in the outbox', { cause: error });
    throw error;
  } finally {
    abort.abort();
  }
}

/** Counts that cover all of these. */
function endsOf(chunks: readonly SealedChunk[]): Map<number, number> {
  const ends = new Map<number, number>();
  for (const { track, seq } of chunks) ends.set(track, Math.max(ends.get(track) ?? 0, seq + 1));
  return ends;
}
