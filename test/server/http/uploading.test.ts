import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fromBase64Url, toBase64Url } from '../../../crypto/format/bytes.ts';
import { chunkObjectLength, MAX_PLAINTEXT } from '../../../crypto/format/chunk.ts';
import { type HeadTrack, TRACK_ENDED, TRACK_LIVE } from '../../../crypto/format/head.ts';
import { newId } from '../../../crypto/format/ids.ts';
import { randomBytes } from '../../../crypto/format/random.ts';
import { parseReceipt } from '../../../crypto/format/receipt.ts';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import { generateSigner } from '../../../crypto/seal/identity.ts';
import { UPLOADS_PER_CALL } from '../../../schema/api.ts';
import type { ErrorCode } from '../../../src/server/errors.ts';
import { media, promiseOf, type SealedChunk, type TestExam, type TestRecorder } from '../recorder.ts';
import { expectRefusal } from '../refusal.ts';
import { download, read } from '../reader.ts';
import { type Answer, expectStatus, type Holdings, MINUTE_MS, put, Stage, type UploadAnswer } from '../stage.ts';

let stage: Stage;
let exam: TestExam;
/** One chunk of track 1 is stored and counted by head 0. */
let recorder: TestRecorder;
let stored: SealedChunk;
let before: Holdings;

beforeAll(async () => {
  stage = await Stage.start();
  exam = await stage.exam();
});
afterAll(() => stage.stop());

beforeEach(async () => {
  recorder = await stage.recorder(exam);
  stored = await recorder.chunk(1, media(70_000));
  await stage.upload(recorder, stored);
  expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
  before = await stage.holdings();
});

/** What was acknowledged is still there and still opens. */
async function expectReadable(): Promise<void> {
  const opened = await read(stage, recorder.sessionId, exam.readers[1]!);
  expect(opened.get('0/1')?.[0]).toEqual(stored.plaintext);
}

const ask = (...chunks: SealedChunk['request'][]) => stage.askUploads(recorder, chunks);
const request = (changes: Partial<SealedChunk['request']> = {}): SealedChunk['request'] => ({
  ...{ track: 1, seq: 1, bytes: 1000, sha256: 'A'.repeat(43) },
  ...changes,
});

describe('an upload is refused, and nothing is written, for', () => {
  const refused = { status: 422, code: 'chunk-refused' } as const;
  const cases: { what: string; status: number; code: ErrorCode; chunks: SealedChunk['request'][] }[] = [
    { what: 'a track that was not opened', ...refused, chunks: [request({ track: 2 })] },
    { what: 'a chunk shorter than any', ...refused, chunks: [request({ bytes: chunkObjectLength(0) - 1 })] },
    { what: 'a chunk longer than any', ...refused, chunks: [request({ bytes: chunkObjectLength(MAX_PLAINTEXT) + 1 })] },
    { what: 'one chunk twice', ...refused, chunks: [request(), request()] },
    { what: 'a good chunk beside a bad one', ...refused, chunks: [request(), request({ track: 9 })] },
    { what: 'a chunk too far ahead', status: 409, code: 'window-full', chunks: [request({ seq: 65 })] },
    {
      what: 'the last sequence number there is',
      status: 409,
      code: 'window-full',
      chunks: [request({ seq: 0xffffffff })],
    },
    { what: 'a sequence number beyond', status: 400, code: 'malformed', chunks: [request({ seq: 0x1_0000_0000 })] },
    { what: 'a negative track', status: 400, code: 'malformed', chunks: [request({ track: -1 })] },
    { what: 'a hash that is none', status: 400, code: 'malformed', chunks: [request({ sha256: 'x' })] },
    {
      what: 'more chunks than a call takes',
      status: 400,
      code: 'malformed',
      chunks: Array.from({ length: UPLOADS_PER_CALL + 1 }, (_, index) => request({ seq: index + 1 })),
    },
  ];

  test.each(cases)('$what', async ({ status, code, chunks }) => {
    expectRefusal(await ask(...chunks), status, code);
    expect(await stage.holdings()).toEqual(before);
  });

  test('other content of a sequence number that was signed once; the others in the call are not remembered either', async () => {
    const chunk = await recorder.chunk(1, media(100));
    await stage.sign(recorder, chunk);
    before = await stage.holdings();
    const other = { ...chunk.request, sha256: 'A'.repeat(43) };
    expectRefusal(await ask(request({ seq: 2 }), other), 409, 'chunk-conflict');
    expectRefusal(await ask({ ...chunk.request, bytes: 1000 }), 409, 'chunk-conflict');
    expect(await stage.holdings()).toEqual(before);
    await stage.upload(recorder, chunk);
  });
});

test('what a head covers is not signed again, whatever it is said to be', async () => {
  const answer = await ask(stored.request, request());
  const { uploads } = expectStatus<{ uploads: UploadAnswer[] }>(answer, 200);
  expect(uploads[0]).toEqual({ state: 'stored', track: 1, seq: 0 });
  const lie = expectStatus<{ uploads: UploadAnswer[] }>(await ask(request({ seq: 0 })), 200);
  expect(lie.uploads).toEqual([{ state: 'stored', track: 1, seq: 0 }]);
  await expectReadable();
});

test('the window is 64 chunks ahead of the newest head, all in one call', async () => {
  const chunks = Array.from({ length: UPLOADS_PER_CALL }, (_, index) => request({ seq: index + 1 }));
  const { uploads } = expectStatus<{ uploads: UploadAnswer[] }>(await ask(...chunks), 200);
  expect(uploads).toHaveLength(UPLOADS_PER_CALL);
});

describe('a presigned URL is one promise', () => {
  let chunk: SealedChunk;
  let upload: Awaited<ReturnType<Stage['sign']>>;
  beforeEach(async () => {
    chunk = await recorder.chunk(1, media(3000));
    upload = await stage.sign(recorder, chunk);
    before = await stage.holdings();
  });
  const send = async (init: RequestInit, url = upload.url) => {
    const response = await fetch(url, init);
    await response.arrayBuffer();
    return response.status;
  };

  test('for these bytes: others of the same length are refused', async () => {
    const other = chunk.object.slice();
    other[other.length - 1]! ^= 1;
    expect(await put(upload, other)).toBe(400);
    expect(await stage.holdings()).toEqual(before);
  });

  test.each([
    ['shorter', (object: Uint8Array<ArrayBuffer>) => object.slice(1)],
    ['longer', (object: Uint8Array<ArrayBuffer>) => new Uint8Array([...object, 0])],
    ['empty', () => new Uint8Array(0)],
  ])('for this length: a %s body is refused', async (_, change) => {
    expect(await put(upload, change(chunk.object))).toBe(403); // content-length is signed
    expect(await stage.holdings()).toEqual(before);
  });

  test('for one time: the second PUT is refused and the first stays', async () => {
    expect(await put(upload, chunk.object)).toBe(200);
    before = await stage.holdings();
    expect(await put(upload, chunk.object)).toBe(412);
    expect(await stage.holdings()).toEqual(before);
    expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
    expect(await download(stage, recorder.sessionId, { epoch: 0, track: 1, seq: 1 })).toEqual(chunk.object);
  });

  test('for five minutes', async () => {
    stage.clock.advance(5 * MINUTE_MS + 1000);
    expect(await put(upload, chunk.object)).toBe(403);
    expect(await stage.holdings()).toEqual(before);
    // The recorder asks again, and the same content is signed again.
    await stage.upload(recorder, chunk);
  });

  test.each(['GET', 'DELETE', 'POST', 'HEAD'])('for PUT and not for %s', async (method) => {
    expect(await send({ method })).toBe(403);
    expect(await stage.holdings()).toEqual(before);
  });

  test.each([
    ['another key', (url: URL) => (url.pathname = url.pathname.replace(/\d$/, '7'))],
    ['another recording', (url: URL) => (url.pathname = url.pathname.replace(recorder.sessionId, newId()))],
    [
      'a longer life',
      (url: URL) => {
        url.searchParams.set('X-Amz-Expires', '86400');
      },
    ],
    [
      'fewer signed headers',
      (url: URL) => {
        url.searchParams.set('X-Amz-SignedHeaders', 'host');
      },
    ],
    [
      'another signature',
      (url: URL) => {
        url.searchParams.set('X-Amz-Signature', '0'.repeat(64));
      },
    ],
    [
      'a sub-resource',
      (url: URL) => {
        url.searchParams.set('acl', '');
      },
    ],
  ])('as it was signed, not with %s', async (_, change) => {
    const url = new URL(upload.url);
    change(url);
    const init = { method: 'PUT', headers: upload.headers, body: chunk.object };
    expect(await send(init, url.href)).toBe(403);
    expect(await stage.holdings()).toEqual(before);
  });

  test.each(['if-none-match', 'x-amz-content-sha256', 'x-amz-checksum-sha256', 'x-amz-sdk-checksum-algorithm'])(
    'with all its headers, also %s',
    async (name) => {
      const { [name]: _left, ...headers } = upload.headers;
      expect(await put(upload, chunk.object, headers)).toBe(403);
      expect(await put(upload, chunk.object, { ...upload.headers, [name]: 'UNSIGNED-PAYLOAD' })).toBe(403);
      expect(await stage.holdings()).toEqual(before);
    },
  );
});

describe('a head is refused, and what was acknowledged stays, when', () => {
  interface Lie {
    what: string;
    status: number;
    code: ErrorCode;
    reason?: string;
    head: () => Promise<string>;
  }
  const conflict = { status: 409, code: 'head-conflict' } as const;
  const tracks = (count: number, last = stored.entryHash): HeadTrack[] => [
    { track: 1, state: TRACK_LIVE, count, last },
    { track: 4, state: TRACK_LIVE, count: 0, last: recorder.openHash },
  ];
  const cases: Lie[] = [
    {
      what: 'it goes back',
      ...conflict,
      reason: 'seq',
      head: () => recorder.head({ tracks: tracks(0, recorder.openHash) }),
    },
    { what: 'it skips a number', ...conflict, reason: 'seq', head: () => recorder.head({ headSeq: 2 }) },
    {
      what: 'it has another predecessor',
      ...conflict,
      reason: 'chain',
      head: () => recorder.head({ prev: randomBytes(32) }),
    },
    { what: 'it is for another epoch', status: 401, code: 'unauthenticated', head: () => recorder.head({ epoch: 1 }) },
    {
      what: 'it is for another recording',
      ...conflict,
      reason: 'identity',
      head: () => recorder.head({ sessionId: newId() }),
    },
    {
      what: 'it counts what was never asked for',
      status: 409,
      code: 'chunks-missing',
      head: () => recorder.head({ tracks: tracks(2, randomBytes(32)) }),
    },
    {
      what: 'it counts more than could have been asked for',
      status: 422,
      code: 'head-refused',
      head: () => recorder.head({ tracks: tracks(66, randomBytes(32)) }),
    },
    {
      what: 'a track is missing in it',
      ...conflict,
      reason: 'seq',
      head: () => recorder.head({ tracks: tracks(1).slice(0, 1) }),
    },
    {
      what: 'a track is in it that was not opened',
      status: 422,
      code: 'head-refused',
      head: () =>
        recorder.head({ tracks: [...tracks(1), { track: 9, state: TRACK_LIVE, count: 0, last: recorder.openHash }] }),
    },
    {
      what: 'another key signed it',
      status: 422,
      code: 'record-refused',
      reason: 'signature',
      head: async () => recorder.head({}, await generateSigner()),
    },
    {
      what: 'a bit of it is flipped',
      status: 422,
      code: 'record-refused',
      reason: 'signature',
      head: async () => {
        const bytes = fromBase64Url(await recorder.head());
        bytes[70]! ^= 1; // inside wall_ms
        return toBase64Url(bytes);
      },
    },
    {
      what: 'it is cut',
      status: 422,
      code: 'record-refused',
      reason: 'length',
      head: async () => toBase64Url(fromBase64Url(await recorder.head()).slice(0, -1)),
    },
  ];

  test.each(cases)('$what', async ({ status, code, reason, head }) => {
    const answer = await stage.sendHead(recorder, await head());
    expectRefusal(answer, status, code);
    expect((answer.body as { reason?: string }).reason).toBe(reason);
    expect(await stage.holdings()).toEqual(before);
    await expectReadable();
  });

  test('it counts a chunk that was signed and never uploaded: told which, and good once it is there', async () => {
    const late = await recorder.chunk(1, media(50));
    const upload = await stage.sign(recorder, late);
    const head = await recorder.head();
    before = await stage.holdings();
    const answer = await stage.sendHead(recorder, head);
    expectRefusal(answer, 409, 'chunks-missing');
    expect(answer.body).toMatchObject({ missing: [{ track: 1, seq: 1 }] });
    expect(await stage.holdings()).toEqual(before);
    expect(await put(upload, late.object)).toBe(200);
    expectStatus(await stage.sendHead(recorder, head), 200);
  });

  test('it forks: refused, and one anomaly tells of it', async () => {
    const { store } = stage.server.ports;
    const rewind = recorder.fork();
    expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
    const size = await store.logSize();
    for (let wallMs = 1; wallMs < 4; wallMs++) {
      rewind();
      const answer = await stage.sendHead(recorder, await recorder.head({ wallMs }));
      expectRefusal(answer, 409, 'head-conflict');
      expect(answer.body).toMatchObject({ reason: 'equivocation', current: { head_seq: 1 } });
    }
    const entries = (await store.entries(size, 9)).map(({ bytes }) => decodeEntry(bytes));
    expect(entries).toMatchObject([{ type: 'anomaly.found', kind: 'equivocation', recording: recorder.sessionId }]);
    await expectReadable();
  });

  test('it comes twice: the same receipt’s promise again, and nothing is written', async () => {
    const head = await recorder.head();
    const first = expectStatus<{ receipt: string }>(await stage.sendHead(recorder, head), 200);
    before = await stage.holdings();
    const again = expectStatus<{ receipt: string }>(await stage.sendHead(recorder, head), 200);
    expect(parseReceipt(fromBase64Url(again.receipt))).toEqual(parseReceipt(fromBase64Url(first.receipt)));
    expect(await stage.holdings()).toEqual(before);
  });

  test('an older one comes again', async () => {
    const rewind = recorder.fork();
    const older = await recorder.head();
    rewind();
    const same = await recorder.head();
    expect(same).toBe(older); // Ed25519 is deterministic: a recorder that sends again sends the same bytes
    expectStatus(await stage.sendHead(recorder, older), 200);
    expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
    before = await stage.holdings();
    expectRefusal(await stage.sendHead(recorder, older), 409, 'head-conflict');
    expect(await stage.holdings()).toEqual(before);
  });

  test('it goes on with a track after its end', async () => {
    const [webcam, events] = tracks(1);
    const ended = [{ ...webcam!, state: TRACK_ENDED } as const, events!];
    expectStatus(await stage.sendHead(recorder, await recorder.head({ tracks: ended })), 200);
    const chunk = await recorder.chunk(1, media(5));
    await stage.upload(recorder, chunk);
    before = await stage.holdings();
    const answer = await stage.sendHead(recorder, await recorder.head());
    expectRefusal(answer, 409, 'head-conflict');
    expect(answer.body).toMatchObject({ reason: 'final' });
    expect(await stage.holdings()).toEqual(before);
  });
});

test('a head that travels with an upload call is countersigned with it', async () => {
  const head = await recorder.head();
  const next = await recorder.chunk(4, media(20));
  const answer = expectStatus<{ receipt: { state: string }; uploads: UploadAnswer[] }>(
    await stage.askUploads(recorder, [next.request], head),
    200,
  );
  expect(answer.receipt.state).toBe('open');
  expect(answer.uploads[0]?.state).toBe('signed');
});

test('a bad head refuses the whole call: nothing is remembered for its chunks', async () => {
  const next = await recorder.chunk(4, media(20));
  const answer = await stage.askUploads(recorder, [next.request], await recorder.head({ headSeq: 7 }));
  expectRefusal(answer, 409, 'head-conflict');
  expect(await stage.holdings()).toEqual(before);
});

describe('the end', () => {
  test('after a close nothing is signed and no head follows, but the closing one is countersigned again', async () => {
    const closing = await recorder.close();
    const first = expectStatus<{ receipt: string; state: string }>(await stage.sendHead(recorder, closing), 200);
    expect(first.state).toBe('closed');
    before = await stage.holdings();
    expectRefusal(await ask(request()), 409, 'recording-ended');
    expectRefusal(await stage.sendHead(recorder, await recorder.head()), 409, 'recording-ended');
    const again = expectStatus<{ receipt: string }>(await stage.sendHead(recorder, closing), 200);
    expect(again.receipt).toBe(first.receipt);
    expect(await stage.holdings()).toEqual(before);
    await expectReadable();
  });

  test('of the time for uploads comes before any URL could live near delete_by', async () => {
    const { uploadsUntilMs, deleteByMs } = (await stage.server.ports.store.recording(recorder.sessionId))!;
    const now = stage.clock.now();
    const chunk = await recorder.chunk(1, media(10));
    stage.clock.advance(uploadsUntilMs - 5 * MINUTE_MS - now);
    await stage.sign(recorder, chunk);
    stage.clock.advance(1);
    before = await stage.holdings();
    expectRefusal(await ask(chunk.request), 409, 'uploads-over');
    expect(await stage.holdings()).toEqual(before);
    expect(deleteByMs - uploadsUntilMs).toBeGreaterThan(15 * MINUTE_MS - 1);
    stage.clock.advance(now - stage.clock.now());
  });

  test('delete_by holds before any purge comes: nothing is signed, countersigned or released from that moment', async () => {
    const now = stage.clock.now();
    const { deleteByMs } = (await stage.server.ports.store.recording(recorder.sessionId))!;
    const release = () =>
      stage.call('POST', `/v1/recordings/${recorder.sessionId}/release`, {
        token: stage.admin,
        body: { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' },
      });
    stage.clock.advance(deleteByMs - 1 - now);
    expectStatus(await release(), 200);
    stage.clock.advance(1);
    before = await stage.holdings();
    const next = await recorder.head();
    const late: Answer[] = [await ask(request()), await stage.sendHead(recorder, next), await release()];
    late.push(
      await stage.call('POST', `/v1/recordings/${recorder.sessionId}/downloads`, {
        token: stage.admin,
        body: { objects: [{ epoch: 0, track: 1, seq: 0 }] },
      }),
      await stage.open(recorder),
    );
    for (const answer of late) expectRefusal(answer, 410, 'recording-deleted');
    expect(await stage.holdings()).toEqual(before);

    await stage.server.jobs.purge();
    for (const answer of [await ask(request()), await stage.sendHead(recorder, next), await stage.open(recorder)]) {
      expectRefusal(answer, 410, 'recording-deleted');
    }
    expect(Object.keys((await stage.holdings()).objects).filter((key) => key.startsWith(recorder.sessionId))).toEqual(
      [],
    );
    stage.clock.advance(now - stage.clock.now());
  });

  test('once a deletion is intended, nothing is signed any more, though objects are still there', async () => {
    const { store } = stage.server.ports;
    const { id, deleteByMs } = (await store.recording(recorder.sessionId))!;
    const entry = {
      v: 1,
      type: 'deletion.intended',
      at: stage.clock.now(),
      recording: id,
      delete_by: deleteByMs,
    } as const;
    await store.intendDeletion(id, { objects: 1, bytes: 1 }, { ...entry, reason: 'erasure' });
    before = await stage.holdings();
    expectRefusal(await ask(request()), 410, 'recording-deleted');
    expectRefusal(await stage.sendHead(recorder, await recorder.head()), 410, 'recording-deleted');
    expectRefusal(await stage.open(await recorder.resume({ now: stage.clock.now() })), 410, 'recording-deleted');
    expect(await stage.holdings()).toEqual(before);
  });
});

describe('a chunk that lies about itself is stored as it is, and no reader takes it', () => {
  const lies: [what: string, change: Parameters<TestRecorder['chunk']>[2], error: RegExp][] = [
    ['its track', { track: 4 }, /expected track 1, found 4/],
    ['its epoch', { epoch: 3 }, /expected epoch 0, found 3/],
    ['its sequence number', { seq: 9 }, /expected chunk 1, found 9/],
    ['its recording', { sessionId: newId() }, /another session/],
    ['its predecessor', { prev: new Uint8Array(32) }, /another predecessor/],
  ];

  test.each(lies)('%s', async (_, change, error) => {
    const chunk = await recorder.chunk(1, media(40), change);
    await stage.upload(recorder, chunk);
    await expect(read(stage, recorder.sessionId, exam.readers[0]!)).rejects.toThrow(error);
  });

  test('its signature', async () => {
    const chunk = await recorder.chunk(1, media(40));
    const object = chunk.object.slice();
    object[130]! ^= 1; // inside the commitment
    const forged = { ...chunk, object, request: await promiseOf(1, 1, object) };
    await stage.upload(recorder, forged);
    await expect(read(stage, recorder.sessionId, exam.readers[0]!)).rejects.toThrow(/signature/);
  });
});

test('the recorder is told how it stands: counts, pending uploads, the newest head, the times', async () => {
  const chunk = await recorder.chunk(1, media(10));
  await stage.sign(recorder, chunk);
  const answer = await stage.call('GET', `/v1/recordings/${recorder.sessionId}/epochs/0`, { token: recorder.token });
  expect(answer).toMatchObject({
    status: 200,
    body: {
      state: 'open',
      epoch: 0,
      last_epoch: 0,
      head: { head_seq: 0 },
      tracks: [
        { track: 1, count: 1, bytes: stored.object.length },
        { track: 4, count: 0, bytes: 0 },
      ],
      pending: [chunk.request],
    },
  });
});

test('none of this was a failure of the server', () => {
  expect(stage.reported).toEqual([]);
});
