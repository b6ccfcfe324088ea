/** Identifiers, key encodings and fingerprints (PROTOCOL.md section 3). */
import { base32crockford, bech32m } from '@scure/base';
import { concat, fromBase64Url, toBase64Url, type Bytes } from './bytes.ts';
import { checkPublicKey } from './ed25519.ts';
import { ProtocolError } from './errors.ts';
import { hash } from './hash.ts';
import { randomBytes, type RandomSource } from './random.ts';

/** X25519 with XSalsa20-Poly1305: tweetnacl's box. */
export const SUITE_BOX = 1;
/** HPKE with MLKEM768-X25519, the default. */
export const SUITE_HYBRID = 2;
/** Ed25519 identity keys; names no encryption suite, it only separates their fingerprints. */
export const IDENTITY_SUITE = 0x00ff;

export type Suite = typeof SUITE_BOX | typeof SUITE_HYBRID;

/** Bytes of a public encryption key, by suite. */
export const PUBLIC_KEY_LENGTH = { [SUITE_BOX]: 32, [SUITE_HYBRID]: 1216 } as const satisfies Record<Suite, number>;

const PREFIX = { [SUITE_BOX]: 'zrbox', [SUITE_HYBRID]: 'zrpq' } as const satisfies Record<Suite, string>;
const IDENTITY_PREFIX = 'zrid';
const ID_LENGTH = 16;

/** A fresh exam or session id: 16 random bytes as 22 characters of base64url. */
export function newId(random: RandomSource = randomBytes): string {
  return toBase64Url(random(ID_LENGTH));
}

/** The 16 bytes of an id in its one canonical text form; throws `format`. */
export function parseId(text: string): Bytes {
  if (text.length !== 22) throw new ProtocolError('format', `expected an id of 22 characters, found ${text.length}`);
  return fromBase64Url(text);
}

/** The text form of 16 id bytes; throws `length`. */
export function formatId(bytes: Uint8Array): string {
  if (bytes.length !== ID_LENGTH) throw new ProtocolError('length', `expected 16 id bytes, found ${bytes.length}`);
  return toBase64Url(bytes);
}

/** Narrows a number from the wire; throws `format`, so that an unknown suite is never guessed at. */
export function parseSuite(value: number): Suite {
  if (value !== SUITE_BOX && value !== SUITE_HYBRID) throw new ProtocolError('format', `unknown suite ${value}`);
  return value;
}

function suiteBytes(suite: number): Bytes {
  return Uint8Array.of(suite >> 8, suite & 0xff);
}

/** 16 bytes that name an encryption key: H("key-id", u16 suite || pk)[:16]. */
export async function keyId(suite: Suite, publicKey: Uint8Array): Promise<Bytes> {
  return (await hash('key-id', suiteBytes(suite), publicKey)).slice(0, 16);
}

/** All 32 bytes of H("fingerprint", u16 suite || pk): what machines pin. `fingerprint` shows its first 20. */
export async function fingerprintHash(suite: Suite | typeof IDENTITY_SUITE, publicKey: Uint8Array): Promise<Bytes> {
  return hash('fingerprint', suiteBytes(suite), publicKey);
}

/** What humans compare: 160 bits as 8 groups of 4 Crockford base32 characters. */
export async function fingerprint(suite: Suite | typeof IDENTITY_SUITE, publicKey: Uint8Array): Promise<string> {
  const text = base32crockford.encode((await fingerprintHash(suite, publicKey)).slice(0, 20));
  return text.match(/.{4}/g)!.join('-');
}

function decodeBech32m(text: string): { prefix: string; bytes: Bytes } {
  try {
    // bech32m's checksum was analysed for 90 characters; here it only catches typing errors, so no length limit.
    const { prefix, words } = bech32m.decode(text as `${string}1${string}`, false);
    const bytes = new Uint8Array(bech32m.fromWords(words));
    if (bech32m.encode(prefix, words, false) === text) return { prefix, bytes };
  } catch {
    // Told below in one voice: a key's text is not repeated in an error.
  }
  throw new ProtocolError('format', 'expected a bech32m key in lower case with a valid checksum');
}

/** `zrbox1...` or `zrpq1...`; throws `key` when the key does not fit the suite. */
export function encodeEncryptionKey(suite: Suite, publicKey: Uint8Array): string {
  checkEncryptionKey(suite, publicKey);
  return bech32m.encode(PREFIX[suite], bech32m.toWords(publicKey), false);
}

/** Throws `format` for a wrong text and `key` for a key that must not be used (see `checkEncryptionKey`). */
export function decodeEncryptionKey(text: string): { suite: Suite; publicKey: Bytes } {
  const { prefix, bytes } = decodeBech32m(text);
  const suite = prefix === PREFIX[SUITE_BOX] ? SUITE_BOX : prefix === PREFIX[SUITE_HYBRID] ? SUITE_HYBRID : undefined;
  if (suite === undefined) throw new ProtocolError('format', 'expected a key that begins with zrbox1 or zrpq1');
  checkEncryptionKey(suite, bytes);
  return { suite, publicKey: bytes };
}

/** `zrid1...`; throws `key` for a key that V-strict refuses. */
export function encodeIdentity(publicKey: Uint8Array): string {
  checkPublicKey(publicKey);
  return bech32m.encode(IDENTITY_PREFIX, bech32m.toWords(publicKey), false);
}

/** The 32 bytes of an identity key; throws `format` or `key`. */
export function decodeIdentity(text: string): Bytes {
  const { prefix, bytes } = decodeBech32m(text);
  if (prefix !== IDENTITY_PREFIX) throw new ProtocolError('format', 'expected a key that begins with zrid1');
  checkPublicKey(bytes);
  return bytes;
}

/**
 * Throws `key` unless this may be encrypted to: the suite's length, every ML-KEM coefficient below q (FIPS 203,
 * section 7.2), and an X25519 point that is not of low order, whose shared secret everybody would know.
 */
export function checkEncryptionKey(suite: Suite, publicKey: Uint8Array): void {
  const expected = PUBLIC_KEY_LENGTH[suite];
  if (publicKey.length !== expected) {
    throw new ProtocolError('key', `expected ${expected} bytes for suite ${suite}, found ${publicKey.length}`);
  }
  if (suite === SUITE_HYBRID) checkLattice(publicKey.subarray(0, MLKEM_COEFFICIENT_BYTES));
  checkMontgomeryOrder(publicKey.subarray(expected - 32));
}

/** 3 polynomials of 256 coefficients, 12 bits each. */
const MLKEM_COEFFICIENT_BYTES = 1152;
const MLKEM_MODULUS = 3329;

function checkLattice(packed: Uint8Array): void {
  for (let i = 0; i < packed.length; i += 3) {
    const low = packed[i]! | ((packed[i + 1]! & 0x0f) << 8);
    const high = (packed[i + 1]! >> 4) | (packed[i + 2]! << 4);
    if (low >= MLKEM_MODULUS || high >= MLKEM_MODULUS) {
      throw new ProtocolError('key', 'an ML-KEM coefficient is not reduced');
    }
  }
}

/** The u coordinates of order 1, 2, 4 and 8 on curve and twist, little-endian, with those congruent to them below 2^255. */
const LOW_ORDER_U: ReadonlySet<string> = new Set(
  [
    0n,
    1n,
    0xb8495f16056286fdb1329ceb8d09da6ac49ff1fae35616aeb8413b7c7aebe0n,
    0x57119fd0dd4e22d8868e1c58c45c44045bef839c55b1d0b1248c50a3bc959c5fn,
    2n ** 255n - 20n,
    2n ** 255n - 19n,
    2n ** 255n - 18n,
  ].map((u) => u.toString()),
);

function checkMontgomeryOrder(u: Uint8Array): void {
  // RFC 7748 section 5: the top bit is ignored, so it must not hide a low-order point.
  const masked = concat(u);
  masked[31]! &= 0x7f;
  let value = 0n;
  for (let i = 31; i >= 0; i--) value = (value << 8n) | BigInt(masked[i]!);
  if (LOW_ORDER_U.has(value.toString())) throw new ProtocolError('key', 'an X25519 key of low order');
}
