/** OPEN, the record that starts an epoch and registers its recorder key (PROTOCOL.md section 6). */
import { concat, equal, Reader, utf8, fromUtf8, Writer, type Bytes } from './bytes.ts';
import { checkPublicKey, requireSignature, type Signer } from './ed25519.ts';
import { ProtocolError } from './errors.ts';
import { hash } from './hash.ts';
import { formatId, parseId, parseSuite, type Suite } from './ids.ts';

/** What a track holds, by its number on the wire. Events are NDJSON; `about` is JSON that names the student. */
export const TRACK_KINDS = {
  1: 'webcam',
  2: 'screen',
  3: 'microphone',
  4: 'events',
  5: 'mixed',
  6: 'photo',
  7: 'about',
} as const;

export type TrackKind = keyof typeof TRACK_KINDS;

export interface OpenTrack {
  /** Unique within the epoch, ascending. */
  track: number;
  kind: TrackKind;
  /** MIME type with codecs, at most 255 bytes of UTF-8. */
  codec: string;
}

/** AES-256-GCM in 64 KiB segments: the only content suite of version 1. */
export const CONTENT_SUITE = 1;

export interface OpenCore {
  /** The weakest suite that any wrap of this epoch, later grants too, may have. */
  minSuite: Suite;
  examId: string;
  policyHash: Bytes;
  sessionId: string;
  epoch: number;
  /** Hash of the last known head of the epoch before; zero in epoch 0. */
  prevHead: Bytes;
  /** Ed25519, made for this epoch alone. */
  recorderKey: Bytes;
  /** kc, the commitment to the content key and the shred share. */
  commitment: Bytes;
  /** H("shred", SHRED). */
  shredHash: Bytes;
  /** H("participant", salt16 || lp16 issuer || lp16 subject): links attempts for who knows the salt, names nobody. */
  participant: Bytes;
  /** Hash of the recorder's build, as it declares it. */
  recorderBuild: Bytes;
  clientMs: number;
  /** Size and root of the newest log checkpoint that the recorder verified; zeros where it has none. */
  beaconSize: number;
  beaconRoot: Bytes;
  tracks: OpenTrack[];
}

export const ATTEST_NONE = 0;
/** A launch by a learning platform (`launch.ts`). */
export const ATTEST_ID_TOKEN = 1;
/** A seat ticket (`ticket.ts`). */
export const ATTEST_TICKET = 3;
export type AttestationType = typeof ATTEST_NONE | typeof ATTEST_ID_TOKEN | typeof ATTEST_TICKET;

export interface Attestation {
  type: AttestationType;
  bytes: Bytes;
}

export interface OpenRecord extends OpenCore {
  /** The bytes that core_hash covers. */
  core: Bytes;
  /** The bytes that open_hash covers: all but the signature. */
  body: Bytes;
  signature: Bytes;
  /** SHA-256 of each wrap, in the order of the record. */
  wrapHashes: Bytes[];
  attestation: Attestation;
}

const MAX_TRACKS = 16;
const MAX_WRAPS = 64;

export const NO_ATTESTATION: Attestation = { type: ATTEST_NONE, bytes: new Uint8Array(0) };

export function encodeOpenCore(core: OpenCore): Bytes {
  const writer = new Writer()
    .bytes(utf8('ZROP'))
    .u8(1)
    .u8(CONTENT_SUITE)
    .u16(core.minSuite)
    .bytes(parseId(core.examId))
    .bytes(core.policyHash, 32)
    .bytes(parseId(core.sessionId))
    .u32(core.epoch)
    .bytes(core.prevHead, 32)
    .bytes(core.recorderKey, 32)
    .bytes(core.commitment, 32)
    .bytes(core.shredHash, 32)
    .bytes(core.participant, 32)
    .bytes(core.recorderBuild, 32)
    .u64(core.clientMs)
    .u64(core.beaconSize)
    .bytes(core.beaconRoot, 32)
    .u8(core.tracks.length);
  for (const { track, kind, codec } of core.tracks) writer.u16(track).u8(kind).u8(0).lp8(utf8(codec));
  const bytes = writer.finish();
  parseCore(new Reader(bytes)); // what cannot be read is never written
  return bytes;
}

/** core_hash, which wraps and attestations are bound to. */
export async function openCoreHash(core: Uint8Array): Promise<Bytes> {
  return hash('open-core', core);
}

/** The signed part of OPEN: the encoded core, 1 to 64 wrap hashes, and how the student was let in. */
export function encodeOpenBody(
  core: Uint8Array,
  wrapHashes: readonly Uint8Array[],
  attestation: Attestation = NO_ATTESTATION,
): Bytes {
  const writer = new Writer().bytes(core).u16(wrapHashes.length);
  for (const wrapHash of wrapHashes) writer.bytes(wrapHash, 32);
  const bytes = writer.u8(attestation.type).lp16(attestation.bytes).finish();
  parseBody(new Reader(bytes));
  return bytes;
}

/** The whole record: `body` and the recorder's signature over open_hash. */
export async function signOpen(body: Bytes, signer: Signer): Promise<Bytes> {
  return concat(body, await signer.sign('open', await hash('open', body)));
}

function parseTrackKind(value: number): TrackKind {
  if (!(value in TRACK_KINDS)) throw new ProtocolError('format', `unknown track kind ${value}`);
  return value as TrackKind;
}

function parseTracks(reader: Reader): OpenTrack[] {
  const count = reader.u8();
  if (count < 1 || count > MAX_TRACKS) throw new ProtocolError('limit', `expected 1 to 16 tracks, found ${count}`);
  const tracks: OpenTrack[] = [];
  for (let i = 0; i < count; i++) {
    const track = reader.u16();
    if (track <= (tracks.at(-1)?.track ?? -1)) throw new ProtocolError('format', 'tracks must ascend');
    const kind = parseTrackKind(reader.u8());
    reader.reserved(1);
    tracks.push({ track, kind, codec: fromUtf8(reader.lp8()) });
  }
  return tracks;
}

function parseCore(reader: Reader): OpenCore {
  reader.magic('ZROP');
  const contentSuite = reader.u8();
  if (contentSuite !== CONTENT_SUITE) throw new ProtocolError('format', `unknown content suite ${contentSuite}`);
  const core = {
    minSuite: parseSuite(reader.u16()),
    examId: formatId(reader.bytes(16)),
    policyHash: reader.bytes(32),
    sessionId: formatId(reader.bytes(16)),
    epoch: reader.u32(),
    prevHead: reader.bytes(32),
    recorderKey: reader.bytes(32),
    commitment: reader.bytes(32),
    shredHash: reader.bytes(32),
    participant: reader.bytes(32),
    recorderBuild: reader.bytes(32),
    clientMs: reader.u64(),
    beaconSize: reader.u64(),
    beaconRoot: reader.bytes(32),
    tracks: parseTracks(reader),
  };
  if ((core.epoch === 0) !== core.prevHead.every((byte) => byte === 0)) {
    throw new ProtocolError('chain', 'prev_head must be zero in epoch 0 and nowhere else');
  }
  return core;
}

function parseAttestation(reader: Reader): Attestation {
  const type = reader.u8();
  const bytes = reader.lp16();
  if (type !== ATTEST_NONE && type !== ATTEST_ID_TOKEN && type !== ATTEST_TICKET) {
    throw new ProtocolError('format', `unknown attestation type ${type}`);
  }
  if ((type === ATTEST_NONE) !== (bytes.length === 0)) {
    throw new ProtocolError('format', `attestation type ${type} does not go with ${bytes.length} bytes`);
  }
  return { type, bytes };
}

function parseBody(reader: Reader): Omit<OpenRecord, 'core' | 'body' | 'signature'> & { coreLength: number } {
  const core = parseCore(reader);
  const coreLength = reader.at;
  const count = reader.u16();
  if (count < 1 || count > MAX_WRAPS) throw new ProtocolError('limit', `expected 1 to 64 wraps, found ${count}`);
  const wrapHashes = Array.from({ length: count }, () => reader.bytes(32));
  return { ...core, coreLength, wrapHashes, attestation: parseAttestation(reader) };
}

/** Strict and synchronous, signature not yet checked; throws `format`, `length`, `limit` or `chain`. */
export function parseOpen(bytes: Uint8Array): OpenRecord {
  const reader = new Reader(bytes);
  const { coreLength, ...fields } = parseBody(reader);
  const body = bytes.slice(0, reader.at);
  const signature = reader.bytes(64);
  reader.end();
  return { ...fields, core: body.slice(0, coreLength), body, signature };
}

/** open_hash: what chunks and heads of the epoch begin with. */
export async function openHash(record: Pick<OpenRecord, 'body'>): Promise<Bytes> {
  return hash('open', record.body);
}

/** Checks the recorder's key (`key`) and its signature (`signature`); answers open_hash. */
export async function verifyOpen(record: OpenRecord): Promise<Bytes> {
  checkPublicKey(record.recorderKey);
  const digest = await openHash(record);
  await requireSignature(record.recorderKey, 'open', digest, record.signature, 'open record');
  return digest;
}

/**
 * Throws `equivocation` when two verified records open the same epoch of the same session and are not the same: the
 * recorder, or who holds its key, told two stories.
 */
export function checkSingleOpen(one: OpenRecord, other: OpenRecord): void {
  const isSamePlace = one.sessionId === other.sessionId && one.epoch === other.epoch;
  if (isSamePlace && !equal(one.body, other.body)) {
    throw new ProtocolError('equivocation', `two open records for epoch ${one.epoch}`);
  }
}

/** H("participant", salt16 || lp16 issuer || lp16 subject); the salt travels in the about track, never to the server. */
export async function participantHash(salt: Uint8Array, issuer: string, subject: string): Promise<Bytes> {
  return hash('participant', new Writer().bytes(salt, 16).lp16(utf8(issuer)).lp16(utf8(subject)).finish());
}
