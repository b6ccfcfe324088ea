/**
 * The primitives of schema/PROTOCOL.md section 2 over node:crypto, with XSalsa20-Poly1305, X-Wing and HPKE written out. Part of
 * the second implementation: it imports nothing of `crypto/`, so that a mistake there is not repeated here.
 */
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import {
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  timingSafeEqual,
  verify as verifyEd25519,
} from 'node:crypto';

/** A refusal with the class that PROTOCOL.md gives it. */
export class Refused extends Error {
  readonly code: string;

  constructor(code: string, reason = code) {
    super(reason);
    this.code = code;
  }
}

/** Throws a refusal unless the condition holds. */
export function must(condition: boolean, code: string, reason?: string): asserts condition {
  if (!condition) throw new Refused(code, reason);
}

export const ds = (label: string): Buffer => Buffer.from(`zeroreel/v1/${label}\0`, 'latin1');
export const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();
export const h = (label: string, ...parts: Uint8Array[]): Buffer => sha256(ds(label), ...parts);
export const hkdf = (ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Buffer =>
  Buffer.from(hkdfSync('sha256', ikm, salt, info, length));
export const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b);

function number(littleEndian: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(littleEndian).reverse().toString('hex') || '0'}`);
}

// ---- Ed25519, V-strict ---------------------------------------------------------------------------------------------
const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
/** y of the points P with 8 P = 0, computed from the curve: 0, 1, -1, and the two roots of order 8. */
const TORSION = new Set([0n, 1n, P - 1n, ...orderEight()]);

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let b = base % P, e = exponent; e > 0n; e >>= 1n, b = (b * b) % P) if (e & 1n) result = (result * b) % P;
  return result;
}

/**
 * A point of order 8 doubles to one with y = 0, so x^2 = -y^2; with the curve -x^2 + y^2 = 1 + d x^2 y^2 that is
 * d y^4 + 2 y^2 - 1 = 0, hence y^2 = (-1 + sqrt(1 + d)) / d for one of the two roots.
 */
function orderEight(): bigint[] {
  const d = (P - ((121665n * power(121666n, P - 2n)) % P)) % P;
  const root = squareRootOrNull((1n + d) % P)!;
  return [root, P - root].flatMap((sign) => {
    const y = squareRootOrNull((((sign - 1n + P) % P) * power(d, P - 2n)) % P);
    return y === null ? [] : [y, P - y];
  });
}

function squareRootOrNull(value: bigint): bigint | null {
  let root = power(value, (P + 3n) / 8n);
  if ((root * root) % P !== value) root = (root * power(2n, (P - 1n) / 4n)) % P;
  return (root * root) % P === value ? root : null;
}

export function checkKey(key: Uint8Array): void {
  must(key.length === 32, 'key');
  const y = number(key) & (2n ** 255n - 1n);
  must(y < P && !TORSION.has(y), 'key');
}

const SPKI = Buffer.from('302a300506032b6570032100', 'hex');

export function signatureHolds(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    checkKey(key);
  } catch {
    return false;
  }
  if (signature.length !== 64 || number(signature.subarray(32)) >= L) return false;
  if (TORSION.has(number(signature.subarray(0, 32)) & (2n ** 255n - 1n))) return false;
  const publicKey = createPublicKey({ key: Buffer.concat([SPKI, key]), format: 'der', type: 'spki' });
  return verifyEd25519(null, message, publicKey, signature);
}

/** Sign(sk, label, hash) of a record: the key is checked first. */
export function mustBeSigned(key: Uint8Array, label: string, hash: Uint8Array, signature: Uint8Array): void {
  checkKey(key);
  must(signatureHolds(key, Buffer.concat([ds(`sig/${label}`), hash]), signature), 'signature', label);
}

// ---- AES-GCM -------------------------------------------------------------------------------------------------------
export function openGcm(key: Uint8Array, iv: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Buffer {
  must(sealed.length >= 16, 'length');
  const cipher = createDecipheriv('aes-256-gcm', key, iv)
    .setAAD(aad)
    .setAuthTag(sealed.subarray(sealed.length - 16));
  try {
    return Buffer.concat([cipher.update(sealed.subarray(0, sealed.length - 16)), cipher.final()]);
  } catch {
    throw new Refused('aead');
  }
}

// ---- X25519 --------------------------------------------------------------------------------------------------------
const X25519_PRIVATE = Buffer.from('302e020100300506032b656e04220420', 'hex');
const X25519_PUBLIC = Buffer.from('302a300506032b656e032100', 'hex');

const x25519Private = (scalar: Uint8Array) =>
  createPrivateKey({ key: Buffer.concat([X25519_PRIVATE, scalar]), format: 'der', type: 'pkcs8' });

export function x25519(scalar: Uint8Array, point: Uint8Array): Buffer {
  const publicKey = createPublicKey({ key: Buffer.concat([X25519_PUBLIC, point]), format: 'der', type: 'spki' });
  try {
    return diffieHellman({ privateKey: x25519Private(scalar), publicKey });
  } catch {
    throw new Refused('zero-shared-secret'); // OpenSSL refuses a secret of zeros
  }
}

export function x25519PublicKey(scalar: Uint8Array): Buffer {
  const jwk = createPublicKey(x25519Private(scalar)).export({ format: 'jwk' });
  return Buffer.from(jwk.x ?? '', 'base64url');
}

// ---- XSalsa20-Poly1305, as in NaCl's box ---------------------------------------------------------------------------
const SIGMA = Buffer.from('expand 32-byte k', 'latin1');
/** Salsa20's input: constants on the diagonal, the key in two halves, and 16 bytes of nonce or counter. */
function salsaState(key: Uint8Array, input: Uint8Array): Uint32Array {
  const k = Buffer.from(key);
  const n = Buffer.from(input);
  const word = (bytes: Buffer, i: number) => bytes.readUInt32LE(4 * i);
  return Uint32Array.of(
    ...[word(SIGMA, 0), word(k, 0), word(k, 1), word(k, 2), word(k, 3), word(SIGMA, 1), word(n, 0), word(n, 1)],
    ...[word(n, 2), word(n, 3), word(SIGMA, 2), word(k, 4), word(k, 5), word(k, 6), word(k, 7), word(SIGMA, 3)],
  );
}

function salsaRounds(state: Uint32Array): Uint32Array {
  const x = Uint32Array.from(state);
  const step = (to: number, a: number, b: number, turn: number): void => {
    const sum = (x[a]! + x[b]!) >>> 0;
    x[to] = x[to]! ^ ((sum << turn) | (sum >>> (32 - turn)));
  };
  const quarter = (a: number, b: number, c: number, d: number): void => {
    step(b, a, d, 7);
    step(c, b, a, 9);
    step(d, c, b, 13);
    step(a, d, c, 18);
  };
  for (let round = 0; round < 10; round++) {
    quarter(0, 4, 8, 12);
    quarter(5, 9, 13, 1);
    quarter(10, 14, 2, 6);
    quarter(15, 3, 7, 11);
    quarter(0, 1, 2, 3);
    quarter(5, 6, 7, 4);
    quarter(10, 11, 8, 9);
    quarter(15, 12, 13, 14);
  }
  return x;
}

function words(values: Iterable<number>): Buffer {
  const list = [...values];
  const bytes = Buffer.alloc(4 * list.length);
  list.forEach((value, i) => bytes.writeUInt32LE(value >>> 0, 4 * i));
  return bytes;
}

function hsalsa20(key: Uint8Array, input: Uint8Array): Buffer {
  const x = salsaRounds(salsaState(key, input));
  return words([0, 5, 10, 15, 6, 7, 8, 9].map((i) => x[i]!));
}

function xsalsa20(key: Uint8Array, nonce: Uint8Array, length: number): Buffer {
  const subkey = hsalsa20(key, nonce.subarray(0, 16));
  const blocks: Buffer[] = [];
  for (let block = 0; 64 * block < length; block++) {
    const state = salsaState(subkey, Buffer.concat([nonce.subarray(16), words([block, 0])]));
    const mixed = salsaRounds(state);
    blocks.push(words(mixed.map((value, i) => (value + state[i]!) >>> 0)));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

function poly1305(key: Uint8Array, message: Uint8Array): Buffer {
  const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    sum = ((sum + number(block) + (1n << BigInt(8 * block.length))) * r) % (2n ** 130n - 5n);
  }
  const tag = (sum + number(key.subarray(16))) % 2n ** 128n;
  return Buffer.from(tag.toString(16).padStart(32, '0'), 'hex').reverse();
}

/** crypto_box_open without its DH: `sealed` is the tag and the ciphertext. */
export function openBox(shared: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Buffer {
  const stream = xsalsa20(hsalsa20(shared, Buffer.alloc(16)), nonce, 32 + sealed.length - 16);
  const ciphertext = sealed.subarray(16);
  must(same(poly1305(stream.subarray(0, 32), ciphertext), sealed.subarray(0, 16)), 'aead');
  return Buffer.from(ciphertext.map((byte, i) => byte ^ stream[32 + i]!));
}

// ---- X-Wing and HPKE -----------------------------------------------------------------------------------------------
function expandSeed(seed: Uint8Array): { lattice: Uint8Array; scalar: Uint8Array } {
  const expanded = createHash('shake256', { outputLength: 96 }).update(seed).digest();
  return { lattice: expanded.subarray(0, 64), scalar: expanded.subarray(64) };
}

export function hybridPublicKey(seed: Uint8Array): Buffer {
  const { lattice, scalar } = expandSeed(seed);
  return Buffer.concat([ml_kem768.keygen(new Uint8Array(lattice)).publicKey, x25519PublicKey(scalar)]);
}

function decapsulate(seed: Uint8Array, encapsulation: Uint8Array): Buffer {
  const { lattice, scalar } = expandSeed(seed);
  const curve = encapsulation.subarray(1088);
  const curveSecret = x25519(scalar, curve);
  const { secretKey } = ml_kem768.keygen(new Uint8Array(lattice));
  const latticeSecret = ml_kem768.decapsulate(new Uint8Array(encapsulation.subarray(0, 1088)), secretKey);
  const label = Buffer.from('\\.//^\\', 'latin1');
  const parts = [latticeSecret, curveSecret, curve, x25519PublicKey(scalar), label];
  return createHash('sha3-256').update(Buffer.concat(parts)).digest();
}

/** RFC 9180, base mode, suite 0x647a / 0x0001 / 0x0002, one message with empty aad. */
export function openHpke(seed: Uint8Array, encapsulation: Uint8Array, info: Uint8Array, sealed: Uint8Array): Buffer {
  const suite = Buffer.concat([Buffer.from('HPKE'), Buffer.from('647a00010002', 'hex')]);
  const text = (value: string) => Buffer.from(value, 'latin1');
  const hmac = (key: Uint8Array, ...parts: Uint8Array[]) =>
    createHmac('sha256', key).update(Buffer.concat(parts)).digest();
  const extract = (salt: Uint8Array, label: string, ikm: Uint8Array) =>
    hmac(salt, text('HPKE-v1'), suite, text(label), ikm);
  const expand = (secret: Uint8Array, label: string, context: Uint8Array, length: number) =>
    hmac(secret, Buffer.of(0, length), text('HPKE-v1'), suite, text(label), context, Buffer.of(1)).subarray(0, length);
  const none = Buffer.alloc(0);
  const context = Buffer.concat([Buffer.of(0), extract(none, 'psk_id_hash', none), extract(none, 'info_hash', info)]);
  const secret = extract(decapsulate(seed, encapsulation), 'secret', none);
  return openGcm(expand(secret, 'key', context, 32), expand(secret, 'base_nonce', context, 12), sealed, none);
}
