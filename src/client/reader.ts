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
import { decodeIdentity } from '../../crypto/format/ids.ts';
import { ownerHash, type ParsedPolicy } from '../../crypto/format/policy.ts';
import { openWholeChunk } from '../../crypto/seal/chunk.ts';
import type { DecryptionKey } from '../../crypto/seal/identity.ts';
import { checkPolicies, checkSameSeat, type CheckedOpen, type ProvenLife, type ReaderPins } from './epoch-check.ts';
import {
  checkBeacons,
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
import { checkLaunch, type LaunchFinding } from './launch.ts';
import type { CheckpointWatch } from './pinning.ts';
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
  /** Without it the log is held against itself only, and not against what was seen of it before. */
  watch?: CheckpointWatch | undefined;
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
  /** Heads that stood by themselves, a few hundred bytes each: seeking asks for none of them twice. */
  readonly #heads = new Map<string, { head: ChunkHead; headBytes: Bytes; entryHash: Bytes }>();

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
  static async open({ source, pins, key, nowMs, watch }: ReaderOptions): Promise<RecordingReader> {
    const released = await source.release();
    const policies = await checkPolicies(released.policies, pins);
    const problems: Problem[] = [];
    const life = await checkLife(source, released, policies, problems, watch);
    const epochs: EpochView[] = [];
    for (const epoch of released.epochs) {
      const view = await viewEpoch(epoch, released.recordingId, policies, life);
      await checkBeacons(view, life, watch);
      requireSameSeat(epochs[0], view);
      epochs.push(view);
    }
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
   * Media of a stretch of time, without reading what comes before: finds the first chunk by heads, then reads and opens the
   * chunks that overlap. Throws as `readTrack` does.
   */
  async *readRange(epoch: number, track: number, fromMs: number, toMs: number): AsyncGenerator<MediaChunk, void, void> {
    const end = this.chunkCount(epoch, track);
    const first = await this.seqAt(epoch, track, fromMs);
    if (first === undefined) return;
    for (let seq = first; seq < end; seq++) {
      const head = await this.#knownHead(this.#view(epoch), track, seq);
      if (head && head.header.startMs >= toMs && seq > first) return;
      const chunk = await this.readChunk(epoch, track, seq);
      if (!chunk) throw new ClientError('gap', `epoch ${epoch}, track ${track}: chunk ${seq} is missing`);
      yield chunk;
    }
  }

  /** One past the last chunk that is there: chunks below it may be missing. */
  chunkCount(epoch: number, track: number): number {
    return listedEnd(this.#view(epoch), track);
  }

  /** Where the track's last chunk ends, ms of media time; 0 for a track without chunks. */
  async trackEndMs(epoch: number, track: number): Promise<number> {
    const view = this.#view(epoch);
    const last = await this.#presentHead(view, track, listedEnd(view, track) - 1, -1);
    return last ? last.header.startMs + last.header.durationMs : 0;
  }

  /**
   * The chunk that a moment falls into: the last one that begins at or before it; the first there is for an earlier moment.
   * Interpolates, because chunks are cut by the clock: two or three heads where bisection takes ten. Undefined for an empty track.
   */
  async seqAt(epoch: number, track: number, atMs: number): Promise<number | undefined> {
    const view = this.#view(epoch);
    let low = await this.#presentHead(view, track, 0, 1);
    let high = await this.#presentHead(view, track, listedEnd(view, track) - 1, -1);
    if (!low || !high) return undefined;
    if (high.header.startMs <= atMs) return high.header.seq;
    // From here on low begins at or before the moment (or is the first there is), and high after it.
    for (let step = 0; high.header.seq - low.header.seq > 1 && !includes(low, atMs); step++) {
      const at = guess(low, high, atMs, step);
      let middle = await this.#presentHead(view, track, at, 1);
      if (middle?.header.seq === high.header.seq) middle = await this.#presentHead(view, track, at, -1);
      if (!middle || middle.header.seq === low.header.seq) break; // nothing is there between the two
      if (middle.header.startMs <= atMs) low = middle;
      else high = middle;
    }
    return low.header.seq;
  }

  /** One chunk, opened, wherever it lies; undefined where it is not there. Throws a ProtocolError for one that does not verify. */
  async readChunk(epoch: number, track: number, seq: number): Promise<MediaChunk | undefined> {
    const view = this.#view(epoch);
    const trackKey = await requireKeys(view).trackKey(track);
    const object = await this.#source.object({ epoch, track, seq });
    if (!object) return undefined;
    const head = await this.#acceptHead(
      view,
      track,
      seq,
      object.subarray(0, parseChunkHead(object, object.length).headLength),
    );
    return mediaChunk(head, await openWholeChunk(trackKey, object, view.checked!.open.recorderKey, head));
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
   * What the learning platform's launch proves of an epoch; undefined where it was opened otherwise. Throws `attestation` where what the
   * recorder shows contradicts OPEN or policy, and as `readAbout` does.
   */
  async readLaunch(epoch: number): Promise<LaunchFinding | undefined> {
    const { checked } = this.#view(epoch);
    const platform = checked?.policy.policy.platform;
    if (!checked?.launch || !platform) return undefined;
    const { open, policy, launch: attestation } = checked;
    return checkLaunch(await this.readAbout(epoch), {
      ...{ attestation, platform, examId: open.examId, participant: open.participant },
      ownerHash: await ownerHash(decodeIdentity(policy.policy.owner)),
      openedMs: this.#life.openings.get(epoch)!.atMs,
    });
  }

  /**
   * Steps 5 to 8. Tracks that were read to their end already are not read again; what does not open for the key is verified as
   * ciphertext. Throws `no-key` where plaintext is asked for and no key was given. `onChunk` is told after each chunk.
   */
  async verify(depth: Depth, onChunk: () => void = () => undefined): Promise<RecordingFindings> {
    for (const view of this.#epochs) {
      if (!view.checked) continue;
      for (const { track } of view.tracks) {
        const known = view.findings.get(track);
        if (known && DEPTHS.indexOf(known.depth) >= DEPTHS.indexOf(depth)) continue;
        await this.#verifyTrack(view, track, depth, onChunk);
      }
      if (depth === 'plaintext') await this.#verifyLaunch(view);
    }
    return this.#judge();
  }

  async #verifyLaunch(view: EpochView): Promise<void> {
    if (!view.keys || view.problems.some(({ code }) => code === 'attestation')) return;
    try {
      await this.readLaunch(view.epoch);
    } catch (error) {
      if (error instanceof ProtocolError) view.problems.push({ code: error.code, message: error.message });
      // What is missing or does not parse was noted with its track, or is the recorder's own silence.
      else if (!(error instanceof ClientError || error instanceof SyntaxError)) throw error;
    }
  }

  async #verifyTrack(view: EpochView, track: number, wanted: Depth, onChunk: () => void): Promise<void> {
    const trackKey = wanted === 'plaintext' ? await keyWhereOpen(view, track) : undefined;
    const depth = wanted === 'plaintext' && !trackKey ? 'ciphertext' : wanted;
    const check = async (head: ChunkHead, object: Bytes): Promise<void> => {
      if (trackKey) await openWholeChunk(trackKey, object, view.checked!.open.recorderKey, head);
      else if (depth === 'ciphertext') await verifySegments(head, object);
    };
    try {
      for await (const _chunk of this.#walk(view, track, depth, check)) onChunk();
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

  /** The first chunk from `seq` on, in steps of `step`, that is there; undefined where none is. */
  async #presentHead(view: EpochView, track: number, seq: number, step: 1 | -1): Promise<ChunkHead | undefined> {
    for (const end = listedEnd(view, track); seq >= 0 && seq < end; seq += step) {
      const head = await this.#knownHead(view, track, seq);
      if (head) return head;
    }
    return undefined;
  }

  /** A chunk's head, by a ranged read the first time; undefined where the chunk is not there. */
  async #knownHead(view: EpochView, track: number, seq: number): Promise<ChunkHead | undefined> {
    const known = this.#heads.get(headName(view.epoch, track, seq));
    if (known) return known.head;
    const bytes = await this.#source.object({ epoch: view.epoch, track, seq }, { from: 0, to: LONGEST_HEAD - 1 });
    return bytes && this.#acceptHead(view, track, seq, bytes.subarray(0, parseChunkHead(bytes).headLength));
  }

  /**
   * A head verified by itself, so that no segment of another chunk is believed: its place, its signature, that it is the one
   * that was read before, and its chain to the neighbours that are known. Throws `identity`, `seq`, `signature` or `chain`.
   */
  async #acceptHead(view: EpochView, track: number, seq: number, headBytes: Bytes): Promise<ChunkHead> {
    const name = headName(view.epoch, track, seq);
    const known = this.#heads.get(name);
    if (known) {
      if (!equal(known.headBytes, headBytes))
        throw new ProtocolError('chain', `chunk ${seq} changed between two reads`);
      return known.head;
    }
    const { open, openHash } = requireOpen(view);
    const copy = headBytes.slice();
    const head = parseChunkHead(copy);
    const { header } = head;
    if (header.sessionId !== open.sessionId || header.epoch !== open.epoch || header.track !== track) {
      throw new ProtocolError('identity', 'a chunk of another session, epoch or track');
    }
    if (header.seq !== seq) throw new ProtocolError('seq', `expected chunk ${seq}, found ${header.seq}`);
    const entryHash = await verifyChunkHead(head, open.recorderKey);
    const before = seq === 0 ? openHash : this.#heads.get(headName(view.epoch, track, seq - 1))?.entryHash;
    const after = this.#heads.get(headName(view.epoch, track, seq + 1))?.head;
    if ((before && !equal(header.prev, before)) || (after && !equal(after.header.prev, entryHash))) {
      throw new ProtocolError('chain', 'a chunk with another predecessor');
    }
    this.#heads.set(name, { head, headBytes: copy, entryHash });
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

function headName(epoch: number, track: number, seq: number): string {
  return `${epoch}/${track}/${seq}`;
}

function requireOpen(view: EpochView): CheckedOpen {
  if (view.checked) return view.checked;
  throw new ClientError('track', `epoch ${view.epoch} has nothing that can be read`);
}

function includes({ header }: ChunkHead, atMs: number): boolean {
  return header.startMs <= atMs && atMs < header.startMs + header.durationMs;
}

/** A seq strictly between the two; after three guesses by time the middle, so that uneven chunks cost no more than bisection. */
function guess({ header: low }: ChunkHead, { header: high }: ChunkHead, atMs: number, step: number): number {
  const share = step < 3 ? (atMs - low.startMs) / Math.max(1, high.startMs - low.startMs) : 0.5;
  const seq = low.seq + Math.floor(share * (high.seq - low.seq));
  return Math.min(Math.max(seq, low.seq + 1), high.seq - 1);
}

/** Shuts an epoch that somebody else opened, or that was opened for another exam. */
function requireSameSeat(first: EpochView | undefined, view: EpochView): void {
  if (!first?.checked || !view.checked) return;
  try {
    checkSameSeat(first.checked, view.checked);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    view.problems.push({ code: error.code, message: error.message });
    view.checked = undefined;
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
