/** The epoch that is being recorded: media in, sealed chunks into the outbox, heads out. */
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { parseHead, type Reason } from '../../crypto/format/head.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { chunkObjectLength } from '../../crypto/format/chunk.ts';
import { paddedLength, sealChunk } from '../../crypto/seal/chunk.ts';
import type { Api } from './api.ts';
import type { PreparedEpoch } from './epoch-opening.ts';
import { ClientError } from './errors.ts';
import { HeadLine } from './head-line.ts';
import type { Outbox, SealedChunk } from './outbox.ts';
import type { CaptureRules } from './pinning.ts';
import type { QuotaNews, QuotaWatch } from './quota.ts';
import { countsOf, releaseHead } from './release-head.ts';
import { TrackWriter, type Cut } from './track-writer.ts';
import { Mutex, type Changes } from './turns.ts';
import { Uploader } from './uploader.ts';

export interface LiveEpochOptions {
  api: Api;
  outbox: Outbox;
  prepared: PreparedEpoch;
  rules: CaptureRules;
  changes: Changes;
  quota: QuotaWatch;
  signal: AbortSignal;
  concurrency?: number | undefined;
  onSealed?: ((sealed: SealedMedia) => Promise<void>) | undefined;
}

/** How much media a chunk holds: its object does not tell where it is padded. */
export interface SealedMedia {
  epoch: number;
  track: number;
  seq: number;
  mediaBytes: number;
}

/** Kinds whose chunks are so small that their lengths would tell what happened: events, and who it is about. */
const PADDED_KINDS: ReadonlySet<number> = new Set([4, 7]);
/** A head is sent before the window is full, so that uploading never waits for one. */
const HEAD_AFTER_CHUNKS = 32;

export class LiveEpoch {
  readonly uploader: Uploader;
  /** Called after every chunk that was sealed. */
  afterSeal: () => void = () => undefined;
  readonly #options: LiveEpochOptions;
  readonly #line: HeadLine;
  readonly #writers: ReadonlyMap<number, TrackWriter>;
  /** One change of the head line at a time: computed, durable, committed. */
  readonly #heads = new Mutex();
  readonly #startedMs: number;
  #covered = new Map<number, number>();
  #headDueMs: number;
  #isHeadAsked = false;
  #isWaitingForRoom = false;
  #chain: Map<number, { seq: number; prev: Bytes }>;
  #sealedBytes = 0;

  private constructor(options: LiveEpochOptions, line: HeadLine) {
    this.#options = options;
    this.#line = line;
    const { api, outbox, prepared, rules, changes, quota, signal, concurrency } = options;
    const { plan } = prepared;
    const { clock } = api.environment;
    this.#startedMs = clock.monotonic();
    this.#headDueMs = this.#startedMs + rules.headMs;
    this.#chain = new Map(plan.tracks.map(({ track }) => [track, { seq: 0, prev: prepared.openHash }]));
    this.#writers = new Map(
      plan.tracks.map(({ track, kind }) => [
        track,
        new TrackWriter({
          track,
          chunkBytes: rules.chunkBytes,
          chunkMs: rules.chunkMs,
          mediaNow: () => this.mediaNow(),
          seal: (plaintext, cut) => this.#seal(track, PADDED_KINDS.has(kind), plaintext, cut),
        }),
      ]),
    );
    this.uploader = new Uploader({
      api,
      outbox,
      recordingId: plan.sessionId,
      epoch: plan.epoch,
      uploadToken: prepared.uploadToken,
      covered: new Map(plan.tracks.map(({ track }) => [track, 0])),
      changes,
      quota,
      signal,
      ...(concurrency !== undefined && { concurrency }),
    });
  }

  /** Makes the first tail durable; OPEN may be posted after that and nothing sealed before it was acknowledged. */
  static async prepare(options: LiveEpochOptions): Promise<LiveEpoch> {
    const { api, outbox, prepared } = options;
    const { plan, signer, openHash } = prepared;
    const line = new HeadLine({
      signer,
      clock: api.environment.clock,
      sessionId: plan.sessionId,
      epoch: plan.epoch,
      openHash,
      beaconSize: plan.beaconSize,
      beaconRoot: plan.beaconRoot,
      tracks: plan.tracks.map(({ track }) => track),
    });
    const { sent, tails, commit } = await line.begin();
    await outbox.saveHeads(plan.epoch, { sent, receipt: null, tails });
    commit();
    return new LiveEpoch(options, line);
  }

  /** Throws `track` for one that OPEN does not list. */
  writer(track: number): TrackWriter {
    const writer = this.#writers.get(track);
    if (!writer) throw new ClientError('track', `track ${track} is not one of this recording`);
    return writer;
  }

  get sealedCounts(): ReadonlyMap<number, number> {
    return this.#line.sealedCounts();
  }

  get coveredCounts(): ReadonlyMap<number, number> {
    return this.#covered;
  }

  /** Media time now, ms since OPEN. */
  mediaNow(): number {
    return this.#options.api.environment.clock.monotonic() - this.#startedMs;
  }

  get sealedBytes(): number {
    return this.#sealedBytes;
  }

  get isWaitingForRoom(): boolean {
    return this.#isWaitingForRoom;
  }

  /**
   * How near the limit is; `older` are bytes of earlier epochs that wait to be signed for. Kept back are two chunks of each track: the one
   * that is being sealed, and its last.
   */
  quotaNews(older: number): QuotaNews | undefined {
    const { quota, rules } = this.#options;
    const reserve = 2 * this.#writers.size * chunkObjectLength(paddedLength(rules.chunkBytes));
    return quota.look(older + this.uploader.unsignedBytes, reserve);
  }

  /** Takes no more media: writers throw this. */
  refuseMore(refusal: ClientError): void {
    for (const writer of this.#writers.values()) writer.refuse(refusal);
  }

  /** What time alone brings about: old bytes are sealed, a due head goes out. */
  async tick(): Promise<void> {
    await Promise.all([...this.#writers.values()].map((writer) => writer.flushIfOld()));
  }

  /** Seals what is gathered and asks for a head over it: at a pause, and before anything that may end the recorder. */
  async flush(): Promise<void> {
    await Promise.all([...this.#writers.values()].map((writer) => writer.flush()));
    this.#isHeadAsked = true;
    this.#options.changes.notify();
  }

  async endTracks(): Promise<void> {
    await Promise.all([...this.#writers.values()].map((writer) => writer.end()));
  }

  /** Sends heads as they fall due, until `closing` names a reason and everything is stored: then the closing head. Its receipt. */
  async runHeads(closing: () => Reason | undefined): Promise<Bytes> {
    const { changes, signal, api, rules } = this.#options;
    for (;;) {
      const change = changes.next();
      if (signal.aborted) throw new ClientError('ended', 'the recorder was stopped');
      if (this.uploader.failure) throw this.uploader.failure;
      const stored = this.uploader.storedCounts();
      const reason = closing();
      const isAllStored = isSame(stored, this.#line.sealedCounts());
      // What no URL is signed for stays behind: the closing head counts what is stored.
      if (reason !== undefined && (isAllStored || this.uploader.isExhausted)) return this.#send(stored, reason);
      if (this.#isHeadDue(stored)) {
        this.#isHeadAsked = false;
        this.#headDueMs = api.environment.clock.monotonic() + rules.headMs;
        await this.#send(stored);
      } else {
        await change;
      }
    }
  }

  #isHeadDue(stored: ReadonlyMap<number, number>): boolean {
    const uncovered = [...stored].map(([track, count]) => count - (this.#covered.get(track) ?? 0));
    const isNews = uncovered.some((count) => count > 0);
    return (
      this.#options.api.environment.clock.monotonic() >= this.#headDueMs ||
      uncovered.some((count) => count >= HEAD_AFTER_CHUNKS) ||
      (isNews && this.#isWaitingForRoom) ||
      (this.#isHeadAsked && isSame(stored, this.#line.sealedCounts()))
    );
  }

  async #send(counts: ReadonlyMap<number, number>, closing?: Reason): Promise<Bytes> {
    const { api, outbox, prepared, changes, signal } = this.#options;
    const { epoch, sessionId, policy } = prepared.plan;
    const head = await this.#heads.run(async () => {
      const step = await this.#line.advance(counts, closing);
      await outbox.saveHeads(epoch, { sent: step.sent, receipt: null, tails: step.tails });
      step.commit();
      return step.sent!;
    });
    const { bytes } = await releaseHead(
      {
        api,
        outbox,
        recordingId: sessionId,
        uploadToken: prepared.uploadToken,
        vkey: policy.policy.log.vkey,
        uploader: this.uploader,
        changes,
        signal,
      },
      head,
    );
    await this.#heads.run(async () => {
      const { tails } = (await outbox.heads(epoch))!;
      await outbox.saveHeads(epoch, { sent: head, receipt: bytes, tails });
    });
    this.#covered = countsOf(parseHead(head));
    await outbox.release(epoch, closing === undefined ? this.#covered : this.#line.sealedCounts());
    this.uploader.cover(this.#covered);
    changes.notify();
    return bytes;
  }

  async #seal(track: number, isPadded: boolean, plaintext: Bytes, cut: Cut): Promise<void> {
    const { api, prepared } = this.#options;
    const { plan, signer, trackKeys } = prepared;
    const { seq, prev } = this.#chain.get(track)!;
    const fields = {
      isFinal: cut.isFinal,
      isPadded: isPadded && plaintext.length > 0,
      sessionId: plan.sessionId,
      epoch: plan.epoch,
      track,
      seq,
      startMs: cut.startMs,
      durationMs: cut.durationMs,
      gapMs: cut.gapMs,
      wallMs: api.environment.clock.now(),
      prev,
      salt: api.environment.randomBytes(32),
    };
    const { object, entryHash } = await sealChunk(trackKeys.get(track)!, fields, plaintext, signer);
    // From here this (track, seq) exists: whatever happens next, it is never sealed again with other content.
    this.#chain.set(track, { seq: seq + 1, prev: entryHash });
    await this.#options.onSealed?.({ epoch: plan.epoch, track, seq, mediaBytes: plaintext.length });
    const sha256B64 = toBase64Url(await sha256(object));
    const chunk = { epoch: plan.epoch, track, seq, bytes: object.length, sha256B64 };
    await this.#store(chunk, object, entryHash, cut.isFinal);
    this.#sealedBytes += object.length;
    this.uploader.add(chunk);
    this.#options.changes.notify();
    this.afterSeal();
  }

  /** Waits for room while something in the outbox can still leave it; else `outbox-full` goes to the writer. */
  async #store(chunk: SealedChunk, object: Bytes, entryHash: Bytes, isFinal: boolean): Promise<void> {
    const { outbox, changes, signal } = this.#options;
    for (;;) {
      const change = changes.next();
      try {
        await this.#heads.run(async () => {
          const { tail, commit } = await this.#line.append(chunk.track, entryHash, isFinal);
          await outbox.put(chunk, object, tail);
          commit();
        });
        this.#isWaitingForRoom = false;
        return;
      } catch (error) {
        const isFull = error instanceof ClientError && error.code === 'outbox-full';
        if (!isFull || outbox.backlogBytes === 0 || signal.aborted || this.uploader.failure) throw error;
      }
      this.#isWaitingForRoom = true;
      changes.notify();
      await change;
    }
  }
}

function isSame(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): boolean {
  return [...b].every(([track, count]) => a.get(track) === count);
}
