/**
 * A recorder: opens or resumes a recording, hands out track writers, closes.
 *
 * Each start is a new epoch with new keys (PROTOCOL.md section 1). What older epochs left in the outbox goes up in the
 * background, with their own upload tokens and last words, while the new epoch already records; the new OPEN names the hash of
 * the old epoch's last words as prev_head, so a reader knows how much the old epoch must have. CLOSE is sent when every
 * older epoch is drained: a recording that closed is complete.
 */
import { toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { headHash, parseHead, type Reason } from '../../crypto/format/head.ts';
import { newId } from '../../crypto/format/ids.ts';
import {
  NO_ATTESTATION,
  parseOpen,
  participantHash,
  type Attestation,
  type OpenTrack,
} from '../../crypto/format/open.ts';
import type { ParsedPolicy } from '../../crypto/format/policy.ts';
import { attestWithTicket, parseTicket } from '../../crypto/format/ticket.ts';
import { deleteByOf } from '../../crypto/log/entry.ts';
import { signerFromSeed } from '../../crypto/seal/identity.ts';
import type { Api } from './api.ts';
import { drainEpoch, isRegistered, lastWords } from './dead-epoch.ts';
import { prepareEpoch } from './epoch-opening.ts';
import { ApiError, ClientError } from './errors.ts';
import { formatExamLink, parseExamLink, withoutTicket, type ExamLink } from './link.ts';
import { LiveEpoch } from './live-epoch.ts';
import type { Outbox, OutboxSession } from './outbox.ts';
import { captureRules, fetchCheckpoint, fetchPinnedPolicy } from './pinning.ts';
import type { TrackWriter } from './track-writer.ts';
import { Changes } from './turns.ts';
import type { Uploader } from './uploader.ts';

const KIND_ABOUT = 7;
const TICK_MS = 1000;

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
}

export interface RecorderOptions {
  api: Api;
  /** Pins the owner; may carry the seat ticket. */
  link: ExamLink;
  outbox: Outbox;
  /** Which of the policy's tracks this recorder writes; `about` is added where the policy has it. */
  tracks: readonly OpenTrack[];
  /** What the readers are told about this attempt, sealed as its own track: name, device. The server never sees it. */
  about?: Readonly<Record<string, unknown>>;
  /** How the recorder is let in where it is not by ticket, e.g. an LTI id_token over core_hash. */
  attest?: (coreHash: Bytes) => Promise<Attestation>;
  /** Hash of the build, 32 bytes; zeros: not declared. */
  recorderBuild?: Bytes;
  /** Capture rules of the policy that the caller itself follows. */
  knownRules?: readonly string[];
  /** PUTs at a time. */
  concurrency?: number;
  onProgress?: (progress: RecorderProgress) => void;
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

  private constructor(
    options: RecorderOptions,
    session: OutboxSession,
    policy: ParsedPolicy,
    live: LiveEpoch,
    shared: Shared,
  ) {
    this.#options = options;
    this.#session = session;
    this.#live = live;
    this.#changes = shared.changes;
    this.#abort = shared.abort;
    this.recordingId = session.recordingId;
    this.policy = policy;
    this.#uploaders = [live.uploader];
    this.#heads = live.runHeads(() => this.#closing);
    this.#drains = this.#drainOlder();
    for (const work of [this.#heads, this.#drains])
      work.catch((error: unknown) => {
        this.#fail(error);
      });
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
    return Recorder.#start(options, await dropUnregistered(options, session));
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
    if (await isClosing(options.outbox, session)) return finishClosing(options, session);
    const [newest] = session.epochs.slice(-1);
    const tracks = newest ? parseOpen(newest.open).tracks : [];
    const recorder = await Recorder.resume({ ...options, tracks });
    return recorder.close(reason, close);
  }

  static async #start(options: RecorderOptions, session: OutboxSession): Promise<Recorder> {
    const { api, link, outbox } = options;
    const { environment } = api;
    const policy = await fetchPinnedPolicy(
      api,
      link,
      session.epochs.length === 0 ? environment.clock.now() : undefined,
    );
    const rules = captureRules(policy.policy, options.knownRules);
    const tracks = tracksOf(policy, options);
    const checkpoint = await fetchCheckpoint(api, policy.policy.log, session.checkpoint);
    const participant = identify(options);
    const previous = session.epochs.at(-1);
    const prepared = await prepareEpoch(environment, {
      policy,
      sessionId: session.recordingId,
      epoch: previous ? previous.epoch + 1 : 0,
      prevHead: previous ? await hashOfLastWords(outbox, previous.epoch) : new Uint8Array(32),
      tracks,
      participant: await participantHash(session.participantSalt, participant.issuer, participant.subject),
      recorderBuild: options.recorderBuild ?? new Uint8Array(32),
      beaconSize: checkpoint?.size ?? 0,
      beaconRoot: checkpoint?.root ?? new Uint8Array(32),
      attest: attestation(options),
    });
    const shared = { changes: new Changes(), abort: new AbortController() };
    const { changes, abort } = shared;
    const { concurrency } = options;
    const live = await LiveEpoch.prepare({ api, outbox, prepared, rules, changes, signal: abort.signal, concurrency });

    const { epoch } = prepared.plan;
    const entry = { epoch, state: 'opening' as const, uploadToken: prepared.uploadToken, open: prepared.open };
    const opening = {
      ...session,
      epochs: [...session.epochs, entry],
      checkpoint: checkpoint?.note ?? session.checkpoint,
    };
    await outbox.saveSession(opening);
    const answer = await post(options, prepared.request, session);
    if (answer.recording_id !== session.recordingId || answer.epoch !== epoch) {
      throw new ClientError('answer', 'the server opened another recording than the one that was asked for');
    }
    if (answer.delete_by_ms > deleteByOf(answer.opened_ms, policy.policy)) {
      throw new ClientError('answer', 'the server promises to delete later than the policy allows');
    }
    const opened: OutboxSession = {
      ...opening,
      epochs: [...session.epochs, { ...entry, state: 'open' }],
      openedMs: answer.opened_ms,
      deleteByMs: answer.delete_by_ms,
    };
    await outbox.saveSession(opened);
    const recorder = new Recorder(options, opened, policy, live, shared);
    await recorder.#writeAbout(participant);
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

  /** At a pause: what is gathered becomes durable, and a head over it goes out as soon as it is stored. */
  async flush(): Promise<void> {
    await this.#orFailure(this.#live.flush());
  }

  /**
   * Ends every track, uploads everything of every epoch, closes. Answers the server's closing receipt (ZRRC). When it throws,
   * nothing is lost: `finish` or `resume` go on from the outbox.
   */
  async close(reason: Reason = 1, options: CloseOptions = {}): Promise<Bytes> {
    this.#patienceMs = options.patienceMs;
    const receipt = await this.#orFailure(this.#close(reason));
    this.#isClosed = true;
    this.#abort.abort();
    this.#changes.notify();
    return receipt;
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
        signal: this.#abort.signal,
        concurrency,
      };
      await drainEpoch(options, (uploader) => this.#uploaders.push(uploader));
      await this.#markDrained(epoch.epoch);
    }
  }

  async #markDrained(epoch: number): Promise<void> {
    const entry = this.#session.epochs.find((candidate) => candidate.epoch === epoch);
    if (entry) entry.state = 'drained';
    await this.#options.outbox.saveSession(this.#session);
  }

  async #writeAbout(participant: Participant): Promise<void> {
    const track = this.policy.policy.tracks.find(({ kind }) => kind === KIND_ABOUT);
    if (!track) return;
    const { about = {} } = this.#options;
    const salt = toBase64Url(this.#session.participantSalt);
    const writer = this.#live.writer(track.id);
    await writer.write(utf8(JSON.stringify({ ...about, participant: { ...participant, salt } })));
    await writer.end();
  }

  /** The recorder's pulse: seals what is old, wakes who waits for a moment, tells progress, notices silence. */
  async #run(): Promise<void> {
    const { environment } = this.#options.api;
    while (!this.#abort.signal.aborted) {
      await environment.sleep(TICK_MS, this.#abort.signal);
      await this.#live.tick().catch((error: unknown) => {
        this.#fail(error);
      });
      for (const { epoch } of this.#session.epochs) {
        if (this.#older.has(epoch)) this.#older.set(epoch, await countChunks(this.#options.outbox, epoch));
      }
      this.#checkPatience();
      this.#changes.notify();
      this.#options.onProgress?.(this.progress());
    }
    this.#options.onProgress?.(this.progress());
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

interface Shared {
  changes: Changes;
  abort: AbortController;
}

interface Participant {
  issuer: string;
  subject: string;
}

/** Whom OPEN's participant hash is about, as far as this recorder knows: a seat, never a name. */
function identify({ link }: Pick<RecorderOptions, 'link'>): Participant {
  return link.ticket
    ? { issuer: 'ticket', subject: parseTicket(link.ticket.ticket).seat }
    : { issuer: 'link', subject: '' };
}

function attestation({ link, attest }: RecorderOptions): (coreHash: Bytes) => Promise<Attestation> {
  if (attest) return attest;
  const { ticket } = link;
  if (!ticket) return async () => NO_ATTESTATION;
  return async (coreHash) => attestWithTicket(ticket.ticket, coreHash, await signerFromSeed(ticket.seed));
}

function tracksOf({ policy }: ParsedPolicy, { tracks }: RecorderOptions): OpenTrack[] {
  const declared = tracks.filter(({ kind }) => kind !== KIND_ABOUT);
  for (const { track, kind } of declared) {
    if (!policy.tracks.some((allowed) => allowed.id === track && allowed.kind === kind)) {
      throw new ClientError('track', `the policy has no track ${track} of kind ${kind}`);
    }
  }
  const about = policy.tracks
    .filter(({ kind }) => kind === KIND_ABOUT)
    .map(({ id, kind }) => ({ track: id, kind, codec: 'application/json' }));
  return [...declared, ...about].sort((a, b) => a.track - b.track);
}

async function requireSession(outbox: Outbox): Promise<OutboxSession> {
  const session = await outbox.session();
  if (!session || session.epochs.length === 0)
    throw new ClientError('outbox-used', 'the outbox holds no recording to resume');
  return session;
}

async function hashOfLastWords(outbox: Outbox, epoch: number): Promise<Bytes> {
  const heads = await outbox.heads(epoch);
  if (!heads) throw new ClientError('outbox-damaged', `the outbox holds no head of epoch ${epoch}`);
  return headHash(parseHead(lastWords(heads)));
}

/** Whether the newest epoch's closing head may have been released: then nothing can be recorded any more. */
async function isClosing(outbox: Outbox, session: OutboxSession): Promise<boolean> {
  const newest = session.epochs.at(-1);
  const heads = newest && (await outbox.heads(newest.epoch));
  return heads?.sent ? parseHead(heads.sent).isClose : false;
}

/** An OPEN of unknown fate either stands, and its epoch is drained like any other, or it never arrived and its number is free. */
async function dropUnregistered(
  { api, outbox }: Pick<RecorderOptions, 'api' | 'outbox'>,
  session: OutboxSession,
): Promise<OutboxSession> {
  const newest = session.epochs.at(-1);
  if (newest?.state !== 'opening') return session;
  const { signal } = new AbortController();
  const stands = await isRegistered({ api, recordingId: session.recordingId, epoch: newest, signal });
  const others = session.epochs.slice(0, -1);
  const settled: OutboxSession = { ...session, epochs: stands ? [...others, { ...newest, state: 'open' }] : others };
  await outbox.saveSession(settled);
  return settled;
}

/** Posts OPEN until it is answered. A refusal frees the epoch's number again: the server has stored nothing. */
async function post(
  { api, outbox, link }: RecorderOptions,
  request: Parameters<Api['open']>[1],
  before: OutboxSession,
) {
  try {
    return await api.open(link.examId, request);
  } catch (error) {
    if (error instanceof ApiError && error.status < 500) await outbox.saveSession(before);
    throw error;
  }
}

async function finishClosing(
  { api, outbox, link, concurrency }: Omit<RecorderOptions, 'tracks'>,
  session: OutboxSession,
): Promise<Bytes> {
  const { policy } = await fetchPinnedPolicy(api, link, undefined);
  const { signal } = new AbortController();
  const epoch = session.epochs.at(-1)!;
  const options = {
    api,
    outbox,
    recordingId: session.recordingId,
    epoch,
    vkey: policy.log.vkey,
    changes: new Changes(),
    signal,
    concurrency,
  };
  const closeReceipt = await drainEpoch(options, () => undefined);
  await outbox.saveSession({
    ...session,
    epochs: session.epochs.map((entry) => ({ ...entry, state: 'drained' })),
    closeReceipt,
  });
  return closeReceipt;
}

async function countChunks(outbox: Outbox, epoch: number): Promise<{ sealed: number; stored: number }> {
  const heads = await outbox.heads(epoch);
  if (!heads) return { sealed: 0, stored: 0 };
  const total = (head: Bytes | null) => (head ? parseHead(head).tracks.reduce((sum, { count }) => sum + count, 0) : 0);
  return { sealed: total(lastWords(heads)), stored: heads.receipt ? total(heads.sent) : 0 };
}
