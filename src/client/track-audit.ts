/** Step 5 and 6 of the reader's order for one track: every chunk in its place, and what the newest head says of them. */
import { equal, type Bytes } from '../../crypto/format/bytes.ts';
import { TrackChain, verifyChunkHead, type ChunkHead } from '../../crypto/format/chunk.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { TRACK_ENDED, type HeadTrack } from '../../crypto/format/head.ts';
import type { OpenTrack } from '../../crypto/format/open.ts';
import type { CheckedOpen } from './epoch-check.ts';
import { judgeTrack, type Problem, type TrackFindings } from './verdict.ts';

const MOST_LISTED = 1000;

/** Fed with a track's chunks in order, present or missing; a chunk that it refuses ends the track. */
export class TrackAudit {
  readonly #checked: CheckedOpen;
  readonly #track: OpenTrack;
  readonly #claim: HeadTrack | undefined;
  readonly #chain: TrackChain;
  readonly #missing: number[] = [];
  readonly #problems: Problem[] = [];
  #missingCount = 0;
  #isDone = false;
  #next = 0;
  /** The chunk that was taken, or tried, last. */
  #current = 0;
  /** Of the chunk before; undefined after a gap, across which no chain can be followed. */
  #last: Bytes | undefined;
  #chunks = 0;
  #bytes = 0;
  #endMs = 0;
  #isFinal = false;

  /** `claim`: what the newest head says of this track. */
  constructor(checked: CheckedOpen, track: OpenTrack, claim: HeadTrack | undefined) {
    this.#checked = checked;
    this.#track = track;
    this.#claim = claim;
    this.#chain = new TrackChain(checked.open, checked.openHash, track.track);
    this.#last = checked.openHash;
  }

  /** Whether everything was looked at: to the end, or to what ended the track. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** The next chunk is not there. */
  skip(): void {
    this.#miss(1);
  }

  /** Nothing follows: what the head counts beyond is missing. Answers how many. */
  skipRest(): number {
    const rest = Math.max(0, (this.#claim?.count ?? 0) - this.#next);
    if (rest > 0) this.#miss(rest);
    this.#isDone = true;
    return rest;
  }

  /** A count is the recorder's word and may be any number: what is missing is counted, not listed without bound. */
  #miss(count: number): void {
    for (let seq = this.#next; seq < this.#next + count && this.#missing.length < MOST_LISTED; seq++)
      this.#missing.push(seq);
    this.#missingCount += count;
    this.#next += count;
    this.#last = undefined;
  }

  /** Takes the next chunk or throws what is wrong with it. From here its table speaks for its segments. */
  async accept(head: ChunkHead): Promise<void> {
    this.#current = this.#next;
    const entryHash = this.#missing.length === 0 ? await this.#chain.accept(head) : await this.#acceptAfterGap(head);
    this.#checkClaim(head, entryHash);
    this.#next += 1;
    this.#last = entryHash;
    this.#chunks += 1;
    this.#bytes += head.objectLength;
    this.#endMs = Math.max(this.#endMs, head.header.startMs + head.header.durationMs);
    this.#isFinal = head.header.isFinal;
  }

  /** Why the track ended before its end. */
  fail({ code, message }: ProtocolError): void {
    this.#problems.push({ code, message, seq: this.#current });
    this.#isDone = true;
  }

  findings(): TrackFindings {
    const counted = this.#claim?.count ?? 0;
    return judgeTrack({
      track: this.#track.track,
      kind: this.#track.kind,
      codec: this.#track.codec,
      chunks: this.#chunks,
      counted,
      missing: this.#missing,
      missingCount: this.#missingCount,
      beyond: Math.max(0, this.#next - counted),
      isFinal: this.#isFinal,
      bytes: this.#bytes,
      endMs: this.#endMs,
      problems: this.#problems,
    });
  }

  /** The checks of `TrackChain`, but for the predecessor that is not there. */
  async #acceptAfterGap(head: ChunkHead): Promise<Bytes> {
    const { header } = head;
    const { sessionId, epoch, recorderKey } = this.#checked.open;
    if (header.sessionId !== sessionId || header.epoch !== epoch || header.track !== this.#track.track) {
      throw new ProtocolError('identity', 'a chunk of another session, epoch or track');
    }
    if (this.#isFinal) throw new ProtocolError('final', 'a chunk after the final one');
    if (header.seq !== this.#next) throw new ProtocolError('seq', `expected chunk ${this.#next}, found ${header.seq}`);
    if (this.#last && !equal(header.prev, this.#last))
      throw new ProtocolError('chain', 'a chunk with another predecessor');
    return verifyChunkHead(head, recorderKey);
  }

  /** Both head and chunk are the recorder's word: where they differ, one of them was not honest. */
  #checkClaim({ header }: ChunkHead, entryHash: Bytes): void {
    if (!this.#claim) return;
    const { count, last, state } = this.#claim;
    if (state === TRACK_ENDED && header.seq >= count) throw new ProtocolError('final', 'a chunk after the track ended');
    if (header.seq !== count - 1) return;
    if (!equal(entryHash, last)) {
      throw new ProtocolError('equivocation', `the head names another chunk ${header.seq} than the one that is here`);
    }
    if (state === TRACK_ENDED && !header.isFinal) {
      throw new ProtocolError('final', 'the head says that the track ended, and its last chunk does not');
    }
  }
}
