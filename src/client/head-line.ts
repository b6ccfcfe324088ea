/** The heads of one live epoch: what may be released, and the last words that stand ready for a successor. */
import { UPLOAD_WINDOW } from '../../schema/api.ts';
import type { Bytes } from '../../crypto/format/bytes.ts';
import type { Signer } from '../../crypto/format/ed25519.ts';
import {
  encodeHead,
  headHash,
  parseHead,
  TRACK_ENDED,
  TRACK_LIVE,
  type HeadTrack,
  type Reason,
} from '../../crypto/format/head.ts';
import type { ClientClock } from './environment.ts';

export interface HeadLineOptions {
  signer: Signer;
  clock: ClientClock;
  sessionId: string;
  epoch: number;
  openHash: Bytes;
  beaconSize: number;
  beaconRoot: Bytes;
  /** Track ids, ascending. */
  tracks: readonly number[];
}

interface SignedHead {
  bytes: Bytes;
  hash: Bytes;
  headSeq: number;
  counts: ReadonlyMap<number, number>;
}

/** Entry hashes of one track, from `first` on; earlier ones are covered by a head and no longer needed. */
interface TrackEntries {
  first: number;
  hashes: Bytes[];
  /** Whether the last chunk is FINAL. */
  isFinal: boolean;
}

/** A change of the line that takes effect when what it goes with is durable. */
export interface HeadStep {
  sent: Bytes | null;
  tails: Bytes[];
  readonly commit: () => void;
}

/**
 * Signs heads and the tails after them ([Note: one head per number]). Every change is first computed, then made durable by
 * the caller, then committed; callers serialise the three. Memory: 32 bytes per chunk that no head covers yet.
 */
export class HeadLine {
  readonly #options: HeadLineOptions;
  readonly #startedAt: number;
  readonly #entries: Map<number, TrackEntries>;
  #sent: SignedHead | undefined;
  #tails: SignedHead[] = [];

  constructor(options: HeadLineOptions) {
    this.#options = options;
    this.#startedAt = options.clock.monotonic();
    this.#entries = new Map(options.tracks.map((track) => [track, { first: 0, hashes: [], isFinal: false }]));
  }

  /** Chunks sealed and durable, by track. */
  sealedCounts(): Map<number, number> {
    return new Map([...this.#entries].map(([track, { first, hashes }]) => [track, first + hashes.length]));
  }

  /** The tail of an epoch without a chunk. */
  async begin(): Promise<HeadStep> {
    return this.#step(undefined, [await this.#sign(undefined, this.sealedCounts())]);
  }

  /** The tail that also counts this chunk; `commit` when chunk and tail are durable. */
  async append(track: number, entryHash: Bytes, isFinal: boolean): Promise<{ tail: Bytes; commit: () => void }> {
    const entries = this.#entriesOf(track);
    const grown = { first: entries.first, hashes: [...entries.hashes, entryHash], isFinal };
    const counts = this.sealedCounts().set(track, grown.first + grown.hashes.length);
    const last = this.#tails.at(-1);
    const before = this.#tails.at(-2) ?? this.#sent;
    const fits = (counts.get(track) ?? 0) - (before?.counts.get(track) ?? 0) <= UPLOAD_WINDOW;
    const earlier = fits ? this.#tails.slice(0, -1) : this.#tails;
    const tail = await this.#sign(fits ? before : last, counts, new Map([[track, grown]]));
    return {
      tail: tail.bytes,
      commit: () => {
        entries.hashes.push(entryHash);
        entries.isFinal = isFinal;
        this.#tails = [...earlier, tail];
      },
    };
  }

  /** A head over these counts, which must be stored, and the tails that follow it; none follow a head that closes. */
  async advance(counts: ReadonlyMap<number, number>, closing?: Reason): Promise<HeadStep> {
    const head = await this.#sign(this.#sent, counts, undefined, closing);
    const sealed = this.sealedCounts();
    const tails: SignedHead[] = [];
    if (closing !== undefined) return this.#step(head, tails);
    let before = head;
    do {
      const reach = new Map(
        [...sealed].map(([track, count]) => [track, Math.min(count, (before.counts.get(track) ?? 0) + UPLOAD_WINDOW)]),
      );
      before = await this.#sign(before, reach);
      tails.push(before);
    } while ([...sealed].some(([track, count]) => (before.counts.get(track) ?? 0) < count));
    return this.#step(head, tails);
  }

  #step(sent: SignedHead | undefined, tails: SignedHead[]): HeadStep {
    return {
      sent: sent?.bytes ?? null,
      tails: tails.map(({ bytes }) => bytes),
      commit: () => {
        this.#sent = sent;
        this.#tails = tails;
        for (const [track, count] of sent?.counts ?? []) this.#forget(track, count);
      },
    };
  }

  /** Keeps the hash of the last covered chunk: a head that adds nothing repeats it. */
  #forget(track: number, covered: number): void {
    const entries = this.#entriesOf(track);
    const drop = Math.max(0, covered - 1 - entries.first);
    entries.hashes.splice(0, drop);
    entries.first += drop;
  }

  #entriesOf(track: number): TrackEntries {
    const entries = this.#entries.get(track);
    if (!entries) throw new RangeError(`track ${track} is not one of this epoch`);
    return entries;
  }

  async #sign(
    before: SignedHead | undefined,
    counts: ReadonlyMap<number, number>,
    grown: ReadonlyMap<number, TrackEntries> = new Map(),
    closing?: Reason,
  ): Promise<SignedHead> {
    const { signer, clock, sessionId, epoch, openHash, beaconSize, beaconRoot, tracks } = this.#options;
    const headSeq = before ? before.headSeq + 1 : 0;
    const bytes = await encodeHead(
      {
        isClose: closing !== undefined,
        reason: closing ?? 0,
        sessionId,
        epoch,
        headSeq,
        prev: before?.hash ?? openHash,
        wallMs: clock.now(),
        monoMs: Math.max(0, Math.round(clock.monotonic() - this.#startedAt)),
        beaconSize,
        beaconRoot,
        tracks: tracks.map((track) =>
          this.#describe(track, counts.get(track) ?? 0, grown.get(track) ?? this.#entriesOf(track)),
        ),
      },
      signer,
    );
    return { bytes, hash: await headHash(parseHead(bytes)), headSeq, counts };
  }

  #describe(track: number, count: number, { first, hashes, isFinal }: TrackEntries): HeadTrack {
    const isEnded = isFinal && count === first + hashes.length;
    const last = count === 0 ? this.#options.openHash : hashes[count - 1 - first];
    if (!last) throw new RangeError(`track ${track} has no chunk ${count - 1} to count`);
    return { track, state: isEnded ? TRACK_ENDED : TRACK_LIVE, count, last };
  }
}
