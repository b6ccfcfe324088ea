/** A revoked key gets nothing more, whoever asks, and nobody but its identity can revoke it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromBase64Url, toBase64Url, type Bytes } from '../../../crypto/format/bytes.ts';
import type { Signer } from '../../../crypto/format/ed25519.ts';
import { encodeKeyDocument, KEY_ADD, KEY_REVOKE, type KeyOperation } from '../../../crypto/format/keydoc.ts';
import { parseOpen } from '../../../crypto/format/open.ts';
import { ownerHash } from '../../../crypto/format/policy.ts';
import { makeGrant } from '../../../crypto/seal/grant.ts';
import { generateIdentity } from '../../../crypto/seal/identity.ts';
import { Api } from '../../../src/client/api.ts';
import { fetchPinnedPolicy } from '../../../src/client/pinning.ts';
import { makeReader, media, nextPolicy, type TestExam, type TestReader, type TestRecorder } from '../recorder.ts';
import { expectRefusal } from '../refusal.ts';
import { DAY_MS, expectStatus, Stage } from '../stage.ts';

let stage: Stage;
let exam: TestExam;
let wider: TestExam;
let recorder: TestRecorder;
let standing: TestReader;
let revoked: TestReader;
let added: Bytes;

const post = (path: string, body: unknown) => stage.call('POST', path, { token: stage.admin, body });
const enrol = (document: Uint8Array) => post('/v1/keys', { document: toBase64Url(document) });
const publish = (record: Uint8Array) => post('/v1/exams', { policy: toBase64Url(record) });
const release = ({ keyIdB64 }: TestReader, session = recorder.sessionId) =>
  post(`/v1/recordings/${session}/release`, { key_id: keyIdB64, purpose: 'review' });
const pinned = async () => {
  const api = new Api({ url: stage.server.url });
  const pins = { examId: exam.policy.exam_id, ownerHash: await ownerHash(exam.owner.publicKey), minSeq: 0 };
  return fetchPinnedPolicy(api, { url: stage.server.url, ...pins }, undefined);
};

async function documentAbout(
  { key, identity }: TestReader,
  operation: KeyOperation,
  by: { publicKey: Bytes; signer: Signer } = identity,
): Promise<Bytes> {
  const now = stage.clock.now();
  const fields = { identity: by.publicKey, suite: key.suite, publicKey: key.publicKey, operation };
  const times = { createdMs: now, expiresMs: now + DAY_MS, prevKeyId: new Uint8Array(16) };
  return encodeKeyDocument({ ...fields, ...times }, by.signer);
}

beforeAll(async () => {
  stage = await Stage.start();
  exam = await stage.exam();
  [standing, revoked] = exam.readers as [TestReader, TestReader];
  recorder = await stage.recorder(exam);
  await stage.upload(recorder, await recorder.chunk(1, media(200)));
  const newcomer = await makeReader(2, 'newcomer');
  wider = await nextPolicy(exam, { recipients: [...exam.policy.recipients, newcomer.recipient] });
  wider.readers.push(newcomer);
  added = await documentAbout(revoked, KEY_ADD);
  expectStatus(await enrol(added), 201);
});
afterAll(() => stage.stop());

test('a stranger who revokes somebody else’s key changes nothing', async () => {
  expectStatus(await enrol(await documentAbout(revoked, KEY_REVOKE, await generateIdentity())), 201);
  expectStatus(await release(revoked), 200);
  expect((await pinned()).revoked).toEqual([]);
});

describe('after its identity revoked it', () => {
  beforeAll(async () => {
    expectStatus(await enrol(await documentAbout(revoked, KEY_REVOKE)), 201);
  });

  test('a key is released nothing, and the log shows no release; another key of the policy is', async () => {
    const { log } = await stage.holdings();
    expectRefusal(await release(revoked), 403, 'key-revoked');
    expect((await stage.holdings()).log).toBe(log);
    expectStatus(await release(standing), 200);
  });

  test('nothing that was said of it before brings it back', async () => {
    expectRefusal(await enrol(added), 403, 'key-revoked');
    expectRefusal(await enrol(await documentAbout(revoked, KEY_ADD)), 403, 'key-revoked');
    expectRefusal(await release(revoked), 403, 'key-revoked');
  });

  test('who records is told by the reader’s own signature, and may still record', async () => {
    expect((await pinned()).revoked.map(({ key_id }) => key_id)).toEqual([revoked.keyIdB64]);
    const late = await stage.recorder(exam);
    expectRefusal(await release(revoked, late.sessionId), 403, 'key-revoked');
    expectStatus(await release(standing, late.sessionId), 200);
  });

  test('no further policy may name it; one without it may follow', async () => {
    expectRefusal(await publish(wider.record), 403, 'key-revoked');
    const narrower = await nextPolicy(exam, { recipients: [standing.recipient, wider.readers.at(-1)!.recipient] });
    expectStatus(await publish(narrower.record), 201);
    expect((await pinned()).revoked).toEqual([]);
  });

  test('no grant may lead to it', async () => {
    const { cek, shred } = recorder.secrets;
    const granted = await makeGrant(
      {
        ...{
          open: parseOpen(fromBase64Url(recorder.openBody.open)),
          secrets: { cek, shred },
          policy: exam,
          toKeyId: revoked.key.keyId,
        },
        ...{ grantedMs: stage.clock.now(), expiresMs: stage.clock.now() + DAY_MS },
      },
      standing.identity.signer,
    );
    const body = { grant: toBase64Url(granted.grant), wrap: toBase64Url(granted.wrap) };
    expectRefusal(await post(`/v1/recordings/${recorder.sessionId}/grants`, body), 403, 'key-revoked');
  });
});
