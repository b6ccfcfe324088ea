/** Launches by a learning platform, over real HTTP on both sides. The traps of Canvas have a test each. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateKeyPair } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { toBase64Url } from '../../../crypto/format/bytes.ts';
import { decodeIdentity } from '../../../crypto/format/ids.ts';
import { encodeKeyDocument, KEY_ADD } from '../../../crypto/format/keydoc.ts';
import { ownerHash } from '../../../crypto/format/policy.ts';
import type { Handoff } from '../../../src/server/http/handoff.ts';
import { CLAIM, type CourseLink, DEEP_LINKING, MEMBERSHIP, NAMES, PERSON, TestPlatform } from '../../lti/platform.ts';
import { Visitor } from '../../lti/visitor.ts';
import { BY_PLATFORMS, reached } from '../contract.ts';
import { makeReader, type TestExam, TestRecorder } from '../recorder.ts';
import { DAY_MS, expectStatus, HOUR_MS, MINUTE_MS, nodeOnly, Stage } from '../stage.ts';

const ofThisClock = nodeOnly('the test cannot move the world’s clock there');
const ofTheseFiles = nodeOnly('the database is in no file of the stage');

let stage: Stage;
let platform: TestPlatform;
let exam: TestExam;
/** The custom field that an exam's link carries. */
let custom: Record<string, string>;

const INSTRUCTOR = [`${PERSON}#Faculty`, `${MEMBERSHIP}#Instructor`];
const CANVAS = {
  canvas_account_id: '12',
  root_admin: 'false',
  adminable: '',
  concluded: '',
  masq: '$Canvas.masqueradingUser.id',
};

beforeAll(async () => {
  stage = await Stage.start();
  platform = await TestPlatform.start({ now: () => stage.clock.now() });
  await register(platform);
  exam = await launchedExam();
  custom = await customOf(exam);
});
afterAll(async () => {
  await platform.stop();
  await stage.stop();
});
afterEach(() => {
  vi.useRealTimers();
});

async function register(of: TestPlatform, deployments = [of.deploymentId], changes = {}): Promise<string> {
  const body = { ...of.registration, deployments, ...changes };
  const answer = await stage.call('POST', '/v1/lti/platforms', { token: stage.admin, body });
  return expectStatus<{ id: string }>(answer, 201).id;
}

async function launchedExam(of = platform, changes = {}): Promise<TestExam> {
  return stage.exam({ changes: { admission: 'launch', platform: await of.pinned(), ...changes } });
}

async function customOf({ policy }: TestExam): Promise<Record<string, string>> {
  const owner = toBase64Url(await ownerHash(decodeIdentity(policy.owner)));
  return { exam: `v1.${policy.exam_id}.${owner}.${policy.seq}`, ...CANVAS };
}

const link = (changes: Partial<CourseLink> = {}): CourseLink => ({
  targetLinkUri: `${stage.server.url}/lti/launch`,
  custom,
  ...changes,
});
const launch = (changes: Partial<CourseLink> = {}) => new Visitor(stage.server.url).launch(platform, link(changes));

async function expectRefused(handoff: Promise<Handoff>, reason: string): Promise<void> {
  expect(await handoff).toMatchObject({ to: 'refused', reason });
}
const claims = (changes: Record<string, unknown>) => ({
  bend: (before: Record<string, unknown>) => ({ ...before, ...changes }),
});
const seconds = () => Math.floor(stage.clock.now() / 1000);

describe('a message is believed', () => {
  test('when the platform signed it for this service, and a student gets to the exam', async () => {
    const handoff = await launch();
    expect(handoff).toMatchObject({ to: 'record', pins: { examId: exam.policy.exam_id, minSeq: 0 } });
  });

  test('with two audiences, if it says that it is for this one', async () => {
    const aud = [platform.clientId, 'another-tool'];
    expect((await launch(claims({ aud }))).to).toBe('record');
    await expectRefused(launch(claims({ aud, azp: undefined })), 'signature');
  });

  test.each<[what: string, reason: string, bent: () => Partial<CourseLink>]>([
    ['of another issuer', 'platform', () => claims({ iss: 'https://platform.example.com' })],
    ['for another client', 'platform', () => claims({ aud: 'another-tool', azp: 'another-tool' })],
    ['for another party', 'signature', () => claims({ azp: 'another-tool' })],
    ['that has expired', 'stale', () => claims({ exp: seconds() - 120 })],
    ['without an expiry', 'signature', () => claims({ exp: undefined })],
    ['that is six minutes old', 'stale', () => claims({ iat: seconds() - 6 * 60 })],
    ['from the future', 'stale', () => claims({ iat: seconds() + 120 })],
    ['without a subject', 'signature', () => claims({ sub: undefined })],
    ['with another nonce', 'state', () => claims({ nonce: 'fc5fdc6d-5dd6-47f4-b2c9-5d1216e9b771' })],
    ['of LTI 2.0', 'message', () => claims({ [`${CLAIM}version`]: '2.0' })],
    ['of another type', 'message', () => claims({ [`${CLAIM}message_type`]: 'LtiStartProctoring' })],
    ['of no deployment', 'message', () => claims({ [`${CLAIM}deployment_id`]: undefined })],
    ['of another deployment', 'platform', () => claims({ [`${CLAIM}deployment_id`]: 'another' })],
    [
      'that leads elsewhere',
      'state',
      () => claims({ [`${CLAIM}target_link_uri`]: 'https://tool.example.com/elsewhere' }),
    ],
    ['that leads nowhere', 'message', () => claims({ [`${CLAIM}target_link_uri`]: undefined })],
    ['without a resource link', 'message', () => claims({ [`${CLAIM}resource_link`]: undefined })],
  ])('and not one %s: %s', async (_, reason, bent) => {
    await expectRefused(launch(bent()), reason);
  });

  test('and not one that another key signed', async () => {
    const { privateKey } = await generateKeyPair('RS256');
    await expectRefused(launch({ signer: privateKey }), 'signature');
  });

  test('and not one without a signature', async () => {
    const visitor = new Visitor(stage.server.url);
    const form = await visitor.authenticate(await visitor.login(platform, platform.place(link())));
    const [, payload] = form.get('id_token')!.split('.');
    form.set('id_token', `${toBase64Url(Buffer.from('{"alg":"none"}'))}.${payload!}.`);
    expect(await visitor.post(form)).toMatchObject({ status: 403, handoff: { to: 'refused', reason: 'signature' } });
  });

  test('once', async () => {
    const visitor = new Visitor(stage.server.url);
    const form = await visitor.authenticate(await visitor.login(platform, platform.place(link())));
    expect((await visitor.post(form)).handoff.to).toBe('record');
    expect(await visitor.post(form)).toMatchObject({ status: 403, handoff: { to: 'refused', reason: 'state' } });
  });

  test('only with the state of its own login, and within ten minutes of it', async () => {
    const [one, other] = [new Visitor(stage.server.url), new Visitor(stage.server.url)];
    const id = platform.place(link());
    const [mine, theirs] = [await one.login(platform, id), await other.login(platform, id)];
    const mixed = await one.authenticate(mine);
    mixed.set('state', (await other.authenticate(theirs)).get('state')!);
    expect((await one.post(mixed)).handoff).toMatchObject({ to: 'refused', reason: 'state' });

    const late = new Visitor(stage.server.url);
    const answer = await late.login(platform, id);
    stage.clock.advance(11 * MINUTE_MS);
    const form = await late.authenticate(answer);
    expect((await late.post(form)).handoff).toMatchObject({ to: 'refused', reason: 'state' });
  });

  test('and an error of the platform is told as one', async () => {
    const visitor = new Visitor(stage.server.url);
    const form = new URLSearchParams({ error: 'login_required', state: 'x' });
    expect(await visitor.post(form)).toMatchObject({ status: 403, handoff: { to: 'refused', reason: 'error' } });
  });

  test.skipIf(ofThisClock.isSkipped)(
    `after the platform has changed its key, without anybody’s doing; and its keys are kept meanwhile${ofThisClock.why}`,
    async () => {
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
      const changing = await TestPlatform.start({ now: () => stage.clock.now(), clientId: 'changing' });
      await register(changing);
      const its = await customOf(await launchedExam(changing));
      const go = () => new Visitor(stage.server.url).launch(changing, link({ custom: its }));
      expect((await go()).to).toBe('record');
      expect((await go()).to).toBe('record');
      expect(changing.keyRequests).toBe(1);
      await changing.rotate();
      // A flood of unknown keys must not become a flood of questions: half a minute between two.
      vi.setSystemTime(Date.now() + 31_000);
      expect((await go()).to).toBe('record');
      expect(changing.keyRequests).toBe(2);
      await changing.stop();
    },
  );

  test('and a platform that does not answer lets nobody in', async () => {
    const silent = await TestPlatform.start({ now: () => stage.clock.now(), clientId: 'silent' });
    await register(silent, [silent.deploymentId], { jwks_url: `${silent.url}/gone` });
    const handoff = await new Visitor(stage.server.url).launch(silent, link());
    expect(handoff).toMatchObject({ to: 'refused', reason: 'platform-unreachable' });
    await silent.stop();
  });
});

describe('a login', () => {
  test('is begun by this service’s own page only', async () => {
    const body = {
      iss: platform.issuer,
      login_hint: 'x',
      target_link_uri: 'x',
      launch_key: await new Visitor('').key(),
    };
    const answer = await stage.call('POST', '/v1/lti/logins', { body });
    expect(answer.body).toMatchObject({ code: 'origin-refused' });
  });

  test('of an unknown platform leads nowhere', async () => {
    const body = {
      iss: 'https://evil.example',
      login_hint: 'x',
      target_link_uri: 'x',
      launch_key: await new Visitor('').key(),
    };
    const answer = await stage.call('POST', '/v1/lti/logins', { headers: { 'zeroreel-csrf': '1' }, body });
    expect(answer.body).toMatchObject({ code: 'launch-refused', reason: 'platform' });
  });

  test('puts what the platform told behind the #, where no log sees it, and sets no cookie', async () => {
    const response = await fetch(`${stage.server.url}/lti/login?iss=x&login_hint=somebody`, { redirect: 'manual' });
    expect(response.status).toBe(303);
    expect(response.headers.get('location')).toBe('/launch#iss=x&login_hint=somebody');
    expect(response.headers.get('set-cookie')).toBeNull();
  });

  test('asks the platform as the Security Framework says', () => {
    expect(platform.refused).toEqual([]);
  });
});

describe('the traps of Canvas', () => {
  test('one issuer serves all institutions: a tenant is issuer, client and deployment', async () => {
    const issuer = 'https://canvas.instructure.example';
    const options = { now: () => stage.clock.now(), issuer };
    const [one, two] = [
      await TestPlatform.start({ ...options, clientId: '10000000000001', deploymentId: '1:a' }),
      await TestPlatform.start({ ...options, clientId: '10000000000002', deploymentId: '2:b' }),
    ];
    await register(one);
    await register(two);
    const its = await customOf(await launchedExam(one));
    const go = (from: TestPlatform) => new Visitor(stage.server.url).launch(from, link({ custom: its }));
    expect((await go(one)).to).toBe('record');
    await expectRefused(go(two), 'exam');
    // A second deployment of the same client is another tenant as well.
    const third = await TestPlatform.start({ ...options, clientId: '10000000000002', deploymentId: '2:c' });
    await register(third, ['2:b', '2:c']);
    await expectRefused(go(third), 'exam');
    for (const running of [one, two, third]) await running.stop();
  });

  test('roles of the institution come with every launch, and mean nothing here', async () => {
    await expectRefused(launch({ roles: [`${PERSON}#Instructor`, `${PERSON}#Student`] }), 'role');
    expect(await launch({ roles: [`${PERSON}#Instructor`, `${MEMBERSHIP}#Learner`] })).toMatchObject({ to: 'record' });
  });

  test('a teaching assistant carries the instructor’s role too, and is none', async () => {
    const assistant = 'http://purl.imsglobal.org/vocab/lis/v2/membership/Instructor#TeachingAssistant';
    const roles = [`${MEMBERSHIP}#Instructor`, assistant];
    expect(await launch({ roles })).toMatchObject({ to: 'review', role: 'compliance' });
    expect(await launch({ roles: INSTRUCTOR })).toMatchObject({ to: 'review', role: 'instructor' });
  });

  test('observers and designers neither record nor review', async () => {
    await expectRefused(launch({ roles: [`${MEMBERSHIP}#Mentor`] }), 'role');
    await expectRefused(launch({ roles: [`${MEMBERSHIP}#ContentDeveloper`] }), 'role');
    await expectRefused(launch({ roles: [] }), 'role');
  });

  test('the test student records practice exams only', async () => {
    const roles = [`${MEMBERSHIP}#Learner`, 'http://purl.imsglobal.org/vocab/lti/system/person#TestUser'];
    await expectRefused(launch({ roles }), 'role');
    const practice = await customOf(await launchedExam(platform, { practice: true }));
    expect((await launch({ roles, custom: practice })).to).toBe('record');
  });

  test('an administrator counts where the course’s account is theirs', async () => {
    const roles = [`${PERSON}#Administrator`];
    const as = (fields: Record<string, string>) => launch({ roles, custom: { ...custom, ...fields } });
    await expectRefused(as({}), 'role');
    await expectRefused(as({ adminable: '1,2,112' }), 'role');
    await expectRefused(
      as({ adminable: '$Canvas.user.adminableAccounts', canvas_account_id: '$Canvas.account.id' }),
      'role',
    );
    expect(await as({ adminable: '1,12' })).toMatchObject({ to: 'review', role: 'compliance' });
    expect(await as({ root_admin: 'true' })).toMatchObject({ to: 'review', role: 'compliance' });
  });

  test('who acts as somebody else records nothing, enrols no key and is released nothing', async () => {
    const masked = { ...custom, masq: '4096' };
    await expectRefused(launch({ custom: masked }), 'masquerade');
    const visitor = new Visitor(stage.server.url);
    expect(await visitor.launch(platform, link({ roles: INSTRUCTOR, custom: masked }))).toMatchObject({
      role: 'compliance',
    });
    const { headers } = await visitor.signIn();
    const enrolment = await stage.call('POST', '/v1/keys', { headers, body: { document: 'AAAA' } });
    expect(enrolment.body).toMatchObject({ code: 'forbidden' });
  });

  test('a variable that was not resolved comes back as it was asked for, and is absent', async () => {
    expect((await launch({ custom: { ...custom, masq: '$Canvas.masqueradingUser.id' } })).to).toBe('record');
    await expectRefused(launch({ custom: { ...CANVAS, exam: '$Canvas.exam' } }), 'exam');
  });

  test('resource_link.id is the course’s in its navigation, and names no exam', async () => {
    const bent = claims({ [`${CLAIM}resource_link`]: { id: exam.policy.exam_id } });
    await expectRefused(launch({ custom: {}, ...bent }), 'exam');
    expect(await launch({ custom: {}, roles: INSTRUCTOR, ...bent })).toMatchObject({ to: 'review', exam_id: null });
  });

  test('a teacher of a concluded course has no role in it any more, and still gets to its recordings', async () => {
    const as = (concluded: string) => launch({ roles: [`${PERSON}#Faculty`], custom: { ...custom, concluded } });
    expect(await as('Instructor')).toMatchObject({ to: 'review', role: 'compliance' });
    expect(await as('Learner, http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor')).toMatchObject({
      to: 'review',
    });
    await expectRefused(as('Learner'), 'role');
    await expectRefused(as('$Canvas.membership.concludedRoles'), 'role');
  });

  test('exp is an hour off: what counts is a fresh iat', async () => {
    await expectRefused(launch(claims({ iat: seconds() - 6 * 60, exp: seconds() + 54 * 60 })), 'stale');
    expect((await launch(claims({ iat: seconds() - 4 * 60 }))).to).toBe('record');
  });

  test.skipIf(ofTheseFiles.isSkipped)(`the platform sends names: nothing keeps one${ofTheseFiles.why}`, async () => {
    const visitor = new Visitor(stage.server.url);
    await visitor.launch(platform, link());
    await open(visitor);
    const { store } = stage.server.ports;
    const kept = JSON.stringify([
      await store.launch((await nonceOf(visitor))!, stage.clock.now()),
      await store.platforms(),
      await store.recordings(exam.policy.exam_id, 100),
    ]);
    expect(kept).toContain('launch ');
    const files = readdirSync(stage.dataDir, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    const bytes = files.map((file) => readFileSync(join(file.parentPath, file.name), 'latin1')).join('\n');
    expect(bytes).toContain('launch ');
    for (const name of [...NAMES, 'a6d5c443-1f51-4783-ba1a-7686ffe3b54a']) {
      expect(kept).not.toContain(name);
      expect(bytes).not.toContain(name);
    }
    expect(stage.reported).toEqual([]);
  });

  test('a platform can forge any launch: it lists, and without a key it is released, destroys and publishes nothing', async () => {
    const student = new Visitor(stage.server.url);
    await student.launch(platform, link({ subject: 'listed' }));
    const { sessionId: id } = await open(student);
    const visitor = new Visitor(stage.server.url);
    await visitor.launch(platform, link({ roles: INSTRUCTOR }));
    const { answer, headers } = await visitor.signIn();
    expect(answer.body).toMatchObject({ role: 'instructor', identity: null, exam_ids: [exam.policy.exam_id] });
    const { recordings } = expectStatus<{ recordings: { recording_id: string }[] }>(
      await stage.call('GET', `/v1/exams/${exam.policy.exam_id}/recordings`, { headers }),
      200,
    );
    expect(recordings.map(({ recording_id }) => recording_id)).toContain(id);
    for (const [route, body] of [
      ['release', { key_id: exam.policy.recipients[0]!.key_id, purpose: 'review' }],
      ['downloads', { objects: [{ epoch: 0, track: 1, seq: 0 }] }],
      ['erasure', { reason: 'student' }],
    ] as const) {
      const refused = await stage.call('POST', `/v1/recordings/${id}/${route}`, { headers, body });
      expect(refused.body).toMatchObject({ code: 'forbidden', hint: 'sign in with your key' });
    }
    const body = { policy: toBase64Url(exam.record) };
    expect((await stage.call('POST', '/v1/exams', { headers, body })).body).toMatchObject({ code: 'forbidden' });
  });
});

async function nonceOf(visitor: Visitor): Promise<string | undefined> {
  const { launchNonce } = await import('../../../crypto/format/launch.ts');
  return launchNonce(Buffer.from(await visitor.key(), 'base64url'));
}

const begin = (visitor: Visitor, of = exam) =>
  TestRecorder.begin(of, { now: stage.clock.now(), attest: (coreHash) => visitor.attest(coreHash) });
const open = async (visitor: Visitor) => {
  const recorder = await begin(visitor);
  await stage.open(recorder);
  return recorder;
};

describe('a student’s launch', () => {
  const student = async (subject: string): Promise<Visitor> => {
    const visitor = new Visitor(stage.server.url);
    expect((await visitor.launch(platform, link({ subject }))).to).toBe('record');
    return visitor;
  };

  test('opens one recording, and its later epochs', async () => {
    const visitor = await student('one');
    const recorder = await begin(visitor);
    expectStatus(await stage.open(recorder), 201);
    expect((await stage.open(await begin(visitor))).body).toMatchObject({ code: 'ticket-used' });
    stage.clock.advance(HOUR_MS);
    const next = await recorder.resume({ now: stage.clock.now(), attest: (coreHash) => visitor.attest(coreHash) });
    expectStatus(await stage.open(next), 201);
  });

  test('a second time, in another browser, goes on with the same recording, and begins no other', async () => {
    const recorder = await open(await student('two'));
    const again = await student('two');
    expect((await stage.open(await begin(again))).body).toMatchObject({ code: 'ticket-used' });
    const next = await recorder.resume({ now: stage.clock.now(), attest: (coreHash) => again.attest(coreHash) });
    expectStatus(await stage.open(next), 201);
  });

  test('of somebody else goes on with no recording', async () => {
    const recorder = await open(await student('three'));
    const other = await student('four');
    const next = await recorder.resume({ now: stage.clock.now(), attest: (coreHash) => other.attest(coreHash) });
    expect((await stage.open(next)).body).toMatchObject({ code: 'open-conflict' });
  });

  test('is used by its own key only', async () => {
    const visitor = await student('five');
    const thief = new Visitor(stage.server.url);
    expect((await stage.open(await begin(thief))).body).toMatchObject({ code: 'ticket-refused' });
    const answer = await stage.open(
      await TestRecorder.begin(exam, { now: stage.clock.now(), attest: () => visitor.attest(new Uint8Array(32)) }),
    );
    expect(answer.body).toMatchObject({ code: 'ticket-refused' });
  });

  test('is for its exam, and for three days', async () => {
    const long = await launchedExam(platform, { not_after: stage.clock.now() + 9 * DAY_MS });
    const visitor = new Visitor(stage.server.url);
    await visitor.launch(platform, link({ subject: 'six', custom: await customOf(long) }));
    expect((await stage.open(await begin(visitor))).body).toMatchObject({ code: 'ticket-refused' });
    stage.clock.advance(3 * DAY_MS);
    expect((await stage.open(await begin(visitor, long))).body).toMatchObject({ code: 'ticket-refused' });
    stage.clock.advance(-3 * DAY_MS);
    expectStatus(await stage.open(await begin(visitor, long)), 201);
  });

  test('begins no session, and no exam of another admission', async () => {
    const visitor = await student('seven');
    expect((await visitor.signIn()).answer.body).toMatchObject({ code: 'sign-in-refused' });
    await expectRefused(launch({ custom: await customOf(await stage.exam()) }), 'exam');
  });

  test('leaves no trace of the person when the recording is destroyed', async () => {
    const visitor = await student('eight');
    const { sessionId } = await open(visitor);
    expect((await stage.server.ports.store.recording(sessionId))?.ticket).toMatch(/^launch /);
    const body = { reason: 'student' };
    const erased = await stage.call('POST', `/v1/recordings/${sessionId}/erasure`, { token: stage.admin, body });
    expectStatus(erased, 202);
    expect(await stage.server.ports.store.recording(sessionId)).toMatchObject({ state: 'deleted', ticket: null });
  });
});

describe('deep linking', () => {
  const selection = (changes: Partial<CourseLink> = {}): CourseLink =>
    link({
      messageType: 'LtiDeepLinkingRequest',
      targetLinkUri: `${stage.server.url}/lti/select`,
      roles: INSTRUCTOR,
      ...changes,
    });
  const select = async (visitor: Visitor, examId: string, changes: { signature?: string } = {}) => {
    const body = new URLSearchParams({ ...(await visitor.proof()), exam_id: examId, ...changes }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return stage.call('POST', '/lti/select', { headers, body });
  };

  test('offers the exams whose owners named this tenant, and places one, signed by the tool’s key', async () => {
    const foreign = await stage.exam();
    const visitor = new Visitor(stage.server.url);
    const handoff = await visitor.launch(platform, selection());
    if (handoff.to !== 'select') throw new Error('expected a selection');
    const ids = handoff.exams.map(({ exam_id: id }) => id);
    expect(ids).toContain(exam.policy.exam_id);
    expect(ids).not.toContain(foreign.policy.exam_id);

    const answer = await select(visitor, exam.policy.exam_id);
    const [, action] = /action="([^"]*)"/.exec(String(answer.body)) ?? [];
    const [, jwt] = /name="JWT" value="([^"]*)"/.exec(String(answer.body)) ?? [];
    expect(answer.headers.get('content-security-policy')).toContain(`form-action ${platform.url};`);
    const sent = await fetch(action!, { method: 'POST', body: new URLSearchParams({ JWT: jwt! }) });
    expect(sent.status).toBe(200);
    const message = platform.selections.at(-1)!;
    expect(message).toMatchObject({
      [`${CLAIM}message_type`]: 'LtiDeepLinkingResponse',
      [`${CLAIM}version`]: '1.3.0',
      [`${CLAIM}deployment_id`]: platform.deploymentId,
      [`${DEEP_LINKING}data`]: 'csrftoken:c7fbba78-7b75-46e3-9201-11e6d5f36f53',
    });
    const [item] = message[`${DEEP_LINKING}content_items`] as { url: string; custom: Record<string, string> }[];
    expect(item).toMatchObject({ type: 'ltiResourceLink', title: exam.policy.title, custom: { exam: custom['exam'] } });
    // What was placed is what a student's launch then carries.
    const placed = { targetLinkUri: item!.url, custom: { ...CANVAS, exam: item!.custom['exam']! }, subject: 'placed' };
    expect(await new Visitor(stage.server.url).launch(platform, link(placed))).toMatchObject({ to: 'record' });
  });

  test('once, by its own key, and no exam of somebody else', async () => {
    const foreign = await stage.exam();
    const visitor = new Visitor(stage.server.url);
    await visitor.launch(platform, selection());
    expect((await select(new Visitor(stage.server.url), exam.policy.exam_id)).body).toMatchObject({ reason: 'state' });
    const { signature } = await new Visitor(stage.server.url).proof();
    expect((await select(visitor, exam.policy.exam_id, { signature })).body).toMatchObject({ code: 'sign-in-refused' });
    expect((await select(visitor, foreign.policy.exam_id)).body).toMatchObject({ reason: 'exam' });
    expect((await select(visitor, exam.policy.exam_id)).body).toMatchObject({ reason: 'state' });
  });

  test('is for who may place links in the course: a designer may, a student not', async () => {
    expect((await launch(selection({ roles: [`${MEMBERSHIP}#ContentDeveloper`] }))).to).toBe('select');
    await expectRefused(launch(selection({ roles: [`${MEMBERSHIP}#Learner`] })), 'role');
  });

  test('the tool’s keys are public halves, and a new one signs while the old one is still published', async () => {
    const keys = async () =>
      expectStatus<{ keys: Record<string, unknown>[] }>(await stage.call('GET', '/lti/jwks'), 200).keys;
    const before = await keys();
    const { kid } = expectStatus<{ kid: string }>(
      await stage.call('POST', '/v1/lti/keys', { token: stage.admin }),
      201,
    );
    const after = await keys();
    expect(after.map((key) => key['kid'])).toEqual(expect.arrayContaining([kid, before[0]!['kid']]));
    for (const key of after)
      for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi']) expect(key).not.toHaveProperty(secret);
  });
});

describe('dynamic registration', () => {
  const invite = async () =>
    new URL(
      expectStatus<{ url: string }>(await stage.call('POST', '/v1/lti/invitations', { token: stage.admin }), 201).url,
    );
  const answerTo = (body: Record<string, string>) =>
    stage.call('POST', '/v1/lti/registrations', { headers: { 'zeroreel-csrf': '1' }, body });

  test('by an invitation, once, makes a platform that launches', async () => {
    const fresh = await TestPlatform.start({ now: () => stage.clock.now(), clientId: 'registered' });
    const url = await invite();
    url.searchParams.set('openid_configuration', `${fresh.url}/.well-known/openid-configuration`);
    url.searchParams.set('registration_token', 'a-registration-token');
    const moved = await fetch(url, { redirect: 'manual' });
    expect(moved.headers.get('location')).toMatch(/^\/launch#invitation=/);
    const body = {
      invitation: url.searchParams.get('invitation')!,
      openid_configuration: url.searchParams.get('openid_configuration')!,
      registration_token: 'a-registration-token',
    };
    expectStatus(await answerTo(body), 201);
    expect((await answerTo(body)).body).toMatchObject({ reason: 'state' });
    expect(fresh.registrations).toEqual([
      expect.objectContaining({
        response_types: ['id_token'],
        initiate_login_uri: `${stage.server.url}/lti/login`,
        redirect_uris: [`${stage.server.url}/lti/launch`],
        jwks_uri: `${stage.server.url}/lti/jwks`,
      }),
    ]);
    const its = await customOf(await launchedExam(fresh));
    expect((await new Visitor(stage.server.url).launch(fresh, link({ custom: its }))).to).toBe('record');
    await fresh.stop();
  });

  test('not without an invitation, after a day, or at a platform that refuses', async () => {
    const body = { openid_configuration: `${platform.url}/.well-known/openid-configuration` };
    expect((await answerTo({ ...body, invitation: 'zrinvite_nobody' })).body).toMatchObject({ reason: 'state' });
    const refused = { ...body, invitation: (await invite()).searchParams.get('invitation')! };
    expect(await answerTo(refused)).toMatchObject({ status: 502, body: { code: 'platform-unreachable' } });
    const late = (await invite()).searchParams.get('invitation')!;
    stage.clock.advance(DAY_MS);
    expect((await answerTo({ ...body, invitation: late })).body).toMatchObject({ reason: 'state' });
    stage.clock.advance(-DAY_MS);
  });
});

describe('a teacher’s launch', () => {
  test('begins one session, for who holds its key, at this address', async () => {
    const visitor = new Visitor(stage.server.url);
    await visitor.launch(platform, link({ roles: INSTRUCTOR }));
    const proof = await visitor.proof();
    const post = (body: Record<string, unknown>) =>
      stage.call('POST', '/v1/sessions', { headers: { 'zeroreel-csrf': '1' }, body });
    const forged = await new Visitor(stage.server.url).proof();
    expect((await post({ ...proof, signature: forged.signature })).body).toMatchObject({ code: 'sign-in-refused' });
    expect((await post(await visitor.proof('https://evil.example'))).body).toMatchObject({ code: 'sign-in-refused' });
    expectStatus(await post(proof), 201);
    expect((await post(proof)).body).toMatchObject({ code: 'sign-in-refused' });
  });

  test('lets a key be enrolled, which then signs in by itself', async () => {
    const visitor = new Visitor(stage.server.url);
    await visitor.launch(platform, link({ roles: INSTRUCTOR, custom: {} }));
    const { headers, answer } = await visitor.signIn();
    expect(answer.body).toMatchObject({ exam_ids: [] });
    const { identity, key } = await makeReader(2);
    const document = await encodeKeyDocument(
      {
        ...{ identity: identity.publicKey, suite: key.suite, publicKey: key.publicKey, operation: KEY_ADD },
        ...{ createdMs: 1, expiresMs: stage.clock.now() * 2, prevKeyId: new Uint8Array(16) },
      },
      identity.signer,
    );
    const body = { document: toBase64Url(document) };
    expectStatus(await stage.call('POST', '/v1/keys', { headers, body }), 201);
    const exams = await stage.call('GET', '/v1/exams', { headers });
    expect(exams.body).toMatchObject({ exams: [] });
  });
});

test('a platform that is forgotten launches no more', async () => {
  const short = await TestPlatform.start({ now: () => stage.clock.now() });
  try {
    const id = await register(short);
    expectStatus(await stage.call('DELETE', `/v1/lti/platforms/${id}`, { token: stage.admin }), 200);
    const answer = await new Visitor(stage.server.url).login(short, short.place(link()));
    expect(answer.body).toMatchObject({ code: 'launch-refused', reason: 'platform' });
  } finally {
    await short.stop();
  }
});

test('a login for a key that anybody could sign with is not begun', async () => {
  const hints = { iss: platform.registration.issuer, login_hint: 'x', target_link_uri: 'x' };
  const body = { ...hints, launch_key: toBase64Url(new Uint8Array(32)) };
  const answer = await stage.call('POST', '/v1/lti/logins', { headers: { 'zeroreel-csrf': '1' }, body });
  expect(answer.body).toMatchObject({ code: 'record-refused', reason: 'key' });
});

test('every documented status that takes a platform was reached', () => {
  expect(BY_PLATFORMS.filter((each) => !reached.has(each))).toEqual([]);
});

test('none of this was a failure of the server', () => {
  expect(stage.reported).toEqual([]);
});
