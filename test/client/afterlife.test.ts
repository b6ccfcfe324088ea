/** What comes after a recording: a colleague is let in, the student asks what became of it, it is destroyed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { encodeEncryptionKey, encodeIdentity } from '../../crypto/format/ids.ts';
import { parsePolicy, type ParsedPolicy } from '../../crypto/format/policy.ts';
import { makeGrant } from '../../crypto/seal/grant.ts';
import { generateDecryptionKey, generateIdentity, type DecryptionKey } from '../../crypto/seal/identity.ts';
import { signExam } from '../../src/client/exam.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { checkKeptReceipt, compareReceipt, certificateFromProofs } from '../../src/client/proof.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { Recorder } from '../../src/client/recorder.ts';
import { ApiSource } from '../../src/client/source.ts';
import { verifyCertificate } from '../../crypto/log/certificate.ts';
import { isKnown, knownStream, TRACKS } from './known-media.ts';
import { movableClock, TestService, type MovableClock, type TestExam } from './service.ts';

const DAY_MS = 86_400_000;

let clock: MovableClock;
let service: TestService;
let exam: TestExam;
let recordingId: string;
let receipt: Bytes;

beforeAll(async () => {
  clock = movableClock(Date.now());
  service = await TestService.start(clock);
  exam = await service.exam();
  const directory = await mkdtemp(join(tmpdir(), 'zeroreel-afterlife-'));
  const outbox = await openFolderOutbox({ directory });
  const recorder = await Recorder.open({ api: service.api(), link: await exam.link('seat'), outbox, tracks: TRACKS });
  for (const { track } of TRACKS) await recorder.track(track).write(knownStream(0, track, 0, 100_000));
  receipt = await recorder.close();
  ({ recordingId } = recorder);
  await outbox.close();
  await rm(directory, { recursive: true });
  await service.server.jobs.publish();
});
afterAll(() => service.stop());

function open(key: DecryptionKey): Promise<RecordingReader> {
  const source = new ApiSource({
    api: service.staff(),
    recordingId,
    keyIdB64: toBase64Url(key.keyId),
    purpose: 'review',
  });
  return RecordingReader.open({ source, pins: exam.pins, key, nowMs: clock.now() });
}

async function isReadable(reader: RecordingReader, track: number): Promise<boolean> {
  let at = 0;
  for await (const { bytes } of reader.readTrack(0, track)) {
    if (!isKnown(bytes, 0, track, at)) return false;
    at += bytes.length;
  }
  return at === 100_000;
}

/** A colleague whom the owner adds in the exam's next policy. */
async function addColleague(previous: ParsedPolicy): Promise<{ key: DecryptionKey; policy: ParsedPolicy }> {
  const identity = await generateIdentity();
  const key = await generateDecryptionKey(2);
  const { policy } = previous;
  const signed = await signExam(
    {
      title: policy.title,
      recipients: [
        ...policy.recipients.map(({ pk, identity: id, label }) => ({
          role: 'instructor' as const,
          key: pk,
          identity: id,
          label,
        })),
        {
          role: 'instructor',
          key: encodeEncryptionKey(2, key.publicKey),
          identity: encodeIdentity(identity.publicKey),
          label: 'colleague',
        },
      ],
      tracks: [{ kind: 'webcam' }, { kind: 'screen' }, { kind: 'events' }],
      notBeforeMs: policy.not_before,
      notAfterMs: policy.not_after,
      log: policy.log,
    },
    exam.owner.signer,
    previous,
  );
  await service.staff().publishPolicy(signed.bytes);
  return { key, policy: await parsePolicy(signed.bytes) };
}

async function grant(colleague: { key: DecryptionKey; policy: ParsedPolicy }, track?: number): Promise<void> {
  const instructor = exam.instructors[0]!;
  const reader = await open(instructor.key);
  const made = await makeGrant(
    {
      open: reader.epochs[0]!.checked!.open,
      secrets: reader.secrets(0),
      policy: colleague.policy,
      toKeyId: colleague.key.keyId,
      ...(track !== undefined && { track }),
      grantedMs: clock.now(),
      expiresMs: clock.now() + DAY_MS,
    },
    instructor.identity.signer,
  );
  await service.staff().grant(recordingId, { grant: toBase64Url(made.grant), wrap: toBase64Url(made.wrap) });
}

describe('a colleague whom the owner added later', () => {
  let policy: ParsedPolicy;

  test('cannot read before an instructor grants it', async () => {
    const colleague = await addColleague(await parsePolicy(exam.signed.bytes));
    ({ policy } = colleague);
    await expect(open(colleague.key)).rejects.toMatchObject({ code: 'reader-unknown' });
    await grant(colleague);
    const reader = await open(colleague.key);
    for (const { track } of TRACKS) expect(await isReadable(reader, track)).toBe(true);
    expect((await reader.verify('plaintext')).verdict).toBe('COMPLETE');
  });

  test('reads the one track that was granted, and no other; the whole is verified all the same', async () => {
    const colleague = await addColleague(policy);
    await grant(colleague, 2);
    const reader = await open(colleague.key);
    expect(await isReadable(reader, 2)).toBe(true);
    await expect(isReadable(reader, 1)).rejects.toMatchObject({ code: 'no-key' });
    expect(() => reader.secrets(0)).toThrow(/does not open/);
    expect((await reader.verify('plaintext')).verdict).toBe('COMPLETE');
  });
});

describe('the student’s receipt', () => {
  test('is signed by the log’s key, and says what the log proves', async () => {
    const { vkey } = exam.signed.policy.log;
    const kept = await checkKeptReceipt(receipt, vkey);
    const { statement } = await certificateFromProofs(service.api(), recordingId, vkey);
    compareReceipt(kept, statement);
    expect(statement).toMatchObject({ recording: recordingId, deleteBy: kept.deleteByMs, deleted: null });
    expect(() => {
      compareReceipt({ ...kept, deleteByMs: kept.deleteByMs - 1 }, statement);
    }).toThrow(/later deletion/);
    expect(() => {
      compareReceipt({ ...kept, sessionId: exam.signed.pins.examId }, statement);
    }).toThrow(/another recording/);
  });

  test('with one bit changed is no receipt', async () => {
    const { vkey } = exam.signed.policy.log;
    for (const at of [5, 30, 70, 100]) {
      const changed = receipt.slice();
      changed[at]! ^= 1;
      await expect(checkKeptReceipt(changed, vkey)).rejects.toMatchObject({ name: 'ProtocolError' });
    }
  });
});

test('after its time nobody reads it, and the certificate proves that offline', async () => {
  const { vkey } = exam.signed.policy.log;
  const key = exam.instructors[0]!.key;
  expect(await isReadable(await open(key), 1)).toBe(true);
  clock.advance(31 * DAY_MS);
  await service.server.jobs.purge();
  await service.server.jobs.publish();
  await expect(open(key)).rejects.toMatchObject({ code: 'recording-deleted', status: 410 });

  const { certificate, statement } = await certificateFromProofs(service.api(), recordingId, vkey);
  expect(statement.deleted).toBe(clock.now());
  expect(statement.releases).toBeGreaterThan(0);
  expect((await verifyCertificate(certificate, vkey)).deleted).toBe(statement.deleted);
  await expect(
    verifyCertificate(certificate.replace('deletion.completed', 'deletion.intended'), vkey),
  ).rejects.toThrow();
});
