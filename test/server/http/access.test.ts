/** Who may do what, cell by cell of the table: role x route x own or foreign, over real HTTP. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toBase64Url } from '../../../crypto/format/bytes.ts';
import { encodeKeyDocument, KEY_ADD, type KeyDocumentFields } from '../../../crypto/format/keydoc.ts';
import { decodeIdentity } from '../../../crypto/format/ids.ts';
import { ownerHash } from '../../../crypto/format/policy.ts';
import { Api } from '../../../src/client/api.ts';
import { systemEnvironment } from '../../../src/client/environment.ts';
import { createApp } from '../../../src/server/app.ts';
import { type Route, routeRows, type RouteName } from '../../../src/server/http/routes.ts';
import { MEMBERSHIP, TestPlatform } from '../../lti/platform.ts';
import { Visitor } from '../../lti/visitor.ts';
import { makeReader, makeTicket, type TestExam, type TestReader, type TestRecorder } from '../recorder.ts';
import { SAMPLES } from '../samples.ts';
import { type Answer, expectStatus, Stage } from '../stage.ts';

let stage: Stage;
let reader: TestReader;
let platform: TestPlatform;
let own: { exam: TestExam; recorder: TestRecorder };
let foreign: { exam: TestExam; recorder: TestRecorder };
/** By actor: what it sends to be known. */
const credentials: Record<string, Record<string, string>> = {};

const STAFF = [
  'admin',
  'instructor by identity',
  'instructor by token',
  'instructor by bound token',
  'compliance by token',
  'compliance by bound token',
  'instructor by launch',
  'compliance by launch',
] as const;
type Member = (typeof STAFF)[number];
const ACTORS = ['nobody', 'recorder', ...STAFF] as const;
type Actor = (typeof ACTORS)[number];

beforeAll(async () => {
  stage = await Stage.start();
  reader = await makeReader(1);
  platform = await TestPlatform.start({ now: () => stage.clock.now() });
  const body = platform.registration;
  expectStatus(await stage.call('POST', '/v1/lti/platforms', { token: stage.admin, body }), 201);
  const changes = { admission: 'launch', platform: await platform.pinned() } as const;
  const [mine, theirs] = [await stage.exam({ readers: [reader], changes }), await stage.exam()];
  own = { exam: mine, recorder: await stage.recorder(mine, { ticket: await makeTicket(mine) }) };
  foreign = { exam: theirs, recorder: await stage.recorder(theirs) };
  await stage.server.jobs.publish();
  const bound = { exam_ids: [mine.policy.exam_id] };
  const token = async (role: string, more = {}) => {
    const body = { role, label: role, days: 9, ...more };
    const answer = await stage.call('POST', '/v1/tokens', { token: stage.admin, body });
    return { authorization: `Bearer ${expectStatus<{ token: string }>(answer, 201).token}` };
  };
  credentials['nobody'] = {};
  credentials['recorder'] = { authorization: `Bearer ${own.recorder.token}` };
  credentials['admin'] = { authorization: `Bearer ${stage.admin}` };
  credentials['instructor by token'] = await token('instructor');
  credentials['instructor by bound token'] = await token('instructor', bound);
  credentials['compliance by token'] = await token('compliance');
  credentials['compliance by bound token'] = await token('compliance', bound);
  credentials['instructor by launch'] = await launch(mine, ['#Instructor']);
  credentials['compliance by launch'] = await launch(mine, ['#Instructor', '/Instructor#TeachingAssistant']);
  credentials['instructor by identity'] = { cookie: await signIn(reader), 'zeroreel-csrf': '1' };
});
afterAll(async () => {
  await platform.stop();
  await stage.stop();
});

async function launch({ policy }: TestExam, roles: string[]): Promise<Record<string, string>> {
  const visitor = new Visitor(stage.server.url);
  const owner = toBase64Url(await ownerHash(decodeIdentity(policy.owner)));
  await visitor.launch(platform, {
    targetLinkUri: `${stage.server.url}/lti/launch`,
    roles: roles.map((role) => MEMBERSHIP + role),
    custom: { exam: `v1.${policy.exam_id}.${owner}.${policy.seq}` },
  });
  return (await visitor.signIn()).headers;
}

async function signIn({ identity, key }: TestReader): Promise<string> {
  const fields: KeyDocumentFields = {
    ...{ identity: identity.publicKey, suite: key.suite, publicKey: key.publicKey, operation: KEY_ADD },
    ...{ createdMs: 1, expiresMs: stage.clock.now() * 2, prevKeyId: new Uint8Array(16) },
  };
  const document = toBase64Url(await encodeKeyDocument(fields, identity.signer));
  expectStatus(await stage.call('POST', '/v1/keys', { token: stage.admin, body: { document } }), 201);
  let cookie = '';
  const environment = {
    ...systemEnvironment,
    fetch: async (...request: Parameters<typeof fetch>) => {
      const answer = await fetch(...request);
      cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? cookie;
      return answer;
    },
  };
  await new Api({ url: stage.server.url, environment }).signIn(identity.signer);
  return cookie;
}

/** Whether the answer is of somebody who was let in, whatever came of it. */
function isAdmitted({ status, body }: Answer): boolean {
  const { code } = body as { code?: string };
  return !(status === 401 || (status === 403 && code === 'forbidden'));
}

/** The table's own words, read without the server's code: who is admitted to the own, and who to the foreign exam too. */
function expected(
  { access, byKey }: Pick<Route, 'access' | 'byKey'>,
  actor: Actor,
  isOwn: boolean,
  isAboutOne: boolean,
) {
  if (access === 'anybody') return true;
  if (access === 'recorder') return actor === 'recorder' && isOwn;
  if (actor === 'admin') return true;
  if (actor === 'nobody' || actor === 'recorder') return false;
  // Others than its person can make a launch: what a recording's own readers do takes their key.
  if (byKey && actor.includes('launch')) return false;
  const role = actor.startsWith('instructor') ? 'instructor' : 'compliance';
  const isBound = /bound|identity|launch/.test(actor);
  return access.includes(role) && (isOwn || !isBound || !isAboutOne);
}

const cells = routeRows.flatMap(([name, row]) =>
  ACTORS.flatMap((actor) => ['own', 'foreign'].map((whose) => [name, actor, whose, row] as const)),
);
/** What would end the stage: tested elsewhere, by other names. */
const ENDS: ReadonlySet<RouteName> = new Set(['DELETE /v1/sessions/current', 'POST /v1/recordings/:id/erasure']);
/** Without a sample that parses as a record, these answer before they ask for the upload token, which is in the record's epoch. */
const ASKS_LATE: ReadonlySet<RouteName> = new Set(['POST /v1/recordings/:id/heads']);
/** A bad proof is 401 as well: anybody may try. */
const TRIES: ReadonlySet<RouteName> = new Set(['POST /v1/sessions', 'POST /v1/setup']);

describe('who may do what', () => {
  test.each(cells.filter(([name]) => !ENDS.has(name) && !TRIES.has(name) && !ASKS_LATE.has(name)))(
    '%s, %s, %s',
    async (name, actor, whose, row) => {
      const about = whose === 'own' ? own : foreign;
      const { path, body } = SAMPLES[name];
      const [method] = name.split(' ') as [string];
      const answer = await stage.call(method, path(about), {
        headers: credentials[actor]!,
        ...(body && { body: body() }),
      });
      const isAboutOne = /:exam|recordings\/:id/.test(name);
      expect({ admitted: isAdmitted(answer), answer: answer.status }).toEqual({
        admitted: expected(row, actor, whose === 'own', isAboutOne),
        answer: answer.status,
      });
    },
  );

  test('an erasure is for who reaches the exam, and only for them', async () => {
    for (const actor of ACTORS) {
      if (expected({ access: ['instructor'], byKey: true }, actor, false, true)) continue;
      const answer = await stage.call('POST', SAMPLES['POST /v1/recordings/:id/erasure'].path(foreign), {
        headers: credentials[actor]!,
        body: { reason: 'student' },
      });
      expect({ actor, admitted: isAdmitted(answer) }).toEqual({ actor, admitted: false });
    }
    const doomed = { exam: own.exam, recorder: await stage.recorder(own.exam, { ticket: await makeTicket(own.exam) }) };
    const answer = await stage.call('POST', SAMPLES['POST /v1/recordings/:id/erasure'].path(doomed), {
      headers: credentials['instructor by bound token']!,
      body: { reason: 'student' },
    });
    expect(answer.status).toBe(202);
  });

  test('a head is for the recorder of its epoch', async () => {
    const path = `/v1/recordings/${own.recorder.sessionId}/heads`;
    const head = await own.recorder.head();
    for (const actor of ACTORS.filter((name) => name !== 'recorder')) {
      const answer = await stage.call('POST', path, { headers: credentials[actor]!, body: { head } });
      expect({ actor, status: answer.status }).toEqual({ actor, status: 401 });
    }
    expectStatus(await stage.call('POST', path, { token: foreign.recorder.token, body: { head } }), 401);
    expectStatus(await stage.call('POST', path, { token: own.recorder.token, body: { head } }), 200);
  });

  test.each(STAFF)('%s lists exactly the exams within reach', async (actor: Member) => {
    const answer = await stage.call('GET', '/v1/exams', { headers: credentials[actor]! });
    const { exams } = expectStatus<{ exams: { exam_id: string }[] }>(answer, 200);
    const isBound = /bound|identity|launch/.test(actor);
    const all = [own.exam.policy.exam_id, foreign.exam.policy.exam_id];
    expect(exams.map(({ exam_id: id }) => id).sort()).toEqual((isBound ? all.slice(0, 1) : all).sort());
  });

  test('a bound instructor publishes no policy of another exam', async () => {
    for (const actor of ['instructor by identity', 'instructor by bound token']) {
      const body = { policy: toBase64Url(foreign.exam.record) };
      const answer = await stage.call('POST', '/v1/exams', { headers: credentials[actor]!, body });
      expect({ actor, admitted: isAdmitted(answer) }).toEqual({ actor, admitted: false });
    }
  });
});

test('the app has the routes of the table, and no others', () => {
  const routes = createApp(stage.server.ports).routes.map(({ method, path }) => `${method} ${path}`);
  expect([...new Set(routes)].sort()).toEqual(routeRows.map(([name]) => name).sort());
});

test('none of this was a failure of the server', () => {
  expect(stage.reported).toEqual([]);
});
