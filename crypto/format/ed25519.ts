/** Ed25519 as every record uses it: strict verification and labelled signatures (PROTOCOL.md section 2). */
import nacl from 'tweetnacl';
import { concat, type Bytes } from './bytes.ts';
import { ProtocolError } from './errors.ts';
import { separator, subtle } from './hash.ts';

/** Holds an Ed25519 key and never shows it. One key signs one kind of thing. */
export interface Signer {
  readonly publicKey: Bytes;
  /** Sign(sk, label, hash): 64 bytes over DS("sig/" label) || hash, where hash is 32 bytes. */
  sign(label: string, hash: Bytes): Promise<Bytes>;
}

/** The message that a labelled signature covers: DS("sig/" label) || hash. Throws `length` unless the hash is 32 bytes. */
export function signedMessage(label: string, hash: Uint8Array): Bytes {
  if (hash.length !== 32) throw new ProtocolError('length', `expected a hash of 32 bytes, found ${hash.length}`);
  return concat(separator(`sig/${label}`), hash);
}

const FIELD_PRIME = 2n ** 255n - 19n;
const GROUP_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

/** The y coordinates of the eight points of small order: such a key verifies signatures of anybody. */
const TORSION_Y: readonly bigint[] = [
  0n,
  1n,
  FIELD_PRIME - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
];

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}

/** Throws `key` unless these are 32 bytes of a canonical y below p that is not of small order. */
export function checkPublicKey(publicKey: Uint8Array): void {
  if (publicKey.length !== 32) throw new ProtocolError('key', `expected 32 key bytes, found ${publicKey.length}`);
  const y = littleEndian(publicKey) & (2n ** 255n - 1n);
  if (y >= FIELD_PRIME) throw new ProtocolError('key', 'an Ed25519 key that is not canonical');
  if (TORSION_Y.includes(y)) throw new ProtocolError('key', 'an Ed25519 key of low order');
}

function isCanonicalScalar(signature: Uint8Array): boolean {
  return littleEndian(signature.subarray(32)) < GROUP_ORDER;
}

/**
 * One way to evaluate the cofactorless equation. Both engines are exported so that the public suites run on each; what
 * stands between them and a caller are the pre-checks in `verifyMessage`.
 */
export type VerifyEngine = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => Promise<boolean>;

export const tweetnaclEngine: VerifyEngine = async (publicKey, message, signature) =>
  nacl.sign.detached.verify(message, signature, publicKey);

export const webCryptoEngine: VerifyEngine = async (publicKey, message, signature) => {
  let key: CryptoKey;
  try {
    key = await subtle().importKey('raw', publicKey as Bytes, 'Ed25519', false, ['verify']);
  } catch {
    return false; // a runtime may refuse a y that is on no curve point when it imports the key, and not only at verify
  }
  return subtle().verify('Ed25519', key, signature as Bytes, message as Bytes);
};

/** RFC 8032 section 7.1, test 1: a public key that every engine with Ed25519 imports. */
const KNOWN_KEY = Uint8Array.of(
  ...[0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a],
  ...[0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a],
);

let nativeEd25519: Promise<boolean> | undefined;

/** Whether WebCrypto here knows Ed25519; asked once. Native verification is over a hundred times faster than tweetnacl's. */
export function hasNativeEd25519(): Promise<boolean> {
  nativeEd25519 ??= subtle()
    .importKey('raw', KNOWN_KEY, 'Ed25519', false, ['verify'])
    .then(
      () => true,
      () => false,
    );
  return nativeEd25519;
}

/**
 * V-strict over raw message bytes: false for a key or signature that is malformed, malleable or of low order, and for one
 * that does not fit. Never throws on hostile input.
 */
export async function verifyMessage(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
  engine?: VerifyEngine,
): Promise<boolean> {
  if (signature.length !== 64 || !isCanonicalScalar(signature)) return false;
  try {
    checkPublicKey(publicKey);
  } catch {
    return false;
  }
  const evaluate = engine ?? ((await hasNativeEd25519()) ? webCryptoEngine : tweetnaclEngine);
  return evaluate(publicKey, message, signature);
}

/** V-strict over a labelled 32-byte hash. */
export async function verify(
  publicKey: Uint8Array,
  label: string,
  hash: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  return verifyMessage(publicKey, signedMessage(label, hash), signature);
}

/** As `verify`, but throws: `key` for a key that must not be registered, else `signature`. `what` names the record. */
export async function requireSignature(
  publicKey: Uint8Array,
  label: string,
  hash: Uint8Array,
  signature: Uint8Array,
  what: string,
): Promise<void> {
  checkPublicKey(publicKey);
  if (!(await verify(publicKey, label, hash, signature))) {
    throw new ProtocolError('signature', `the signature of the ${what} does not verify`);
  }
}
