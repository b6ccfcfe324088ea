/** Chunks, the objects in the bucket: what can be checked without any key (PROTOCOL.md section 8). */
import { equal, Reader, utf8, Writer, type Bytes } from './bytes.ts';
import { requireSignature } from './ed25519.ts';
import { ProtocolError } from './errors.ts';
import { hash, sha256 } from './hash.ts';
import { formatId, parseId } from './ids.ts';
import { CONTENT_SUITE, type OpenRecord } from './open.ts';

/** Plaintext bytes of every segment but the last. */
export const SEGMENT = 65536;
/** Bytes that GCM adds to each segment. */
export const TAG = 16;
export const MAX_PLAINTEXT = 8 * 1024 * 1024;

/** Bytes of the bound header B, which is KDF input. */
export const BOUND_LENGTH = 128;
const TABLE_AT = 160;
const FLAG_FINAL = 1;
const FLAG_PADDED = 2;

export interface ChunkHeader {
  /** The last chunk of this track and epoch. */
  isFinal: boolean;
  /** The plaintext is framed and padded so that its size tells less. */
  isPadded: boolean;
  sessionId: string;
  epoch: number;
  track: number;
  seq: number;
  /** Bytes, padding included. */
  plaintextLength: number;
  /** Media time since OPEN. */
  startMs: number;
  durationMs: number;
  /** How long capture stood still before this chunk. */
  gapMs: number;
  wallMs: number;
  /** entry_hash of seq - 1; open_hash at seq 0. */
  prev: Bytes;
  salt: Bytes;
}

export interface ChunkHead {
  header: ChunkHeader;
  /** B: the first 128 bytes. */
  bound: Bytes;
  /** ckc: commits to the chunk's key. */
  commitment: Bytes;
  /** SHA-256 of each segment with its tag, 32 bytes each. */
  table: Bytes;
  signature: Bytes;
  segments: number;
  headLength: number;
  objectLength: number;
}

/** n = max(1, ceil(pt_len / 65536)). */
export function segmentCount(plaintextLength: number): number {
  return Math.max(1, Math.ceil(plaintextLength / SEGMENT));
}

/** Bytes before the first segment: 224 + 32 n. */
export function chunkHeadLength(plaintextLength: number): number {
  return 224 + 32 * segmentCount(plaintextLength);
}

/** Bytes of the whole object: 224 + 48 n + pt_len. */
export function chunkObjectLength(plaintextLength: number): number {
  return 224 + 48 * segmentCount(plaintextLength) + plaintextLength;
}

/** Where segment `index` with its tag lies in the object; `to` is exclusive. */
export function segmentRange(head: Pick<ChunkHead, 'header'>, index: number): { from: number; to: number } {
  const { plaintextLength } = head.header;
  const count = segmentCount(plaintextLength);
  if (!Number.isInteger(index) || index < 0 || index >= count) {
    throw new ProtocolError('length', `expected a segment below ${count}, found ${index}`);
  }
  const from = chunkHeadLength(plaintextLength) + index * (SEGMENT + TAG);
  return { from, to: index === count - 1 ? chunkObjectLength(plaintextLength) : from + SEGMENT + TAG };
}

/** B. Throws `limit` for a plaintext above 8 MiB and `final` for an empty chunk that is not FINAL. */
export function encodeBound(header: ChunkHeader): Bytes {
  checkSize(header);
  return new Writer()
    .bytes(utf8('ZRCH'))
    .u8(1)
    .u8(CONTENT_SUITE)
    .u16((header.isFinal ? FLAG_FINAL : 0) | (header.isPadded ? FLAG_PADDED : 0))
    .bytes(parseId(header.sessionId))
    .u32(header.epoch)
    .u16(header.track)
    .u16(0)
    .u32(header.seq)
    .u32(header.plaintextLength)
    .u64(header.startMs)
    .u32(header.durationMs)
    .u32(header.gapMs)
    .u64(header.wallMs)
    .bytes(header.prev, 32)
    .bytes(header.salt, 32)
    .finish();
}

function checkSize({ plaintextLength, isFinal }: Pick<ChunkHeader, 'plaintextLength' | 'isFinal'>): void {
  if (plaintextLength > MAX_PLAINTEXT) {
    throw new ProtocolError('limit', `expected at most ${MAX_PLAINTEXT} bytes of plaintext, found ${plaintextLength}`);
  }
  if (plaintextLength === 0 && !isFinal) throw new ProtocolError('final', 'an empty chunk that is not final');
}

function parseBound(reader: Reader): ChunkHeader {
  reader.magic('ZRCH');
  const contentSuite = reader.u8();
  if (contentSuite !== CONTENT_SUITE) throw new ProtocolError('format', `unknown content suite ${contentSuite}`);
  const flags = reader.u16();
  if ((flags & ~(FLAG_FINAL | FLAG_PADDED)) !== 0) throw new ProtocolError('format', 'unknown chunk flags');
  const sessionId = formatId(reader.bytes(16));
  const epoch = reader.u32();
  const track = reader.u16();
  reader.reserved(2);
  const seq = reader.u32();
  const plaintextLength = reader.u32();
  const isFinal = (flags & FLAG_FINAL) !== 0;
  checkSize({ plaintextLength, isFinal });
  return {
    isFinal,
    isPadded: (flags & FLAG_PADDED) !== 0,
    sessionId,
    epoch,
    track,
    seq,
    plaintextLength,
    startMs: reader.u64(),
    durationMs: reader.u32(),
    gapMs: reader.u32(),
    wallMs: reader.u64(),
    prev: reader.bytes(32),
    salt: reader.bytes(32),
  };
}

/**
 * Parses the head of an object from its first bytes: at least `headLength` of them, so a ranged GET is enough.
 * `objectLength`, where it is known, must be what the header says. Throws `format`, `length`, `limit` or `final`, and
 * allocates nothing before the sizes were checked. The signature is not checked here.
 */
export function parseChunkHead(bytes: Uint8Array, objectLength?: number): ChunkHead {
  const reader = new Reader(bytes);
  const header = parseBound(reader);
  const expected = chunkObjectLength(header.plaintextLength);
  if (objectLength !== undefined && objectLength !== expected) {
    throw new ProtocolError('length', `expected an object of ${expected} bytes, found ${objectLength}`);
  }
  if (bytes.length > expected) throw new ProtocolError('length', `${bytes.length - expected} trailing bytes`);
  const segments = segmentCount(header.plaintextLength);
  const commitment = reader.bytes(32);
  const table = reader.bytes(32 * segments);
  const signature = reader.bytes(64);
  return {
    header,
    bound: new Uint8Array(bytes.subarray(0, BOUND_LENGTH)),
    commitment,
    table,
    signature,
    segments,
    headLength: TABLE_AT + table.length + signature.length,
    objectLength: expected,
  };
}

/** entry_hash = H("entry", B || ckc || SHA-256(table)). */
export async function entryHash(head: Pick<ChunkHead, 'bound' | 'commitment' | 'table'>): Promise<Bytes> {
  return hash('entry', head.bound, head.commitment, await sha256(head.table));
}

/** Checks the recorder's signature (`signature`); answers entry_hash. From here the table speaks for every segment. */
export async function verifyChunkHead(head: ChunkHead, recorderKey: Uint8Array): Promise<Bytes> {
  const digest = await entryHash(head);
  await requireSignature(recorderKey, 'chunk', digest, head.signature, 'chunk');
  return digest;
}

/** What the verified head says that the segment's SHA-256 is; throws `length` where the segment has not its length. */
export function signedHash(head: ChunkHead, index: number, segment: Uint8Array): Bytes {
  const { from, to } = segmentRange(head, index);
  if (segment.length !== to - from) {
    throw new ProtocolError('length', `expected a segment of ${to - from} bytes, found ${segment.length}`);
  }
  return head.table.subarray(32 * index, 32 * index + 32);
}

/** For a segment whose hash is another. */
export function otherSegment(index: number): ProtocolError {
  return new ProtocolError('segment-hash', `segment ${index} is not the one that was signed`);
}

/** Checks one segment with its tag against a verified head, without any key; throws `length` or `segment-hash`. */
export async function verifySegment(head: ChunkHead, index: number, segment: Uint8Array): Promise<void> {
  const signed = signedHash(head, index, segment);
  if (!equal(await sha256(segment), signed)) throw otherSegment(index);
}

/**
 * The chunks of one track and epoch, in order. Everything that makes a chunk this chunk, here and now, is checked by
 * `accept`; a reader that skips it has verified nothing.
 */
export class TrackChain {
  readonly #open: OpenRecord;
  readonly #track: number;
  #count = 0;
  #last: Bytes;
  #isFinal = false;

  /** `open` must have passed `verifyOpen`, which answered `openHash`. Throws `identity` for a track it does not list. */
  constructor(open: OpenRecord, openHash: Bytes, track: number) {
    if (!open.tracks.some((listed) => listed.track === track)) {
      throw new ProtocolError('identity', `track ${track} is not in the open record`);
    }
    this.#open = open;
    this.#track = track;
    this.#last = openHash;
  }

  /** Chunks accepted so far, which is the seq that comes next. */
  get count(): number {
    return this.#count;
  }

  /** entry_hash of the last accepted chunk; open_hash before the first. */
  get last(): Bytes {
    return this.#last;
  }

  get isFinal(): boolean {
    return this.#isFinal;
  }

  /**
   * Accepts the next chunk or throws, in this order: `identity` (session, epoch, track), `final`, `seq`, `chain`,
   * `signature`. A refused chunk leaves the chain as it was. Answers entry_hash.
   */
  async accept(head: ChunkHead): Promise<Bytes> {
    const { header } = head;
    this.#checkPlace(header);
    const digest = await verifyChunkHead(head, this.#open.recorderKey);
    this.#checkPlace(header); // another accept may have gone through while the signature was verified
    this.#count += 1;
    this.#last = digest;
    this.#isFinal = header.isFinal;
    return digest;
  }

  #checkPlace(header: ChunkHeader): void {
    const { sessionId, epoch } = this.#open;
    if (header.sessionId !== sessionId) throw new ProtocolError('identity', 'a chunk of another session');
    if (header.epoch !== epoch) throw new ProtocolError('identity', `expected epoch ${epoch}, found ${header.epoch}`);
    if (header.track !== this.#track) {
      throw new ProtocolError('identity', `expected track ${this.#track}, found ${header.track}`);
    }
    if (this.#isFinal) throw new ProtocolError('final', 'a chunk after the final one');
    if (header.seq !== this.#count) {
      throw new ProtocolError('seq', `expected chunk ${this.#count}, found ${header.seq}`);
    }
    if (!equal(header.prev, this.#last)) throw new ProtocolError('chain', 'a chunk with another predecessor');
  }
}
