import { expect, test } from 'vitest';
import { parseChunkHead, segmentRange, TrackChain } from '../../../crypto/format/chunk.ts';
import { openHash } from '../../../crypto/format/open.ts';
import { flipBit, knownChunks, knownRecording } from '../knownanswers.ts';

const known = await knownRecording();
const openDigest = await openHash(known.open);
const { chunk0, chunk1 } = await knownChunks(known, openDigest);
const head0 = parseChunkHead(chunk0.object);
const head1 = parseChunkHead(chunk1.object);

test('a refused chunk leaves the chain where it was', async () => {
  const chain = new TrackChain(known.open, openDigest, 1);
  await expect(chain.accept(head1)).rejects.toMatchObject({ code: 'seq' });
  const forged = { ...head0, signature: flipBit(head0.signature, 3) };
  await expect(chain.accept(forged)).rejects.toMatchObject({ code: 'signature' });
  expect(chain).toMatchObject({ count: 0, isFinal: false });
  expect(chain.last).toEqual(openDigest);
  await chain.accept(head0);
  await chain.accept(head1);
  expect(chain).toMatchObject({ count: 2, isFinal: true });
});

test('of two chunks offered at once for one place only one is accepted', async () => {
  const chain = new TrackChain(known.open, openDigest, 1);
  const outcomes = await Promise.allSettled([chain.accept(head0), chain.accept(head0)]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(chain.count).toBe(1);
});

test('the head of an object is verified from its first bytes alone', async () => {
  const start = chunk0.object.slice(0, head0.headLength);
  const head = parseChunkHead(start, chunk0.object.length);
  expect(await new TrackChain(known.open, openDigest, 1).accept(head)).toEqual(chunk0.entryHash);
  expect(() => parseChunkHead(start, chunk0.object.length - 1)).toThrow('expected an object of 100320 bytes');
});

test('segments lie one after the other to the end of the object, and nowhere else', () => {
  const first = segmentRange(head0, 0);
  const last = segmentRange(head0, 1);
  expect(first).toEqual({ from: head0.headLength, to: head0.headLength + 65_552 });
  expect(last).toEqual({ from: first.to, to: chunk0.object.length });
  for (const index of [-1, 2, 0.5, Number.NaN])
    expect(() => segmentRange(head0, index)).toThrow('expected a segment below 2');
});
