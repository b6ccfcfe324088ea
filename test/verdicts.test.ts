/** Each verdict of PROTOCOL.md section 9, brought about by a recorder, server, bucket or instructor that misbehaves. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fromUtf8, toBase64Url, utf8, type Bytes } from '../crypto/format/bytes.ts';
import { parseChunkHead } from '../crypto/format/chunk.ts';
import type { Signer } from '../crypto/format/ed25519.ts';
import { ProtocolError } from '../crypto/format/errors.ts';
import { encodeHead, parseHead } from '../crypto/format/head.ts';
import { encodeEncryptionKey, encodeIdentity } from '../crypto/format/ids.ts';
import { parsePolicy } from '../crypto/format/policy.ts';
import { signCheckpoint } from '../crypto/log/checkpoint.ts';
import { encodeProof } from '../crypto/log/proof.ts';
import { leafHash } from '../crypto/log/tree.ts';
import { sealChunk } from '../crypto/seal/chunk.ts';
import { generateDecryptionKey, generateIdentity } from '../crypto/seal/identity.ts';
import { openEpochKeys } from '../crypto/seal/schedule.ts';
import { CaseFileSource } from '../src/client/casefile.ts';
import type { ReaderPins } from '../src/client/epoch-check.ts';
import { signExam } from '../src/client/exam.ts';
import { RecordingReader } from '../src/client/reader.ts';
import type { ProvenEntry, ReleasedRecording, Source } from '../src/client/source.ts';
import { recordWithKnownKey } from './client/known-key.ts';
import { TestService, type TestExam } from './client/service.ts';

let service: TestService;
let exam: TestExam;
let honest: CaseFileSource;
let recorder: Signer;
let released: ReleasedRecording;
let entries: ProvenEntry[];

beforeAll(async () => {
  service = await TestService.start();
  exam = await service.exam({ capture: { chunk_bytes: 4096 } });
  const { folder, signer } = await recordWithKnownKey(service, exam);
  recorder = signer;
  honest = new CaseFileSource(folder);
  released = await honest.release();
  entries = await honest.entries();
}, 60_000);
afterAll(() => service.stop());

/** Verdict, or the code of the refusal, of a reader who is lied to in the given parts. */
async function outcome(lies: Partial<Source>, pins: ReaderPins = exam.pins): Promise<string> {
  const source: Source = {
    release: lies.release ?? (async () => released),
    entries: lies.entries ?? (async () => entries),
    object: lies.object ?? ((name, range) => honest.object(name, range)),
  };
  try {
    const { key } = exam.instructors[0]!;
    const reader = await RecordingReader.open({ source, pins, key, nowMs: Date.now() });
    return (await reader.verify('plaintext')).verdict;
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

/** What the server hands out, with its only epoch changed. */
const handingOut = (change: Partial<ReleasedRecording['epochs'][number]>): Partial<Source> => ({
  release: async () => ({ ...released, epochs: [{ ...released.epochs[0]!, ...change }] }),
});
const isEnding = ({ entry }: ProvenEntry): boolean => fromUtf8(entry).includes('recording.closed');
const headsOf = (): Bytes[] => released.epochs[0]!.heads;

/** The bucket answers with another object where `seq` is asked for; undefined: it has none. */
const answering = (seq: number, other: Bytes | undefined): Partial<Source> => ({
  object: async (name, range) => {
    if (name.seq !== seq) return honest.object(name, range);
    return range ? other?.subarray(range.from, range.to + 1) : other;
  },
});
const chunk = async (seq: number): Promise<Bytes> => (await honest.object({ epoch: 0, track: 1, seq }))!;

test('everybody honest: COMPLETE', async () => {
  expect(await outcome({})).toBe('COMPLETE');
});

test('a server that drops the tail: GAPS, because a signed head still counts it', async () => {
  expect(await outcome(handingOut({ tracks: [{ track: 1, end: 2 }] }))).toBe('GAPS');
  expect(await outcome(handingOut({ tracks: [] }))).toBe('GAPS');
});

test('a server that drops the close: INVALID against the log’s word, OPEN-ENDED where that is held back too', async () => {
  expect(await outcome(handingOut({ heads: [] }))).toBe('INVALID');
  const silent = async (): Promise<ProvenEntry[]> => entries.filter((entry) => !isEnding(entry));
  expect(await outcome({ ...handingOut({ heads: [] }), entries: silent })).toBe('OPEN-ENDED');
});

test('a server that says nothing of the log, or hands out an epoch twice: INVALID', async () => {
  expect(await outcome({ entries: async () => [] })).toBe('INVALID');
  const [epoch] = released.epochs;
  expect(await outcome({ release: async () => ({ ...released, epochs: [epoch!, { ...epoch!, epoch: 1 }] }) })).toBe(
    'INVALID',
  );
});

test('a bucket that lost a chunk in the middle: GAPS; that answers with its neighbour or one bit changed: INVALID', async () => {
  expect(await outcome(answering(1, undefined))).toBe('GAPS');
  expect(await outcome(answering(1, await chunk(2)))).toBe('INVALID');
  const altered = (await chunk(1)).slice();
  altered[altered.length - 1]! ^= 1;
  expect(await outcome(answering(1, altered))).toBe('INVALID');
});

test('an instructor who seals another chunk under the true content key: INVALID, only the recorder signs', async () => {
  const { key, identity } = exam.instructors[0]!;
  const reader = await RecordingReader.open({ source: honest, pins: exam.pins, key, nowMs: Date.now() });
  const { open } = reader.epochs[0]!.checked!;
  const trackKey = await (await openEpochKeys(reader.secrets(0), open)).trackKey(1);
  const { header } = parseChunkHead(await chunk(1));
  const seal = async (signer: Signer) =>
    (await sealChunk(trackKey, { ...header, salt: new Uint8Array(32) }, utf8('he was not at his desk'), signer)).object;
  expect(await outcome(answering(1, await seal(identity.signer)))).toBe('INVALID');
});

test('a recorder that signs two heads with one number: EQUIVOCATION', async () => {
  const newest = headsOf().at(-1)!;
  const head = parseHead(newest);
  const second = await encodeHead({ ...head, wallMs: head.wallMs + 1 }, recorder);
  expect(await outcome(handingOut({ heads: [second, newest] }))).toBe('EQUIVOCATION');
});

test('a log that proves two openings of one epoch: EQUIVOCATION', async () => {
  const opening = entries.find(({ entry }) => fromUtf8(entry).includes('"recording.opened"'))!;
  const { open_hash: openHash } = JSON.parse(fromUtf8(opening.entry)) as { open_hash: string };
  const entry = utf8(fromUtf8(opening.entry).replace(openHash, toBase64Url(new Uint8Array(32).fill(5))));
  const { signer } = service.server.ports;
  const { origin } = exam.signed.policy.log;
  const fork = { origin, size: 1, root: leafHash(entry) };
  const checkpoint = await signCheckpoint(fork, signer.publicKey, (message) => signer.sign(message));
  const second = { index: 0, entry, proof: encodeProof({ index: 0, hashes: [], checkpoint }) };
  expect(await outcome({ entries: async () => [...entries, second] })).toBe('EQUIVOCATION');
});

test('a server that hands out an old policy, one with a reader added, or one of its own making: refused', async () => {
  expect(await outcome({}, { ...exam.pins, minSeq: 1 })).toBe('policy');

  // "instructor 1" becomes "instructor 9" under the owner's signature.
  const { bytes, policy } = exam.signed;
  const altered = new Uint8Array(bytes);
  altered[Buffer.from(bytes).indexOf('instructor 1') + 'instructor '.length] = '9'.charCodeAt(0);
  expect(altered).not.toEqual(bytes);
  expect(await outcome({ release: async () => ({ ...released, policies: [altered] }) })).toBe('policy');

  const [operator, spy] = [await generateIdentity(), await generateIdentity()];
  const { publicKey } = await generateDecryptionKey(2);
  const recipient = { key: encodeEncryptionKey(2, publicKey), identity: encodeIdentity(spy.publicKey), label: 'spy' };
  const forged = await signExam(
    {
      title: policy.title,
      recipients: [{ role: 'instructor', ...recipient }],
      tracks: [{ kind: 'webcam' }],
      notBeforeMs: policy.not_before,
      notAfterMs: policy.not_after,
      log: policy.log,
    },
    operator.signer,
    await parsePolicy(bytes),
  );
  expect(forged.policy.exam_id).toBe(policy.exam_id);
  expect(await outcome({ release: async () => ({ ...released, policies: [forged.bytes] }) })).toBe('policy');
});
