/**
 * A case file made with `crypto/`, for the second implementation to read: two epochs, both suites, three tracks, a seat ticket, and a
 * reader who came later by grants: the whole of epoch 0, and one track of epoch 1.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { concat, toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { encodeHead, headHash, parseHead, type HeadTrack } from '../../crypto/format/head.ts';
import { encodeEncryptionKey, encodeIdentity, formatId } from '../../crypto/format/ids.ts';
import {
  encodeOpenBody,
  encodeOpenCore,
  NO_ATTESTATION,
  type Attestation,
  openCoreHash,
  openHash,
  parseOpen,
  signOpen,
} from '../../crypto/format/open.ts';
import { attestWithTicket, encodeTicket } from '../../crypto/format/ticket.ts';
import {
  encodePolicy,
  ownerHash,
  parsePolicy,
  policyRecipient,
  type ParsedPolicy,
  type Policy,
} from '../../crypto/format/policy.ts';
import { wrapHash } from '../../crypto/format/wrap.ts';
import { signCheckpoint } from '../../crypto/log/checkpoint.ts';
import { encodeVkey, verifierKey } from '../../crypto/log/note.ts';
import { encodeProof } from '../../crypto/log/proof.ts';
import { leafHash, nodeHash } from '../../crypto/log/tree.ts';
import { sealChunk } from '../../crypto/seal/chunk.ts';
import { makeGrant } from '../../crypto/seal/grant.ts';
import { decryptionKeyFromSeed, identityFromSeed, signerFromSeed } from '../../crypto/seal/identity.ts';
import { deriveEpochKeys, shredHash } from '../../crypto/seal/schedule.ts';
import { sealWrap } from '../../crypto/seal/wrap.ts';
import nacl from 'tweetnacl';
import { sequence } from '../crypto/knownanswers.ts';

export const NOW = 1_790_000_000_000;
const examId = formatId(sequence(16, 0x10));
const sessionId = formatId(sequence(16, 0x20));

export const owner = await identityFromSeed(sequence(32, 0x33));
export const box = await decryptionKeyFromSeed(1, sequence(32, 0xa0));
export const hybrid = await decryptionKeyFromSeed(2, sequence(32, 0xb0));
/** The key of the reader who came later. */
export const later = await decryptionKeyFromSeed(2, sequence(32, 0xc0));
export const GRANTED_TRACK = 1;
export const pinnedOwner = await ownerHash(owner.publicKey);

const logKey = nacl.sign.keyPair.fromSeed(sequence(32, 0xf0));
const origin = 'log.example.org/zeroreel';
const vkey = encodeVkey(verifierKey(origin, new Uint8Array(logKey.publicKey)));

const recipient = (key: typeof box, label: string) =>
  policyRecipient({
    ...{ role: 1, pk: encodeEncryptionKey(key.suite, key.publicKey), label },
    identity: encodeIdentity(owner.publicKey),
  });
const policy: Policy = {
  ...{
    v: 1,
    exam_id: examId,
    title: 'Algebra',
    seq: 0,
    prev_policy_hash: null,
    owner: encodeIdentity(owner.publicKey),
  },
  ...{ not_before: NOW - 1000, not_after: NOW + 86_400_000, admission: 'ticket', min_suite: 1, retention_days: 30 },
  tracks: [
    { id: 1, kind: 1, required: true },
    { id: 2, kind: 4, required: false },
    { id: 3, kind: 3, required: false },
  ],
  recipients: [await recipient(box, 'Box'), await recipient(hybrid, 'Hybrid')],
  ...{
    practice: false,
    capture: { chunk_bytes: 65_536 },
    notice: { text: 'We record.', contact: 'someone@example.org' },
  },
  log: { origin, vkey },
};

/** What goes into each track, by epoch: sizes around a segment, an empty end, and a padded track. */
export const MEDIA: Record<number, Bytes[]>[] = [
  { 1: [pattern(100_000, 1), pattern(65_536, 2)], 2: [utf8('{"t":0}\n')], 3: [] },
  { 1: [pattern(1, 3), new Uint8Array(0)], 2: [utf8('{"t":9}\n'), utf8('{"t":10}\n')], 3: [pattern(131_073, 4)] },
];
const PADDED_TRACK = 2;

function pattern(length: number, seed: number): Bytes {
  return Uint8Array.from({ length }, (_, i) => (i * seed + (i >> 7)) & 0xff);
}

type Files = Map<string, Bytes>;

async function makeEpoch(
  epoch: number,
  prevHead: Bytes,
  policyHash: Bytes,
  wider: ParsedPolicy,
  seat: number,
  files: Files,
) {
  const recorder = await signerFromSeed(sequence(32, 0x80 + epoch));
  const secrets = { cek: sequence(32, 0x40 + epoch), shred: sequence(32, 0x50 + epoch) };
  const place = { examId, policyHash, sessionId, epoch };
  const keys = await deriveEpochKeys({ ...secrets, ...place });
  const core = encodeOpenCore({
    ...{ ...place, minSuite: 1, prevHead, recorderKey: recorder.publicKey, commitment: keys.kc },
    ...{ shredHash: await shredHash(secrets.shred), participant: sequence(32, 1), recorderBuild: sequence(32, 2) },
    ...{ clientMs: NOW, beaconSize: 0, beaconRoot: new Uint8Array(32) },
    tracks: [1, 2, 3].map((track) => ({ track, kind: track === 1 ? 1 : track === 2 ? 4 : 3, codec: 'x' })),
  });
  const context = { role: 1, scope: 1, track: 0, coreHash: await openCoreHash(core) } as const;
  const wraps = [await sealWrap(secrets.cek, box, context), await sealWrap(secrets.cek, hybrid, context)];
  const hashes = await Promise.all(wraps.map(wrapHash));
  const attestation = await attest(seat, context.coreHash);
  const openBytes = await signOpen(encodeOpenBody(core, hashes, attestation), recorder);
  const openDigest = await openHash(parseOpen(openBytes));
  const at = `epochs/${epoch}`;
  files.set(`${at}/open.bin`, openBytes).set(`${at}/shred.bin`, secrets.shred);
  files.set(`${at}/wraps/${toBase64Url(box.keyId)}.bin`, wraps[0]!);
  files.set(`${at}/wraps/${toBase64Url(hybrid.keyId)}.bin`, wraps[1]!);
  const granted = await makeGrant(
    {
      ...{ open: parseOpen(openBytes), secrets, policy: wider, toKeyId: later.keyId },
      ...{ grantedMs: NOW, expiresMs: NOW + 1e9, ...(epoch === 1 && { track: GRANTED_TRACK }) },
    },
    owner.signer,
  );
  files.set(`${at}/grants/${toBase64Url(later.keyId)}-0.bin`, granted.grant);
  files.set(`${at}/grants/${toBase64Url(later.keyId)}-0.wrap.bin`, granted.wrap);
  const tracks: HeadTrack[] = [];
  for (const [id, media] of Object.entries(MEDIA[epoch]!)) {
    const track = Number(id);
    const trackKey = await keys.trackKey(track);
    let prev = openDigest;
    for (const [seq, plaintext] of media.entries()) {
      const sealed = await sealChunk(
        trackKey,
        {
          ...{
            isFinal: seq === media.length - 1,
            isPadded: track === PADDED_TRACK,
            sessionId,
            epoch,
            track,
            seq,
            prev,
          },
          ...{ startMs: 1000 * seq, durationMs: 1000, gapMs: 0, wallMs: NOW },
        },
        plaintext,
        recorder,
      );
      files.set(`${at}/tracks/${track}/${seq}.bin`, sealed.object);
      prev = sealed.entryHash;
    }
    tracks.push({ track, state: media.length > 0 ? 2 : 1, count: media.length, last: prev });
  }
  const isClose = epoch === MEDIA.length - 1;
  const headFields = {
    ...{ sessionId, epoch, wallMs: NOW, monoMs: 1, beaconSize: 0, beaconRoot: new Uint8Array(32) },
  };
  const first = await encodeHead(
    {
      ...{ ...headFields, isClose: false, reason: 0, headSeq: 0, prev: openDigest },
      tracks: tracks.map(({ track }) => ({ track, state: 1, count: 0, last: openDigest })),
    },
    recorder,
  );
  const second = await encodeHead(
    {
      ...{
        ...headFields,
        isClose,
        reason: isClose ? 1 : 0,
        headSeq: 1,
        prev: await headHash(parseHead(first)),
        tracks,
      },
    },
    recorder,
  );
  files.set(`${at}/heads/0.bin`, first).set(`${at}/heads/1.bin`, second);
  return { openDigest, newest: await headHash(parseHead(second)) };
}

async function attest(seat: number, coreHash: Bytes): Promise<Attestation> {
  if (seat === 0) return NO_ATTESTATION;
  const holder = await signerFromSeed(sequence(32, 0x70 + seat));
  const fields = { examId, seat: `seat ${seat}`, ticketKey: holder.publicKey, accommodations: '{"extra_minutes":30}' };
  return attestWithTicket(await encodeTicket({ ...fields, expiresMs: NOW + 1e7 }, owner.signer), coreHash, holder);
}

/** The files of a complete recording, by path. `seats`: whose ticket opens each epoch; 0: nobody's. */
export async function makeCaseFile({ seats = [7, 7] } = {}): Promise<Files> {
  const files: Files = new Map();
  const policyBytes = await encodePolicy(policy, [owner.signer]);
  const { policyHash } = await parsePolicy(policyBytes);
  const widerBytes = await encodePolicy(
    {
      ...{ ...policy, seq: 1, prev_policy_hash: toBase64Url(policyHash) },
      recipients: [...policy.recipients, await recipient(later, 'Later')],
    },
    [owner.signer],
  );
  const wider = await parsePolicy(widerBytes);
  files.set('policy.bin', policyBytes).set('policies/1.bin', widerBytes);
  let prevHead: Bytes = new Uint8Array(32);
  const entries: Bytes[] = [];
  for (const epoch of MEDIA.keys()) {
    const made = await makeEpoch(epoch, prevHead, policyHash, wider, seats[epoch]!, files);
    prevHead = made.newest;
    const open_hash = toBase64Url(made.openDigest);
    entries.push(utf8(JSON.stringify(epoch === 0 ? opened(open_hash, policyHash) : reopened(epoch, open_hash))));
  }
  await prove(entries, files);
  const summary = {
    ...{ v: 1, recording_id: sessionId, exam_id: examId, opened_ms: NOW, delete_by_ms: NOW + 30 * 86_400_000 },
    ...{ exported_ms: NOW, verdict: 'COMPLETE', reasons: [], epochs: [] },
  };
  return files.set('recording.json', utf8(JSON.stringify(summary)));
}

function opened(open_hash: string, policyHash: Bytes): object {
  return {
    ...{ v: 1, type: 'recording.opened', at: NOW, recording: sessionId, exam: examId, epoch: 0, open_hash },
    ...{ policy_hash: toBase64Url(policyHash), opened: NOW, delete_by: NOW + 30 * 86_400_000 },
    notice_hash: toBase64Url(sequence(32, 9)),
  };
}

function reopened(epoch: number, open_hash: string): object {
  return { v: 1, type: 'recording.reopened', at: NOW + epoch, recording: sessionId, epoch, open_hash };
}

/** A log of three entries, so that paths have one and two hashes: an entry of somebody else, then the two of the recording. */
async function prove([first, second]: Bytes[], files: Files): Promise<void> {
  const leaves = [leafHash(utf8('{"v":1}')), leafHash(first!), leafHash(second!)] as const;
  const pair = nodeHash(leaves[0], leaves[1]);
  const root = nodeHash(pair, leaves[2]);
  const sign = async (message: Bytes) => new Uint8Array(nacl.sign.detached(message, logKey.secretKey));
  const checkpoint = await signCheckpoint({ origin, size: 3, root }, new Uint8Array(logKey.publicKey), sign);
  files.set('log/checkpoint', utf8(checkpoint));
  files.set('log/proofs/1.json', first!).set('log/proofs/2.json', second!);
  files.set('log/proofs/1.tlog-proof', utf8(encodeProof({ index: 1, hashes: [leaves[0], leaves[2]], checkpoint })));
  files.set('log/proofs/2.tlog-proof', utf8(encodeProof({ index: 2, hashes: [pair], checkpoint })));
}

export function writeCaseFile(folder: string, files: Files): void {
  for (const [path, bytes] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
}

/** All media of one track and epoch, as the recorder had them. */
export function mediaOf(epoch: number, track: number): Bytes {
  return concat(...MEDIA[epoch]![track]!);
}
