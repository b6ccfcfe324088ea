/** The known answers of protocol v1 and the inputs that lead to them (`test/vectors/protocol-v1.json`). */
import { readFileSync } from 'node:fs';
import { concat, fromHex, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { SUITE_BOX, SUITE_HYBRID, formatId } from '../../crypto/format/ids.ts';
import { encodeOpenBody, encodeOpenCore, openCoreHash, parseOpen, signOpen } from '../../crypto/format/open.ts';
import { policyHash } from '../../crypto/format/policy.ts';
import { ROLE_INSTRUCTOR, SCOPE_EPOCH, wrapHash } from '../../crypto/format/wrap.ts';
import { decryptionKeyFromSeed, signerFromSeed } from '../../crypto/seal/identity.ts';
import { deriveEpochKeys, shredHash } from '../../crypto/seal/schedule.ts';
import { sealChunk } from '../../crypto/seal/chunk.ts';
import { sealWrap } from '../../crypto/seal/wrap.ts';

/** `seq(n, s)` of the vectors: the n bytes s, s + 1, ... mod 256. */
export function sequence(length: number, start: number): Bytes {
  return Uint8Array.from({ length }, (_, i) => (start + i) & 0xff);
}

interface VectorFile {
  inputs: Record<string, unknown>;
  outputs_hex_or_text: Record<string, string | number>;
}

const file = JSON.parse(readFileSync(new URL('../vectors/protocol-v1.json', import.meta.url), 'utf8')) as VectorFile;

/** A text or number among the answers. */
export function answer(name: string): string | number {
  const value = file.outputs_hex_or_text[name];
  if (value === undefined) throw new Error(`no known answer called ${name}`);
  return value;
}

export function answerBytes(name: string): Bytes {
  return fromHex(String(answer(name)));
}

export const answerNames = Object.keys(file.outputs_hex_or_text);

/** 100,000 bytes, pt[i] = (((7+i) mod 256)*31 + i) mod 256. */
export const chunk0Plaintext = Uint8Array.from({ length: 100_000 }, (_, i) => (((7 + i) % 256) * 31 + i) % 256);

/** The recording of the vectors, built from their inputs by the code under test. */
export async function knownRecording() {
  const examId = formatId(sequence(16, 0x10));
  const sessionId = formatId(sequence(16, 0x20));
  const cek = sequence(32, 0x40);
  const shred = sequence(32, 0x50);
  const policyDigest = await policyHash(utf8('{"v":1}'));
  const recorder = await signerFromSeed(sequence(32, 0x80));
  const box = await decryptionKeyFromSeed(SUITE_BOX, sequence(32, 0xa0));
  const hybrid = await decryptionKeyFromSeed(SUITE_HYBRID, sequence(32, 0xb0));
  const place = { examId, policyHash: policyDigest, sessionId, epoch: 0 };
  const keys = await deriveEpochKeys({ cek, shred, ...place });
  const core = encodeOpenCore({
    ...place,
    minSuite: SUITE_BOX,
    prevHead: new Uint8Array(32),
    recorderKey: recorder.publicKey,
    commitment: keys.kc,
    shredHash: await shredHash(shred),
    participant: sequence(32, 0x01),
    recorderBuild: sequence(32, 0x02),
    clientMs: 1_790_000_000_000,
    beaconSize: 4096,
    beaconRoot: sequence(32, 0x03),
    tracks: [
      { track: 1, kind: 1, codec: 'video/webm;codecs=vp9' },
      { track: 2, kind: 4, codec: 'application/x-ndjson' },
    ],
  });
  const coreHash = await openCoreHash(core);
  const context = { role: ROLE_INSTRUCTOR, scope: SCOPE_EPOCH, track: 0, coreHash } as const;
  const wrap1 = await sealWrap(cek, box, context, sequence(32, 0xc0));
  const wrap2 = await sealWrap(cek, hybrid, context, sequence(64, 0xd0));
  const openBytes = await signOpen(encodeOpenBody(core, [await wrapHash(wrap1), await wrapHash(wrap2)]), recorder);
  const open = parseOpen(openBytes);
  return { ...{ cek, shred, recorder, box, hybrid, keys, core, coreHash, context }, wrap1, wrap2, openBytes, open };
}

export type KnownRecording = Awaited<ReturnType<typeof knownRecording>>;

/** Both chunks of the vectors' track 1. */
export async function knownChunks({ open, keys, recorder }: KnownRecording, openDigest: Bytes) {
  const trackKey = await keys.trackKey(1);
  const common = { sessionId: open.sessionId, epoch: 0, track: 1, isPadded: false, gapMs: 0 };
  const chunk0 = await sealChunk(
    trackKey,
    {
      ...common,
      ...{ isFinal: false, seq: 0, startMs: 0, durationMs: 5000, wallMs: 1_790_000_005_000 },
      prev: openDigest,
      salt: sequence(32, 0x60),
    },
    chunk0Plaintext,
    recorder,
  );
  const chunk1 = await sealChunk(
    trackKey,
    {
      ...common,
      ...{ isFinal: true, seq: 1, startMs: 5000, durationMs: 0, wallMs: 1_790_000_005_001 },
      prev: chunk0.entryHash,
      salt: sequence(32, 0x90),
    },
    new Uint8Array(0),
    recorder,
  );
  return { trackKey, chunk0, chunk1 };
}

/** A copy with one bit changed. */
export function flipBit(bytes: Uint8Array, bit: number): Bytes {
  const changed = concat(bytes);
  changed[bit >> 3]! ^= 1 << (bit & 7);
  return changed;
}
