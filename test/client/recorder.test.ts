import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { concat, fromBase64Url, toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { encodeReceipt, parseReceipt, RECEIPT_CLOSED } from '../../crypto/format/receipt.ts';
import { systemEnvironment, type Environment } from '../../src/client/environment.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import type { Outbox } from '../../src/client/outbox.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { Recorder, type RecorderOptions } from '../../src/client/recorder.ts';
import { ApiSource } from '../../src/client/source.ts';
import { logSigner } from '../../src/server/signing.ts';
import { TRACKS } from './known-media.ts';
import { TestService, type TestExam } from './service.ts';

let service: TestService;
let exam: TestExam;
const folders: string[] = [];
const outboxes: Outbox[] = [];

beforeAll(async () => {
  service = await TestService.start();
  exam = await service.exam({ capture: { chunk_bytes: 65_536 } });
});
afterAll(() => service.stop());
afterEach(async () => {
  for (const outbox of outboxes.splice(0)) await outbox.close();
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function newOutbox(): Promise<Outbox> {
  const directory = await mkdtemp(join(tmpdir(), 'zeroreel-outbox-'));
  folders.push(directory);
  const outbox = await openFolderOutbox({ directory });
  outboxes.push(outbox);
  return outbox;
}

function media(length: number, seed: number): Bytes {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 7 + (i >> 8)) & 0xff);
}

async function openRecorder(outbox: Outbox, seat: string, more: Partial<RecorderOptions> = {}): Promise<Recorder> {
  const options = {
    api: service.api(),
    link: await exam.link(seat),
    outbox,
    tracks: TRACKS,
    about: { name: 'A. Student' },
  };
  return Recorder.open({ ...options, ...more });
}

async function openReader(recordingId: string, instructor = 0): Promise<RecordingReader> {
  await service.server.jobs.publish();
  const { key } = exam.instructors[instructor]!;
  const source = new ApiSource({
    api: service.staff(),
    recordingId,
    keyIdB64: toBase64Url(key.keyId),
    purpose: 'review',
  });
  return RecordingReader.open({ source, pins: exam.pins, key, nowMs: Date.now() });
}

async function readAll(reader: RecordingReader, epoch: number, track: number): Promise<Bytes> {
  const parts: Bytes[] = [];
  for await (const { bytes } of reader.readTrack(epoch, track)) parts.push(bytes);
  return concat(...parts);
}

/** Compared in place of the bytes: a matcher walks half a million numbers for seconds. */
async function digest(bytes: Bytes): Promise<string> {
  return toBase64Url(await sha256(bytes));
}

describe('the day of deletion', () => {
  /** A server that signs receipts with another day than the one it named at OPEN. */
  function puttingOff(ms: number): Environment {
    const { signer } = service.server.ports;
    const changing: typeof fetch = async (input, init) => {
      const answer = await fetch(input, init);
      if (!(input as string).endsWith('/heads') || !answer.ok) return answer;
      const honest = (await answer.json()) as { receipt: string };
      const fields = parseReceipt(fromBase64Url(honest.receipt));
      const receipt = await encodeReceipt({ ...fields, deleteByMs: fields.deleteByMs + ms }, logSigner(signer));
      return Response.json({ ...honest, receipt: toBase64Url(receipt) });
    };
    return { ...systemEnvironment, fetch: changing };
  }

  test('that a receipt puts off is told as equivocation, and the outbox can still be finished', async () => {
    const outbox = await newOutbox();
    const link = await exam.link('seat-late');
    const recorder = await openRecorder(outbox, 'seat-late', { link, api: service.api(puttingOff(1)) });
    await recorder.track(1).write(media(5000, 1), { tMs: 0, durMs: 1000 });
    await expect(recorder.close()).rejects.toMatchObject({
      code: 'equivocation',
      message: expect.stringMatching(/promised deletion by .*Z, and now says .*Z/) as string,
    });
    const options = { api: service.api(), link, outbox };
    await expect(Recorder.finish({ ...options, api: service.api(puttingOff(1)) }, 1)).rejects.toMatchObject({
      code: 'equivocation',
    });
    const receipt = parseReceipt(await Recorder.finish(options, 1));
    expect(receipt.state).toBe(RECEIPT_CLOSED);
  });

  test('that an erasure brings forward breaks no promise', async () => {
    const recorder = await openRecorder(await newOutbox(), 'seat-early', { api: service.api(puttingOff(-1000)) });
    expect(parseReceipt(await recorder.close()).deleteByMs).toBe(recorder.deleteByMs - 1000);
  });
});

describe('one recorder, start to end', () => {
  test('three tracks come back byte for byte to both instructors, and the verdict is COMPLETE', async () => {
    const recorder = await openRecorder(await newOutbox(), 'seat-1');
    const recorded = [media(300_000, 1), media(65_536, 2), utf8('{"t":1,"type":"focus"}\n')];
    for (const [i, bytes] of recorded.entries()) {
      await recorder.track(i + 1).write(bytes, { tMs: 0, durMs: 1000 });
    }
    const receipt = parseReceipt(await recorder.close());
    expect(receipt.state).toBe(RECEIPT_CLOSED);

    for (const instructor of [0, 1]) {
      const reader = await openReader(recorder.recordingId, instructor);
      for (const [i, bytes] of recorded.entries())
        expect(await digest(await readAll(reader, 0, i + 1))).toBe(await digest(bytes));
      const about = await reader.readAbout(0);
      expect(about).toMatchObject({ name: 'A. Student' });
      const findings = await reader.verify('plaintext');
      expect(findings.reasons).toEqual([]);
      expect(findings.verdict).toBe('COMPLETE');
    }
  });
});
