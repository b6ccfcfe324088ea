/** OPEN, wraps, chunks and heads as schema/PROTOCOL.md sections 4 and 6 to 9 have them: the second implementation. */
import {
  checkKey,
  ds,
  h,
  hkdf,
  hybridPublicKey,
  must,
  mustBeSigned,
  openBox,
  openGcm,
  openHpke,
  same,
  sha256,
  x25519,
  x25519PublicKey,
} from './primitives.ts';
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';

/** Reads fields off a record; `at` is where the next one begins. */
class Fields {
  at = 0;
  readonly record: Buffer;

  constructor(record: Buffer, magic: string) {
    this.record = record;
    must(record.length >= 5, 'length');
    must(this.take(4).toString('latin1') === magic && this.u8() === 1, 'format', 'magic or version');
  }

  take(length: number): Buffer {
    must(this.at + length <= this.record.length, 'length');
    this.at += length;
    return this.record.subarray(this.at - length, this.at);
  }

  u8 = (): number => this.take(1).readUInt8();
  u16 = (): number => this.take(2).readUInt16BE();
  u32 = (): number => this.take(4).readUInt32BE();

  u64(): number {
    const value = this.take(8).readBigUInt64BE();
    must(value < 2n ** 53n, 'limit');
    return Number(value);
  }

  zero(length: number): void {
    must(
      this.take(length).every((byte) => byte === 0),
      'format',
      'reserved',
    );
  }

  end(): void {
    must(this.at === this.record.length, 'length');
  }
}

export interface Open {
  minSuite: number;
  exam: Buffer;
  policyHash: Buffer;
  session: Buffer;
  epoch: number;
  prevHead: Buffer;
  recorderKey: Buffer;
  kc: Buffer;
  shredHash: Buffer;
  tracks: number[];
  wrapHashes: Buffer[];
  coreHash: Buffer;
  hash: Buffer;
}

export function readOpen(record: Buffer): Open {
  const f = new Fields(record, 'ZROP');
  must(f.u8() === 1, 'format', 'content suite');
  const minSuite = f.u16();
  must(minSuite === 1 || minSuite === 2, 'format', 'min_suite');
  const [exam, policyHash, session] = [f.take(16), f.take(32), f.take(16)];
  const epoch = f.u32();
  const [prevHead, recorderKey, kc, shredHash] = [f.take(32), f.take(32), f.take(32), f.take(32)];
  f.take(64); // participant and build: names nobody, proves nothing
  f.u64();
  f.u64();
  f.take(32);
  const tracks: number[] = [];
  const count = f.u8();
  must(count >= 1 && count <= 16, 'limit');
  while (tracks.length < count) {
    const track = f.u16();
    must(track > (tracks.at(-1) ?? -1), 'format', 'tracks ascend');
    const kind = f.u8();
    must(kind >= 1 && kind <= 7, 'format', 'kind');
    f.zero(1);
    must(isUtf8(f.take(f.u8())), 'format', 'codec');
    tracks.push(track);
  }
  return readOpenBody(f, { minSuite, exam, policyHash, session, epoch, prevHead, recorderKey, kc, shredHash, tracks });
}

function readOpenBody(f: Fields, core: Omit<Open, 'wrapHashes' | 'coreHash' | 'hash'>): Open {
  must((core.epoch === 0) === core.prevHead.every((byte) => byte === 0), 'chain');
  const coreHash = h('open-core', f.record.subarray(0, f.at));
  const wraps = f.u16();
  must(wraps >= 1 && wraps <= 64, 'limit');
  const wrapHashes = Array.from({ length: wraps }, () => f.take(32));
  const attestType = f.u8();
  const attest = f.take(f.u16());
  must([0, 1, 3].includes(attestType) && (attestType === 0) === (attest.length === 0), 'format', 'attestation');
  const hash = h('open', f.record.subarray(0, f.at));
  const signature = f.take(64);
  f.end();
  mustBeSigned(core.recorderKey, 'open', hash, signature);
  return { ...core, wrapHashes, coreHash, hash };
}

export interface SecretKey {
  suite: number;
  /** 32 bytes. */
  seed: Buffer;
}

export const publicKeyOf = ({ suite, seed }: SecretKey): Buffer =>
  suite === 1 ? x25519PublicKey(seed) : hybridPublicKey(seed);
export const keyIdOf = (key: SecretKey): Buffer =>
  h('key-id', Buffer.of(0, key.suite), publicKeyOf(key)).subarray(0, 16);

export interface WrapView {
  coreHash: Uint8Array;
  minSuite: number;
  role?: number;
  scope: number;
  track: number;
}

const WRAP_LENGTHS: Record<number, [number, number]> = { 1: [32, 80], 2: [1120, 48] };

export function readWrap(record: Buffer, key: SecretKey, view: WrapView): Buffer {
  const f = new Fields(record, 'ZRWR');
  f.zero(1);
  const suite = f.u16();
  const lengths = WRAP_LENGTHS[suite];
  must(lengths !== undefined, 'format', 'suite');
  must(record.length === 64 + lengths[0] + lengths[1], 'length');
  const [role, scope, track] = [f.u8(), f.u8(), f.u16()];
  must(
    role >= 1 && role <= 3 && (scope === 1 || scope === 2) && (scope === 2 || track === 0),
    'format',
    'role or scope',
  );
  const [keyId, coreHash] = [f.take(16), f.take(32)];
  must(f.u16() === lengths[0], 'length');
  const encapsulation = f.take(lengths[0]);
  must(f.u16() === lengths[1], 'length');
  const sealed = f.take(lengths[1]);
  must(suite >= view.minSuite && suite === key.suite, 'suite');
  must(same(keyId, keyIdOf(key)) && same(coreHash, view.coreHash), 'wrap');
  must(role === (view.role ?? role) && scope === view.scope && track === view.track, 'wrap');
  const context = Buffer.concat([
    ds('wrap'),
    Buffer.of(0, suite, role, scope, track >> 8, track & 255),
    keyId,
    coreHash,
  ]);
  if (suite === 2) return openHpke(key.seed, encapsulation, context, sealed);
  const bound = Buffer.concat([context, encapsulation, publicKeyOf(key)]);
  const nonce = createHash('sha512').update(ds('wrap-nonce')).update(bound).digest().subarray(0, 24);
  const opened = openBox(x25519(key.seed, encapsulation), nonce, sealed);
  must(same(opened.subarray(32), sha256(bound)), 'aead');
  return opened.subarray(0, 32);
}

/** TK of a track, once CEK and the shred share have reproduced what OPEN committed to. */
export function unlock(open: Open, cek: Uint8Array, shred: Uint8Array): (track: number) => Buffer {
  must(same(h('shred', shred), open.shredHash), 'commitment', 'shred share');
  const epoch = Buffer.alloc(4);
  epoch.writeUInt32BE(open.epoch);
  const salt = Buffer.concat([open.session, epoch]);
  const derive = (label: string, suffix: Uint8Array = Buffer.alloc(0)) =>
    hkdf(Buffer.concat([cek, shred]), salt, Buffer.concat([ds(label), open.exam, open.policyHash, suffix]), 32);
  must(same(derive('commit'), open.kc), 'commitment', 'kc');
  return (track) => derive('track', Buffer.of(track >> 8, track & 255));
}

/** Walks the chunks of one track; with a key it also opens them, and `media` is what they held. */
export class Track {
  count = 0;
  last: Buffer;
  isFinal = false;
  readonly media = createHash('sha256');
  readonly #open: Open;
  readonly #id: number;
  readonly #key: Buffer | undefined;

  constructor(open: Open, id: number, key?: Buffer) {
    must(open.tracks.includes(id), 'identity');
    this.#open = open;
    this.#id = id;
    this.#key = key;
    this.last = open.hash;
  }

  add(object: Buffer): void {
    const f = new Fields(object, 'ZRCH');
    must(f.u8() === 1, 'format', 'content suite');
    const flags = f.u16();
    must(flags < 4, 'format', 'flags');
    const [session, epoch, track] = [f.take(16), f.u32(), f.u16()];
    f.zero(2);
    const [seq, length] = [f.u32(), f.u32()];
    must(length <= 8 * 1024 * 1024, 'limit');
    must(length > 0 || (flags & 1) === 1, 'final');
    f.u64();
    f.take(8);
    f.u64();
    const [prev, salt] = [f.take(32), f.take(32)];
    const segments = Math.max(1, Math.ceil(length / 65_536));
    must(object.length === 224 + 48 * segments + length, 'length');
    const [ckc, table, signature] = [f.take(32), f.take(32 * segments), f.take(64)];
    must(same(session, this.#open.session) && epoch === this.#open.epoch && track === this.#id, 'identity');
    must(!this.isFinal, 'final');
    must(seq === this.count, 'seq');
    must(same(prev, this.last), 'chain');
    const bound = object.subarray(0, 128);
    const entry = h('entry', bound, ckc, sha256(table));
    mustBeSigned(this.#open.recorderKey, 'chunk', entry, signature);
    const sealed = Array.from({ length: segments }, (_, i) =>
      f.take(i < segments - 1 ? 65_552 : f.record.length - f.at),
    );
    this.#openSegments(sealed, bound, salt, ckc, table, (flags & 2) === 2);
    this.count++;
    this.last = entry;
    this.isFinal = (flags & 1) === 1;
  }

  #openSegments(sealed: Buffer[], bound: Buffer, salt: Buffer, ckc: Buffer, table: Buffer, isPadded: boolean): void {
    const keys = this.#key && hkdf(this.#key, salt, Buffer.concat([ds('chunk'), bound]), 76);
    if (keys) must(same(keys.subarray(44), ckc), 'commitment', 'ckc');
    const clear = sealed.map((segment, i) => {
      must(same(sha256(segment), table.subarray(32 * i, 32 * i + 32)), 'segment-hash');
      if (!keys) return Buffer.alloc(0);
      const iv = Buffer.from(keys.subarray(32, 44));
      iv.writeUInt32BE((iv.readUInt32BE(8) ^ i) >>> 0, 8);
      const aad = Buffer.alloc(5);
      aad.writeUInt32BE(i);
      aad[4] = i === sealed.length - 1 ? 1 : 0;
      return openGcm(keys.subarray(0, 32), iv, segment, aad);
    });
    const content = Buffer.concat(clear);
    this.media.update(isPadded && keys ? unframe(content) : content);
  }
}

function unframe(content: Buffer): Buffer {
  must(content.length >= 4 && content.readUInt32BE() <= content.length - 4, 'length');
  const end = 4 + content.readUInt32BE();
  must(
    content.subarray(end).every((byte) => byte === 0),
    'format',
    'padding',
  );
  return content.subarray(4, end);
}

export interface Head {
  isClose: boolean;
  seq: number;
  prev: Buffer;
  tracks: Map<number, { state: number; count: number; last: Buffer }>;
  body: Buffer;
  hash: Buffer;
}

/**
 * Reads a head, checks its signature and that it may follow `previous`, or OPEN where there is none. With `maySkip` heads
 * between the two may be missing: a case file holds those that the server kept.
 */
export function readHead(record: Buffer, open: Open, previous: Head | undefined, { maySkip = false } = {}): Head {
  const f = new Fields(record, 'ZRHD');
  const [flags, reason] = [f.u8(), f.u8()];
  must(flags < 2 && reason < 5 && (flags === 1) === reason > 0, 'format', 'flags or reason');
  f.zero(1);
  const [session, epoch, seq, prev] = [f.take(16), f.u32(), f.u32(), f.take(32)];
  f.u64();
  f.u64();
  f.u64();
  f.take(32);
  const count = f.u8();
  must(count >= 1 && count <= 16, 'limit');
  const tracks: Head['tracks'] = new Map();
  let highest = -1;
  for (let i = 0; i < count; i++) {
    const track = f.u16();
    must(track > highest, 'format', 'tracks ascend');
    highest = track;
    const state = f.u8();
    must(state >= 1 && state <= 3, 'format', 'state');
    tracks.set(track, { state, count: f.u32(), last: f.take(32) });
  }
  const body = record.subarray(0, f.at);
  const signature = f.take(64);
  f.end();
  const head = { isClose: flags === 1, seq, prev, tracks, body, hash: h('head', body) };
  checkKey(open.recorderKey);
  mustBeSigned(open.recorderKey, 'head', head.hash, signature);
  must(same(session, open.session) && epoch === open.epoch, 'identity');
  const isNext = head.seq === (previous ? previous.seq + 1 : 0);
  if (previous) mustFollow(previous, head, maySkip && !isNext);
  else if (isNext || !maySkip) mustBeFirst(open, head);
  return head;
}

function mustBeFirst(open: Open, head: Head): void {
  must(head.seq === 0, 'seq');
  must(same(head.prev, open.hash), 'chain');
  for (const { count, last } of head.tracks.values()) must(count > 0 || same(last, open.hash), 'chain');
}

function mustFollow(previous: Head, head: Head, isSkip: boolean): void {
  must(head.seq !== previous.seq || same(head.body, previous.body), 'equivocation');
  must(!previous.isClose, 'final');
  must(isSkip ? head.seq > previous.seq : head.seq === previous.seq + 1, 'seq');
  must(isSkip || same(head.prev, previous.hash), 'chain');
  for (const [track, before] of previous.tracks) {
    const after = head.tracks.get(track);
    must(after !== undefined && after.count >= before.count, 'seq');
    must(after.count > before.count || same(after.last, before.last), 'equivocation');
    must(before.state !== 2 || (after.state === 2 && after.count === before.count), 'final');
  }
}
