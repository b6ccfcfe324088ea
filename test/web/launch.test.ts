/** Launches in a real browser: from a course at another origin, in its frame and in a tab, to the recording, the review and the link. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Page } from 'playwright-core';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { CLAIM, DEEP_LINKING, MEMBERSHIP, TestPlatform, type CourseLink } from '../lti/platform.ts';
import { type TestExam, TestService } from '../client/service.ts';
import { complaintsOf, describeInChromium, expectAccessible, screenshot, TestBrowser } from './browser.ts';
import { openReader, QUICK, Student } from './student.ts';

let service: TestService;
let platform: TestPlatform;
let exam: TestExam;
let browser: TestBrowser;
/** The tool by another name than the platform's: another site, so that the frame is a stranger's. */
let tool: string;

const LEARNER = [`${MEMBERSHIP}#Learner`];
const TEACHER = [`${MEMBERSHIP}#Instructor`];

describeInChromium('from a course', () => {
  beforeAll(async () => {
    service = await TestService.start();
    platform = await TestPlatform.start({ host: '127.0.0.1' });
    tool = service.server.url.replace('127.0.0.1', 'localhost');
    await service.staff().putPlatform(platform.registration);
    exam = await service.exam({
      tracks: [{ kind: 'webcam' }, { kind: 'events' }],
      ...{ admission: 'launch', platform: await platform.pinned(), capture: QUICK },
    });
  });
  beforeEach(async () => {
    browser = await TestBrowser.launch();
    return () => browser.close();
  });
  afterAll(async () => {
    await platform.stop();
    await service.stop();
  });

  const place = (changes: Partial<CourseLink> = {}) =>
    platform.place({ targetLinkUri: `${tool}/lti/launch`, custom: { exam: pins() }, ...changes });
  const pins = () => {
    const { examId, ownerHash, minSeq } = exam.signed.pins;
    return `v1.${examId}.${toBase64Url(ownerHash)}.${minSeq}`;
  };
  async function course(link: string, how: 'frame' | 'tab'): Promise<Page> {
    const page = await browser.page();
    const query = new URLSearchParams({ link, how, login: `${tool}/lti/login` });
    await page.goto(`${platform.url}/course?${query.toString()}`);
    await page.getByRole('button', { name: 'Open the exam' }).click();
    return page;
  }

  test('a student records: from the frame into a tab of its own, and the readers see that the platform vouched', async () => {
    const page = await course(place({ roles: LEARNER, subject: 'student-1' }), 'frame');
    const frame = page.frameLocator('iframe');
    const opening = browser.context.waitForEvent('page');
    await frame.getByRole('link', { name: 'Open in a new tab' }).click();
    const tab = await opening;
    await tab.waitForURL(/\/record#v1\./);
    const student = Student.at(tab);
    await tab.getByRole('heading', { level: 1, name: exam.signed.policy.title }).waitFor();
    await student.allow('camera');
    await student.acknowledge();
    await student.start();
    await student.untilStored(2);

    // The tab is loaded again, as after a crash: the launch in its address opens the next epoch, and the course is not asked.
    await tab.reload({ waitUntil: 'domcontentloaded' });
    await student.allow('camera');
    await tab
      .getByRole('checkbox', { name: /I have read/ })
      .check()
      .catch(() => undefined);
    await student.start();
    await student.end();
    const id = await student.recordingId();

    const reader = await openReader(exam, id);
    expect((await reader.verify('plaintext')).verdict).toBe('COMPLETE');
    for (const { epoch } of reader.epochs) {
      expect(await reader.readLaunch(epoch)).toMatchObject({ state: 'verified', subject: 'student-1' });
    }
    expect(reader.epochs.length).toBe(2);
  });

  test('a teacher gets to the review, signed in, without a word about it in the address', async () => {
    const page = await course(place({ roles: TEACHER }), 'tab');
    await page.waitForURL(/\/review#\/exam\//);
    const session = await page.evaluate(async () => (await fetch('/v1/sessions/current')).json() as Promise<unknown>);
    expect(session).toMatchObject({ role: 'instructor', identity: null, exam_ids: [exam.signed.pins.examId] });
    expect(page.url()).toBe(`${tool}/review#/exam/${exam.signed.pins.examId}`);
    expect(complaintsOf(page)).toEqual([]);
  });

  test('a teacher in the frame goes on in a tab of its own, too', async () => {
    const page = await course(place({ roles: TEACHER }), 'frame');
    const frame = page.frameLocator('iframe');
    await frame.getByRole('heading', { name: 'From your course' }).waitFor();
    await screenshot(page, 'launch-frame');
    const opening = browser.context.waitForEvent('page');
    await frame.getByRole('link', { name: 'Open in a new tab' }).click();
    await (await opening).waitForURL(/\/review#\/exam\//);
  });

  test('a teacher chooses an exam inside of the course’s frame, and the course gets it', async () => {
    const link = place({ roles: TEACHER, messageType: 'LtiDeepLinkingRequest', targetLinkUri: `${tool}/lti/select` });
    const page = await course(link, 'frame');
    const frame = page.frameLocator('iframe');
    await frame.getByRole('radio', { name: exam.signed.policy.title }).check();
    await screenshot(page, 'launch-select');
    await frame.getByRole('button', { name: 'Place it in the course' }).click();
    await frame.getByRole('heading', { name: 'Placed' }).waitFor();
    const message = platform.selections.at(-1)!;
    expect(message[`${CLAIM}deployment_id`]).toBe(platform.deploymentId);
    expect(message[`${DEEP_LINKING}content_items`]).toMatchObject([{ custom: { exam: pins() } }]);
    expect(complaintsOf(page)).toEqual([]);
  });

  test('whom the course gives no role is told so, in words', async () => {
    const page = await course(place({ roles: [`${MEMBERSHIP}#Mentor`] }), 'tab');
    await page.getByRole('alert').getByText('the course gives you no role').waitFor();
    await expectAccessible(page);
    await screenshot(page, 'launch-refused');
  });

  test('a launch that was begun elsewhere, and slipped into this browser, goes no further', async () => {
    const victim = await browser.page();
    // The attacker's login, walked as far as the form, and then posted by the victim's browser.
    const login = await fetch(`${tool}/v1/lti/logins`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'zeroreel-csrf': '1' },
      body: JSON.stringify({
        ...Object.fromEntries(
          [...platform.loginParameters(place({ roles: TEACHER }))].filter(
            ([name]) => !/^(?:lti_storage|canvas)/.test(name),
          ),
        ),
        launch_key: toBase64Url(exam.owner.publicKey),
      }),
    });
    const { redirect } = (await login.json()) as { redirect: string };
    await victim.goto(redirect);
    await victim.getByRole('alert').getByText('begun in another browser').waitFor();
  });

  test('a platform’s administrator registers it with an invitation, inside of the platform’s window', async () => {
    const fresh = await TestPlatform.start({ host: '127.0.0.1', clientId: 'by-invitation' });
    const url = new URL((await service.staff().invitePlatform()).url.replace('127.0.0.1', 'localhost'));
    url.searchParams.set('openid_configuration', `${fresh.url}/.well-known/openid-configuration`);
    url.searchParams.set('registration_token', 'a-registration-token');
    const page = await browser.page();
    await page.goto(url.href);
    await expectAccessible(page);
    await screenshot(page, 'launch-register');
    await page.getByRole('button', { name: 'Register this platform' }).click();
    await page.getByText('The platform is registered').waitFor();
    const { platforms } = await service.staff().platforms();
    expect(platforms.find(({ client_id: id }) => id === 'by-invitation')).toMatchObject({
      deployments: [fresh.deploymentId],
      keys: (await fresh.pinned()).keys,
    });
    await fresh.stop();
  });
});
