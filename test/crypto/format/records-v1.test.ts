/** Every answer of `test/vectors/records-v1.json`, which was derived in Python, made and read by this code. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { equal, fromHex, toHex, utf8, type Bytes } from '../../../crypto/format/bytes.ts';
import { parseChunkHead } from '../../../crypto/format/chunk.ts';
import { encodeGrant, GRANT_LENGTH, parseGrant } from '../../../crypto/format/grant.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import {
  decodeEncryptionKey,
  decodeIdentity,
  encodeEncryptionKey,
  encodeIdentity,
  fingerprint,
  formatId,
  IDENTITY_SUITE,
} from '../../../crypto/format/ids.ts';
import { encodeKeyDocument, parseKeyDocument, verifyKeyDocument } from '../../../crypto/format/keydoc.ts';
import { ATTEST_TICKET, openHash, participantHash } from '../../../crypto/format/open.ts';
import { encodePolicy, noticeHash, ownerHash, parsePolicy } from '../../../crypto/format/policy.ts';
import { encodeReceipt, parseReceipt, RECEIPT_LENGTH, verifyReceipt } from '../../../crypto/format/receipt.ts';
import { attestWithTicket, encodeTicket, parseTicket, verifyTicketAttestation } from '../../../crypto/format/ticket.ts';
import { wrapHash } from '../../../crypto/format/wrap.ts';
import { openWholeChunk, paddedLength, sealChunk } from '../../../crypto/seal/chunk.ts';
import { signerFromSeed } from '../../../crypto/seal/identity.ts';
import { NOTE_REVIEW, openNote, sealNote } from '../../../crypto/seal/note.ts';
import { answerBytes, knownRecording, sequence } from '../knownanswers.ts';

const answers = JSON.parse(readFileSync(new URL('../../vectors/records-v1.json', import.meta.url), 'utf8')) as Record<
  string,
  string
> & { padded_lengths: Record<string, number> };

const checked = new Set<string>();
function take(name: string): string {
  const value = answers[name];
  if (value === undefined) throw new Error(`no answer called ${name}`);
  checked.add(name);
  return value;
}
const takeBytes = (name: string): Bytes => fromHex(take(name));

const known = await knownRecording();
const owner = await signerFromSeed(sequence(32, 0x33));
const reader = await signerFromSeed(sequence(32, 0x34));
const seat = await signerFromSeed(sequence(32, 0x70));
const log = await signerFromSeed(sequence(32, 0xf0));
const examId = formatId(sequence(16, 0x10));
const { sessionId } = known.open;

test('keys are written and read in bech32m, and shown as fingerprints', async () => {
  expect(encodeIdentity(owner.publicKey)).toBe(take('identity_text'));
  expect(decodeIdentity(take('identity_text'))).toEqual(owner.publicKey);
  expect(encodeEncryptionKey(1, known.box.publicKey)).toBe(take('box_key_text'));
  expect(decodeEncryptionKey(take('box_key_text'))).toEqual({ suite: 1, publicKey: known.box.publicKey });
  expect(await fingerprint(IDENTITY_SUITE, owner.publicKey)).toBe(take('owner_fingerprint'));
  expect(await fingerprint(1, known.box.publicKey)).toBe(take('box_fingerprint'));
  expect(toHex(await ownerHash(owner.publicKey))).toBe(take('owner_hash'));
});

test('a participant and a notice hash to the known answers', async () => {
  const participant = await participantHash(sequence(16, 0x77), 'https://lms.example.org', '0b7c-42');
  expect(toHex(participant)).toBe(take('participant'));
  const notice = { text: 'hello', contact: 'someone@example.org' };
  expect(toHex(await noticeHash({ notice }))).toBe(take('notice_hash'));
});

test('a ticket and its use are those of the vectors, and admit once verified', async () => {
  const fields = {
    examId,
    seat: 'A-17',
    ticketKey: seat.publicKey,
    accommodations: '{"extra_minutes":15}',
    expiresMs: 1_790_100_000_000,
  };
  const ticket = await encodeTicket(fields, owner);
  expect(toHex(ticket)).toBe(take('ticket'));
  expect(parseTicket(ticket)).toMatchObject(fields);
  const attestation = await attestWithTicket(ticket, known.coreHash, seat);
  expect(attestation.type).toBe(ATTEST_TICKET);
  expect(toHex(attestation.bytes)).toBe(take('ticket_attestation'));
  const expected = { examId, coreHash: known.coreHash, owner: owner.publicKey, nowMs: 1_790_000_000_000 };
  expect(await verifyTicketAttestation(attestation.bytes, expected)).toMatchObject(fields);
});

test('a receipt is that of the vectors, and verifies under the log key', async () => {
  const fields = {
    state: 2,
    sessionId,
    epoch: 0,
    headSeq: 0,
    headHash: answerBytes('head_hash'),
    serverMs: 1_790_000_007_000,
    deleteByMs: 1_792_592_000_000,
    openedPosition: 4097,
  } as const;
  const bytes = await encodeReceipt(fields, log);
  expect(bytes).toHaveLength(RECEIPT_LENGTH);
  expect(toHex(bytes)).toBe(take('receipt'));
  const receipt = parseReceipt(bytes);
  expect(receipt).toMatchObject(fields);
  await verifyReceipt(receipt, log.publicKey);
});

test('a note is that of the vectors, and opens in its place', async () => {
  const place = { sessionId, epoch: 0, purpose: NOTE_REVIEW } as const;
  const note = await sealNote(known.keys.metadataKey, place, utf8('look at 12:30'), sequence(32, 0xb1));
  expect(toHex(note)).toBe(take('note'));
  expect(await openNote(known.keys.metadataKey, note, place)).toEqual(utf8('look at 12:30'));
});

test('a grant is that of the vectors', async () => {
  const fields = {
    sessionId,
    epoch: 0,
    scope: 1,
    track: 0,
    fromIdentity: owner.publicKey,
    toIdentity: reader.publicKey,
    toKeyId: known.box.keyId,
    policyHash: known.open.policyHash,
    grantedMs: 1_790_000_008_000,
    expiresMs: 1_792_592_000_000,
    wrapHash: await wrapHash(known.wrap1),
  } as const;
  const grant = await encodeGrant(fields, owner);
  expect(grant).toHaveLength(GRANT_LENGTH);
  expect(toHex(grant)).toBe(take('grant'));
  expect(parseGrant(grant)).toMatchObject(fields);
});

test('key documents that add and rotate are those of the vectors, and verify', async () => {
  const common = {
    suite: 1,
    publicKey: known.box.publicKey,
    createdMs: 1_790_000_000_000,
    expiresMs: 1_821_536_000_000,
  } as const;
  const added = { ...common, identity: owner.publicKey, prevKeyId: new Uint8Array(16), operation: 1 } as const;
  const addedBytes = await encodeKeyDocument(added, owner);
  expect(toHex(addedBytes)).toBe(take('keydoc_add'));
  await verifyKeyDocument(parseKeyDocument(addedBytes));
  const rotated = { ...common, identity: reader.publicKey, prevKeyId: known.hybrid.keyId, operation: 2 } as const;
  const rotatedBytes = await encodeKeyDocument(rotated, reader, owner);
  expect(toHex(rotatedBytes)).toBe(take('keydoc_rotate'));
  await verifyKeyDocument(parseKeyDocument(rotatedBytes), owner.publicKey);
});

test('a policy is read, and written again to the same bytes', async () => {
  const bytes = takeBytes('policy');
  const parsed = await parsePolicy(bytes, {
    examId,
    ownerHash: takeBytes('owner_hash'),
    minSeq: 0,
    nowMs: 1_790_000_000_000,
  });
  expect(toHex(parsed.policyHash)).toBe(take('policy_hash'));
  expect(parsed.signers).toEqual([owner.publicKey]);
  expect(parsed.policy.title).toBe('Algebra — midterm');
  expect(await encodePolicy(parsed.policy, [owner])).toEqual(bytes);
});

test('a padded chunk is that of the vectors, and its media come back without the padding', async () => {
  checked.add('padded_lengths');
  for (const [length, padded] of Object.entries(answers.padded_lengths)) {
    expect(paddedLength(Number(length)), length).toBe(padded);
  }
  const media = utf8('{"t":0,"event":"focus"}\n');
  const trackKey = await known.keys.trackKey(2);
  const { object, entryHash } = await sealChunk(
    trackKey,
    {
      ...{ isFinal: true, isPadded: true, sessionId, epoch: 0, track: 2, seq: 0, startMs: 250, durationMs: 10_000 },
      ...{ gapMs: 0, wallMs: 1_790_000_005_000, prev: await openHash(known.open), salt: sequence(32, 0x61) },
    },
    media,
    known.recorder,
  );
  expect(toHex(entryHash)).toBe(take('padded_chunk_entry'));
  expect(toHex(await sha256(object))).toBe(take('padded_chunk_sha256'));
  expect(parseChunkHead(object).header).toMatchObject({ isPadded: true, plaintextLength: 4096 });
  expect(equal(await openWholeChunk(trackKey, object, known.recorder.publicKey), media)).toBe(true);
});

test('no answer went unchecked', () => {
  expect(Object.keys(answers).filter((name) => !checked.has(name))).toEqual([]);
});
