import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parsePolicy } from '../../crypto/format/policy.ts';
import { signCheckpoint } from '../../crypto/log/checkpoint.ts';
import { signExam } from '../../src/client/exam.ts';
import type { ExamLink } from '../../src/client/link.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import type { Outbox } from '../../src/client/outbox.ts';
import { captureRules, fetchCheckpoint } from '../../src/client/pinning.ts';
import { Recorder, type RecorderOptions } from '../../src/client/recorder.ts';
import { systemEnvironment } from '../../src/client/environment.ts';
import { generateIdentity } from '../../crypto/seal/identity.ts';
import { TRACKS } from './known-media.ts';
import { movableClock, TestService, type MovableClock, type TestExam } from './service.ts';

let clock: MovableClock;
let service: TestService;
let exam: TestExam;
let directory: string;
let outbox: Outbox;
let link: ExamLink;
let seats = 0;

beforeAll(async () => {
  clock = movableClock(Date.now());
  service = await TestService.start(clock);
  exam = await service.exam();
});
afterAll(() => service.stop());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'zeroreel-pinning-'));
  outbox = await openFolderOutbox({ directory });
  link = await exam.link(`seat-${++seats}`);
});
afterEach(async () => {
  await outbox.close();
  await rm(directory, { recursive: true, force: true });
});

function options(more: Partial<RecorderOptions> = {}): RecorderOptions {
  return { api: service.api(), link, outbox, tracks: TRACKS, ...more };
}

/** Refused, and nothing was opened: neither here nor at the server. */
async function expectRefusal(attempt: Promise<unknown>, code: string): Promise<void> {
  await expect(attempt).rejects.toMatchObject({ code });
  expect((await outbox.session())?.epochs ?? []).toEqual([]);
}

describe('a policy that the link does not pin', () => {
  test('of another owner is refused before anything is sealed', async () => {
    await expectRefusal(Recorder.open(options({ link: { ...link, ownerHash: new Uint8Array(32) } })), 'policy');
  });

  test('older than the link demands is refused', async () => {
    await expectRefusal(Recorder.open(options({ link: { ...link, minSeq: 1 } })), 'policy');
  });

  test('of another exam is refused, also where the server answers with it', async () => {
    const other = await service.exam();
    const forwarding: typeof fetch = (input, init) =>
      fetch((input as string).replace(link.examId, other.signed.pins.examId), init);
    const api = service.api({ ...systemEnvironment, fetch: forwarding });
    await expectRefusal(Recorder.open(options({ api })), 'policy');
  });

  test('that asks for what this recorder does not know is refused', async () => {
    const asking = await service.exam({ capture: { room_scan: true } });
    const askingLink = await asking.link('seat');
    await expectRefusal(Recorder.open(options({ link: askingLink })), 'policy');
    const recorder = await Recorder.open(options({ link: askingLink, knownRules: ['room_scan'] }));
    await recorder.close();
  });

  test('whose time is over is refused', async () => {
    const short = await service.exam({ notAfterMs: clock.now() + 1000 });
    const late = { ...systemEnvironment, clock: { now: () => clock.now() + 2000, monotonic: () => 0 } };
    await expectRefusal(Recorder.open(options({ api: service.api(late), link: await short.link('seat') })), 'policy');
  });
});

describe('what the recorder is asked to record', () => {
  test('a track that the policy does not have is refused', async () => {
    const tracks = [{ track: 9, kind: 1, codec: 'video/webm' }] as const;
    await expectRefusal(Recorder.open(options({ tracks })), 'track');
  });

  test('a track of another kind than the policy’s is refused', async () => {
    const tracks = [{ track: 1, kind: 3, codec: 'audio/ogg' }] as const;
    await expectRefusal(Recorder.open(options({ tracks })), 'track');
  });

  test('a ticket opens one recording, and a second is told so', async () => {
    const recorder = await Recorder.open(options());
    await recorder.close();
    const elsewhere = await openFolderOutbox({ directory: join(directory, 'second') });
    await expect(Recorder.open(options({ outbox: elsewhere }))).rejects.toMatchObject({ code: 'ticket-used' });
    await elsewhere.close();
  });

  test('an outbox that is in use by a recording is not begun anew', async () => {
    const recorder = await Recorder.open(options());
    await recorder.suspend();
    await expect(Recorder.open(options())).rejects.toMatchObject({ code: 'outbox-used' });
    const other = await service.exam();
    await expect(Recorder.resume(options({ link: await other.link('seat') }))).rejects.toMatchObject({
      code: 'outbox-used',
    });
  });

  test('an empty outbox cannot be resumed', async () => {
    await expectRefusal(Recorder.resume(options()), 'outbox-used');
  });
});

describe('capture rules', () => {
  test('have defaults, bounds and units', () => {
    expect(captureRules({ capture: {} })).toEqual({ chunkBytes: 4_194_304, chunkMs: 10_000, headMs: 30_000 });
    expect(captureRules({ capture: { chunk_seconds: 2.5, head_seconds: 5, chunk_bytes: 4096 } })).toEqual({
      chunkBytes: 4096,
      chunkMs: 2500,
      headMs: 5000,
    });
    for (const capture of [
      { chunk_seconds: 0 },
      { chunk_seconds: 61 },
      { head_seconds: 31 },
      { chunk_bytes: 9e6 },
      { chunk_bytes: '4096' },
    ]) {
      expect(() => captureRules({ capture })).toThrow(/expected/);
    }
    expect(() => captureRules({ capture: { constructor: 1 } })).toThrow(/does not know/);
  });
});

describe('the log that was seen before', () => {
  /** A server that answers with this checkpoint. */
  function serving(note: string) {
    const answering: typeof fetch = async (input, init) =>
      (input as string).endsWith('/log/checkpoint') ? new Response(note) : fetch(input, init);
    return service.api({ ...systemEnvironment, fetch: answering });
  }

  async function newest(): Promise<string> {
    await service.server.jobs.publish();
    return (await service.api().checkpoint())!;
  }

  test('may grow', async () => {
    const { log } = exam.signed.policy;
    const before = await newest();
    await service.exam();
    const seen = await fetchCheckpoint(service.api(), log, before);
    expect(seen!.size).toBeGreaterThan((await fetchCheckpoint(serving(before), log, null))!.size);
  });

  test('may not be rolled back', async () => {
    const { log } = exam.signed.policy;
    const before = await newest();
    await service.exam();
    await expect(fetchCheckpoint(serving(before), log, await newest())).rejects.toMatchObject({ code: 'log' });
  });

  test('may not be forked, at one size or at a larger one', async () => {
    const { log } = exam.signed.policy;
    const note = await newest();
    const { size } = (await fetchCheckpoint(service.api(), log, null))!;
    const { signer } = service.server.ports;
    for (const forkSize of [size, size - 1]) {
      const fork = { origin: log.origin, size: forkSize, root: new Uint8Array(32).fill(3) };
      const forked = await signCheckpoint(fork, signer.publicKey, (message) => signer.sign(message));
      await expect(fetchCheckpoint(serving(note), log, forked)).rejects.toMatchObject({ code: 'log' });
    }
  });

  test('may not be another log, whoever signs it', async () => {
    const { log } = exam.signed.policy;
    const { publicKey, signer } = await generateIdentity();
    const stranger = { origin: log.origin, size: 1, root: new Uint8Array(32) };
    const note = await signCheckpoint(stranger, publicKey, (message) => signer.sign('open', message.slice(0, 32)));
    await expect(fetchCheckpoint(serving(note), log, null)).rejects.toMatchObject({ code: 'log' });
  });
});

test('the next version of an exam keeps its id and owner, and names its predecessor', async () => {
  const previous = await parsePolicy(exam.signed.bytes);
  const { policy } = exam.signed;
  const [first] = policy.recipients;
  const plan = {
    title: 'second version',
    recipients: [{ role: 'instructor' as const, key: first!.pk, identity: first!.identity, label: first!.label }],
    tracks: [{ kind: 'webcam' as const }],
    notBeforeMs: policy.not_before,
    notAfterMs: policy.not_after,
    log: policy.log,
  };
  const next = await signExam(plan, exam.owner.signer, previous);
  expect(next.policy).toMatchObject({ exam_id: policy.exam_id, seq: 1, owner: policy.owner });
  expect(next.policy.notice.text).toContain('30 days');
  await expect(signExam({ ...plan, recipients: [] }, exam.owner.signer)).rejects.toMatchObject({ code: 'policy' });
  await expect(
    signExam({ ...plan, minSuite: 2, recipients: [plan.recipients[0]!] }, exam.owner.signer, previous),
  ).resolves.toBeDefined();
});
