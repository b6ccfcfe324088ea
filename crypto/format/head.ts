/** Heads: the recorder's signed word on how much there is (PROTOCOL.md section 9). */
import { equal, Reader, utf8, Writer, concat, type Bytes } from './bytes.ts';
import { requireSignature, type Signer } from './ed25519.ts';
import { ProtocolError } from './errors.ts';
import { hash } from './hash.ts';
import { formatId, parseId } from './ids.ts';

export const TRACK_LIVE = 1;
export const TRACK_ENDED = 2;
export const TRACK_LOST = 3;
export type TrackState = typeof TRACK_LIVE | typeof TRACK_ENDED | typeof TRACK_LOST;

/** Why a recording was closed. 0 in a head that does not close. */
export const REASONS = { 0: 'open', 1: 'normal', 2: 'abort', 3: 'policy-end', 4: 'error' } as const;
export type Reason = keyof typeof REASONS;

export interface HeadTrack {
  track: number;
  state: TrackState;
  /** Chunks sealed so far. */
  count: number;
  /** entry_hash of the last of them; open_hash where there is none. */
  last: Bytes;
}

export interface HeadFields {
  isClose: boolean;
  reason: Reason;
  sessionId: string;
  epoch: number;
  headSeq: number;
  /** head_hash of the head before; open_hash for head 0. */
  prev: Bytes;
  wallMs: number;
  /** By a clock that never steps, since OPEN. */
  monoMs: number;
  beaconSize: number;
  beaconRoot: Bytes;
  /** Ascending, unique, 1 to 16. */
  tracks: HeadTrack[];
}

export interface HeadRecord extends HeadFields {
  /** The bytes that head_hash covers. */
  body: Bytes;
  signature: Bytes;
}

const MAX_TRACKS = 16;

function encodeHeadBody(fields: HeadFields): Bytes {
  const writer = new Writer()
    .bytes(utf8('ZRHD'))
    .u8(1)
    .u8(fields.isClose ? 1 : 0)
    .u8(fields.reason)
    .u8(0)
    .bytes(parseId(fields.sessionId))
    .u32(fields.epoch)
    .u32(fields.headSeq)
    .bytes(fields.prev, 32)
    .u64(fields.wallMs)
    .u64(fields.monoMs)
    .u64(fields.beaconSize)
    .bytes(fields.beaconRoot, 32)
    .u8(fields.tracks.length);
  for (const { track, state, count, last } of fields.tracks) writer.u16(track).u8(state).u32(count).bytes(last, 32);
  const body = writer.finish();
  parseFields(new Reader(body));
  return body;
}

export async function encodeHead(fields: HeadFields, signer: Signer): Promise<Bytes> {
  const body = encodeHeadBody(fields);
  return concat(body, await signer.sign('head', await hash('head', body)));
}

function parseHeadTracks(reader: Reader): HeadTrack[] {
  const count = reader.u8();
  if (count < 1 || count > MAX_TRACKS) throw new ProtocolError('limit', `expected 1 to 16 tracks, found ${count}`);
  const tracks: HeadTrack[] = [];
  for (let i = 0; i < count; i++) {
    const track = reader.u16();
    if (track <= (tracks.at(-1)?.track ?? -1)) throw new ProtocolError('format', 'tracks must ascend');
    const state = reader.u8();
    if (state !== TRACK_LIVE && state !== TRACK_ENDED && state !== TRACK_LOST) {
      throw new ProtocolError('format', `unknown track state ${state}`);
    }
    tracks.push({ track, state, count: reader.u32(), last: reader.bytes(32) });
  }
  return tracks;
}

function parseFields(reader: Reader): HeadFields {
  reader.magic('ZRHD');
  const flags = reader.u8();
  if ((flags & ~1) !== 0) throw new ProtocolError('format', 'unknown head flags');
  const isClose = flags === 1;
  const reason = reader.u8();
  if (!(reason in REASONS)) throw new ProtocolError('format', `unknown reason ${reason}`);
  if (isClose === (reason === 0)) throw new ProtocolError('format', 'a reason goes with CLOSE and with nothing else');
  reader.reserved(1);
  return {
    isClose,
    reason: reason as Reason,
    sessionId: formatId(reader.bytes(16)),
    epoch: reader.u32(),
    headSeq: reader.u32(),
    prev: reader.bytes(32),
    wallMs: reader.u64(),
    monoMs: reader.u64(),
    beaconSize: reader.u64(),
    beaconRoot: reader.bytes(32),
    tracks: parseHeadTracks(reader),
  };
}

/** Strict, signature not yet checked; throws `format`, `length` or `limit`. */
export function parseHead(bytes: Uint8Array): HeadRecord {
  const reader = new Reader(bytes);
  const fields = parseFields(reader);
  const body = new Uint8Array(bytes.subarray(0, reader.at));
  const signature = reader.bytes(64);
  reader.end();
  return { ...fields, body, signature };
}

export async function headHash(record: Pick<HeadRecord, 'body'>): Promise<Bytes> {
  return hash('head', record.body);
}

/** Checks the recorder's signature (`key`, `signature`); answers head_hash. */
export async function verifyHead(record: HeadRecord, recorderKey: Uint8Array): Promise<Bytes> {
  const digest = await headHash(record);
  await requireSignature(recorderKey, 'head', digest, record.signature, 'head');
  return digest;
}

/** The first head of an epoch continues from OPEN. */
export interface EpochStart {
  sessionId: string;
  epoch: number;
  openHash: Bytes;
}

/**
 * Checks that `next` may follow: same session and epoch (`identity`), not after CLOSE (`final`), head_seq one higher
 * (`seq`; the same head_seq with other content is `equivocation`), the predecessor's hash (`chain`), no track that
 * vanishes, no count that goes back, no chunk after a track ended. Both records must have been verified.
 */
export async function checkSuccessor(previous: HeadRecord | EpochStart, next: HeadRecord): Promise<void> {
  if (next.sessionId !== previous.sessionId || next.epoch !== previous.epoch) {
    throw new ProtocolError('identity', 'a head of another session or epoch');
  }
  if (!('headSeq' in previous)) {
    checkFirst(previous, next);
    return;
  }
  if (next.headSeq === previous.headSeq && !equal(next.body, previous.body)) {
    throw new ProtocolError('equivocation', `two heads with head_seq ${next.headSeq}`);
  }
  if (previous.isClose) throw new ProtocolError('final', 'a head after the one that closed');
  if (next.headSeq !== previous.headSeq + 1) {
    throw new ProtocolError('seq', `expected head ${previous.headSeq + 1}, found ${next.headSeq}`);
  }
  if (!equal(next.prev, await headHash(previous))) throw new ProtocolError('chain', 'a head with another predecessor');
  for (const before of previous.tracks) checkTrack(before, next);
}

function checkFirst(start: EpochStart, next: HeadRecord): void {
  if (next.headSeq !== 0) throw new ProtocolError('seq', `expected head 0, found ${next.headSeq}`);
  if (!equal(next.prev, start.openHash)) throw new ProtocolError('chain', 'the first head must follow the open record');
  for (const { track, count, last } of next.tracks) {
    if (count === 0 && !equal(last, start.openHash)) {
      throw new ProtocolError('chain', `track ${track} has no chunk, so its last hash must be the open record's`);
    }
  }
}

function checkTrack(before: HeadTrack, next: HeadRecord): void {
  const after = next.tracks.find(({ track }) => track === before.track);
  if (!after) throw new ProtocolError('seq', `track ${before.track} is missing in the newer head`);
  if (after.count < before.count) {
    throw new ProtocolError('seq', `track ${before.track} goes back from ${before.count} to ${after.count} chunks`);
  }
  if (after.count === before.count && !equal(after.last, before.last)) {
    throw new ProtocolError('equivocation', `track ${before.track} has another last chunk at the same count`);
  }
  const isAfterEnd = before.state === TRACK_ENDED && (after.count > before.count || after.state !== TRACK_ENDED);
  if (isAfterEnd) throw new ProtocolError('final', `track ${before.track} goes on after its end`);
}
