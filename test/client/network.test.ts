import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import type { ExamLink } from '../../src/client/link.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import type { Outbox } from '../../src/client/outbox.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { Recorder, type RecorderOptions } from '../../src/client/recorder.ts';
import { ApiSource } from '../../src/client/source.ts';
import { isKnown, knownStream, TRACKS } from './known-media.ts';
import { roughNetwork, type RoughNetwork } from './rough-network.ts';
import { movableClock, TestService, type MovableClock, type TestExam } from './service.ts';

const CHUNK = 4096;

let clock: MovableClock;
let service: TestService;
let exam: TestExam;
let network: RoughNetwork;
let directory: string;
let seats = 0;
let link: ExamLink;

beforeAll(async () => {
  clock = movableClock(Date.now());
  service = await TestService.start(clock);
  exam = await service.exam({
    capture: { chunk_bytes: CHUNK, head_seconds: 1 },
    tracks: [{ kind: 'webcam' }, { kind: 'screen' }, { kind: 'events' }],
  });
});
afterAll(() => service.stop());
beforeEach(async () => {
  network = roughNetwork();
  directory = await mkdtemp(join(tmpdir(), 'zeroreel-network-'));
  link = await exam.link(`seat-${++seats}`);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function options(outbox: Outbox): RecorderOptions {
  const environment = { ...network.environment, clock: { ...network.environment.clock, now: () => clock.now() } };
  return { api: service.api(environment), link, outbox, tracks: TRACKS.slice(0, 2) };
}

async function record(recorder: Recorder, epoch: number, chunks: number, from = 0): Promise<void> {
  for (const { track } of TRACKS.slice(0, 2)) {
    await recorder.track(track).write(knownStream(epoch, track, from * CHUNK, chunks * CHUNK));
  }
}

/** Reads everything back and holds it against what was recorded: chunks by epoch. */
async function expectComplete(recordingId: string, chunks: readonly number[]): Promise<void> {
  await service.server.jobs.publish();
  const { key } = exam.instructors[0]!;
  const source = new ApiSource({
    api: service.staff(),
    recordingId,
    keyIdB64: toBase64Url(key.keyId),
    purpose: 'review',
  });
  const reader = await RecordingReader.open({ source, pins: exam.pins, key, nowMs: clock.now() });
  for (const [epoch, expected] of chunks.entries()) {
    for (const { track } of TRACKS.slice(0, 2)) {
      let at = 0;
      for await (const { bytes } of reader.readTrack(epoch, track)) {
        expect(isKnown(bytes, epoch, track, at)).toBe(true);
        at += bytes.length;
      }
      expect(at).toBe(expected * CHUNK);
    }
  }
  const findings = await reader.verify('plaintext');
  expect(findings.reasons).toEqual([]);
  expect(findings.verdict).toBe('COMPLETE');
  for (const [number, released] of network.heads) expect([number, released.size]).toEqual([number, 1]);
}

describe('a network that loses requests and answers', () => {
  test('every third request or answer lost: all is stored once, and no head has two contents', async () => {
    let requests = 0;
    network.fate = () => {
      requests += 1;
      return requests % 3 === 0 ? (requests % 2 === 0 ? 'lost' : 'unanswered') : 'pass';
    };
    const outbox = await openFolderOutbox({ directory });
    const recorder = await Recorder.open(options(outbox));
    await record(recorder, 0, 40);
    await recorder.close();
    await outbox.close();
    expect(network.statuses).toContain(412);
    await expectComplete(recorder.recordingId, [40]);
  });

  test('a URL that expired before its PUT is asked for again', async () => {
    let isFirst = true;
    network.beforePut = () => {
      if (isFirst) clock.advance(301_000);
      isFirst = false;
    };
    const outbox = await openFolderOutbox({ directory });
    const recorder = await Recorder.open(options(outbox));
    await record(recorder, 0, 3);
    await recorder.close();
    await outbox.close();
    expect(network.statuses).toContain(403);
    await expectComplete(recorder.recordingId, [3]);
  });

  test('an outage that leaves more than the server’s window is caught up by the living recorder', async () => {
    const outbox = await openFolderOutbox({ directory });
    const recorder = await Recorder.open(options(outbox));
    network.fate = () => 'lost';
    await record(recorder, 0, 80);
    expect(outbox.backlogBytes).toBeGreaterThan(160 * CHUNK);
    network.fate = () => 'pass';
    await recorder.close();
    expect(outbox.backlogBytes).toBe(0);
    await outbox.close();
    await expectComplete(recorder.recordingId, [80]);
  });

  test('... and, when it died in the outage, by its successor, which has none of its keys', async () => {
    const first = await openFolderOutbox({ directory });
    const died = await Recorder.open(options(first));
    await record(died, 0, 10);
    network.fate = () => 'lost';
    await record(died, 0, 140, 10);
    await died.suspend();
    await first.close();

    network.fate = () => 'pass';
    const outbox = await openFolderOutbox({ directory });
    const recorder = await Recorder.resume(options(outbox));
    await record(recorder, 1, 5);
    await recorder.close();
    await outbox.close();
    await expectComplete(recorder.recordingId, [150, 5]);
  });

  test('silence beyond the patience is unreachable; what was sealed is finished later', async () => {
    const first = await openFolderOutbox({ directory });
    const recorder = await Recorder.open(options(first));
    network.fate = () => 'lost';
    await record(recorder, 0, 10);
    await expect(recorder.close(1, { patienceMs: 200 })).rejects.toMatchObject({ code: 'unreachable' });
    await first.close();

    network.fate = () => 'pass';
    const outbox = await openFolderOutbox({ directory });
    await Recorder.finish(options(outbox), 4);
    await outbox.close();
    await expectComplete(recorder.recordingId, [10]);
  });
});

describe('a server that was reached, and answers that were not', () => {
  test('an OPEN whose answer never came stands, and its epoch is counted as empty', async () => {
    network.fate = (method, url) => (method === 'POST' && url.pathname.endsWith('/recordings') ? 'unanswered' : 'pass');
    const first = await openFolderOutbox({ directory });
    await expect(Recorder.open(options(first))).rejects.toMatchObject({ code: 'unreachable' });
    await first.close();

    network.fate = () => 'pass';
    const outbox = await openFolderOutbox({ directory });
    const recorder = await Recorder.resume(options(outbox));
    await record(recorder, 1, 2);
    await recorder.close();
    await outbox.close();
    await expectComplete(recorder.recordingId, [0, 2]);
  });

  test('an OPEN that never arrived leaves its number free', async () => {
    network.fate = (method, url) => (method === 'POST' && url.pathname.endsWith('/recordings') ? 'lost' : 'pass');
    const first = await openFolderOutbox({ directory });
    await expect(Recorder.open(options(first))).rejects.toMatchObject({ code: 'unreachable' });
    await first.close();

    network.fate = () => 'pass';
    const outbox = await openFolderOutbox({ directory });
    const recorder = await Recorder.resume(options(outbox));
    await record(recorder, 0, 2);
    await recorder.close();
    await outbox.close();
    await expectComplete(recorder.recordingId, [2]);
  });

  test('a closing head whose receipt never came is finished without a new epoch', async () => {
    const first = await openFolderOutbox({ directory });
    const recorder = await Recorder.open(options(first));
    await record(recorder, 0, 4);
    let isClosing = false;
    network.fate = (_method, url) => (isClosing && url.pathname.endsWith('/heads') ? 'unanswered' : 'pass');
    isClosing = true;
    await expect(recorder.close(1, { patienceMs: 3000 })).rejects.toMatchObject({ code: 'unreachable' });
    await first.close();

    const outbox = await openFolderOutbox({ directory });
    await expect(Recorder.finish(options(outbox), 4, { patienceMs: 3000 })).rejects.toMatchObject({
      code: 'unreachable',
    });
    network.fate = () => 'pass';
    await expect(Recorder.resume(options(outbox))).rejects.toMatchObject({ code: 'ended' });
    await Recorder.finish(options(outbox), 4);
    expect((await outbox.session())!.epochs).toHaveLength(1);
    await outbox.close();
    await expectComplete(recorder.recordingId, [4]);
  });
});

describe('a bucket and a disk that have their limits', () => {
  test('a chunk that the bucket took and lost is sent again before its head is believed', async () => {
    const outbox = await openFolderOutbox({ directory });
    const recorder = await Recorder.open(options(outbox));
    let tell: () => void = () => undefined;
    const someStored = new Promise<void>((resolve) => {
      tell = resolve;
    });
    // No head gets through before the loss: what one has confirmed is not looked for again.
    let isLost = false;
    network.fate = (_method, url) => {
      if (network.stored.length >= 3) tell();
      return url.pathname.endsWith('/heads') && !isLost ? 'lost' : 'pass';
    };
    await record(recorder, 0, 6);
    await someStored;
    const [victim] = network.stored;
    await service.server.ports.bucket.deleteVersions([{ key: victim!.split('/').slice(-4).join('/') }]);
    isLost = true;
    await recorder.close();
    await outbox.close();
    // 2 x 6 chunks, two empty final ones, the about chunk, and the one that was lost.
    expect(network.puts).toBe(16);
    await expectComplete(recorder.recordingId, [6]);
  });

  test('a full outbox holds the writer back until there is room, and loses nothing', async () => {
    const outbox = await openFolderOutbox({ directory, maximumBytes: 6 * CHUNK });
    const recorder = await Recorder.open(options(outbox));
    await record(recorder, 0, 30);
    await recorder.close();
    await outbox.close();
    await expectComplete(recorder.recordingId, [30]);
  });

  test('an outbox with no room for one chunk is told to the writer', async () => {
    const outbox = await openFolderOutbox({ directory, maximumBytes: 100 });
    await expect(Recorder.open(options(outbox))).rejects.toMatchObject({ code: 'outbox-full' });
    await outbox.close();
  });
});
