/** Ed25519 as every record uses it: strict verification and labelled signatures (PROTOCOL.md section 2). */
import nacl from 'tweetnacl';
import { concat, fromHex, utf8, type Bytes } from './bytes.ts';
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

/** The y coordinate of an encoded point, its sign bit cleared. */
function yOf(point: Uint8Array): bigint {
  return littleEndian(point) & (2n ** 255n - 1n);
}

/** Throws `key` unless these are 32 bytes of a canonical y below p that is not of small order. */
export function checkPublicKey(publicKey: Uint8Array): void {
  if (publicKey.length !== 32) throw new ProtocolError('key', `expected 32 key bytes, found ${publicKey.length}`);
  const y = yOf(publicKey);
  if (y >= FIELD_PRIME) throw new ProtocolError('key', 'an Ed25519 key that is not canonical');
  if (TORSION_Y.includes(y)) throw new ProtocolError('key', 'an Ed25519 key of low order');
}

/**
 * S below the group's order, and R not of small order. A signer who means to can make R of small order; WebCrypto then says
 * no in Node 24 and yes in Node 20, so that two honest readers would disagree about one recording.
 */
function isStrictSignature(signature: Uint8Array): boolean {
  return littleEndian(signature.subarray(32)) < GROUP_ORDER && !TORSION_Y.includes(yOf(signature.subarray(0, 32)));
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

/**
 * Two signatures of CCTV's Ed25519 suite, numbers 305 and 6: an ordinary one, and one whose equation holds only after
 * multiplication by the cofactor, which passes the pre-checks of V-strict and must not pass the engine.
 */
const ORDINARY = {
  key: 'ef75b20e7540e3dff77404193652ba2bd13df99c1508eee1515e27ae25f28076',
  message: 'ed25519vectors 5',
  signature:
    'b62cf890de42c413b11b1411c9f01f1c4d77aa87ef182258d1251f69af2a3506' +
    '40657f1cb030f12543549bbabd848dc6403d354e7c99c4d0dcee9f63c9033b00',
};
const COFACTORED = {
  key: '10eb7c3acfb2bed3e0d6ab89bf5a3d6afddd1176ce4812e38d9fd485058fdb1f',
  message: 'ed25519vectors 10',
  signature:
    '36684ea91032ba5b1dbab2d02f4debc74c3327f2b3802e2e4d371aa42b12b56b' +
    'c02e2b9e63e385c058bf62b14b3a2b29ccefe8e38ddb536bc3f9865320a3d801',
};

/**
 * Whether an engine verifies as V-strict asks: it accepts the ordinary signature, and not the cofactored one. RFC 8032
 * allows both equations, so a runtime's choice is found out and not assumed: two readers must never disagree.
 */
export async function isStrictEngine(engine: VerifyEngine): Promise<boolean> {
  const accepts = ({ key, message, signature }: typeof ORDINARY) =>
    engine(fromHex(key), utf8(message), fromHex(signature)).catch(() => false);
  return (await accepts(ORDINARY)) && !(await accepts(COFACTORED));
}

let nativeEd25519: Promise<boolean> | undefined;

/**
 * Whether WebCrypto here has an Ed25519 that is strict; asked once. Native verification is over a hundred times faster than
 * tweetnacl's, which stands in elsewhere.
 */
export function hasNativeEd25519(): Promise<boolean> {
  nativeEd25519 ??= isStrictEngine(webCryptoEngine);
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
  if (signature.length !== 64 || !isStrictSignature(signature)) return false;
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
