/** Where no start can refuse an unfit bucket, on Workers, the opening does. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApp } from '../../../src/server/app.ts';
import { media, type TestExam, TestRecorder } from '../recorder.ts';
import { expectStatus, HOUR_MS, runtime, Stage } from '../stage.ts';

let stage: Stage;
let exam: TestExam;

beforeAll(async () => {
  stage = await Stage.start({ isLeftUnattested: true });
  exam = await stage.exam();
});
afterAll(() => stage.stop());

interface Opened {
  status: number;
  code: unknown;
}

async function openThere(recorder: TestRecorder): Promise<Opened> {
  const { status, body } = await stage.open(recorder);
  return { status, code: (body as { code?: string }).code };
}

/** A Node server has been refused its start by then; so the application is asked as a Worker has it. */
async function openByApp(recorder: TestRecorder): Promise<Opened> {
  const app = createApp(stage.server.ports, { isAttestedFirst: true });
  const response = await app.request(`/v1/exams/${exam.policy.exam_id}/recordings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(recorder.openBody),
  });
  return { status: response.status, code: ((await response.json()) as { code?: string }).code };
}

async function open(): Promise<{ status: number; code: unknown; recorder: TestRecorder }> {
  const recorder = await TestRecorder.begin(exam, { now: stage.clock.now() });
  const { status, code } = await (runtime.name === 'workerd' ? openThere(recorder) : openByApp(recorder));
  return { status, code, recorder };
}

test('no recording is opened in a bucket that was never found fit, or not for a day; what is open goes on', async () => {
  expect(await open()).toMatchObject({ status: 503, code: 'storage-unattested' });
  await stage.server.jobs.attest();
  const { status, recorder } = await open();
  expect(status).toBe(201);
  stage.clock.advance(24 * HOUR_MS - 1);
  expect((await open()).status).toBe(403); // the exam is over, and that is all
  stage.clock.advance(1);
  expect(await open()).toMatchObject({ status: 503, code: 'storage-unattested' });
  expectStatus(await stage.askUploads(recorder, [(await recorder.chunk(1, media(10))).request]), 200);
});
