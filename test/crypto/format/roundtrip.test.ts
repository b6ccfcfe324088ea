import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromBase64Url, fromHex, toBase64Url, toHex, type Bytes } from '../../../crypto/format/bytes.ts';
import type { Signer } from '../../../crypto/format/ed25519.ts';
import { encodeBound, MAX_PLAINTEXT, parseChunkHead, segmentCount } from '../../../crypto/format/chunk.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { encodeGrant, parseGrant } from '../../../crypto/format/grant.ts';
import { encodeHead, parseHead } from '../../../crypto/format/head.ts';
import { formatId, parseId, type Suite } from '../../../crypto/format/ids.ts';
import { parseStrictJson } from '../../../crypto/format/json.ts';
import { encodeOpenBody, encodeOpenCore, parseOpen, signOpen, type TrackKind } from '../../../crypto/format/open.ts';
import { encodeReceipt, parseReceipt } from '../../../crypto/format/receipt.ts';
import { encodeTicket, parseTicket } from '../../../crypto/format/ticket.ts';
import { encodeWrap, parseWrap, WRAP_LENGTHS, type WrapHeader } from '../../../crypto/format/wrap.ts';
import { identityFromSeed } from '../../../crypto/seal/identity.ts';
import { concat, utf8 } from '../../../crypto/format/bytes.ts';
import { decodeArmor, encodeArmor } from '../../../crypto/seal/armor.ts';
import { openNote, sealNote } from '../../../crypto/seal/note.ts';
import { openWrap, sealWrap, WRAP_RANDOMNESS } from '../../../crypto/seal/wrap.ts';
import { decryptionKeyFromSeed } from '../../../crypto/seal/identity.ts';
import { knownRecording } from '../knownanswers.ts';

const known = await knownRecording();
const identity = await identityFromSeed(new Uint8Array(32).fill(1));
/** Signatures are not what is tested here. */
const silent: Signer = { publicKey: identity.publicKey, sign: async () => new Uint8Array(64) };

const bytesOf = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => new Uint8Array(bytes));
const anyBytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((bytes): Bytes => new Uint8Array(bytes));
const id = bytesOf(16).map(formatId);
const hash32 = bytesOf(32);
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffffffff);
const u64 = fc.maxSafeNat();
const shortText = fc.string({ unit: 'grapheme', maxLength: 20 });
const trackIds = fc.uniqueArray(u16, { minLength: 1, maxLength: 16 }).map((ids) => ids.sort((a, b) => a - b));

const openCore = fc.record({
  minSuite: fc.constantFrom(1 as const, 2 as const),
  ...{
    examId: id,
    policyHash: hash32,
    sessionId: id,
    epoch: fc.constant(0),
    prevHead: fc.constant(new Uint8Array(32)),
  },
  ...{ recorderKey: hash32, commitment: hash32, shredHash: hash32, participant: hash32, recorderBuild: hash32 },
  ...{ clientMs: u64, beaconSize: u64, beaconRoot: hash32 },
  tracks: trackIds.chain((ids) =>
    fc.tuple(
      ...ids.map((track) =>
        fc.record({ track: fc.constant(track), kind: fc.integer({ min: 1, max: 7 }), codec: shortText }),
      ),
    ),
  ),
});

test('an open record is read as it was written', async () => {
  await fc.assert(
    fc.asyncProperty(openCore, fc.array(hash32, { minLength: 1, maxLength: 64 }), async (fields, wrapHashes) => {
      const tracks = fields.tracks.map((track) => ({ ...track, kind: track.kind as TrackKind }));
      const core = encodeOpenCore({ ...fields, tracks });
      const bytes = await signOpen(encodeOpenBody(core, wrapHashes), silent);
      const read = parseOpen(bytes);
      expect(read).toMatchObject({ ...fields, wrapHashes });
      expect(read.core).toEqual(core);
      expect(concat(read.body, read.signature)).toEqual(bytes);
    }),
  );
});

const headFields = fc
  .record({
    reason: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const, 4 as const),
    ...{
      sessionId: id,
      epoch: u32,
      headSeq: u32,
      prev: hash32,
      wallMs: u64,
      monoMs: u64,
      beaconSize: u64,
      beaconRoot: hash32,
    },
    tracks: trackIds.chain((ids) =>
      fc.tuple(
        ...ids.map((track) =>
          fc.record({
            track: fc.constant(track),
            state: fc.constantFrom(1 as const, 2 as const, 3 as const),
            count: u32,
            last: hash32,
          }),
        ),
      ),
    ),
  })
  .map((fields) => ({ ...fields, isClose: fields.reason !== 0 }));

test('a head is read as it was written', async () => {
  await fc.assert(
    fc.asyncProperty(headFields, async (fields) => {
      expect(parseHead(await encodeHead(fields, silent))).toMatchObject(fields);
    }),
  );
});

test('a chunk header is read as it was written, and its object is as long as it says', () => {
  const chunkHeader = fc
    .record({
      ...{ isFinal: fc.boolean(), isPadded: fc.boolean(), sessionId: id, epoch: u32, track: u16, seq: u32 },
      plaintextLength: fc.integer({ min: 0, max: MAX_PLAINTEXT }),
      ...{ startMs: u64, durationMs: u32, gapMs: u32, wallMs: u64, prev: hash32, salt: hash32 },
    })
    .filter(({ isFinal, plaintextLength }) => isFinal || plaintextLength > 0);
  fc.assert(
    fc.property(chunkHeader, (header) => {
      const count = segmentCount(header.plaintextLength);
      const objectLength = 128 + 32 + 32 * count + 64 + 16 * count + header.plaintextLength;
      const head = parseChunkHead(concat(encodeBound(header), new Uint8Array(96 + 32 * count)), objectLength);
      expect(head.header).toEqual(header);
    }),
  );
});

test('receipts, grants, tickets and wraps are read as they were written', async () => {
  const place = { sessionId: id, epoch: u32 };
  const receipt = fc.record({
    state: fc.constantFrom(1 as const, 2 as const),
    ...{ ...place, headSeq: u32, headHash: hash32, serverMs: u64, deleteByMs: u64, openedPosition: u64 },
  });
  const scope = fc.oneof(
    fc.record({ scope: fc.constant(1 as const), track: fc.constant(0) }),
    fc.record({ scope: fc.constant(2 as const), track: u16 }),
  );
  const grant = fc.record({
    ...{ ...place, fromIdentity: hash32, toIdentity: hash32, toKeyId: bytesOf(16), policyHash: hash32 },
    ...{ grantedMs: u64, expiresMs: u64, wrapHash: hash32 },
  });
  const ticket = fc.record({
    ...{ examId: id, seat: shortText.filter((text) => text !== ''), ticketKey: fc.constant(identity.publicKey) },
    ...{ accommodations: fc.json({ maxDepth: 3 }), expiresMs: u64 },
  });
  const role = fc.constantFrom(1 as const, 2 as const, 3 as const);
  await fc.assert(
    fc.asyncProperty(
      receipt,
      grant,
      scope,
      ticket,
      role,
      async (receiptFields, grantPart, where, ticketFields, asRole) => {
        expect(parseReceipt(await encodeReceipt(receiptFields, silent))).toMatchObject(receiptFields);
        const grantFields = { ...grantPart, ...where };
        expect(parseGrant(await encodeGrant(grantFields, silent))).toMatchObject(grantFields);
        expect(parseTicket(await encodeTicket(ticketFields, silent))).toMatchObject(ticketFields);
        const suite: Suite = asRole === 1 ? 1 : 2;
        const lengths = WRAP_LENGTHS[suite];
        const wrap: WrapHeader = {
          ...{ suite, role: asRole, ...where, keyId: grantFields.toKeyId, coreHash: grantFields.wrapHash },
          encapsulation: new Uint8Array(lengths.encapsulation),
          ciphertext: new Uint8Array(lengths.ciphertext),
        };
        expect(parseWrap(encodeWrap(wrap))).toEqual(wrap);
      },
    ),
  );
});

test('a secret comes out of its wrap, and a note out of its seal, for any place and content', async () => {
  const seed = bytesOf(32);
  const scope = fc.constantFrom(
    { scope: 1 as const, track: 0 },
    { scope: 2 as const, track: 0 },
    { scope: 2 as const, track: 65_535 },
  );
  await fc.assert(
    fc.asyncProperty(
      seed,
      seed,
      hash32,
      scope,
      bytesOf(64),
      anyBytes(300),
      async (secret, keySeed, coreHash, where, randomness, text) => {
        for (const suite of [1, 2] as const) {
          const key = await decryptionKeyFromSeed(suite, keySeed);
          const context = { role: 1 as const, ...where, coreHash };
          const wrap = await sealWrap(secret, key, context, randomness.subarray(0, WRAP_RANDOMNESS[suite]));
          expect(await openWrap(wrap, key, { ...context, minSuite: suite })).toEqual(secret);
        }
        const place = { sessionId: known.open.sessionId, epoch: where.track, purpose: 2 } as const;
        const note = await sealNote(known.keys.metadataKey, place, text);
        expect(await openNote(known.keys.metadataKey, note, place)).toEqual(text);
      },
    ),
    { numRuns: 20 },
  );
});

test('texts are canonical: what decodes encodes to the same text', () => {
  fc.assert(
    fc.property(anyBytes(200), (bytes) => {
      expect(fromBase64Url(toBase64Url(bytes))).toEqual(bytes);
      expect(fromHex(toHex(bytes))).toEqual(bytes);
      expect(decodeArmor('ZEROREEL KEY FILE', encodeArmor('ZEROREEL KEY FILE', bytes))).toEqual(bytes);
    }),
  );
  fc.assert(
    fc.property(fc.stringMatching(/^[A-Za-z0-9_-]{22}$/), (text) => {
      let bytes: Bytes;
      try {
        bytes = parseId(text);
      } catch (error) {
        if (error instanceof ProtocolError) return;
        throw error;
      }
      expect(formatId(bytes)).toBe(text);
    }),
  );
});

test('strict JSON reads what JSON.parse reads, and refuses a repeated key at any depth', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 5 }), (text) => {
      expect(parseStrictJson(utf8(text))).toEqual(JSON.parse(text));
    }),
  );
  const keyText = fc.string().map((key) => JSON.stringify(key));
  fc.assert(
    fc.property(keyText, fc.json({ maxDepth: 2 }), fc.nat(5), (key, value, depth) => {
      const twice = `{${key}:${value},"a~":0,${key} :1}`;
      const nested = `${'{"x":['.repeat(depth)}${twice}${']}'.repeat(depth)}`;
      expect(() => parseStrictJson(utf8(nested))).toThrow(ProtocolError);
    }),
  );
});
