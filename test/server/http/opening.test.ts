import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { fromBase64Url, fromHex, toBase64Url, type Bytes } from '../../../crypto/format/bytes.ts';
import { hash } from '../../../crypto/format/hash.ts';
import { newId } from '../../../crypto/format/ids.ts';
import { openCoreHash, parseOpen, signOpen } from '../../../crypto/format/open.ts';
import { randomBytes } from '../../../crypto/format/random.ts';
import { attestWithTicket } from '../../../crypto/format/ticket.ts';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import { generateIdentity } from '../../../crypto/seal/identity.ts';
import type { openResponse } from '../../../schema/api.ts';
import type { ErrorCode } from '../../../src/server/errors.ts';
import {
  makeReader,
  makeTicket,
  media,
  nextPolicy,
  TestRecorder,
  type TestExam,
  type TestReader,
} from '../recorder.ts';
import { expectRefusal } from '../refusal.ts';
import { read } from '../reader.ts';
import { type Answer, expectStatus, HOUR_MS, type Holdings, Stage } from '../stage.ts';

let stage: Stage;
let exam: TestExam;
let otherExam: TestExam;
let outsider: TestReader;

beforeAll(async () => {
  stage = await Stage.start();
  exam = await stage.exam();
  otherExam = await stage.exam();
  outsider = await makeReader(2, 'somebody else');
});
afterAll(() => stage.stop());

const begin = (options: Partial<Parameters<typeof TestRecorder.begin>[1]> = {}, of = exam) =>
  TestRecorder.begin(of, { now: stage.clock.now(), ...options });

/** Changes one byte of a base64url record. */
function flipped(recordB64: string, at: number): string {
  const bytes = fromBase64Url(recordB64);
  bytes[at < 0 ? bytes.length + at : at]! ^= 1;
  return toBase64Url(bytes);
}

interface Refusal {
  what: string;
  status: number;
  code: ErrorCode;
  /** The protocol's class, where the record itself is at fault. */
  reason?: string;
  send: () => Promise<Answer>;
}

const open = async (recorder: Promise<TestRecorder> | TestRecorder, changes: Record<string, unknown> = {}) =>
  stage.open(await recorder, changes);

describe('an open is refused, and nothing is written, with', () => {
  let before: Holdings;
  beforeAll(async () => {
    before = await stage.holdings();
  });
  afterEach(async () => {
    expect(await stage.holdings()).toEqual(before);
  });

  const record = { status: 422, code: 'record-refused' } as const;
  const ticket = { status: 403, code: 'ticket-refused' } as const;

  const cases: Refusal[] = [
    {
      what: 'bytes that are no open record',
      ...record,
      reason: 'format',
      send: () => open(begin(), { open: toBase64Url(randomBytes(400)) }),
    },
    {
      what: 'a record cut by one byte',
      ...record,
      reason: 'length',
      send: async () => {
        const recorder = await begin();
        return open(recorder, { open: toBase64Url(fromBase64Url(recorder.openBody.open).slice(0, -1)) });
      },
    },
    {
      what: 'a signature with a flipped bit',
      ...record,
      reason: 'signature',
      send: async () => {
        const recorder = await begin();
        return open(recorder, { open: flipped(recorder.openBody.open, -64) });
      },
    },
    {
      what: 'a body that was changed after it was signed',
      ...record,
      reason: 'signature',
      send: async () => {
        const recorder = await begin();
        return open(recorder, { open: flipped(recorder.openBody.open, 60) }); // inside session_id
      },
    },
    {
      what: 'somebody else’s signature',
      ...record,
      reason: 'signature',
      send: async () => {
        const [recorder, other] = await Promise.all([begin(), begin()]);
        const { body } = parseOpen(fromBase64Url(recorder.openBody.open));
        return open(recorder, { open: toBase64Url(await signOpen(body, other.signer)) });
      },
    },
    ...[
      ['zero', new Uint8Array(32)],
      ['one', Uint8Array.of(1, ...new Uint8Array(31))],
      ['of low order', fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')],
      ['not canonical', new Uint8Array(32).fill(0xff)],
    ].map(([what, recorderKey]) => ({
      what: `a recorder key that is ${what as string}`,
      ...record,
      reason: 'key',
      send: () => open(begin({ changes: { core: { recorderKey: recorderKey as Bytes } } })),
    })),
    {
      what: 'another exam than the path’s',
      ...record,
      reason: 'identity',
      send: async () => {
        const { openBody } = await begin();
        return stage.call('POST', `/v1/exams/${otherExam.policy.exam_id}/recordings`, { body: openBody });
      },
    },
    {
      what: 'another policy',
      status: 409,
      code: 'policy-outdated',
      send: () => open(begin({ changes: { core: { policyHash: randomBytes(32) } } })),
    },
    {
      what: 'another notice',
      status: 422,
      code: 'open-refused',
      send: () => open(begin(), { notice_hash: 'A'.repeat(43) }),
    },
    {
      what: 'another shred share',
      ...record,
      reason: 'commitment',
      send: () => open(begin(), { shred: toBase64Url(randomBytes(32)) }),
    },
    {
      what: 'a track that the policy does not name',
      status: 422,
      code: 'policy-refused',
      reason: 'policy',
      send: () => open(begin({ changes: { core: { tracks: [{ track: 2, kind: 2, codec: '' }] } } })),
    },
    {
      what: 'a track of another kind than the policy’s',
      status: 422,
      code: 'policy-refused',
      reason: 'policy',
      send: () => open(begin({ changes: { core: { tracks: [{ track: 1, kind: 2, codec: '' }] } } })),
    },
    {
      what: 'a wrap missing',
      ...record,
      reason: 'wrap',
      send: () => open(begin({ changes: { recipients: exam.policy.recipients.slice(1) } })),
    },
    {
      what: 'a wrap too many, for somebody else',
      ...record,
      reason: 'wrap',
      send: () => open(begin({ changes: { recipients: [...exam.policy.recipients, outsider.recipient] } })),
    },
    {
      what: 'somebody else’s wrap in the place of a reader’s',
      ...record,
      reason: 'wrap',
      send: () => open(begin({ changes: { recipients: [exam.policy.recipients[0]!, outsider.recipient] } })),
    },
    {
      what: 'one reader’s wrap twice',
      ...record,
      reason: 'wrap',
      send: () => open(begin({ changes: { recipients: [exam.policy.recipients[0]!, exam.policy.recipients[0]!] } })),
    },
    {
      what: 'wraps in another order than the record’s hashes',
      ...record,
      reason: 'wrap',
      send: async () => {
        const recorder = await begin();
        return open(recorder, { wraps: recorder.openBody.wraps.toReversed() });
      },
    },
    {
      what: 'a wrap left out of the request',
      ...record,
      reason: 'wrap',
      send: async () => {
        const recorder = await begin();
        return open(recorder, { wraps: recorder.openBody.wraps.slice(1) });
      },
    },
    {
      what: 'a wrap with a flipped bit',
      ...record,
      reason: 'wrap',
      send: async () => {
        const recorder = await begin();
        const [first, ...rest] = recorder.openBody.wraps;
        return open(recorder, { wraps: [flipped(first!, -1), ...rest] });
      },
    },
    {
      what: 'wraps of another recording',
      ...record,
      reason: 'wrap',
      send: () => open(begin({ changes: { wrap: { coreHash: randomBytes(32) } } })),
    },
    {
      what: 'wraps of one track only',
      ...record,
      reason: 'wrap',
      send: () => open(begin({ changes: { wrap: { scope: 2, track: 1 } } })),
    },
    {
      what: 'wraps in another role than the policy’s',
      ...record,
      reason: 'wrap',
      send: () => open(begin({ changes: { wrap: { role: 3 } } })),
    },
    {
      what: 'no ticket where the exam wants one',
      ...ticket,
      send: () => open(begin({ changes: { attestation: { type: 0, bytes: new Uint8Array(0) } } })),
    },
    {
      what: 'an identity token, which nothing here can check',
      ...ticket,
      send: () => open(begin({ changes: { attestation: { type: 1, bytes: randomBytes(100) } } })),
    },
    {
      what: 'a ticket that somebody else signed',
      ...ticket,
      reason: 'attestation',
      send: async () => open(begin({ ticket: await makeTicket(exam, {}, (await generateIdentity()).signer) })),
    },
    {
      what: 'an expired ticket',
      ...ticket,
      reason: 'attestation',
      send: async () => open(begin({ ticket: await makeTicket(exam, { expiresMs: stage.clock.now() }) })),
    },
    {
      what: 'a ticket of another exam',
      ...ticket,
      reason: 'attestation',
      send: async () => open(begin({ ticket: await makeTicket(exam, { examId: newId() }) })),
    },
    {
      what: 'a ticket that its holder did not use for this record',
      ...ticket,
      reason: 'attestation',
      send: async () => {
        const seat = await makeTicket(exam);
        const stranger = await generateIdentity();
        const { core } = parseOpen(fromBase64Url((await begin({ ticket: seat })).openBody.open));
        const attestation = await attestWithTicket(seat.record, await openCoreHash(core), stranger.signer);
        return open(begin({ ticket: seat, changes: { attestation } }));
      },
    },
    {
      what: 'a ticket’s use copied from another record',
      ...ticket,
      reason: 'attestation',
      send: async () => {
        const { attestation } = parseOpen(fromBase64Url((await begin()).openBody.open));
        return open(begin({ changes: { attestation } }));
      },
    },
    {
      what: 'a later epoch of a recording that never began',
      status: 404,
      code: 'recording-unknown',
      send: () => open(begin({ epoch: 1, prevHead: randomBytes(32) })),
    },
    {
      what: 'an epoch number that object names cannot hold',
      ...record,
      reason: 'limit',
      send: () => open(begin({ epoch: 10_000, prevHead: randomBytes(32) })),
    },
  ];

  test.each(cases)('$what', async ({ status, code, reason, send }) => {
    const answer = await send();
    expectRefusal(answer, status, code);
    expect((answer.body as { reason?: string }).reason).toBe(reason);
  });
});

describe('the exam’s own rules', () => {
  test('below the policy’s suite floor nothing opens', async () => {
    const strict = await stage.exam({ readers: [await makeReader(2)], changes: { min_suite: 2 } });
    const answer = await stage.open(await begin({ changes: { core: { minSuite: 1 } } }, strict));
    expectRefusal(answer, 422, 'record-refused');
    expect(answer.body).toMatchObject({ reason: 'suite' });
  });

  test('an exam has a beginning and an end, the end excluded', async () => {
    const now = stage.clock.now();
    const times = { not_before: now + HOUR_MS, not_after: now + 2 * HOUR_MS };
    const later = await stage.exam({ changes: times });
    const at = async (time: number) => {
      stage.clock.advance(time - stage.clock.now());
      const ticket = await makeTicket(later, { expiresMs: now + 9 * HOUR_MS });
      return stage.open(await begin({ ticket }, later));
    };
    expectRefusal(await at(times.not_before - 1), 403, 'exam-closed');
    expectStatus(await at(times.not_before), 201);
    expectStatus(await at(times.not_after - 1), 201);
    const late = await at(times.not_after);
    expectRefusal(late, 403, 'exam-closed');
    expect(late.body).toMatchObject({ not_before_ms: times.not_before, not_after_ms: times.not_after });
    stage.clock.advance(now - stage.clock.now());
  });

  test('an open made for the policy before the newest is told so, and the newest opens', async () => {
    const first = await stage.exam();
    const second = await nextPolicy(first, { title: 'Practice exam, corrected' });
    await stage.publish(second);
    const answer = await stage.open(await begin({}, first));
    expectRefusal(answer, 409, 'policy-outdated');
    expect(answer.body).toMatchObject({ policy_hash: toBase64Url(second.policyHash), seq: 1 });
    expectStatus(await stage.open(await begin({}, second)), 201);
  });

  test('where the policy admits by link, no ticket is wanted', async () => {
    const linked = await stage.exam({ changes: { admission: 'link' } });
    expectStatus(await stage.open(await begin({}, linked)), 201);
  });

  test('delete_by is opening plus the policy’s days; a practice lives a day', async () => {
    for (const [changes, days] of [
      [{ retention_days: 7 }, 7],
      [{ retention_days: 30, practice: true }, 1],
    ] as const) {
      const recorder = await begin({}, await stage.exam({ changes }));
      const answer = expectStatus<Record<string, number>>(await stage.open(recorder), 201);
      expect(answer['delete_by_ms']! - answer['opened_ms']!).toBe(days * 24 * HOUR_MS);
      expect(answer['uploads_until_ms']).toBeLessThan(answer['delete_by_ms']! - 5 * 60_000);
    }
  });
});

describe('an open that comes again', () => {
  test('gets the same answer to the same record, and nothing is written', async () => {
    const recorder = await begin();
    const first = await stage.open(recorder);
    const before = await stage.holdings();
    stage.clock.advance(60_000);
    const again = await stage.open(recorder);
    expect(first.status).toBe(201);
    expect(again.status).toBe(200);
    const { quota, ...answer } = expectStatus<z.infer<typeof openResponse>>(first, 201);
    // Where a recording is held to a length, what is left of it has become a minute less.
    const left = quota?.seconds_left ?? null;
    const later = { ...quota, seconds_left: left === null ? null : left - 60 };
    expect(again.body).toEqual({ ...answer, quota: later });
    expect(await stage.holdings()).toEqual(before);
  });

  test('with another upload token is refused: who saw a record does not get to upload', async () => {
    const recorder = await stage.recorder(exam);
    const before = await stage.holdings();
    expectRefusal(await stage.open(recorder, { token_hash: 'A'.repeat(43) }), 409, 'open-conflict');
    expect(await stage.holdings()).toEqual(before);
    await stage.upload(recorder, await recorder.chunk(1, media(10)));
  });

  test('with other content is refused; what was acknowledged stays readable', async () => {
    const recorder = await stage.recorder(exam);
    await stage.upload(recorder, await recorder.chunk(1, media(5000)));
    expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
    const before = await stage.holdings();
    const { sessionId, ticket } = recorder;
    const other = await begin({ sessionId, ...(ticket && { ticket }) });
    expectRefusal(await stage.open(other), 409, 'open-conflict');
    expect(await stage.holdings()).toEqual(before);
    const opened = await read(stage, sessionId, exam.readers[0]!);
    expect(opened.get('0/1')).toEqual([media(5000)]);
  });

  test('signed differently by the same recorder key is an anomaly in the log, once', async () => {
    const recorder = await stage.recorder(exam);
    const { store } = stage.server.ports;
    const { sessionId, openBody, signer } = recorder;
    const { body } = parseOpen(fromBase64Url(openBody.open));
    const fork = new Uint8Array(body);
    fork[fork.length - 1]! ^= 1; // inside the attestation
    const forked = toBase64Url(await signOpen(fork, signer));
    const size = await store.logSize();
    for (let i = 0; i < 3; i++) expectRefusal(await stage.open(recorder, { open: forked }), 409, 'open-conflict');
    const entries = await store.entries(size, 10);
    expect(entries.map(({ bytes }) => decodeEntry(bytes))).toMatchObject([
      { type: 'anomaly.found', kind: 'equivocation', recording: sessionId },
    ]);
  });

  test('with a record that names the recorder’s key but was not signed by it accuses nobody', async () => {
    const recorder = await stage.recorder(exam);
    const before = await stage.holdings();
    const answer = await stage.open(recorder, { open: flipped(recorder.openBody.open, -100) });
    expectRefusal(answer, 422, 'record-refused');
    expect(await stage.holdings()).toEqual(before);
  });
});

describe('a ticket opens one recording', () => {
  test('a second recording with it is refused; the orphaned share is swept', async () => {
    const ticket = await makeTicket(exam);
    const first = await stage.recorder(exam, { ticket });
    const second = await begin({ ticket });
    const before = await stage.holdings();
    expectRefusal(await stage.open(second), 409, 'ticket-used');
    const after = await stage.holdings();
    expect({ ...after, shares: before.shares }).toEqual(before);
    stage.clock.advance(2 * HOUR_MS);
    await stage.server.jobs.sweep();
    expect(await stage.holdings()).toEqual(before);
    stage.clock.advance(-2 * HOUR_MS);
    expect((await stage.server.ports.vault.get(first.sessionId)).size).toBe(1);
  });
});

describe('a later epoch', () => {
  let recorder: TestRecorder;
  beforeAll(async () => {
    recorder = await stage.recorder(exam);
  });
  const later = (changes: Partial<Parameters<typeof TestRecorder.begin>[1]>, of = exam) =>
    begin({ sessionId: recorder.sessionId, epoch: 1, prevHead: recorder.openHash, ...changes }, of);

  test('comes from the ticket that began the recording', async () => {
    const before = await stage.holdings();
    expectRefusal(await stage.open(await later({ ticket: await makeTicket(exam) })), 409, 'open-conflict');
    expect(await stage.holdings()).toEqual(before);
  });

  test('follows the newest one', async () => {
    const before = await stage.holdings();
    const answer = await stage.open(await later({ epoch: 2, ticket: recorder.ticket! }));
    expectRefusal(answer, 409, 'epoch-conflict');
    expect(await stage.holdings()).toEqual(before);
  });

  test('has a recorder key of its own', async () => {
    const before = await stage.holdings();
    const { recorderKey } = parseOpen(fromBase64Url(recorder.openBody.open));
    const reused = await later({ ticket: recorder.ticket!, changes: { core: { recorderKey } } });
    const { body } = parseOpen(fromBase64Url(reused.openBody.open));
    const signed = toBase64Url(await signOpen(body, recorder.signer));
    const answer = await stage.open(reused, { open: signed });
    expectRefusal(answer, 422, 'record-refused');
    expect(answer.body).toMatchObject({ reason: 'key' });
    expect(await stage.holdings()).toEqual(before);
  });

  test('leaves the obligation as it stands, and the epoch before it may still upload', async () => {
    stage.clock.advance(HOUR_MS);
    const resumed = await recorder.resume({ now: stage.clock.now() });
    const answer = expectStatus<Record<string, number>>(await stage.open(resumed), 201);
    const { deleteByMs, openedMs } = (await stage.server.ports.store.recording(recorder.sessionId))!;
    expect(answer['delete_by_ms']).toBe(deleteByMs);
    expect(answer['opened_ms']).toBe(openedMs);
    await stage.upload(recorder, await recorder.chunk(1, media(9)));
    await stage.upload(resumed, await resumed.chunk(1, media(9)));
    expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
    expectStatus(await stage.sendHead(resumed, await resumed.head()), 200);
    stage.clock.advance(-HOUR_MS);
  });

  test('is not opened by somebody who read the id in the log', async () => {
    const standing = await stage.recorder(exam);
    const before = await stage.holdings();
    const resumed = await standing.resume({ now: stage.clock.now() });
    for (const previous_token of [undefined, standing.sessionId, resumed.token]) {
      expectRefusal(await stage.open(resumed, { previous_token }), 401, 'unauthenticated');
    }
    expect(await stage.holdings()).toEqual(before);
  });

  test('does not come after the end', async () => {
    const ended = await stage.recorder(exam);
    expectStatus(await stage.sendHead(ended, await ended.close()), 200);
    const before = await stage.holdings();
    expectRefusal(await stage.open(await ended.resume({ now: stage.clock.now() })), 409, 'recording-ended');
    expect(await stage.holdings()).toEqual(before);
  });
});

test('the shred share that the vault keeps is the one that OPEN commits to', async () => {
  const recorder = await stage.recorder(exam);
  const share = (await stage.server.ports.vault.get(recorder.sessionId)).get(0)!;
  const { shredHash } = parseOpen(fromBase64Url(recorder.openBody.open));
  expect(await hash('shred', share)).toEqual(shredHash);
  expect(stage.reported).toEqual([]);
});
