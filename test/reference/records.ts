/** OPEN, tickets, wraps, grants and heads: sections 4, 6, 7, 9 and 10. Chunks have a file of their own. */
import { isUtf8 } from 'node:buffer';
import { ds, Fields, h, hkdf, must, same, sha256 } from './fields.ts';
import {
  checkKey,
  keyIdOf,
  mustBeSigned,
  openSecret,
  publicKeyOf,
  signatureHolds,
  type SecretKey,
} from './primitives.ts';
import { readIdentity, type Policy } from './policy.ts';

const isAscending = (ids: number[]): boolean => ids.every((id, i) => i === 0 || id > ids[i - 1]!);
const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);

export type Open = ReturnType<typeof readOpen>;

export function readOpen(record: Buffer) {
  const f = new Fields(record, 'ZROP');
  must(f.int(1) === 1, 'format');
  const core = {
    ...{ minSuite: f.int(2), exam: f.take(16), policyHash: f.take(32), session: f.take(16), epoch: f.int(4) },
    ...{ prevHead: f.take(32), recorderKey: f.take(32), kc: f.take(32), shredHash: f.take(32) },
    ...{ participant: f.take(32), build: f.take(32), clientMs: f.int(8), beaconSize: f.int(8), beaconRoot: f.take(32) },
  };
  must(core.minSuite === 1 || core.minSuite === 2, 'format');
  const trackCount = f.int(1);
  must(trackCount >= 1 && trackCount <= 16, 'limit');
  const tracks = f.list(trackCount, () => {
    const [track, kind] = [f.int(2), f.int(1)];
    must(kind >= 1 && kind <= 7, 'format');
    f.zero(1);
    must(isUtf8(f.take(f.int(1))), 'format');
    return track;
  });
  must(isAscending(tracks), 'format');
  must((core.epoch === 0) === isZero(core.prevHead), 'chain');
  const coreHash = h('open-core', f.before);
  const wrapCount = f.int(2);
  must(wrapCount >= 1 && wrapCount <= 64, 'limit');
  const wrapHashes = f.list(wrapCount, () => f.take(32));
  const attestation = { type: f.int(1), bytes: f.take(f.int(2)) };
  must([0, 1, 3].includes(attestation.type), 'format');
  must((attestation.type === 0) === (attestation.bytes.length === 0), 'format');
  const hash = h('open', f.before);
  const signature = f.take(64);
  f.end();
  mustBeSigned(core.recorderKey, 'open', hash, signature);
  return { ...core, tracks, coreHash, wrapHashes, attestation, hash };
}

/** A seat ticket as OPEN carries it: signed by the exam's owner, and used by its holder for this very core. */
export function checkTicket(
  attest: Buffer,
  { examId, owner, coreHash, at }: { examId: string; owner: Buffer; coreHash: Buffer; at: number },
): Buffer {
  const f = new Fields(attest, 'ZRTK');
  const [exam, seat, key, accommodations] = [f.take(16), f.take(f.int(1)), f.take(32), f.take(f.int(2))];
  const expiresMs = f.int(8);
  must(seat.length > 0 && isUtf8(seat) && isUtf8(accommodations), 'format');
  const hash = h('ticket', f.before);
  const [signature, use] = [f.take(64), f.take(64)];
  f.end();
  must(exam.toString('base64url') === examId && at < expiresMs, 'attestation');
  must(signatureHolds(owner, Buffer.concat([ds('sig/ticket'), hash]), signature), 'attestation');
  must(signatureHolds(key, Buffer.concat([ds('sig/ticket-use'), coreHash]), use), 'attestation');
  return key;
}

/** Section 6.2, without the id_token; answers by whom every epoch must have been opened. */
export function checkLaunchUse(
  attest: Buffer,
  { coreHash, participant }: { coreHash: Buffer; participant: Buffer },
): string {
  must(attest.length === 128, 'length');
  const [key, use] = [attest.subarray(0, 32), attest.subarray(64)];
  checkKey(key);
  must(signatureHolds(key, Buffer.concat([ds('sig/launch-use'), coreHash]), use), 'attestation');
  return `launch ${participant.toString('hex')}`;
}

/** Section 7, before any crypto: the fields, and exactly the lengths of the suite. */
export function readWrapFields(record: Buffer) {
  const f = new Fields(record, 'ZRWR');
  f.zero(1);
  const suite = f.int(2);
  must(suite === 1 || suite === 2, 'format');
  must(record.length === (suite === 1 ? 176 : 1232), 'length');
  const place = { role: f.int(1), scope: f.int(1), track: f.int(2), keyId: f.take(16), coreHash: f.take(32) };
  must(place.role >= 1 && place.role <= 3, 'format');
  must(place.scope === 2 || (place.scope === 1 && place.track === 0), 'format');
  const encapsulation = f.take(f.int(2));
  const sealed = f.take(f.int(2));
  f.end();
  must(encapsulation.length === (suite === 1 ? 32 : 1120), 'length');
  return { suite, ...place, encapsulation, sealed };
}

export interface WrapView {
  coreHash: Buffer;
  minSuite: number;
  role?: number;
  scope: number;
  track: number;
}

export function openWrap(record: Buffer, key: SecretKey, view: WrapView): Buffer {
  const { suite, role, scope, track, keyId, coreHash, encapsulation, sealed } = readWrapFields(record);
  must(suite >= view.minSuite && suite === key.suite, 'suite');
  must(same(keyId, keyIdOf(suite, publicKeyOf(key))) && same(coreHash, view.coreHash), 'wrap');
  must(role === (view.role ?? role) && scope === view.scope && track === view.track, 'wrap');
  const place = Buffer.of(0, suite, role, scope, track >> 8, track & 255);
  return openSecret(key, encapsulation, Buffer.concat([ds('wrap'), place, keyId, coreHash]), sealed);
}

/** Section 4: MK and the TK of each track, once CEK and the shred share have reproduced what OPEN committed to. */
export function unlock(open: Open, cek: Uint8Array, shred: Uint8Array) {
  must(same(h('shred', shred), open.shredHash), 'commitment');
  const epoch = Buffer.alloc(4);
  epoch.writeUInt32BE(open.epoch);
  const derive = (label: string, ...suffix: number[]) => {
    const info = Buffer.concat([ds(label), open.exam, open.policyHash, Buffer.from(suffix)]);
    return hkdf(Buffer.concat([cek, shred]), Buffer.concat([open.session, epoch]), info, 32);
  };
  must(same(derive('commit'), open.kc), 'commitment');
  return { metadataKey: derive('meta'), trackKey: (track: number) => derive('track', track >> 8, track & 255) };
}

/** Section 10: a grant and the wrap that it hands over, under the policy that it names. */
export function checkGrant(
  record: Buffer,
  wrap: Buffer,
  open: Open,
  { policy, hash, minSuite, at }: { policy: Policy; hash: Buffer; minSuite: number; at: number },
) {
  const f = new Fields(record, 'ZRGR');
  f.zero(1);
  const grant = {
    ...{ session: f.take(16), epoch: f.int(4), scope: f.int(1), track: f.int(2), from: f.take(32), to: f.take(32) },
    ...{ keyId: f.take(16), policyHash: f.take(32), ms: f.int(8), expiresMs: f.int(8), wrapHash: f.take(32) },
  };
  must(grant.scope === 2 || (grant.scope === 1 && grant.track === 0), 'format');
  const digest = h('grant', f.before);
  const signature = f.take(64);
  f.end();
  must(same(grant.session, open.session) && grant.epoch === open.epoch, 'identity');
  mustBeSigned(grant.from, 'grant', digest, signature);
  const readers = policy.recipients.map((reader) => ({ ...reader, identity: readIdentity(reader.identity) }));
  const reader = readers.find(({ key_id }) => key_id === grant.keyId.toString('base64url'));
  must(same(grant.policyHash, hash) && same(grant.wrapHash, sha256(wrap)), 'grant');
  must(policy.exam_id === open.exam.toString('base64url'), 'grant');
  must(
    readers.some(({ identity }) => same(identity, grant.from)),
    'grant',
  );
  must(reader !== undefined && same(reader.identity, grant.to) && at < grant.expiresMs, 'grant');
  const sealed = readWrapFields(wrap);
  must(sealed.suite >= minSuite, 'suite');
  must(same(sealed.keyId, grant.keyId) && same(sealed.coreHash, open.coreHash), 'grant');
  must(sealed.scope === grant.scope && sealed.track === grant.track && sealed.role === reader.role, 'grant');
  return grant;
}

export interface Head {
  seq: number;
  prev: Buffer;
  hash: Buffer;
  isClose: boolean;
  tracks: Map<number, { state: number; count: number; last: Buffer }>;
}

/**
 * Section 9: a head, its signature, and whether it may follow `previous`, or OPEN. With `maySkip` others may be missing between
 * the two: a case file holds the heads that the server kept.
 */
export function readHead(record: Buffer, open: Open, previous: Head | undefined, { maySkip = false } = {}): Head {
  const f = new Fields(record, 'ZRHD');
  const [flags, reason] = [f.int(1), f.int(1)];
  must(flags < 2 && reason < 5 && (flags === 1) === reason > 0, 'format');
  f.zero(1);
  const place = { session: f.take(16), epoch: f.int(4), seq: f.int(4), prev: f.take(32) };
  f.int(8); // wall_ms and mono_ms prove nothing by themselves
  f.int(8);
  f.int(8);
  f.take(32);
  const count = f.int(1);
  must(count >= 1 && count <= 16, 'limit');
  const list = f.list(count, () => ({ id: f.int(2), state: f.int(1), count: f.int(4), last: f.take(32) }));
  must(isAscending(list.map(({ id }) => id)) && list.every(({ state }) => state >= 1 && state <= 3), 'format');
  const hash = h('head', f.before);
  const signature = f.take(64);
  f.end();
  mustBeSigned(open.recorderKey, 'head', hash, signature);
  must(same(place.session, open.session) && place.epoch === open.epoch, 'identity');
  const head = { ...place, isClose: flags === 1, tracks: new Map(list.map((track) => [track.id, track])), hash };
  const isNext = head.seq === (previous ? previous.seq + 1 : 0);
  if (previous) mustFollow(previous, head, maySkip && !isNext);
  else if (isNext || !maySkip) {
    must(isNext, 'seq');
    must(same(head.prev, open.hash) && list.every((track) => track.count > 0 || same(track.last, open.hash)), 'chain');
  }
  return head;
}

function mustFollow(previous: Head, head: Head, isSkip: boolean): void {
  must(head.seq !== previous.seq || same(head.hash, previous.hash), 'equivocation');
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
