import { expect, test } from 'vitest';
import { equal, toHex, type Bytes } from '../../../crypto/format/bytes.ts';
import { parseChunkHead, TrackChain } from '../../../crypto/format/chunk.ts';
import { checkSuccessor, encodeHead, headHash, parseHead, verifyHead } from '../../../crypto/format/head.ts';
import { openHash, verifyOpen } from '../../../crypto/format/open.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { openChunk, openWholeChunk } from '../../../crypto/seal/chunk.ts';
import { identityFromSeed } from '../../../crypto/seal/identity.ts';
import { openKeyFile, sealKeyFile } from '../../../crypto/seal/keyfile.ts';
import { decodeArmor } from '../../../crypto/seal/armor.ts';
import { openEpochKeys } from '../../../crypto/seal/schedule.ts';
import { openWrap } from '../../../crypto/seal/wrap.ts';
import {
  answer,
  answerBytes,
  answerNames,
  chunk0Plaintext,
  knownChunks,
  knownRecording,
  sequence,
} from '../knownanswers.ts';

/** Those of the retention log are held by `test/crypto/log`. */
const LOG_ANSWERS = ['leafhash1', 'root3', 'checkpoint', 'log_vkey'];
const checked = new Set<string>(LOG_ANSWERS);

function expectAnswer(name: string, found: Uint8Array | number | string): void {
  checked.add(name);
  expect(found instanceof Uint8Array ? toHex(found) : found, name).toBe(answer(name));
}

const known = await knownRecording();
const openDigest = await openHash(known.open);
const chunks = await knownChunks(known, openDigest);

test('keys, commitment and identifiers are those of the vectors', async () => {
  expectAnswer('recorder_pk', known.recorder.publicKey);
  expectAnswer('policy_hash', known.open.policyHash);
  expectAnswer('kc', known.keys.kc);
  expectAnswer('tk1', await known.keys.rawTrackKey(1));
  expectAnswer('tk2', await known.keys.rawTrackKey(2));
  expectAnswer('key_id_s1', known.box.keyId);
  expectAnswer('key_id_s2', known.hybrid.keyId);
  // MK never leaves WebCrypto, so it is compared by what it derives.
  const derive = (base: CryptoKey) =>
    crypto.subtle.deriveBits(
      { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(1), info: new Uint8Array(1) },
      base,
      256,
    );
  const fromVector = await crypto.subtle.importKey('raw', answerBytes('mk'), 'HKDF', false, ['deriveBits']);
  expect(await derive(known.keys.metadataKey)).toEqual(await derive(fromVector));
  checked.add('mk');
});

test('wraps are byte for byte those of the vectors, and open with their keys to the committed content key', async () => {
  expectAnswer('open_core_len', known.core.length);
  expectAnswer('open_core_hash', known.coreHash);
  expectAnswer('wrap1', known.wrap1);
  expectAnswer('wrap1_len', known.wrap1.length);
  expectAnswer('wrap2', known.wrap2);
  expectAnswer('wrap2_len', known.wrap2.length);
  expectAnswer('wrap2_sha256', await sha256(known.wrap2));
  expectAnswer('wrap2_ct', known.wrap2.slice(-48));
  for (const [wrap, key] of [
    [answerBytes('wrap1'), known.box],
    [answerBytes('wrap2'), known.hybrid],
  ] as const) {
    const cek = await openWrap(wrap, key, { coreHash: known.coreHash, minSuite: known.open.minSuite });
    expect(cek).toEqual(known.cek);
    expect((await openEpochKeys({ cek, shred: known.shred }, known.open)).kc).toEqual(known.open.commitment);
  }
});

test('the open record is that of the vectors and verifies', async () => {
  expectAnswer('open_len', known.openBytes.length);
  expectAnswer('open_hash', await verifyOpen(known.open));
  expectAnswer('open_sig', known.open.signature);
});

test('chunks are those of the vectors, chain, and open whole and by segment', async () => {
  const { chunk0, chunk1, trackKey } = chunks;
  const head0 = parseChunkHead(chunk0.object, chunk0.object.length);
  expectAnswer('chunk0_header', head0.bound);
  expectAnswer('chunk0_kc', head0.commitment);
  expectAnswer('chunk0_len', chunk0.object.length);
  expectAnswer('chunk0_sha256', await sha256(chunk0.object));
  expectAnswer('chunk0_entry', chunk0.entryHash);
  expectAnswer('chunk0_pt_sha256', await sha256(chunk0Plaintext));
  expectAnswer('chunk1_len', chunk1.object.length);
  expectAnswer('chunk1_sha256', await sha256(chunk1.object));
  expectAnswer('chunk1_entry', chunk1.entryHash);

  const chain = new TrackChain(known.open, openDigest, 1);
  expect(await chain.accept(head0)).toEqual(chunk0.entryHash);
  expect(await chain.accept(parseChunkHead(chunk1.object))).toEqual(chunk1.entryHash);
  expect(chain.count).toBe(2);
  expect(chain.isFinal).toBe(true);
  expect(equal(await openWholeChunk(trackKey, chunk0.object, known.recorder.publicKey), chunk0Plaintext)).toBe(true);
  expect(await openWholeChunk(trackKey, chunk1.object, known.recorder.publicKey)).toHaveLength(0);
  const second = chunk0.object.subarray(head0.headLength + 65552);
  expect(equal(await openChunk(trackKey, head0, 1, second), chunk0Plaintext.subarray(65536))).toBe(true);
});

test('the chunk key and iv of the vectors decrypt the first segment', async () => {
  const head = parseChunkHead(chunks.chunk0.object);
  const aes = await crypto.subtle.importKey('raw', answerBytes('chunk0_key'), 'AES-GCM', false, ['decrypt']);
  const parameters = { name: 'AES-GCM', iv: answerBytes('chunk0_iv'), additionalData: new Uint8Array(5) };
  const segment = chunks.chunk0.object.slice(head.headLength, head.headLength + 65552);
  const clear = new Uint8Array(await crypto.subtle.decrypt(parameters, aes, segment));
  expect(equal(clear, chunk0Plaintext.subarray(0, 65536))).toBe(true);
  checked.add('chunk0_key').add('chunk0_iv');
});

test('the closing head is that of the vectors and follows the open record', async () => {
  const track = (id: number, state: 1 | 2, count: number, last: Bytes) => ({ track: id, state, count, last });
  const bytes = await encodeHead(
    {
      isClose: true,
      reason: 1,
      sessionId: known.open.sessionId,
      epoch: 0,
      headSeq: 0,
      prev: openDigest,
      wallMs: 1_790_000_006_000,
      monoMs: 6000,
      beaconSize: 4100,
      beaconRoot: sequence(32, 0x04),
      tracks: [track(1, 2, 2, chunks.chunk1.entryHash), track(2, 1, 0, openDigest)],
    },
    known.recorder,
  );
  const head = parseHead(bytes);
  expectAnswer('head_len', bytes.length);
  expectAnswer('head_hash', await headHash(head));
  expect(await verifyHead(head, known.recorder.publicKey)).toEqual(await headHash(head));
  await checkSuccessor({ sessionId: known.open.sessionId, epoch: 0, openHash: openDigest }, head);
});

test('the key file is that of the vectors, and opens to both keys', async () => {
  const armored = await sealKeyFile({
    decryptionKey: known.box,
    identity: await identityFromSeed(sequence(32, 0x33)),
    passphrase: 'correct horse battery staple',
    salt: sequence(32, 0x51),
  });
  expectAnswer('keyfile_argon2id', decodeArmor('ZEROREEL KEY FILE', armored));
  const opened = await openKeyFile(armored, 'correct horse battery staple');
  expect(opened.decryptionKey).toEqual(known.box);
  expect(opened.identity.seed).toEqual(sequence(32, 0x33));
  await expect(openKeyFile(armored, 'correct horse battery stable')).rejects.toMatchObject({ code: 'passphrase' });
});

test('AES-GCM alone opens one ciphertext under two keys: why every key here is committed to', async () => {
  const iv = new Uint8Array(12).fill(0x33);
  const openWith = async (byte: number) => {
    const key = await crypto.subtle.importKey('raw', new Uint8Array(32).fill(byte), 'AES-GCM', false, ['decrypt']);
    return crypto.subtle.decrypt({ name: 'AES-GCM', iv }, key, answerBytes('salamander_gcm_two_keys'));
  };
  expect(new Uint8Array(await openWith(0x11))).not.toEqual(new Uint8Array(await openWith(0x22)));
  checked.add('salamander_gcm_two_keys');
});

test('no known answer went unchecked', () => {
  expect(answerNames.filter((name) => !checked.has(name))).toEqual([]);
});
