/** What is revoked while it is being used is refused from the moment on at which the revocation was answered, however many calls are under way. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { toBase64Url } from '../../../crypto/format/bytes.ts';
import { encodeKeyDocument, KEY_ADD, KEY_REVOKE, type KeyDocumentFields } from '../../../crypto/format/keydoc.ts';
import { Api } from '../../../src/client/api.ts';
import { systemEnvironment } from '../../../src/client/environment.ts';
import { makeReader, type TestExam, type TestReader, type TestRecorder } from '../recorder.ts';
import { type Answer, type CallOptions, expectStatus, Stage } from '../stage.ts';

const AT_ONCE = 8;
let stage: Stage;
let reader: TestReader;
let exam: TestExam;
let recorder: TestRecorder;

beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.stop());
beforeEach(async () => {
  reader = await makeReader(1);
  exam = await stage.exam({ readers: [reader] });
  recorder = await stage.recorder(exam);
  expectStatus(
    await stage.call('POST', '/v1/keys', { token: stage.admin, body: { document: await document(KEY_ADD) } }),
    201,
  );
});

async function document(operation: typeof KEY_ADD | typeof KEY_REVOKE): Promise<string> {
  const { identity, key } = reader;
  const fields: KeyDocumentFields = {
    ...{ identity: identity.publicKey, suite: key.suite, publicKey: key.publicKey, operation },
    ...{ createdMs: 1, expiresMs: stage.clock.now() * 2, prevKeyId: new Uint8Array(16) },
  };
  return toBase64Url(await encodeKeyDocument(fields, identity.signer));
}

/**
 * Calls without a pause, eight at a time, before, while and after `revoke` runs. Every call that began after its answer must be refused so;
 * before that at least one was let in.
 */
async function race(
  use: () => Promise<Answer>,
  revoke: () => Promise<unknown>,
  refused: { status: number; code: string },
) {
  let isRevoked = false;
  const stop = { after: 5 };
  const late: Answer[] = [];
  const early: Answer[] = [];
  const caller = async () => {
    for (let left = stop.after; left > 0;) {
      const isLate = isRevoked;
      const answer = await use();
      (isLate ? late : early).push(answer);
      if (isLate) left--;
    }
  };
  const callers = Array.from({ length: AT_ONCE }, caller);
  while (early.length < AT_ONCE) await new Promise(setImmediate);
  await revoke();
  isRevoked = true;
  await Promise.all(callers);
  expect(early.filter(({ status }) => status === 200).length).toBeGreaterThan(0);
  for (const { status, body } of early)
    if (status !== 200) expect({ status, code: (body as { code: string }).code }).toEqual(refused);
  expect(late.length).toBe(AT_ONCE * stop.after);
  for (const { status, body } of late) expect({ status, code: (body as { code: string }).code }).toEqual(refused);
}

const GONE = { status: 401, code: 'unauthenticated' };
const newToken = async (role = 'instructor') => {
  const body = { role, label: 'raced', days: 1 };
  const answer = await stage.call('POST', '/v1/tokens', { token: stage.admin, body });
  return expectStatus<{ token: string; prefix: string }>(answer, 201);
};
const list = (options: CallOptions) => () => stage.call('GET', `/v1/exams/${exam.policy.exam_id}/recordings`, options);

describe('revoked in the middle of a race is refused from then on', () => {
  test('a token', async () => {
    const { token, prefix } = await newToken();
    await race(
      list({ token }),
      async () => expectStatus(await stage.call('DELETE', `/v1/tokens/${prefix}`, { token: stage.admin }), 200),
      GONE,
    );
  });

  test('a session that was signed out of, and one whose token was revoked', async () => {
    const signIn = async () => {
      const { token, prefix } = await newToken();
      const headers = { origin: stage.server.url, 'zeroreel-csrf': '1' };
      const opened = await stage.call('POST', '/v1/sessions', { headers, body: { token } });
      expectStatus(opened, 201);
      return { prefix, headers: { ...headers, cookie: opened.headers.get('set-cookie')!.split(';')[0]! } };
    };
    const first = await signIn();
    const signOut = async () =>
      expectStatus(await stage.call('DELETE', '/v1/sessions/current', { headers: first.headers }), 200);
    await race(list({ headers: first.headers }), signOut, GONE);
    const second = await signIn();
    const revoke = async () =>
      expectStatus(await stage.call('DELETE', `/v1/tokens/${second.prefix}`, { token: stage.admin }), 200);
    await race(list({ headers: second.headers }), revoke, GONE);
  });

  test('a reader’s key: nothing is released to it, and its identity’s session ends', async () => {
    let cookie = '';
    const fetchAndKeep = async (...request: Parameters<typeof fetch>) => {
      const answer = await fetch(...request);
      cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? cookie;
      return answer;
    };
    const environment = { ...systemEnvironment, fetch: fetchAndKeep };
    await new Api({ url: stage.server.url, environment }).signIn(reader.identity.signer);
    const headers = { cookie, 'zeroreel-csrf': '1', origin: stage.server.url };
    const body = { key_id: reader.keyIdB64, purpose: 'review' };
    const release = () =>
      stage.call('POST', `/v1/recordings/${recorder.sessionId}/release`, { token: stage.admin, body });
    const revocation = await document(KEY_REVOKE);
    const revoke = async () =>
      expectStatus(await stage.call('POST', '/v1/keys', { token: stage.admin, body: { document: revocation } }), 201);
    await race(release, revoke, { status: 403, code: 'key-revoked' });
    expectStatus(await list({ headers })(), 401);
    // What the log says agrees: no release is in it after the revocation.
    const { store } = stage.server.ports;
    const size = await store.logSize();
    const text = (await store.entries(0, size)).map(({ bytes }) => new TextDecoder().decode(bytes));
    const revoked = text.findLastIndex((line) => line.includes('"key.'));
    const released = text.findLastIndex((line) => line.includes('access.released'));
    expect(revoked).toBeGreaterThan(0);
    expect(released).toBeGreaterThan(0);
    expect(text.slice(revoked).filter((line) => line.includes('access.released')).length).toBeLessThanOrEqual(AT_ONCE);
  });
});

test('none of this was a failure of the server', () => {
  expect(stage.reported).toEqual([]);
});
