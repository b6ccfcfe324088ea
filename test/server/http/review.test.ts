import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fromBase64Url, toBase64Url, utf8, type Bytes } from '../../../crypto/format/bytes.ts';
import { encodeGrant, parseGrant, type GrantFields } from '../../../crypto/format/grant.ts';
import {
  encodeKeyDocument,
  KEY_ADD,
  KEY_REVOKE,
  KEY_ROTATE,
  type KeyDocumentFields,
} from '../../../crypto/format/keydoc.ts';
import { newId } from '../../../crypto/format/ids.ts';
import { openCoreHash, parseOpen } from '../../../crypto/format/open.ts';
import { encodePolicy, parsePolicy, signPolicyBody, type Policy } from '../../../crypto/format/policy.ts';
import { randomBytes } from '../../../crypto/format/random.ts';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import { makeGrant } from '../../../crypto/seal/grant.ts';
import { NOTE_REVIEW, sealNote } from '../../../crypto/seal/note.ts';
import { openEpochKeys } from '../../../crypto/seal/schedule.ts';
import { generateDecryptionKey, generateIdentity } from '../../../crypto/seal/identity.ts';
import { openWrap } from '../../../crypto/seal/wrap.ts';
import type { Release } from '../../../schema/api.ts';
import type { ErrorCode } from '../../../src/server/errors.ts';
import {
  makeExam,
  makeReader,
  media,
  nextPolicy,
  type TestExam,
  type TestReader,
  type TestRecorder,
} from '../recorder.ts';
import { expectRefusal } from '../refusal.ts';
import { read, release } from '../reader.ts';
import { DAY_MS, expectStatus, HOUR_MS, type Holdings, Stage } from '../stage.ts';

let stage: Stage;
let exam: TestExam;
let recorder: TestRecorder;
let before: Holdings;

beforeAll(async () => {
  stage = await Stage.start();
  exam = await stage.exam();
  recorder = await stage.recorder(exam);
  await stage.upload(recorder, await recorder.chunk(1, media(200)));
  expectStatus(await stage.sendHead(recorder, await recorder.close()), 200);
});
afterAll(() => stage.stop());
beforeEach(async () => {
  before = await stage.holdings();
});

const post = (path: string, body: unknown, token = stage.admin) => stage.call('POST', path, { token, body });
const postTo = (what: string, body: unknown) => post(`/v1/recordings/${recorder.sessionId}/${what}`, body);
const lastEntry = async () => {
  const { store } = stage.server.ports;
  return decodeEntry((await store.entries((await store.logSize()) - 1, 1))[0]!.bytes);
};

describe('a release', () => {
  test('is logged with key and purpose before the answer leaves, and may not be cached', async () => {
    const key_id = exam.readers[1]!.keyIdB64;
    const answer = await postTo('release', { key_id, purpose: 'export' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(await lastEntry()).toMatchObject({ type: 'access.released', key_id, purpose: 'export', role: 1 });
    expect((await stage.holdings()).log).toBe(before.log + 1);
  });

  test('is refused to a key that the recording is not sealed for', async () => {
    expectRefusal(await postTo('release', { key_id: 'A'.repeat(22), purpose: 'review' }), 403, 'reader-unknown');
    expect(await stage.holdings()).toEqual(before);
  });

  test('of an unknown recording is refused', async () => {
    const body = { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' };
    expectRefusal(await post(`/v1/recordings/${'A'.repeat(22)}/release`, body), 404, 'recording-unknown');
    expect(await stage.holdings()).toEqual(before);
  });

  test('counts: students see how often their recording was opened', async () => {
    const path = `/v1/receipts/${recorder.sessionId}`;
    const releases = async () => (await stage.call('GET', path)).body as { releases: number };
    const { releases: earlier } = await releases();
    await release(stage, recorder.sessionId, exam.readers[0]!);
    expect((await releases()).releases).toBe(earlier + 1);
  });
});

describe('an export', () => {
  test('is declared by a reader of the recording', async () => {
    const key_id = exam.readers[0]!.keyIdB64;
    expectStatus(await postTo('exports', { key_id, kind: 'sealed' }), 201);
    expect(await lastEntry()).toMatchObject({ type: 'export.declared', key_id, kind: 'sealed' });
  });

  test('cannot be declared by another key', async () => {
    expectRefusal(await postTo('exports', { key_id: 'A'.repeat(22), kind: 'sealed' }), 403, 'reader-unknown');
    expect(await stage.holdings()).toEqual(before);
  });
});

describe('a grant', () => {
  let colleague: TestReader;
  let wider: TestExam;
  let good: { grant: Bytes; wrap: Bytes };

  const secrets = () => ({ cek: recorder.secrets.cek, shred: recorder.secrets.shred });
  const grant = async (of: { grant: Uint8Array; wrap: Uint8Array }) =>
    postTo('grants', { grant: toBase64Url(of.grant), wrap: toBase64Url(of.wrap) });
  /** The good grant with other fields, signed again. */
  const changed = async (fields: Partial<GrantFields>, signer = exam.readers[0]!.identity.signer) => ({
    ...good,
    grant: await encodeGrant({ ...parseGrant(good.grant), ...fields }, signer),
  });

  beforeAll(async () => {
    colleague = await makeReader(2, 'a colleague');
    wider = await nextPolicy(exam, { recipients: [...exam.policy.recipients, colleague.recipient] });
    await stage.publish(wider);
    good = await makeGrant(
      {
        open: parseOpen(fromBase64Url(recorder.openBody.open)),
        secrets: secrets(),
        policy: wider,
        toKeyId: colleague.key.keyId,
        grantedMs: stage.clock.now(),
        expiresMs: stage.clock.now() + DAY_MS,
      },
      exam.readers[0]!.identity.signer,
    );
  });

  const cases: { what: string; status: number; code: ErrorCode; make: () => Promise<{ grant: Bytes; wrap: Bytes }> }[] =
    [
      {
        what: 'that an outsider signed',
        status: 422,
        code: 'grant-refused',
        make: async () => {
          const { signer, publicKey } = await generateIdentity();
          return changed({ fromIdentity: publicKey }, signer);
        },
      },
      {
        what: 'in somebody else’s name',
        status: 422,
        code: 'record-refused',
        make: async () => changed({}, (await generateIdentity()).signer),
      },
      {
        what: 'under a policy that does not name the reader',
        status: 422,
        code: 'grant-refused',
        make: () => changed({ policyHash: exam.policyHash }),
      },
      {
        what: 'under a policy that is not here',
        status: 422,
        code: 'grant-refused',
        make: () => changed({ policyHash: randomBytes(32) }),
      },
      { what: 'for an epoch that is not here', status: 422, code: 'grant-refused', make: () => changed({ epoch: 1 }) },
      {
        what: 'for another recording',
        status: 422,
        code: 'record-refused',
        make: () => changed({ sessionId: toBase64Url(randomBytes(16)) }),
      },
      {
        what: 'that has expired',
        status: 422,
        code: 'grant-refused',
        make: () => changed({ expiresMs: stage.clock.now() }),
      },
      {
        what: 'of another scope than its wrap',
        status: 422,
        code: 'grant-refused',
        make: () => changed({ scope: 2, track: 1 }),
      },
      {
        what: 'with another wrap',
        status: 422,
        code: 'grant-refused',
        make: async () => ({ ...good, wrap: Uint8Array.from(good.wrap, (byte, at) => (at === 200 ? byte ^ 1 : byte)) }),
      },
      {
        what: 'to another key than its wrap’s',
        status: 422,
        code: 'grant-refused',
        make: () => changed({ toKeyId: exam.readers[0]!.key.keyId, toIdentity: exam.readers[0]!.identity.publicKey }),
      },
    ];

  test.each(cases)('$what is refused', async ({ status, code, make }) => {
    expectRefusal(await grant(await make()), status, code);
    expect(await stage.holdings()).toEqual(before);
  });

  test('lets the colleague in until it expires; the same grant again changes nothing', async () => {
    expectStatus(await grant(good), 201);
    expect(await lastEntry()).toMatchObject({ type: 'grant.added', to_key_id: colleague.keyIdB64 });
    before = await stage.holdings();
    expectStatus(await grant(good), 200);
    expect(await stage.holdings()).toEqual(before);

    const released = await release(stage, recorder.sessionId, colleague);
    const [handed] = released.epochs[0]!.grants;
    const { core, minSuite } = parseOpen(fromBase64Url(released.epochs[0]!.open));
    const expected = { coreHash: await openCoreHash(core), minSuite };
    expect(await openWrap(fromBase64Url(handed!.wrap), colleague.key, expected)).toEqual(recorder.secrets.cek);
    expect(released.policies.map(({ policy_hash }) => policy_hash)).toContain(toBase64Url(wider.policyHash));

    stage.clock.advance(DAY_MS);
    const late = await postTo('release', { key_id: colleague.keyIdB64, purpose: 'review' });
    expectRefusal(late, 403, 'reader-unknown');
    const other = expectStatus<Release>(
      await postTo('release', { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' }),
      200,
    );
    expect(other.epochs[0]!.grants).toEqual([]);
    stage.clock.advance(-DAY_MS);
  });
});

describe('a note', () => {
  const notes = () => stage.call('GET', `/v1/recordings/${recorder.sessionId}/notes`, { token: stage.admin });
  const noteOf = async (sessionId: string, text: string) => {
    const { metadataKey } = await openEpochKeys(recorder.secrets, parseOpen(fromBase64Url(recorder.openBody.open)));
    return toBase64Url(await sealNote(metadataKey, { sessionId, epoch: 0, purpose: NOTE_REVIEW }, utf8(text)));
  };

  test('is kept as it was sealed, once, and only in its own recording', async () => {
    const note = await noteOf(recorder.sessionId, 'seen');
    expectStatus(await postTo('notes', { note }), 201);
    expectStatus(await postTo('notes', { note }), 200);
    expect(expectStatus<{ notes: { note: string }[] }>(await notes(), 200).notes.map((kept) => kept.note)).toEqual([
      note,
    ]);
    expectRefusal(await postTo('notes', { note: await noteOf(newId(), 'elsewhere') }), 422, 'note-refused');
    expectRefusal(await postTo('notes', { note: toBase64Url(utf8('in the clear')) }), 422, 'note-refused');
  });

  test('is destroyed with its recording', async () => {
    const mortal = await stage.recorder(await stage.exam());
    const { store } = stage.server.ports;
    await store.addNote({ recordingId: mortal.sessionId, noteHash: 'x', createdMs: 1, note: randomBytes(300) }, 9);
    expectStatus(await post(`/v1/recordings/${mortal.sessionId}/erasure`, { reason: 'student' }), 202);
    expect(await store.recording(mortal.sessionId)).toMatchObject({ state: 'deleted' });
    expect(await store.notes(mortal.sessionId)).toEqual([]);
    const path = `/v1/recordings/${mortal.sessionId}/notes`;
    expectRefusal(await stage.call('GET', path, { token: stage.admin }), 410, 'recording-deleted');
  });
});

describe('a policy', () => {
  const publish = (record: Uint8Array) => post('/v1/exams', { policy: toBase64Url(record) });

  test('again is answered as before, and nothing is written', async () => {
    const own = await stage.exam();
    before = await stage.holdings();
    expectStatus(await publish(own.record), 200);
    expect(await stage.holdings()).toEqual(before);
  });

  const changes: [what: string, change: (own: TestExam) => Promise<Uint8Array>, status: number, code: ErrorCode][] = [
    [
      'that begins the exam once more',
      ({ policy, owner }) => encodePolicy({ ...policy, title: 'Other' }, [owner.signer]),
      409,
      'policy-conflict',
    ],
    ['that skips a number', async (own) => (await nextPolicy(own, { seq: 2 })).record, 409, 'policy-conflict'],
    [
      'with another predecessor',
      async (own) => (await nextPolicy(own, { prev_policy_hash: toBase64Url(randomBytes(32)) })).record,
      409,
      'policy-conflict',
    ],
    [
      'of another owner',
      async (own) => {
        const thief = await makeExam({ now: stage.clock.now(), log: own.policy.log });
        const { owner } = thief.policy;
        const next: Policy = { ...own.policy, owner, seq: 1, prev_policy_hash: toBase64Url(own.policyHash) };
        return encodePolicy(next, [thief.owner.signer]);
      },
      409,
      'policy-conflict',
    ],
    [
      'that pins another log',
      async (own) =>
        (await makeExam({ now: stage.clock.now(), log: { ...own.policy.log, origin: 'other.example/log' } })).record,
      422,
      'policy-refused',
    ],
    [
      'that its owner did not sign',
      async ({ policy }) => {
        const { signer } = await generateIdentity();
        return signPolicyBody(utf8(JSON.stringify(policy)), [signer]);
      },
      422,
      'policy-refused',
    ],
    [
      'with a longer retention than 30 days',
      ({ policy, owner }) => signPolicyBody(utf8(JSON.stringify({ ...policy, retention_days: 31 })), [owner.signer]),
      422,
      'policy-refused',
    ],
    [
      'without an instructor',
      ({ policy, owner }) => {
        const recipients = policy.recipients.map((recipient) => ({ ...recipient, role: 2 }));
        return signPolicyBody(utf8(JSON.stringify({ ...policy, recipients })), [owner.signer]);
      },
      422,
      'policy-refused',
    ],
    [
      'with one member twice',
      ({ policy, owner }) =>
        signPolicyBody(utf8(JSON.stringify(policy).replace('{', '{"title":"Other",')), [owner.signer]),
      422,
      'policy-refused',
    ],
    ['cut by one byte', async ({ record }) => record.slice(0, -1), 422, 'record-refused'],
    ['with a byte too many', async ({ record }) => Uint8Array.from([...record, 0]), 422, 'record-refused'],
  ];

  test.each(changes)('%s is refused', async (_, change, status, code) => {
    const own = await stage.exam();
    before = await stage.holdings();
    expectRefusal(await publish(await change(own)), status, code);
    expect(await stage.holdings()).toEqual(before);
  });

  test('is public, by hash too, and the bytes are those that were signed', async () => {
    const path = `/v1/exams/${exam.policy.exam_id}/policy`;
    const answer = await stage.call('GET', `${path}?hash=${toBase64Url(exam.policyHash)}`);
    const { policy } = expectStatus<{ policy: string }>(answer, 200);
    expect((await parsePolicy(fromBase64Url(policy))).policyHash).toEqual(exam.policyHash);
    expectRefusal(await stage.call('GET', `${path}?hash=${'A'.repeat(43)}`), 404, 'exam-unknown');
    expectRefusal(await stage.call('GET', `/v1/exams/${'A'.repeat(22)}/policy`), 404, 'exam-unknown');
  });
});

describe('a key document', () => {
  const fields = async (changes: Partial<KeyDocumentFields> = {}) => {
    const identity = await generateIdentity();
    const { suite, publicKey } = await generateDecryptionKey(2);
    const now = stage.clock.now();
    const document: KeyDocumentFields = {
      ...{ identity: identity.publicKey, suite, publicKey, createdMs: now, expiresMs: now + DAY_MS },
      ...{ prevKeyId: new Uint8Array(16), operation: KEY_ADD },
      ...changes,
    };
    return { document, signer: identity.signer };
  };
  const enrol = (document: Uint8Array) => post('/v1/keys', { document: toBase64Url(document) });

  test('is enrolled once, listed, and logged', async () => {
    const { document, signer } = await fields();
    const record = await encodeKeyDocument(document, signer);
    expectStatus(await enrol(record), 201);
    expect(await lastEntry()).toMatchObject({ type: 'key.enrolled', identity: toBase64Url(document.identity) });
    before = await stage.holdings();
    expectStatus(await enrol(record), 200);
    expect(await stage.holdings()).toEqual(before);
    const listed = await stage.call('GET', `/v1/keys/${toBase64Url(document.identity)}`, { token: stage.admin });
    expect(listed.body).toMatchObject({ keys: [{ op: KEY_ADD, document: toBase64Url(record) }] });
  });

  test('revokes, and the log says so', async () => {
    const { document, signer } = await fields();
    expectStatus(await enrol(await encodeKeyDocument(document, signer)), 201);
    expectStatus(await enrol(await encodeKeyDocument({ ...document, operation: KEY_REVOKE }, signer)), 201);
    expect(await lastEntry()).toMatchObject({ type: 'key.revoked' });
  });

  test('that is signed by somebody else is refused', async () => {
    const { document } = await fields();
    const { signer } = await generateIdentity();
    expectRefusal(await enrol(await encodeKeyDocument(document, signer)), 422, 'record-refused');
    expect(await stage.holdings()).toEqual(before);
  });

  test('that has expired is refused', async () => {
    const { document, signer } = await fields({ createdMs: 0, expiresMs: stage.clock.now() });
    expectRefusal(await enrol(await encodeKeyDocument(document, signer)), 422, 'key-refused');
    expect(await stage.holdings()).toEqual(before);
  });

  test('that rotates a key which was never enrolled is refused', async () => {
    const { document, signer } = await fields({ operation: KEY_ROTATE, prevKeyId: randomBytes(16) });
    expectRefusal(await enrol(await encodeKeyDocument(document, signer, signer)), 422, 'key-refused');
    expect(await stage.holdings()).toEqual(before);
  });
});

describe('tokens', () => {
  test('are listed by their beginnings; what is stored opens nothing', async () => {
    const token = await stage.token('compliance');
    const listed = await stage.call('GET', '/v1/tokens', { token: stage.admin });
    expect(JSON.stringify(listed.body)).not.toContain(token);
    expect(JSON.stringify(listed.body)).toContain(token.slice(0, 12));
    expect(JSON.stringify(await stage.server.ports.store.tokens())).not.toContain(token);
  });

  test('end when they are revoked, once', async () => {
    const token = await stage.token('instructor');
    expectStatus(await stage.call('GET', '/v1/exams', { token }), 200);
    const revoke = () => stage.call('DELETE', `/v1/tokens/${token.slice(0, 12)}`, { token: stage.admin });
    expectStatus(await revoke(), 200);
    expectRefusal(await stage.call('GET', '/v1/exams', { token }), 401, 'unauthenticated');
    expectRefusal(await revoke(), 404, 'not-found');
  });
});

describe('an erasure', () => {
  test('destroys now; asked again it says that it is done', async () => {
    const own = await stage.recorder(await stage.exam());
    await stage.upload(own, await own.chunk(1, media(77)));
    const path = `/v1/recordings/${own.sessionId}/erasure`;
    stage.clock.advance(HOUR_MS);
    const answer = expectStatus<{ delete_by_ms: number }>(await post(path, { reason: 'student' }), 202);
    expect(answer.delete_by_ms).toBe(stage.clock.now());
    const after = await stage.holdings();
    expect(Object.keys(after.objects).filter((key) => key.startsWith(own.sessionId))).toEqual([]);
    expect(after.shares.map(({ recordingId }) => recordingId)).not.toContain(own.sessionId);
    expectRefusal(await post(path, { reason: 'student' }), 410, 'recording-deleted');
    expect(await stage.holdings()).toEqual(after);
    // The others are untouched.
    expect((await read(stage, recorder.sessionId, exam.readers[0]!)).get('0/1')).toEqual([media(200)]);
  });
});

test('none of this was a failure of the server', () => {
  expect(stage.reported).toEqual([]);
});
