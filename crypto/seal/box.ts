/** Suite 1: a secret in a tweetnacl box (PROTOCOL.md section 7). */
import nacl from 'tweetnacl';
import { concat, equal, isZero, type Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import { separator, sha256 } from '../format/hash.ts';

export interface Sealed {
  encapsulation: Bytes;
  ciphertext: Bytes;
}

/**
 * box has no associated data, so the context is bound twice: by the nonce, which the opener derives from its own view,
 * and by a hash inside.
 */
function bind(context: Uint8Array, ephemeralKey: Uint8Array, recipientKey: Uint8Array): { bound: Bytes; nonce: Bytes } {
  const bound = concat(context, ephemeralKey, recipientKey);
  const nonce = new Uint8Array(nacl.hash(concat(separator('wrap-nonce'), bound)).subarray(0, 24));
  return { bound, nonce };
}

/** X25519 with the check that tweetnacl leaves out: a low-order point would give a secret that everybody knows. */
function requireContribution(publicKey: Uint8Array, secretKey: Uint8Array): void {
  if (isZero(nacl.scalarMult(secretKey, publicKey))) {
    throw new ProtocolError('zero-shared-secret', 'an X25519 key of low order');
  }
}

/** `ephemeralSecret`: 32 fresh random bytes, used once. */
export async function sealBox(
  secret: Uint8Array,
  recipientKey: Uint8Array,
  context: Uint8Array,
  ephemeralSecret: Uint8Array,
): Promise<Sealed> {
  requireContribution(recipientKey, ephemeralSecret);
  const ephemeralKey = new Uint8Array(nacl.box.keyPair.fromSecretKey(ephemeralSecret).publicKey);
  const { bound, nonce } = bind(context, ephemeralKey, recipientKey);
  const plaintext = concat(secret, await sha256(bound));
  const ciphertext = new Uint8Array(nacl.box(plaintext, nonce, recipientKey, ephemeralSecret));
  return { encapsulation: ephemeralKey, ciphertext };
}

/** Throws `zero-shared-secret` or `aead`. */
export async function openBox(
  sealed: Sealed,
  recipientKey: Uint8Array,
  recipientSecret: Uint8Array,
  context: Uint8Array,
): Promise<Bytes> {
  requireContribution(sealed.encapsulation, recipientSecret);
  const { bound, nonce } = bind(context, sealed.encapsulation, recipientKey);
  const plaintext = nacl.box.open(sealed.ciphertext, nonce, sealed.encapsulation, recipientSecret);
  if (!plaintext || !equal(plaintext.subarray(32), await sha256(bound))) {
    throw new ProtocolError('aead', 'the wrap does not open');
  }
  return plaintext.slice(0, 32);
}
