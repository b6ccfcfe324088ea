/** Reviewers' notes: sealed for the recording's readers, and signed, so that a second opinion is somebody else's (PROTOCOL.md section 8.2). */
import { z } from 'zod';
import { concat, fromBase64Url, fromUtf8, toBase64Url, utf8 } from '../../crypto/format/bytes.ts';
import { verify, type Signer } from '../../crypto/format/ed25519.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { hash } from '../../crypto/format/hash.ts';
import { decodeIdentity, encodeIdentity, parseId } from '../../crypto/format/ids.ts';
import { NOTE_REVIEW, openNote, sealNote } from '../../crypto/seal/note.ts';
import type { Api } from './api.ts';
import { ClientError } from './errors.ts';
import type { RecordingReader } from './reader.ts';

const SIGNATURE = 64;

const noteSchema = z.strictObject({
  v: z.literal(1),
  /** `zrid1...` */
  by: z.string(),
  at: z.int(),
  kind: z.enum(['note', 'confirmed', 'dismissed']),
  /** The event that it is about. */
  mark: z.string().max(40).nullable(),
  /** Ms on the recording's line of time. */
  t: z.int().nullable(),
  text: z.string().max(20_000),
});
export type ReviewNote = z.infer<typeof noteSchema>;
export type NewNote = Pick<ReviewNote, 'kind' | 'mark' | 't' | 'text'>;

export interface ReadNotes {
  notes: ReviewNote[];
  /** Notes that do not open, or whose signature is not their author's: counted, and believed in nothing. */
  refused: number;
}

/** Throws `no-key` for a reader of single tracks. */
export async function readNotes(api: Api, reader: RecordingReader): Promise<ReadNotes> {
  const place = placeOf(reader);
  const metadataKey = reader.metadataKey(place.epoch);
  const read: ReadNotes = { notes: [], refused: 0 };
  for (const { note } of (await api.notes(reader.recordingId)).notes) {
    try {
      read.notes.push(await parseNote(await openNote(metadataKey, fromBase64Url(note), place), place.sessionId));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      read.refused++;
    }
  }
  return read;
}

/** Signs, seals and stores a note; answers it. */
export async function writeNote(
  api: Api,
  reader: RecordingReader,
  signer: Signer,
  fields: NewNote,
): Promise<ReviewNote> {
  const place = placeOf(reader);
  const note: ReviewNote = { v: 1, by: encodeIdentity(signer.publicKey), at: api.environment.clock.now(), ...fields };
  const body = utf8(JSON.stringify(noteSchema.parse(note)));
  const signature = await signer.sign('note', await noteHash(place.sessionId, body));
  const sealed = await sealNote(reader.metadataKey(place.epoch), place, concat(signature, body));
  await api.addNote(reader.recordingId, { note: toBase64Url(sealed) });
  return note;
}

/** Where notes are sealed: the first epoch that can be read. */
function placeOf(reader: RecordingReader) {
  const first = reader.epochs.find(({ checked }) => checked);
  if (!first) throw new ClientError('no-key', 'no part of this recording can be read');
  return { sessionId: reader.recordingId, epoch: first.epoch, purpose: NOTE_REVIEW } as const;
}

async function parseNote(opened: Uint8Array, sessionId: string): Promise<ReviewNote> {
  const body = opened.slice(SIGNATURE);
  const read = noteSchema.safeParse(parseJson(fromUtf8(body)));
  if (!read.success) throw new ProtocolError('format', 'expected a review note');
  const author = decodeIdentity(read.data.by);
  if (!(await verify(author, 'note', await noteHash(sessionId, body), opened.subarray(0, SIGNATURE)))) {
    throw new ProtocolError('signature', 'the note is not its author’s');
  }
  return read.data;
}

function noteHash(sessionId: string, body: Uint8Array) {
  return hash('note', parseId(sessionId), body);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
