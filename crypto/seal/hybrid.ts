/** Suite 2: HPKE base mode with MLKEM768-X25519, HKDF-SHA-256 and AES-256-GCM (RFC 9180, PROTOCOL.md section 7). */
import { ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js';
import nacl from 'tweetnacl';
import { concat, isZero, utf8, type Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import { subtle } from '../format/hash.ts';
import { checkEncryptionKey, SUITE_HYBRID } from '../format/ids.ts';
import type { Sealed } from './box.ts';

/** "HPKE" || I2OSP(kem 0x647a) || I2OSP(kdf 0x0001) || I2OSP(aead 0x0002). */
const SUITE_ID = concat(utf8('HPKE'), Uint8Array.of(0x64, 0x7a, 0x00, 0x01, 0x00, 0x02));
const NONE = new Uint8Array(0);
const MODE_BASE = Uint8Array.of(0);
/** Bytes of enc that are ML-KEM's; the X25519 half follows. */
const LATTICE_LENGTH = 1088;

async function hmac(key: Uint8Array, message: Bytes): Promise<Bytes> {
  // WebCrypto refuses an empty HMAC key; RFC 2104 pads it with zeros to the block, so 32 zeros are the same key.
  const material = key.length === 0 ? new Uint8Array(32) : (key as Bytes);
  const imported = await subtle().importKey('raw', material, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return new Uint8Array(await subtle().sign('HMAC', imported, message));
}

function labeledExtract(suiteId: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Promise<Bytes> {
  return hmac(salt, concat(utf8('HPKE-v1'), suiteId, utf8(label), ikm));
}

/** For at most 32 bytes, so that one HMAC block is all of HKDF-Expand. */
async function labeledExpand(
  suiteId: Uint8Array,
  secret: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Promise<Bytes> {
  const size = Uint8Array.of(length >> 8, length & 0xff);
  const block = await hmac(secret, concat(size, utf8('HPKE-v1'), suiteId, utf8(label), info, Uint8Array.of(1)));
  return block.slice(0, length);
}

/**
 * RFC 9180 section 5.1, KeySchedule in base mode: psk and psk_id are empty. `suiteId` is another one only where the published
 * vectors were made for another AEAD with a key of 32 bytes.
 */
export async function keySchedule(
  sharedSecret: Uint8Array,
  info: Uint8Array,
  suiteId: Uint8Array = SUITE_ID,
): Promise<{ key: Bytes; nonce: Bytes }> {
  const pskIdHash = await labeledExtract(suiteId, NONE, 'psk_id_hash', NONE);
  const infoHash = await labeledExtract(suiteId, NONE, 'info_hash', info);
  const context = concat(MODE_BASE, pskIdHash, infoHash);
  const secret = await labeledExtract(suiteId, sharedSecret, 'secret', NONE);
  return {
    key: await labeledExpand(suiteId, secret, 'key', context, 32),
    nonce: await labeledExpand(suiteId, secret, 'base_nonce', context, 12),
  };
}

async function importAes(key: Bytes, usage: 'encrypt' | 'decrypt'): Promise<CryptoKey> {
  return subtle().importKey('raw', key, 'AES-GCM', false, [usage]);
}

/** Throws `key` for a public key with a coefficient at or above q, or an X25519 half of low order. */
export function encapsulate(
  publicKey: Uint8Array,
  randomness: Uint8Array,
): { encapsulation: Bytes; sharedSecret: Uint8Array } {
  checkEncryptionKey(SUITE_HYBRID, publicKey);
  const { cipherText, sharedSecret } = ml_kem768_x25519.encapsulate(publicKey, randomness);
  return { encapsulation: new Uint8Array(cipherText), sharedSecret };
}

/**
 * ML-KEM rejects implicitly: an altered enc gives another secret, which the AEAD refuses. A low-order X25519 half is
 * refused here (`zero-shared-secret`), which X-Wing leaves to the combiner; every DH output is checked in this protocol.
 */
export function decapsulate(encapsulation: Uint8Array, seed: Uint8Array): Uint8Array {
  // Any scalar shows the order: clamping makes it a multiple of 8. A fixed one keeps the seed out of this check.
  if (isZero(nacl.scalarMult(ANY_SCALAR, encapsulation.subarray(LATTICE_LENGTH)))) {
    throw new ProtocolError('zero-shared-secret', 'an X25519 key of low order');
  }
  return ml_kem768_x25519.decapsulate(encapsulation, seed);
}

const ANY_SCALAR = new Uint8Array(32).fill(9);

/** `randomness`: 64 fresh random bytes, used once. */
export async function sealHybrid(
  secret: Uint8Array,
  recipientKey: Uint8Array,
  context: Uint8Array,
  randomness: Uint8Array,
): Promise<Sealed> {
  const { encapsulation, sharedSecret } = encapsulate(recipientKey, randomness);
  const { key, nonce } = await keySchedule(sharedSecret, context);
  const aes = await importAes(key, 'encrypt');
  const ciphertext = await subtle().encrypt({ name: 'AES-GCM', iv: nonce }, aes, secret as Bytes);
  return { encapsulation, ciphertext: new Uint8Array(ciphertext) };
}

/** Throws `zero-shared-secret` or `aead`. */
export async function openHybrid(sealed: Sealed, seed: Uint8Array, context: Uint8Array): Promise<Bytes> {
  const { key, nonce } = await keySchedule(decapsulate(sealed.encapsulation, seed), context);
  const aes = await importAes(key, 'decrypt');
  try {
    return new Uint8Array(await subtle().decrypt({ name: 'AES-GCM', iv: nonce }, aes, sealed.ciphertext));
  } catch {
    throw new ProtocolError('aead', 'the wrap does not open');
  }
}
