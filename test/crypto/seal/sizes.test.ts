import { describe, expect, test } from 'vitest';
import { concat, equal, type Bytes } from '../../../crypto/format/bytes.ts';
import {
  chunkObjectLength,
  MAX_PLAINTEXT,
  parseChunkHead,
  segmentRange,
  TrackChain,
  verifyChunkHead,
} from '../../../crypto/format/chunk.ts';
import { openHash } from '../../../crypto/format/open.ts';
import { openChunk, openWholeChunk, sealChunk, type ChunkFields } from '../../../crypto/seal/chunk.ts';
import { openObject } from '../../../crypto/seal/stream.ts';
import { knownRecording } from '../knownanswers.ts';

const known = await knownRecording();
const openDigest = await openHash(known.open);
const trackKey = await known.keys.trackKey(1);

/** Cheap bytes that differ between segments. */
function mediaOf(length: number): Bytes {
  const media = new Uint8Array(length);
  for (let i = 0; i < length; i++) media[i] = i ^ (i >> 8) ^ (i >> 16);
  return media;
}

const fields = (isFinal: boolean, isPadded: boolean): ChunkFields => ({
  ...{ isFinal, isPadded, sessionId: known.open.sessionId, epoch: 0, track: 1, seq: 0, startMs: 0, durationMs: 1 },
  ...{ gapMs: 0, wallMs: 1, prev: openDigest },
});

async function* inPieces(object: Bytes, size: number): AsyncGenerator<Bytes> {
  for (let at = 0; at < object.length; at += size) yield object.subarray(at, at + size);
}

async function streamed(object: Bytes, size: number): Promise<Bytes> {
  const chain = new TrackChain(known.open, openDigest, 1);
  const parts: Bytes[] = [];
  for await (const part of openObject(trackKey, chain, inPieces(object, size))) parts.push(part);
  return concat(...parts);
}

const MiB4 = 4 * 1024 * 1024;
const SIZES = [0, 1, 15, 16, 17, 65_535, 65_536, 65_537, 131_072, MiB4 - 1, MiB4, MiB4 + 1, MAX_PLAINTEXT];

describe('what is sealed opens to the same bytes, whole, by segment and streamed', () => {
  test.each(SIZES)('%i bytes', async (length) => {
    const media = mediaOf(length);
    const { object } = await sealChunk(trackKey, fields(length === 0, false), media, known.recorder);
    expect(object.length).toBe(chunkObjectLength(length));
    expect(equal(await openWholeChunk(trackKey, object, known.recorder.publicKey), media)).toBe(true);
    expect(equal(await streamed(object, 100_001), media)).toBe(true);
    const head = parseChunkHead(object.subarray(0, 224 + 32 * Math.max(1, Math.ceil(length / 65_536))), object.length);
    await verifyChunkHead(head, known.recorder.publicKey);
    const { from, to } = segmentRange(head, head.segments - 1);
    const last = await openChunk(trackKey, head, head.segments - 1, object.subarray(from, to));
    expect(equal(last, media.subarray(65_536 * (head.segments - 1)))).toBe(true);
  });

  test.each([0, 1, 4091, 4092, 4093, 65_532, 65_533, 65_536, MAX_PLAINTEXT - 4])('%i bytes, padded', async (length) => {
    const media = mediaOf(length);
    const { object } = await sealChunk(trackKey, fields(false, true), media, known.recorder);
    expect(equal(await openWholeChunk(trackKey, object, known.recorder.publicKey), media)).toBe(true);
    expect(equal(await streamed(object, 65_537), media)).toBe(true);
  });
});

test.each([
  ['one byte above 8 MiB', MAX_PLAINTEXT + 1, false, 'limit'],
  ['one byte above what padding can frame', MAX_PLAINTEXT - 3, true, 'limit'],
  ['nothing, without FINAL', 0, false, 'final'],
])('a recorder cannot seal %s', async (_, length, isPadded, code) => {
  const sealing = sealChunk(trackKey, fields(false, isPadded), mediaOf(length), known.recorder);
  await expect(sealing).rejects.toMatchObject({ code });
});

test('plaintext of the segments before a bad one is handed out, and nothing of it or after it', async () => {
  const media = mediaOf(6 * 65_536);
  const { object } = await sealChunk(trackKey, fields(false, false), media, known.recorder);
  const { from } = segmentRange(parseChunkHead(object), 4);
  object[from]! ^= 1;
  const chain = new TrackChain(known.open, openDigest, 1);
  let received = 0;
  const reading = (async () => {
    for await (const part of openObject(trackKey, chain, inPieces(object, 1_000_000))) received += part.length;
  })();
  await expect(reading).rejects.toMatchObject({ code: 'segment-hash' });
  expect(received).toBe(4 * 65_536);
});
