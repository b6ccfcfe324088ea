/**
 * WebCrypto for a simulation: the same algorithms by node:crypto, without its threads, whose timing would make histories
 * differ from run to run; and random bytes from a seed. A signature that was verified once is not verified again in the
 * same process: thousands of histories play the same signed records. One thing is stubbed, see `standInSigner`.
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify, webcrypto } from 'node:crypto';
import type { Signer } from '../../src/server/ports.ts';
import { concat, equal, fromHex, type Bytes } from '../../crypto/format/bytes.ts';
import type { Random } from './random.ts';

/** SubjectPublicKeyInfo around a raw Ed25519 key (RFC 8410, section 4). */
const SPKI_PREFIX = fromHex('302a300506032b6570032100');

const verified = new Map<string, boolean>();
const keys = new Map<string, KeyObject>();

function publicKeyOf(raw: Uint8Array): KeyObject {
  const id = Buffer.from(raw).toString('latin1');
  let key = keys.get(id);
  if (!key) {
    key = createPublicKey({ key: Buffer.from(concat(SPKI_PREFIX, raw)), format: 'der', type: 'spki' });
    keys.set(id, key);
  }
  return key;
}

interface PublicKey {
  raw: Uint8Array;
}

const subtle = {
  digest: (_algorithm: string, bytes: Uint8Array): Promise<ArrayBuffer> => {
    const { buffer } = new Uint8Array(createHash('sha256').update(bytes).digest());
    return Promise.resolve(buffer);
  },

  importKey: (_format: string, raw: Uint8Array): Promise<PublicKey> => Promise.resolve({ raw }),

  verify: (_algorithm: string, { raw }: PublicKey, signature: Uint8Array, message: Uint8Array): Promise<boolean> => {
    if (equal(raw, STAND_IN_KEY)) return Promise.resolve(equal(signature, standInSignature(message)));
    const id = Buffer.from(concat(raw, signature, message)).toString('latin1');
    let answer = verified.get(id);
    if (answer === undefined) {
      answer = verify(null, message, publicKeyOf(raw), signature);
      verified.set(id, answer);
    }
    return Promise.resolve(answer);
  },
};

/** Replaces `globalThis.crypto` until the answered function is called. Recordings must have been sealed before. */
export function useNativeCrypto(random: Random): () => void {
  const replaced = {
    subtle,
    getRandomValues: <T extends Uint8Array>(bytes: T): T => {
      random.fill(bytes);
      return bytes;
    },
  };
  Object.defineProperty(globalThis, 'crypto', { value: replaced, configurable: true });
  return () => {
    Object.defineProperty(globalThis, 'crypto', { value: webcrypto, configurable: true });
  };
}

function rawPublicKey(key: KeyObject): Bytes {
  return new Uint8Array(Buffer.from(key.export({ format: 'jwk' }).x!, 'base64url'));
}

export function nativeSigner(key: KeyObject, origin: string): Signer {
  return {
    origin,
    publicKey: rawPublicKey(createPublicKey(key)),
    sign: (message) => Promise.resolve(new Uint8Array(sign(null, message, key))),
  };
}

const standIn = generateKeyPairSync('ed25519');
const STAND_IN_KEY = rawPublicKey(standIn.publicKey);

/** Passes the pre-checks of V-strict (an S below the group's order), and only `subtle.verify` above takes it for a signature. */
function standInSignature(message: Uint8Array): Bytes {
  const signature = new Uint8Array(createHash('sha512').update(STAND_IN_KEY).update(message).digest());
  signature[63] = 0;
  return signature;
}

/**
 * Signs by a hash, a twentieth of the time that Ed25519 takes; and only the log's key, with which the server under test
 * signs checkpoints and receipts. What is lost is the signature's strength, which `test/crypto/format` and the public
 * suites are about, and nothing that a history could break: another message still has another signature.
 */
export function standInSigner(origin: string): Signer {
  return { origin, publicKey: STAND_IN_KEY, sign: (message) => Promise.resolve(standInSignature(message)) };
}
