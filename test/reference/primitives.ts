/** Section 2 and the two suites of section 7, over node:crypto, tweetnacl and noble. Nothing of `crypto/` is imported. */
import { ed25519 } from '@noble/curves/ed25519.js';
import { ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js';
import { createDecipheriv, createHash, createHmac, createPublicKey, verify } from 'node:crypto';
import nacl from 'tweetnacl';
import { ds, h, must, orRefuse, Refused, same, sha256 } from './fields.ts';

/** V-strict: a canonical point that is not of small order. */
export function checkKey(key: Uint8Array): void {
  const point = orRefuse('key', () => ed25519.Point.fromBytes(key));
  must(!point.isSmallOrder(), 'key');
}

/** The cofactorless equation is OpenSSL's; it leaves the checks of S and R to us. */
export function signatureHolds(key: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    checkKey(key);
    const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString('hex')}`);
    if (signature.length !== 64 || s >= ed25519.Point.CURVE().n) return false;
    if (ed25519.Point.fromBytes(signature.subarray(0, 32)).isSmallOrder()) return false;
  } catch (error) {
    if (error instanceof Refused || error instanceof Error) return false;
    throw error;
  }
  const x = Buffer.from(key).toString('base64url');
  const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return verify(null, message, publicKey, signature);
}

/** A record's signature: over DS("sig/" label) || hash. */
export function mustBeSigned(key: Uint8Array, label: string, hash: Uint8Array, signature: Uint8Array): void {
  checkKey(key);
  must(signatureHolds(key, Buffer.concat([ds(`sig/${label}`), hash]), signature), 'signature');
}

export function openGcm(key: Uint8Array, iv: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Buffer {
  const [ciphertext, tag] = [sealed.subarray(0, -16), sealed.subarray(-16)];
  const cipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: 16 }).setAAD(aad).setAuthTag(tag);
  return orRefuse('aead', () => Buffer.concat([cipher.update(ciphertext), cipher.final()]));
}

export interface SecretKey {
  suite: number;
  /** 32 bytes. */
  seed: Buffer;
}

export const publicKeyOf = ({ suite, seed }: SecretKey): Uint8Array =>
  suite === 1 ? nacl.box.keyPair.fromSecretKey(seed).publicKey : ml_kem768_x25519.keygen(seed).publicKey;
export const keyIdOf = (suite: number, publicKey: Uint8Array): Buffer =>
  h('key-id', Buffer.of(0, suite), publicKey).subarray(0, 16);

/** Section 3: the length of the suite, reduced ML-KEM coefficients, no X25519 point of low order. */
export function checkEncryptionKey(suite: number, key: Buffer): void {
  must(suite === 1 || suite === 2, 'format');
  must(key.length === (suite === 1 ? 32 : 1216), 'key');
  for (let i = 0; suite === 2 && i < 1152; i += 3) {
    const pair = key.readUIntLE(i, 3);
    must((pair & 4095) < 3329 && pair >> 12 < 3329, 'key');
  }
  must(!isLowOrder(key.subarray(-32)), 'key');
}

/** Clamping makes any scalar a multiple of 8, so any scalar shows it. */
const isLowOrder = (point: Uint8Array): boolean =>
  nacl.scalarMult(new Uint8Array(32).fill(1), point).every((byte) => byte === 0);

/** Opens the secret of a wrap; `context` is wctx. */
export function openSecret(key: SecretKey, encapsulation: Buffer, context: Buffer, sealed: Buffer): Buffer {
  must(!isLowOrder(encapsulation.subarray(-32)), 'zero-shared-secret');
  if (key.suite === 2) return openHpke(ml_kem768_x25519.decapsulate(encapsulation, key.seed), context, sealed);
  const bound = Buffer.concat([context, encapsulation, publicKeyOf(key)]);
  const nonce = createHash('sha512').update(ds('wrap-nonce')).update(bound).digest().subarray(0, 24);
  const opened = nacl.box.open(sealed, nonce, encapsulation, key.seed);
  must(opened !== null && same(opened.subarray(32), sha256(bound)), 'aead');
  return Buffer.from(opened.subarray(0, 32));
}

/** RFC 9180, base mode, suite 0x647a / 0x0001 / 0x0002: the key schedule for one message with empty aad. */
function openHpke(sharedSecret: Uint8Array, info: Buffer, sealed: Buffer): Buffer {
  const none = Buffer.alloc(0);
  const labelled = (label: string) => Buffer.concat([Buffer.from('HPKE-v1HPKE'), SUITE, Buffer.from(label)]);
  const hmac = (key: Uint8Array, ...parts: Uint8Array[]) =>
    createHmac('sha256', key).update(Buffer.concat(parts)).digest();
  const extract = (salt: Uint8Array, label: string, ikm: Uint8Array) => hmac(salt, labelled(label), ikm);
  const context = Buffer.concat([Buffer.of(0), extract(none, 'psk_id_hash', none), extract(none, 'info_hash', info)]);
  const secret = extract(sharedSecret, 'secret', none);
  const expand = (label: string, length: number) =>
    hmac(secret, Buffer.of(0, length), labelled(label), context, Buffer.of(1)).subarray(0, length);
  return openGcm(expand('key', 32), expand('base_nonce', 12), sealed, none);
}

const SUITE = Buffer.from('647a00010002', 'hex');
