/** Sealing and opening chunks: the one decryptor of player, command line and tests (PROTOCOL.md section 8). */
import { concat, equal, isZero, Reader, type Bytes } from '../format/bytes.ts';
import {
  BOUND_LENGTH,
  chunkHeadLength,
  chunkObjectLength,
  encodeBound,
  entryHash,
  MAX_PLAINTEXT,
  otherSegment,
  parseChunkHead,
  SEGMENT,
  segmentCount,
  segmentRange,
  TAG,
  signedHash,
  verifyChunkHead,
  type ChunkHead,
  type ChunkHeader,
} from '../format/chunk.ts';
import type { Signer } from '../format/ed25519.ts';
import { ProtocolError } from '../format/errors.ts';
import { separator } from '../format/hash.ts';
import { randomBytes } from '../format/random.ts';
import { hkdf } from './schedule.ts';
import { segmentEngine, type SegmentKey } from './segments.ts';

/** What a recorder says about a chunk; the salt is drawn unless a test fixes it, the length is the plaintext's. */
export type ChunkFields = Omit<ChunkHeader, 'plaintextLength' | 'salt'> & { salt?: Bytes };

interface ChunkKey {
  segments: SegmentKey;
  iv: Bytes;
  commitment: Bytes;
}

/** key(32) || iv(12) || ckc(32) = HKDF(TK, chunk_salt, DS("chunk") || B, 76). */
async function deriveChunkKey(
  trackKey: CryptoKey,
  bound: Uint8Array,
  salt: Uint8Array,
  usage: 'encrypt' | 'decrypt',
): Promise<ChunkKey> {
  const material = await hkdf(trackKey, salt, concat(separator('chunk'), bound), 76);
  const segments = await segmentEngine.importKey(material.subarray(0, 32), usage);
  return { segments, iv: material.slice(32, 44), commitment: material.slice(44, 76) };
}

/** nonce = iv with its last 4 bytes XOR u32 i; AAD = u32 i || u8 (i is the last). Together they fix place and end. */
function segmentParameters(iv: Bytes, index: number, isLast: boolean): [nonce: Bytes, place: Bytes] {
  const nonce = concat(iv);
  const place = new Uint8Array(5);
  new DataView(place.buffer).setUint32(0, index);
  for (let i = 0; i < 4; i++) nonce[8 + i]! ^= place[i]!;
  place[4] = isLast ? 1 : 0;
  return [nonce, place];
}

/** Runs `work` on 0 to count - 1, a few at a time; the first failure ends it. */
async function forEachSegment(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(segmentEngine.inFlight, count) }, lane));
}

/**
 * Seals up to 8 MiB of media as one object for the bucket. With `isPadded` the plaintext is framed and padded first, so it
 * may have 4 bytes less. Throws `limit` for too much and `final` for an empty chunk that is not the last.
 */
export async function sealChunk(
  trackKey: CryptoKey,
  fields: ChunkFields,
  plaintext: Uint8Array,
  signer: Signer,
): Promise<{ object: Bytes; entryHash: Bytes }> {
  const content = fields.isPadded ? pad(plaintext) : (plaintext as Bytes);
  const salt = fields.salt ?? randomBytes(32);
  const bound = encodeBound({ ...fields, salt, plaintextLength: content.length });
  const key = await deriveChunkKey(trackKey, bound, salt, 'encrypt');
  const count = segmentCount(content.length);
  const headLength = chunkHeadLength(content.length);
  const object = new Uint8Array(chunkObjectLength(content.length));
  const table = object.subarray(BOUND_LENGTH + 32, headLength - 64);
  object.set(bound);
  object.set(key.commitment, BOUND_LENGTH);
  await forEachSegment(count, async (index) => {
    const clear = content.subarray(index * SEGMENT, (index + 1) * SEGMENT);
    const [nonce, place] = segmentParameters(key.iv, index, index === count - 1);
    const from = headLength + index * (SEGMENT + TAG);
    const sealed = object.subarray(from, from + clear.length + TAG);
    table.set(await key.segments.seal(nonce, place, clear, sealed), 32 * index);
  });
  const digest = await entryHash({ bound, commitment: key.commitment, table });
  object.set(await signer.sign('chunk', digest), headLength - 64);
  return { object, entryHash: digest };
}

/** Opens segments of chunks whose head was verified; keeps the last chunk's key, because segments are read in runs. */
export class ChunkOpener {
  readonly #key: ChunkKey;
  readonly #head: ChunkHead;

  private constructor(key: ChunkKey, head: ChunkHead) {
    this.#key = key;
    this.#head = head;
  }

  /**
   * `head` must have passed `verifyChunkHead` (`TrackChain.accept` does that). Throws `commitment` when the track key is
   * not the one that sealed this chunk, or the recorder committed to another.
   */
  static async create(trackKey: CryptoKey, head: ChunkHead): Promise<ChunkOpener> {
    const key = await deriveChunkKey(trackKey, head.bound, head.header.salt, 'decrypt');
    if (!equal(key.commitment, head.commitment)) {
      throw new ProtocolError('commitment', 'the chunk key is not the one that was committed to');
    }
    return new ChunkOpener(key, head);
  }

  /**
   * The plaintext of one segment, given with its tag, only after its signed hash and its tag were checked: `length`,
   * `segment-hash`, `aead`.
   */
  async open(index: number, segment: Uint8Array): Promise<Bytes> {
    const signed = signedHash(this.#head, index, segment);
    const [nonce, place] = segmentParameters(this.#key.iv, index, index === this.#head.segments - 1);
    let clear: Bytes | undefined;
    try {
      clear = await this.#key.segments.open(nonce, place, segment as Bytes, signed);
    } catch {
      throw new ProtocolError('aead', `segment ${index} does not open`);
    }
    if (!clear) throw otherSegment(index);
    return clear;
  }
}

/** One segment by itself; who reads several of one chunk keeps a `ChunkOpener`. */
export async function openChunk(
  trackKey: CryptoKey,
  head: ChunkHead,
  index: number,
  segment: Uint8Array,
): Promise<Bytes> {
  return (await ChunkOpener.create(trackKey, head)).open(index, segment);
}

/**
 * The media of one whole object, padding taken off. `head`, when the caller's `TrackChain` has accepted it already, saves
 * parsing and verifying it again.
 */
export async function openWholeChunk(
  trackKey: CryptoKey,
  object: Uint8Array,
  recorderKey: Uint8Array,
  accepted?: ChunkHead,
): Promise<Bytes> {
  const head = accepted ?? parseChunkHead(object, object.length);
  if (object.length !== head.objectLength) {
    throw new ProtocolError('length', `expected an object of ${head.objectLength} bytes, found ${object.length}`);
  }
  if (!accepted) await verifyChunkHead(head, recorderKey);
  const opener = await ChunkOpener.create(trackKey, head);
  const content = new Uint8Array(head.header.plaintextLength);
  await forEachSegment(head.segments, async (index) => {
    const { from, to } = segmentRange(head, index);
    content.set(await opener.open(index, object.subarray(from, to)), index * SEGMENT);
  });
  return head.header.isPadded ? unpad(content) : content;
}

/**
 * Padme (Nikitin et al., PETS 2019): keeps as many leading bits of the length as the length of its length needs, so sizes
 * tell O(log log n) bits and cost at most 12 %. At least 4 KiB, because short event chunks tell most.
 */
export function paddedLength(length: number): number {
  const framed = Math.max(4 + length, 4096);
  const exponent = 31 - Math.clz32(framed);
  const kept = 32 - Math.clz32(exponent);
  const granule = 2 ** (exponent - kept);
  return Math.min(Math.ceil(framed / granule) * granule, MAX_PLAINTEXT);
}

function pad(media: Uint8Array): Bytes {
  if (media.length > MAX_PLAINTEXT - 4) {
    throw new ProtocolError('limit', `expected at most ${MAX_PLAINTEXT - 4} bytes to pad, found ${media.length}`);
  }
  const framed = new Uint8Array(paddedLength(media.length));
  new DataView(framed.buffer).setUint32(0, media.length);
  framed.set(media, 4);
  return framed;
}

/** Takes the frame and zeros off the whole plaintext of a PADDED chunk; throws `length` or `format`. */
export function unpad(framed: Bytes): Bytes {
  const trueLength = new Reader(framed).u32();
  if (trueLength > framed.length - 4) {
    throw new ProtocolError('length', `expected ${trueLength} bytes of media, found ${framed.length - 4}`);
  }
  if (!isZero(framed.subarray(4 + trueLength))) throw new ProtocolError('format', 'padding must be zero');
  return framed.subarray(4, 4 + trueLength);
}
