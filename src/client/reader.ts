/**
 * The one decryptor: player, command line and tests read through it. It follows PROTOCOL.md section 13 in its order and
 * fails closed; plaintext comes out only after its own segment was authenticated.
 */
import { equal, fromUtf8, type Bytes } from '../../crypto/format/bytes.ts';
import {
  chunkHeadLength,
  MAX_PLAINTEXT,
  parseChunkHead,
  segmentRange,
  verifyChunkHead,
  verifySegment,
  type ChunkHead,
} from '../../crypto/format/chunk.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import type { ParsedPolicy } from '../../crypto/format/policy.ts';
import { openWholeChunk } from '../../crypto/seal/chunk.ts';
import type { DecryptionKey } from '../../crypto/seal/identity.ts';
import { checkPolicies, type ProvenLife, type ReaderPins } from './epoch-check.ts';
import {
  checkLife,
  claimOf,
  hashB64,
  isContinued,
  listedEnd,
  requireKeys,
  unlock,
  viewEpoch,
  type Depth,
  type EpochView,
  type ReaderEpoch,
} from './epoch-view.ts';
import { ClientError } from './errors.ts';
import type { ReleasedRecording, Source } from './source.ts';
import { TrackAudit } from './track-audit.ts';
import { judgeEpoch, judgeRecording, type Problem, type RecordingFindings } from './verdict.ts';

export type { Depth, ReaderEpoch } from './epoch-view.ts';

export interface ReaderOptions {
  source: Source;
  pins: ReaderPins;
  /** Without it, ciphertext is verified and nothing is opened. */
  key?: DecryptionKey;
  nowMs: number;
}

/** Decrypted media of one chunk. */
export interface MediaChunk {
  seq: number;
  /** ms of media time since the epoch's OPEN. */
  startMs: number;
  durationMs: number;
  gapMs: number;
  bytes: Bytes;
}

export interface ReadOptions {
  /** Skip chunks that are not there instead of throwing `gap`; the findings tell which. */
  allowGaps?: boolean;
}

const DEPTHS: readonly Depth[] = ['heads', 'ciphertext', 'plaintext'];

/** Objects on their way at a time. One whole one: a second cost 20 MiB more and was no faster (loopback); heads are a few kilobytes. */
const PREFETCH = { heads: 8, ciphertext: 2, plaintext: 1 } as const satisfies Record<Depth, number>;
const LONGEST_HEAD = chunkHeadLength(MAX_PLAINTEXT);

export class RecordingReader {
  readonly recordingId: string;
  readonly policies: ReadonlyMap<string, ParsedPolicy>;
  readonly #source: Source;
  readonly #life: ProvenLife;
  readonly #epochs: EpochView[];
  readonly #problems: Problem[];

  private constructor(
    source: Source,
    released: ReleasedRecording,
    policies: ReadonlyMap<string, ParsedPolicy>,
    life: ProvenLife,
    epochs: EpochView[],
    problems: Problem[],
  ) {
    this.#source = source;
    this.recordingId = released.recordingId;
    this.policies = policies;
    this.#life = life;
    this.#epochs = epochs;
    this.#problems = problems;
  }

  /**
   * Steps 1 to 4. Throws `policy` where the owner is not the pinned one, and `no-key` where no epoch opens for the key. What is
   * wrong with a single epoch shuts that epoch and shows in the verdict.
   */
  static async open({ source, pins, key, nowMs }: ReaderOptions): Promise<RecordingReader> {
    const released = await source.release();
    const policies = await checkPolicies(released.policies, pins);
    const problems: Problem[] = [];
    const life = await checkLife(source, released, policies, problems);
    const epochs: EpochView[] = [];
    for (const epoch of released.epochs) epochs.push(await viewEpoch(epoch, released.recordingId, policies, life));
    if (key) {
      for (const view of epochs) await unlock(view, key, policies, nowMs);
      const isLocked = ({ keys, keyError }: EpochView) => !keys && keyError instanceof ClientError;
      if (epochs.length > 0 && epochs.every(isLocked)) throw epochs[0]!.keyError!;
    }
    return new RecordingReader(source, released, policies, life, epochs, problems);
  }

  get epochs(): readonly ReaderEpoch[] {
    return this.#epochs;
  }

  /** CEK and shred share of an epoch, for a grant; throws `no-key` for a reader of single tracks. */
  secrets(epoch: number): { cek: Bytes; shred: Bytes } {
    const secrets = this.#view(epoch).keys?.secrets;
    if (!secrets) throw new ClientError('no-key', `this key does not open epoch ${epoch} as a whole`);
    return secrets;
  }

  /** The epoch's metadata key, for notes; throws `no-key`. */
  metadataKey(epoch: number): CryptoKey {
    const keys = this.#view(epoch).keys?.epochKeys;
    if (!keys) throw new ClientError('no-key', `this key does not open epoch ${epoch} as a whole`);
    return keys.metadataKey;
  }

  /**
   * The track's media, chunk by chunk, in bounded memory. Throws `gap` at a chunk that is not there (unless allowed), a
   * ProtocolError at one that does not verify. When it has ended, the track counts as verified to `plaintext`.
   */
  async *readTrack(epoch: number, track: number, options: ReadOptions = {}): AsyncGenerator<MediaChunk, void, void> {
    const view = this.#view(epoch);
    const trackKey = await requireKeys(view).trackKey(track);
    const { recorderKey } = view.checked!.open;
    const open = (head: ChunkHead, object: Bytes) => openWholeChunk(trackKey, object, recorderKey, head);
    for await (const { head, body } of this.#walk(view, track, 'plaintext', open)) {
      if (head) yield mediaChunk(head, body);
      else if (!options.allowGaps) throw new ClientError('gap', `epoch ${epoch}, track ${track}: a chunk is missing`);
    }
  }

  /**
   * Media of a stretch of time, without reading what comes before: bisects over chunk heads, each verified by signature and
   * place, then reads and opens the chunks that overlap. Throws as `readTrack` does.
   */
  async *readRange(epoch: number, track: number, fromMs: number, toMs: number): AsyncGenerator<MediaChunk, void, void> {
    const view = this.#view(epoch);
    const trackKey = await requireKeys(view).trackKey(track);
    const end = listedEnd(view, track);
    let low = 0;
    for (let high = end - 1; low < high;) {
      const middle = Math.ceil((low + high) / 2);
      const { header } = await this.#chunkHead(view, track, middle);
      if (header.startMs <= fromMs) low = middle;
      else high = middle - 1;
    }
    let previous: Bytes | undefined;
    for (let seq = low; seq < end; seq++) {
      const head = await this.#chunkHead(view, track, seq);
      if (head.header.startMs >= toMs && seq > low) return;
      if (previous && !equal(head.header.prev, previous)) {
        throw new ProtocolError('chain', 'a chunk with another predecessor');
      }
      previous = await verifyChunkHead(head, view.checked!.open.recorderKey);
      const object = await this.#source.object({ epoch, track, seq });
      if (!object) throw new ClientError('gap', `epoch ${epoch}, track ${track}: chunk ${seq} is missing`);
      if (!equal(object.subarray(0, head.headLength), await this.#headBytes(view, track, seq))) {
        throw new ProtocolError('chain', `chunk ${seq} changed between two reads`);
      }
      yield mediaChunk(head, await openWholeChunk(trackKey, object, view.checked!.open.recorderKey, head));
    }
  }

  /** What the recorder told the readers about this attempt (kind 7), parsed; undefined where it told nothing. */
  async readAbout(epoch: number): Promise<unknown> {
    const about = this.#view(epoch).tracks.find(({ kind }) => kind === 7);
    if (!about) return undefined;
    let text = '';
    for await (const { bytes } of this.readTrack(epoch, about.track)) text += fromUtf8(bytes);
    return text === '' ? undefined : JSON.parse(text);
  }

  /**
   * Steps 5 to 8. Tracks that were read to their end already are not read again; what does not open for the key is verified as
   * ciphertext. Throws `no-key` where plaintext is asked for and no key was given.
   */
  async verify(depth: Depth): Promise<RecordingFindings> {
    for (const view of this.#epochs) {
      if (!view.checked) continue;
      for (const { track } of view.tracks) {
        const known = view.findings.get(track);
        if (known && DEPTHS.indexOf(known.depth) >= DEPTHS.indexOf(depth)) continue;
        await this.#verifyTrack(view, track, depth);
      }
    }
    return this.#judge();
  }

  async #verifyTrack(view: EpochView, track: number, wanted: Depth): Promise<void> {
    const trackKey = wanted === 'plaintext' ? await keyWhereOpen(view, track) : undefined;
    const depth = wanted === 'plaintext' && !trackKey ? 'ciphertext' : wanted;
    const check = async (head: ChunkHead, object: Bytes): Promise<void> => {
      if (trackKey) await openWholeChunk(trackKey, object, view.checked!.open.recorderKey, head);
      else if (depth === 'ciphertext') await verifySegments(head, object);
    };
    try {
      for await (const _chunk of this.#walk(view, track, depth, check)) continue;
    } catch (error) {
      // The walk has noted it among the track's findings; other tracks are verified all the same.
      if (!(error instanceof ProtocolError)) throw error;
    }
  }

  /**
   * Every chunk of a track in order, verified by its head and then by `check`; `head` undefined stands for one that is not
   * there. Objects are fetched a few ahead. Notes the track's findings when it ends, well or by what `check` throws.
   */
  async *#walk<Body>(
    view: EpochView,
    track: number,
    depth: Depth,
    check: (head: ChunkHead, object: Bytes) => Promise<Body>,
  ): AsyncGenerator<{ head: ChunkHead; body: Body } | { head: undefined; body: undefined }, void, void> {
    const { checked, epoch } = view;
    const declared = view.tracks.find((candidate) => candidate.track === track);
    if (!checked || !declared) throw new ClientError('track', `epoch ${epoch} has no track ${track} that can be read`);
    const audit = new TrackAudit(checked, declared, claimOf(view, track));
    const end = listedEnd(view, track);
    const range = depth === 'heads' ? { from: 0, to: LONGEST_HEAD - 1 } : undefined;
    const ahead: Promise<Bytes | undefined>[] = [];
    let asked = 0;
    try {
      for (let seq = 0; seq < end; seq++) {
        for (; asked < Math.min(seq + PREFETCH[depth], end); asked++) {
          const object = this.#source.object({ epoch, track, seq: asked }, range);
          object.catch(() => undefined); // told when its turn comes
          ahead.push(object);
        }
        const object = await ahead.shift();
        if (!object) {
          audit.skip();
          yield { head: undefined, body: undefined };
          continue;
        }
        const head = parseChunkHead(object, range ? undefined : object.length);
        await audit.accept(head);
        yield { head, body: await check(head, object) };
      }
      if (audit.skipRest() > 0) yield { head: undefined, body: undefined };
    } catch (error) {
      if (error instanceof ProtocolError) audit.fail(error);
      throw error;
    } finally {
      // A reader that leaves early has verified nothing of the rest, and what it saw is no finding about the whole.
      if (audit.isDone) view.findings.set(track, { depth, track: audit.findings() });
    }
  }

  async #headBytes(view: EpochView, track: number, seq: number): Promise<Bytes> {
    const { epoch } = view;
    const bytes = await this.#source.object({ epoch, track, seq }, { from: 0, to: LONGEST_HEAD - 1 });
    if (!bytes) throw new ClientError('gap', `epoch ${epoch}, track ${track}: chunk ${seq} is missing`);
    return bytes.subarray(0, parseChunkHead(bytes).headLength);
  }

  /** A chunk's head by a ranged read, verified by itself: place and signature, so that no segment of another is believed. */
  async #chunkHead(view: EpochView, track: number, seq: number): Promise<ChunkHead> {
    const head = parseChunkHead(await this.#headBytes(view, track, seq));
    const { open } = view.checked!;
    const { header } = head;
    if (header.sessionId !== open.sessionId || header.epoch !== open.epoch || header.track !== track) {
      throw new ProtocolError('identity', 'a chunk of another session, epoch or track');
    }
    if (header.seq !== seq) throw new ProtocolError('seq', `expected chunk ${seq}, found ${header.seq}`);
    await verifyChunkHead(head, open.recorderKey);
    return head;
  }

  #view(epoch: number): EpochView {
    const view = this.#epochs.find((candidate) => candidate.epoch === epoch);
    if (!view) throw new ClientError('track', `the recording has no epoch ${epoch}`);
    return view;
  }

  async #judge(): Promise<RecordingFindings> {
    const isRecordingClosed = this.#epochs.at(-1)?.head?.isClose ?? false;
    const problems = [...this.#problems];
    for (const epoch of this.#life.openings.keys()) {
      if (!this.#epochs.some((view) => view.epoch === epoch)) {
        problems.push({ code: 'log', message: `the log proves an epoch ${epoch} that was not handed out` });
      }
    }
    const epochs = [];
    for (const [index, view] of this.#epochs.entries()) {
      const next = this.#epochs[index + 1];
      const { ending } = this.#life;
      if (ending?.epoch === view.epoch && ending.headHashB64 !== (await hashB64(view.head))) {
        view.problems.push({
          code: 'log',
          message: 'the log proves another last head than the one that was handed out',
        });
      }
      epochs.push(
        judgeEpoch({
          epoch: view.epoch,
          headSeq: view.head?.headSeq ?? null,
          isClosed: view.head?.isClose ?? false,
          tracks: [...view.findings.values()].map(({ track }) => track),
          problems: view.problems,
          isLast: !next,
          isContinued: !next?.checked || (await isContinued(view, next.checked)),
          isRecordingClosed,
        }),
      );
    }
    return judgeRecording(this.recordingId, epochs, problems);
  }
}

function mediaChunk({ header }: ChunkHead, bytes: Bytes): MediaChunk {
  const { seq, startMs, durationMs, gapMs } = header;
  return { seq, startMs, durationMs, gapMs, bytes };
}

/** Undefined where this epoch or track does not open for the key: its ciphertext is verified all the same. */
async function keyWhereOpen(view: EpochView, track: number): Promise<CryptoKey | undefined> {
  // That the keys are refused is among the epoch's problems already.
  if (view.keyError) return undefined;
  try {
    return await requireKeys(view).trackKey(track);
  } catch (error) {
    if (view.keys && error instanceof ClientError) return undefined;
    throw error;
  }
}

async function verifySegments(head: ChunkHead, object: Bytes): Promise<void> {
  for (let index = 0; index < head.segments; index++) {
    const { from, to } = segmentRange(head, index);
    await verifySegment(head, index, object.subarray(from, to));
  }
}
