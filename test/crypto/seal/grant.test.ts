import { expect, test } from 'vitest';
import { equal } from '../../../crypto/format/bytes.ts';
import { parseChunkHead } from '../../../crypto/format/chunk.ts';
import { parseGrant, verifyGrant } from '../../../crypto/format/grant.ts';
import { encodeEncryptionKey, encodeIdentity } from '../../../crypto/format/ids.ts';
import { openHash } from '../../../crypto/format/open.ts';
import { encodePolicy, parsePolicy, policyRecipient, type Policy } from '../../../crypto/format/policy.ts';
import { openWholeChunk } from '../../../crypto/seal/chunk.ts';
import { makeGrant, type GrantRequest } from '../../../crypto/seal/grant.ts';
import { generateDecryptionKey, generateIdentity } from '../../../crypto/seal/identity.ts';
import { hkdfBase, openEpochKeys } from '../../../crypto/seal/schedule.ts';
import { openWrap } from '../../../crypto/seal/wrap.ts';
import { chunk0Plaintext, knownChunks, knownRecording } from '../knownanswers.ts';

const NOW = 1_790_000_000_000;
const known = await knownRecording();
const { chunk0 } = await knownChunks(known, await openHash(known.open));
const owner = await generateIdentity();
const colleague = await generateIdentity();
const colleagueKey = await generateDecryptionKey(2);

const recipient = (key: { suite: 1 | 2; publicKey: typeof owner.publicKey }, identity: typeof owner, label: string) =>
  policyRecipient({
    ...{ role: 1, pk: encodeEncryptionKey(key.suite, key.publicKey), label },
    identity: encodeIdentity(identity.publicKey),
  });

const policy: Policy = {
  ...{ v: 1, exam_id: known.open.examId, title: 'Algebra', seq: 0, prev_policy_hash: null },
  ...{ owner: encodeIdentity(owner.publicKey), not_before: NOW, not_after: NOW + 1, admission: 'link', min_suite: 1 },
  tracks: [{ id: 1, kind: 1, required: true }],
  recipients: [await recipient(known.box, owner, 'Owner'), await recipient(colleagueKey, colleague, 'Colleague')],
  ...{ retention_days: 30, practice: false, capture: {}, notice: { text: 'x', contact: 'y' } },
  log: { origin: 'log.example.org', vkey: 'x' },
};
const parsed = await parsePolicy(await encodePolicy(policy, [owner.signer]));

const request: GrantRequest = {
  ...{ open: known.open, secrets: { cek: known.cek, shred: known.shred }, policy: parsed },
  ...{ toKeyId: colleagueKey.keyId, grantedMs: NOW, expiresMs: NOW + 1000 },
};
const expectation = {
  ...{
    examId: known.open.examId,
    sessionId: known.open.sessionId,
    epoch: 0,
    coreHash: known.coreHash,
    minSuite: 1,
    policy: parsed,
    nowMs: NOW,
  },
};

test('a colleague who was granted the epoch opens what the owner opens', async () => {
  const { grant, wrap } = await makeGrant(request, owner.signer);
  await verifyGrant(parseGrant(grant), wrap, expectation);
  const cek = await openWrap(wrap, colleagueKey, {
    coreHash: known.coreHash,
    minSuite: 1,
    role: 1,
    scope: 1,
    track: 0,
  });
  const keys = await openEpochKeys({ cek, shred: known.shred }, known.open);
  const media = await openWholeChunk(await keys.trackKey(1), chunk0.object, known.recorder.publicKey);
  expect(equal(media, chunk0Plaintext)).toBe(true);
});

test('a colleague who was granted one track opens that track, and no other', async () => {
  const { grant, wrap } = await makeGrant({ ...request, track: 1 }, owner.signer);
  await verifyGrant(parseGrant(grant), wrap, expectation);
  const place = { coreHash: known.coreHash, minSuite: 1, scope: 2, track: 1 } as const;
  const trackKey = await hkdfBase(await openWrap(wrap, colleagueKey, place));
  const media = await openWholeChunk(trackKey, chunk0.object, known.recorder.publicKey);
  expect(equal(media, chunk0Plaintext)).toBe(true);
  const other = await hkdfBase(await known.keys.rawTrackKey(2));
  await expect(openWholeChunk(other, chunk0.object, known.recorder.publicKey)).rejects.toMatchObject({
    code: 'commitment',
  });
  expect(parseChunkHead(chunk0.object).header.track).toBe(1);
});

test.each<[string, Partial<GrantRequest>, string]>([
  [
    'a content key that is not the one of the open record',
    { secrets: { cek: known.shred, shred: known.shred } },
    'commitment',
  ],
  [
    'a shred share that is not the one of the open record',
    { secrets: { cek: known.cek, shred: known.cek } },
    'commitment',
  ],
  ['a reader whom the policy does not name', { toKeyId: new Uint8Array(16) }, 'grant'],
  [
    'a suite below the floor of the open record',
    { open: { ...known.open, minSuite: 2 }, toKeyId: known.box.keyId },
    'suite',
  ],
])('nothing is granted for %s', async (_, change, code) => {
  await expect(makeGrant({ ...request, ...change }, owner.signer)).rejects.toMatchObject({ code });
});
