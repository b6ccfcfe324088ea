/** The keys that people and recorders hold. */
import { ml_kem768_x25519 } from '@noble/post-quantum/hybrid.js';
import nacl from 'tweetnacl';
import { concat, type Bytes } from '../format/bytes.ts';
import { hasNativeEd25519, signedMessage, type Signer } from '../format/ed25519.ts';
import { ProtocolError } from '../format/errors.ts';
import { subtle } from '../format/hash.ts';
import { keyId, SUITE_BOX, type Suite } from '../format/ids.ts';
import { randomBytes, type RandomSource } from '../format/random.ts';

export interface Identity {
  /** 32 bytes, the only secret part. */
  seed: Bytes;
  publicKey: Bytes;
  signer: Signer;
}

export interface DecryptionKey {
  suite: Suite;
  /** 32 bytes: the X25519 secret of suite 1, the MLKEM768-X25519 seed of suite 2. */
  seed: Bytes;
  publicKey: Bytes;
  /** 16 bytes. */
  keyId: Bytes;
}

/** A fresh Ed25519 identity whose seed can be kept in a key file. */
export async function generateIdentity(random: RandomSource = randomBytes): Promise<Identity> {
  return identityFromSeed(random(32));
}

export async function identityFromSeed(seed: Bytes): Promise<Identity> {
  const signer = await signerFromSeed(seed);
  return { seed, publicKey: signer.publicKey, signer };
}

/** RFC 8410: what stands before the 32 seed bytes of an Ed25519 private key in PKCS #8. */
const PKCS8_PREFIX = Uint8Array.of(
  ...[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20],
);

/** A signer that cannot give the seed back where WebCrypto knows Ed25519; elsewhere tweetnacl signs, the same bytes. */
export async function signerFromSeed(seed: Uint8Array): Promise<Signer> {
  if (seed.length !== 32) throw new ProtocolError('length', `expected a seed of 32 bytes, found ${seed.length}`);
  if (!(await hasNativeEd25519())) return tweetnaclSigner(seed);
  const publicKey = new Uint8Array(nacl.sign.keyPair.fromSeed(seed).publicKey);
  const key = await subtle().importKey('pkcs8', concat(PKCS8_PREFIX, seed), 'Ed25519', false, ['sign']);
  return nativeSigner(key, publicKey);
}

/** A signer for one epoch: where WebCrypto can, its secret never exists outside of it. */
export async function generateSigner(random: RandomSource = randomBytes): Promise<Signer> {
  if (!(await hasNativeEd25519())) return tweetnaclSigner(random(32));
  const pair = await subtle().generateKey('Ed25519', false, ['sign', 'verify']);
  if (!('privateKey' in pair)) throw new ProtocolError('unsupported', 'expected a key pair from WebCrypto');
  const publicKey = new Uint8Array(await subtle().exportKey('raw', pair.publicKey));
  return nativeSigner(pair.privateKey, publicKey);
}

function nativeSigner(key: CryptoKey, publicKey: Bytes): Signer {
  return {
    publicKey,
    sign: async (label, hash) => new Uint8Array(await subtle().sign('Ed25519', key, signedMessage(label, hash))),
  };
}

/** Exported for the tests that show that both engines sign the same bytes. */
export function tweetnaclSigner(seed: Uint8Array): Signer {
  const { publicKey, secretKey } = nacl.sign.keyPair.fromSeed(seed);
  return {
    publicKey: new Uint8Array(publicKey),
    sign: async (label, hash) => new Uint8Array(nacl.sign.detached(signedMessage(label, hash), secretKey)),
  };
}

export async function generateDecryptionKey(suite: Suite, random: RandomSource = randomBytes): Promise<DecryptionKey> {
  return decryptionKeyFromSeed(suite, random(32));
}

export async function decryptionKeyFromSeed(suite: Suite, seed: Bytes): Promise<DecryptionKey> {
  if (seed.length !== 32) throw new ProtocolError('length', `expected a seed of 32 bytes, found ${seed.length}`);
  const publicKey = new Uint8Array(
    suite === SUITE_BOX ? nacl.box.keyPair.fromSecretKey(seed).publicKey : ml_kem768_x25519.keygen(seed).publicKey,
  );
  return { suite, seed, publicKey, keyId: await keyId(suite, publicKey) };
}
