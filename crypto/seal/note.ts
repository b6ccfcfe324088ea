/** Notes: small sealed texts beside a recording, under its metadata key (PROTOCOL.md section 8.2). */
import { concat, equal, Reader, utf8, Writer, type Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import { separator, subtle } from '../format/hash.ts';
import { formatId, parseId } from '../format/ids.ts';
import { randomBytes } from '../format/random.ts';
import { hkdf } from './schedule.ts';

/** The student's display name, sealed by the recorder. */
export const NOTE_NAME = 1;
/** A reviewer's note. Every reader holds MK, so a note never proves who wrote it. */
export const NOTE_REVIEW = 2;
export type NotePurpose = typeof NOTE_NAME | typeof NOTE_REVIEW;

export const MAX_NOTE = 65536;
const HEADER_LENGTH = 60;

/** What a note is bound to: it opens in no other place. */
export interface NoteContext {
  sessionId: string;
  epoch: number;
  purpose: NotePurpose;
}

function encodeHeader({ sessionId, epoch, purpose }: NoteContext, salt: Uint8Array): Bytes {
  return new Writer()
    .bytes(utf8('ZRNT'))
    .u8(1)
    .u8(0)
    .u16(purpose)
    .bytes(parseId(sessionId))
    .u32(epoch)
    .bytes(salt, 32)
    .finish();
}

async function deriveNoteKey(metadataKey: CryptoKey, header: Bytes, salt: Uint8Array): Promise<Bytes> {
  return hkdf(metadataKey, salt, concat(separator('note'), header), 76);
}

async function importAes(material: Bytes, usage: 'encrypt' | 'decrypt'): Promise<CryptoKey> {
  return subtle().importKey('raw', material.subarray(0, 32), 'AES-GCM', false, [usage]);
}

/** `"ZRNT" | u8 1 | u8 0 | u16 purpose | session_id 16 | u32 epoch | salt 32 | commitment 32 | ciphertext and tag`. */
export async function sealNote(
  metadataKey: CryptoKey,
  context: NoteContext,
  text: Uint8Array,
  salt: Uint8Array = randomBytes(32),
): Promise<Bytes> {
  if (text.length > MAX_NOTE) {
    throw new ProtocolError('limit', `expected a note of at most ${MAX_NOTE} bytes, found ${text.length}`);
  }
  const header = encodeHeader(context, salt);
  const material = await deriveNoteKey(metadataKey, header, salt);
  const aes = await importAes(material, 'encrypt');
  const sealed = await subtle().encrypt({ name: 'AES-GCM', iv: material.slice(32, 44) }, aes, text as Bytes);
  return concat(header, material.subarray(44), new Uint8Array(sealed));
}

/**
 * Throws `format`, `length` or `limit` for a malformed note, `identity` for one of another place, `commitment` for another
 * key, `aead` for one that was tampered with.
 */
export async function openNote(metadataKey: CryptoKey, note: Uint8Array, expected: NoteContext): Promise<Bytes> {
  const reader = new Reader(note);
  reader.magic('ZRNT');
  reader.reserved(1);
  const purpose = reader.u16();
  const sessionId = formatId(reader.bytes(16));
  const epoch = reader.u32();
  const salt = reader.bytes(32);
  const commitment = reader.bytes(32);
  if (reader.left < 16) throw new ProtocolError('length', 'a note shorter than its tag');
  if (reader.left > MAX_NOTE + 16) throw new ProtocolError('limit', 'a note longer than 64 KiB');
  if (purpose !== expected.purpose || sessionId !== expected.sessionId || epoch !== expected.epoch) {
    throw new ProtocolError('identity', 'a note of another recording, epoch or purpose');
  }
  const material = await deriveNoteKey(metadataKey, note.slice(0, HEADER_LENGTH), salt);
  if (!equal(material.subarray(44), commitment)) {
    throw new ProtocolError('commitment', 'the note key is not the one that was committed to');
  }
  const aes = await importAes(material, 'decrypt');
  try {
    const parameters = { name: 'AES-GCM', iv: material.slice(32, 44) };
    return new Uint8Array(await subtle().decrypt(parameters, aes, reader.bytes(reader.left)));
  } catch {
    throw new ProtocolError('aead', 'the note does not open');
  }
}
