/** An OPEN that its recorder had given up, and that reaches the server after all, takes nobody's seat away. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { parseReceipt, RECEIPT_CLOSED } from '../../crypto/format/receipt.ts';
import { systemEnvironment, type Environment } from '../../src/client/environment.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { Recorder } from '../../src/client/recorder.ts';
import { ApiSource } from '../../src/client/source.ts';
import { isKnown, knownStream, TRACKS } from './known-media.ts';
import { TestService, type TestExam } from './service.ts';

let service: TestService;
let exam: TestExam;
let directory: string;
beforeAll(async () => {
  service = await TestService.start();
  exam = await service.exam();
  directory = await mkdtemp(join(tmpdir(), 'zeroreel-late-'));
});
afterAll(async () => {
  await service.stop();
  await rm(directory, { recursive: true, force: true });
});

test('the next start goes on after it, and the whole is COMPLETE', async () => {
  /** The first OPEN stays on the way until the server has said that it knows of none. */
  let held: RequestInit | undefined;
  let isDelivered = false;
  const network: Environment = {
    ...systemEnvironment,
    sleep: () => Promise.resolve(),
    fetch: async (input, init) => {
      const url = input instanceof Request ? input.url : String(input);
      const isOpen = init?.method === 'POST' && url.endsWith('/recordings');
      if (isOpen && !isDelivered) {
        held = init;
        throw new TypeError('no answer');
      }
      const response = await fetch(input, init);
      if (held && /\/epochs\/0$/.test(new URL(url).pathname) && !isDelivered) {
        isDelivered = true;
        const late = await fetch(`${service.server.url}/v1/exams/${exam.pins.examId}/recordings`, held);
        expect(late.status).toBe(201);
      }
      return response;
    },
  };
  const link = await exam.link('seat-of-the-slow');
  const outbox = await openFolderOutbox({ directory });
  const options = { api: service.api(network), link, outbox, tracks: TRACKS };
  await expect(Recorder.open(options)).rejects.toMatchObject({ code: 'unreachable' });
  expect(isDelivered).toBe(false);

  const recorder = await Recorder.resume({
    ...options,
    api: service.api({ ...network, sleep: systemEnvironment.sleep }),
  });
  expect(isDelivered).toBe(true);
  expect(recorder.epoch).toBe(1);
  await recorder.track(1).write(knownStream(1, 1, 0, 40_000));
  expect(parseReceipt(await recorder.close()).state).toBe(RECEIPT_CLOSED);
  await outbox.close();

  const { key } = exam.instructors[0]!;
  const { recordingId } = recorder;
  const source = new ApiSource({
    api: service.staff(),
    recordingId,
    keyIdB64: toBase64Url(key.keyId),
    purpose: 'review',
  });
  const reader = await RecordingReader.open({ source, pins: exam.pins, key, nowMs: Date.now() });
  let at = 0;
  for await (const { bytes } of reader.readTrack(1, 1)) {
    expect(isKnown(bytes, 1, 1, at)).toBe(true);
    at += bytes.length;
  }
  expect(at).toBe(40_000);
  const { verdict, reasons } = await reader.verify('plaintext');
  expect({ verdict, reasons }).toEqual({ verdict: 'COMPLETE', reasons: [] });
});
