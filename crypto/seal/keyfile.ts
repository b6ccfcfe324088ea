/** The key file: a reader's two secret seeds under a passphrase (PROTOCOL.md section 11). */
import { argon2id } from 'hash-wasm';
import { concat, equal, Reader, utf8, Writer, type Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import { separator, subtle } from '../format/hash.ts';
import { parseSuite, type Suite } from '../format/ids.ts';
import { randomBytes } from '../format/random.ts';
import { decodeArmor, encodeArmor } from './armor.ts';
import { decryptionKeyFromSeed, identityFromSeed, type DecryptionKey, type Identity } from './identity.ts';
import { hkdf, hkdfBase } from './schedule.ts';

export interface KeyFileCost {
  memoryKiB: number;
  passes: number;
  lanes: number;
}

export const DEFAULT_COST: KeyFileCost = { memoryKiB: 64 * 1024, passes: 3, lanes: 1 };

export const KEY_FILE_LENGTH = 216;
const HEADER_LENGTH = 104;
const KDF_ARGON2ID = 1;
const FACTOR_PRF = 1;
const ARMOR_LABEL = 'ZEROREEL KEY FILE';

export interface KeyFileContents {
  decryptionKey: DecryptionKey;
  identity: Identity;
}

/** What anybody can read of a key file without its passphrase. */
export interface KeyFileHeader {
  suite: Suite;
  cost: KeyFileCost;
  /** Whether a WebAuthn PRF output is needed too. */
  needsPrf: boolean;
  salt: Bytes;
  identityKey: Bytes;
  keyId: Bytes;
}

interface ParsedKeyFile extends KeyFileHeader {
  headerBytes: Bytes;
  commitment: Bytes;
  ciphertext: Bytes;
}

export interface KeyFileSeal extends KeyFileContents {
  passphrase: string;
  /** 32 bytes from a WebAuthn authenticator: a second factor. */
  prf?: Uint8Array;
  kdf?: KeyFileCost;
  /** Fresh at every save; fixed by tests only, because K is used with a zero nonce. */
  salt?: Bytes;
}

/** Below the floor an attacker guesses faster (a downgrade); above the ceiling opening is a denial of service. */
function checkCost({ memoryKiB, passes, lanes }: KeyFileCost): void {
  const isFair =
    memoryKiB >= 64 * 1024 && memoryKiB <= 1024 * 1024 && passes >= 3 && passes <= 10 && lanes >= 1 && lanes <= 4;
  if (isFair) return;
  throw new ProtocolError(
    'kdf-params',
    `expected 64 MiB to 1 GiB, 3 to 10 passes, 1 to 4 lanes, found ${memoryKiB} KiB, ${passes}, ${lanes}`,
  );
}

/** K (32) || commitment (32). NFC, so that the same passphrase typed on another keyboard is the same bytes. */
async function deriveKeys(
  header: Pick<KeyFileHeader, 'cost' | 'salt'>,
  headerBytes: Bytes,
  passphrase: string,
  prf: Uint8Array | undefined,
): Promise<{ key: Bytes; commitment: Bytes }> {
  const { memoryKiB, passes, lanes } = header.cost;
  const stretched = await argon2id({
    password: utf8(passphrase.normalize('NFC')),
    salt: header.salt,
    memorySize: memoryKiB,
    iterations: passes,
    parallelism: lanes,
    hashLength: 32,
    outputType: 'binary',
  });
  const base = await hkdfBase(concat(stretched, prf ?? new Uint8Array(32)));
  const material = await hkdf(base, header.salt, concat(separator('keyfile'), headerBytes), 64);
  return { key: material.slice(0, 32), commitment: material.slice(32) };
}

function checkFactors(passphrase: string, prf: Uint8Array | undefined): void {
  if (passphrase === '') throw new ProtocolError('passphrase', 'expected a passphrase');
  if (prf && prf.length !== 32) throw new ProtocolError('length', `expected 32 PRF bytes, found ${prf.length}`);
}

/** Seals both seeds; answers the armored file. Throws `kdf-params` for a cost that no reader accepts. */
export async function sealKeyFile(seal: KeyFileSeal): Promise<string> {
  const { decryptionKey, identity, passphrase, prf, kdf = DEFAULT_COST, salt = randomBytes(32) } = seal;
  checkCost(kdf);
  checkFactors(passphrase, prf);
  const header = new Writer()
    .bytes(utf8('ZRKF'))
    .u8(1)
    .u8(KDF_ARGON2ID)
    .u16(decryptionKey.suite)
    .u32(kdf.memoryKiB)
    .u32(kdf.passes)
    .u32(kdf.lanes)
    .u8(prf ? FACTOR_PRF : 0)
    .bytes(new Uint8Array(3))
    .bytes(salt, 32)
    .bytes(identity.publicKey, 32)
    .bytes(decryptionKey.keyId, 16)
    .finish();
  const { key, commitment } = await deriveKeys({ cost: kdf, salt }, header, passphrase, prf);
  const aes = await subtle().importKey('raw', key, 'AES-GCM', false, ['encrypt']);
  const seeds = concat(decryptionKey.seed, identity.seed);
  const sealed = await subtle().encrypt(gcmParameters(header), aes, seeds);
  return encodeArmor(ARMOR_LABEL, concat(header, commitment, new Uint8Array(sealed)));
}

/** A zero nonce is safe because K is fresh with every salt. */
function gcmParameters(header: Bytes): AesGcmParams {
  return { name: 'AES-GCM', iv: new Uint8Array(12), additionalData: header };
}

function parseKeyFile(bytes: Uint8Array): ParsedKeyFile {
  if (bytes.length !== KEY_FILE_LENGTH) {
    throw new ProtocolError('length', `expected a key file of ${KEY_FILE_LENGTH} bytes, found ${bytes.length}`);
  }
  const reader = new Reader(bytes);
  reader.magic('ZRKF');
  const kdf = reader.u8();
  if (kdf !== KDF_ARGON2ID) throw new ProtocolError('format', `unknown key derivation ${kdf}`);
  const suite = parseSuite(reader.u16());
  const cost = { memoryKiB: reader.u32(), passes: reader.u32(), lanes: reader.u32() };
  checkCost(cost);
  const factors = reader.u8();
  if ((factors & ~FACTOR_PRF) !== 0) throw new ProtocolError('format', 'unknown key file factors');
  reader.reserved(3);
  return {
    suite,
    cost,
    needsPrf: factors === FACTOR_PRF,
    salt: reader.bytes(32),
    identityKey: reader.bytes(32),
    keyId: reader.bytes(16),
    headerBytes: new Uint8Array(bytes.subarray(0, HEADER_LENGTH)),
    commitment: reader.bytes(32),
    ciphertext: reader.bytes(80),
  };
}

function fileBytes(file: string | Uint8Array): Uint8Array {
  return typeof file === 'string' ? decodeArmor(ARMOR_LABEL, file) : file;
}

/** Reads the public part; throws `format`, `length` or `kdf-params`. */
export function readKeyFileHeader(file: string | Uint8Array): KeyFileHeader {
  const { suite, cost, needsPrf, salt, identityKey, keyId } = parseKeyFile(fileBytes(file));
  return { suite, cost, needsPrf, salt, identityKey, keyId };
}

/**
 * Opens a key file, armored or as its 216 bytes. Throws `kdf-params` before any work is done, `passphrase` for a wrong
 * passphrase or factor, `aead` for a file that was tampered with, `key` for one whose public keys are not its own.
 */
export async function openKeyFile(
  file: string | Uint8Array,
  passphrase: string,
  prf?: Uint8Array,
): Promise<KeyFileContents> {
  const parsed = parseKeyFile(fileBytes(file));
  checkFactors(passphrase, prf);
  if (parsed.needsPrf !== (prf !== undefined)) {
    throw new ProtocolError('passphrase', parsed.needsPrf ? 'expected a second factor' : 'expected no second factor');
  }
  const { key, commitment } = await deriveKeys(parsed, parsed.headerBytes, passphrase, prf);
  if (!equal(commitment, parsed.commitment)) throw new ProtocolError('passphrase', 'the passphrase does not fit');
  const seeds = await openSeeds(parsed, key);
  const decryptionKey = await decryptionKeyFromSeed(parsed.suite, seeds.slice(0, 32));
  const identity = await identityFromSeed(seeds.slice(32));
  if (!equal(decryptionKey.keyId, parsed.keyId) || !equal(identity.publicKey, parsed.identityKey)) {
    throw new ProtocolError('key', 'the public keys of the key file are not those of its seeds');
  }
  return { decryptionKey, identity };
}

async function openSeeds(parsed: ParsedKeyFile, key: Bytes): Promise<Bytes> {
  const aes = await subtle().importKey('raw', key, 'AES-GCM', false, ['decrypt']);
  try {
    return new Uint8Array(await subtle().decrypt(gcmParameters(parsed.headerBytes), aes, parsed.ciphertext));
  } catch {
    throw new ProtocolError('aead', 'the key file was altered');
  }
}
