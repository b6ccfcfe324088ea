/** What the makers of hostile cases share: the keys, the tools to change records, and the list they add to. */
import { concat, toHex, utf8, Writer, type Bytes } from '../../../crypto/format/bytes.ts';
import { entryHash, parseChunkHead } from '../../../crypto/format/chunk.ts';
import { signedMessage, type Signer } from '../../../crypto/format/ed25519.ts';
import { encodeEncryptionKey, formatId } from '../../../crypto/format/ids.ts';
import { sealChunk, type ChunkFields } from '../../../crypto/seal/chunk.ts';
import { identityFromSeed, signerFromSeed } from '../../../crypto/seal/identity.ts';
import { bech32m } from '@scure/base';
import nacl from 'tweetnacl';
import { sequence } from '../knownanswers.ts';
import { describe, hostileBases, type Blob, type HostileCase, type HostileInput } from './cases.ts';

export const given = await hostileBases();
export const { known, openDigest, trackKey, chunk0, chunk1, bases } = given;
export const { recorder, coreHash, open } = known;
export const owner = await identityFromSeed(sequence(32, 0x33));
export const colleague = await identityFromSeed(sequence(32, 0x34));
export const outsider = await identityFromSeed(sequence(32, 0x35));
export const seat = await signerFromSeed(sequence(32, 0x70));
export const log = await signerFromSeed(sequence(32, 0xf0));
export const examId = formatId(sequence(16, 0x10));
export const NOW = 1_790_000_000_000;

export const cases: HostileCase[] = [];
let number = 0;
const used = new Set<string>();

/** Begins the numbered item of section 14 that the next cases belong to. */
export function item(n: number): void {
  number = n;
}

export function add(id: string, code: HostileCase['code'], why: string, input: HostileInput): void {
  if (used.has(id)) throw new Error(`two cases called ${id}`);
  used.add(id);
  cases.push({ id, number, why, code, ...input });
}

export const blob = (bytes: Bytes): Blob => describe(bytes, bases);

/** A copy with bytes at an offset replaced. */
export function patch(bytes: Uint8Array, at: number, replacement: Uint8Array | readonly number[]): Bytes {
  const copy = concat(bytes);
  copy.set(replacement, at);
  return copy;
}

export const flip = (bytes: Uint8Array, at: number): Bytes => patch(bytes, at, [bytes[at]! ^ 1]);
export const one = (...objects: Bytes[]): HostileInput => ({ check: 'chunks', track: 1, objects: objects.map(blob) });

/** Signs a changed object as the recorder, or another signer, would. */
export async function resign(object: Bytes, signer: Signer = recorder): Promise<Bytes> {
  const head = parseChunkHead(object);
  return patch(object, head.headLength - 64, await signer.sign('chunk', await entryHash(head)));
}

export const fields: ChunkFields = {
  ...{ isFinal: false, isPadded: false, sessionId: open.sessionId, epoch: 0, track: 1, seq: 0, startMs: 0 },
  ...{ durationMs: 1000, gapMs: 0, wallMs: NOW + 5000, prev: openDigest, salt: sequence(32, 0x65) },
};
export const media = utf8('not much of a recording');
export const seal = async (change: Partial<ChunkFields> = {}, signer: Signer = recorder): Promise<Bytes> =>
  (await sealChunk(trackKey, { ...fields, ...change }, media, signer)).object;
export const small = await seal();
export const smallHash = await entryHash(parseChunkHead(small));

export const openWrapCase = (wrap: Bytes, key: 'box' | 'hybrid', change: object = {}): HostileInput => ({
  ...{ check: 'wrap', wrap: blob(wrap), key, coreHash: toHex(coreHash), minSuite: 1, role: 1, scope: 1, track: 0 },
  ...change,
});

export const otherSession = formatId(sequence(16, 0x28));

export const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
export function malleate(signature: Uint8Array): Bytes {
  let s = 0n;
  for (let i = 63; i >= 32; i--) s = (s << 8n) | BigInt(signature[i]!);
  s += ORDER;
  const changed = concat(signature);
  for (let i = 32; i < 64; i++, s >>= 8n) changed[i] = Number(s & 255n);
  return changed;
}

/** A signature that satisfies the equation with R = the neutral element: S = k a. Only who knows the secret scalar a can make it. */
export function signWithLowOrderR(label: string, digest: Bytes, seed: Bytes): Bytes {
  const scalarBytes = nacl.hash(seed).subarray(0, 32);
  scalarBytes[0]! &= 248;
  scalarBytes[31] = (scalarBytes[31]! & 127) | 64;
  const littleEndian = (bytes: Uint8Array) => bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  const neutral = Uint8Array.of(1, ...new Uint8Array(31));
  const { publicKey } = nacl.sign.keyPair.fromSeed(seed);
  const k = littleEndian(nacl.hash(concat(neutral, publicKey, signedMessage(label, digest))));
  let s = (k * littleEndian(scalarBytes)) % ORDER;
  const encoded = new Uint8Array(32);
  for (let i = 0; i < 32; i++, s >>= 8n) encoded[i] = Number(s & 255n);
  return concat(neutral, encoded);
}

export const RECORDER_KEY_AT = 4 + 1 + 1 + 2 + 16 + 32 + 16 + 4 + 32;

export const elsewhere = sequence(32, 0x99);

export const keyText = (prefix: string, bytes: Uint8Array): string =>
  bech32m.encode(prefix, bech32m.toWords(bytes), false);

export const u32 = (value: number): Bytes => new Writer().u32(value).finish();

/** The suite 1 key of the vectors as text. */
export const boxText = encodeEncryptionKey(1, known.box.publicKey);
