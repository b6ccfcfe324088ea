/** From the content key and the shred share to every key of an epoch (PROTOCOL.md section 4). */
import { concat, equal, Writer, type Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import { hash, separator, subtle } from '../format/hash.ts';
import { parseId } from '../format/ids.ts';
import type { OpenCore } from '../format/open.ts';

export interface EpochSecrets {
  /** 32 bytes, what is wrapped to the recipients. */
  cek: Bytes;
  /** 32 bytes, the share that the server holds until `delete_by`. */
  shred: Bytes;
}

/** What the keys are bound to, as OPEN tells it. */
export type EpochContext = Pick<OpenCore, 'examId' | 'policyHash' | 'sessionId' | 'epoch'>;

/** Non-extractable HKDF base keys. Drop the object when every track key was taken: it can still derive the others. */
export interface EpochKeys {
  /** kc, published in OPEN: commits to CEK and shred share. */
  kc: Bytes;
  /** MK, for notes. */
  metadataKey: CryptoKey;
  /** TK of one track, for its chunks. */
  trackKey(track: number): Promise<CryptoKey>;
  /** TK as 32 bytes: only for wrapping it to a reader of that track alone. */
  rawTrackKey(track: number): Promise<Bytes>;
}

/** HKDF-SHA-256, extract and expand (RFC 5869), by WebCrypto. */
export async function hkdf(base: CryptoKey, salt: Uint8Array, info: Uint8Array, length: number): Promise<Bytes> {
  const algorithm = { name: 'HKDF', hash: 'SHA-256', salt: salt as Bytes, info: info as Bytes };
  return new Uint8Array(await subtle().deriveBits(algorithm, base, 8 * length));
}

/** Input keying material as a key that can only derive. */
export async function hkdfBase(material: Uint8Array): Promise<CryptoKey> {
  return subtle().importKey('raw', material as Bytes, 'HKDF', false, ['deriveBits']);
}

export async function deriveEpochKeys(secrets: EpochSecrets & EpochContext): Promise<EpochKeys> {
  const { cek, shred, policyHash } = secrets;
  if (cek.length !== 32 || shred.length !== 32 || policyHash.length !== 32) {
    throw new ProtocolError('length', 'expected 32 bytes each of content key, shred share and policy hash');
  }
  const salt = new Writer().bytes(parseId(secrets.sessionId)).u32(secrets.epoch).finish();
  const context = concat(parseId(secrets.examId), policyHash);
  const base = await hkdfBase(concat(cek, shred));
  const derive = (label: string, suffix: Uint8Array = new Uint8Array(0)) =>
    hkdf(base, salt, concat(separator(label), context, suffix), 32);
  const rawTrackKey = (track: number) => derive('track', new Writer().u16(track).finish());
  return {
    kc: await derive('commit'),
    metadataKey: await hkdfBase(await derive('meta')),
    trackKey: async (track) => hkdfBase(await rawTrackKey(track)),
    rawTrackKey,
  };
}

/**
 * The reader's way in: checks the shred share against OPEN and the derived commitment against kc (`commitment`), so that
 * neither a server's wrong share nor an insider's wrap of another content key goes further.
 */
export async function openEpochKeys(
  secrets: EpochSecrets,
  open: EpochContext & Pick<OpenCore, 'commitment' | 'shredHash'>,
): Promise<EpochKeys> {
  if (!equal(await shredHash(secrets.shred), open.shredHash)) {
    throw new ProtocolError('commitment', 'the shred share is not the one that was committed to');
  }
  const { examId, policyHash, sessionId, epoch } = open;
  const keys = await deriveEpochKeys({ ...secrets, examId, policyHash, sessionId, epoch });
  if (!equal(keys.kc, open.commitment)) {
    throw new ProtocolError('commitment', 'the content key is not the one that was committed to');
  }
  return keys;
}

/** H("shred", SHRED), published in OPEN. */
export async function shredHash(shred: Uint8Array): Promise<Bytes> {
  return hash('shred', shred);
}
