import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseChunkHead } from '../../crypto/format/chunk.ts';
import { CaseFileSource, exportCaseFile } from '../../src/client/casefile.ts';
import type { ByteRange } from '../../src/client/object-store.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { Recorder } from '../../src/client/recorder.ts';
import type { ChunkName } from '../../src/client/source.ts';
import { isKnown, knownStream, TRACKS } from './known-media.ts';
import { MemoryFolder } from './memory-folder.ts';
import { TestService, type TestExam } from './service.ts';

const CHUNK = 4096;
const CHUNKS = 50;
const MISSING = [20, 21, 22];

let service: TestService;
let exam: TestExam;
let whole: MemoryFolder;

/** Counts what is asked for. */
class CountingSource extends CaseFileSource {
  ranges = 0;
  objects = 0;

  override object(name: ChunkName, range?: ByteRange) {
    if (range) this.ranges++;
    else this.objects++;
    return super.object(name, range);
  }
}

/** Track 1 is cut every second; track 2 by size, so that its chunks last anything from 100 ms to 10 s. */
function durationOf(track: number, seq: number): number {
  return track === 1 ? 1000 : 100 * (1 + ((seq * 37) % 100));
}

beforeAll(async () => {
  service = await TestService.start();
  exam = await service.exam({ capture: { chunk_bytes: CHUNK } });
  const directory = await mkdtemp(join(tmpdir(), 'zeroreel-seeking-'));
  const outbox = await openFolderOutbox({ directory });
  const options = { api: service.api(), link: await exam.link('seat-1'), outbox, tracks: TRACKS.slice(0, 2) };
  const recorder = await Recorder.open(options);
  for (const track of [1, 2]) {
    for (let seq = 0, tMs = 0; seq < CHUNKS; tMs += durationOf(track, seq++)) {
      const bytes = knownStream(0, track, seq * CHUNK, CHUNK);
      await recorder.track(track).write(bytes, { tMs, durMs: durationOf(track, seq) });
    }
  }
  await recorder.close();
  await outbox.close();
  await rm(directory, { recursive: true });
  await service.server.jobs.publish();
  whole = new MemoryFolder();
  const { key } = exam.instructors[0]!;
  const { recordingId } = recorder;
  await exportCaseFile({ api: service.staff(), recordingId, key, pins: exam.pins, folder: whole });
}, 60_000);
afterAll(() => service.stop());

async function open(folder: MemoryFolder): Promise<{ reader: RecordingReader; source: CountingSource }> {
  const source = new CountingSource(folder);
  const { key } = exam.instructors[0]!;
  return { source, reader: await RecordingReader.open({ source, pins: exam.pins, key, nowMs: Date.now() }) };
}

/** Where each chunk that is there begins, read one by one. */
function startsOf(folder: MemoryFolder, track: number): { seq: number; startMs: number }[] {
  return Array.from({ length: CHUNKS + 1 }, (_, seq) => seq).flatMap((seq) => {
    const object = folder.files.get(`epochs/0/tracks/${track}/${seq}.bin`);
    return object ? [{ seq, startMs: parseChunkHead(object).header.startMs }] : [];
  });
}

function without(folder: MemoryFolder, track: number, missing: readonly number[]): MemoryFolder {
  const holed = new MemoryFolder();
  for (const [path, bytes] of folder.files) holed.files.set(path, bytes);
  for (const seq of missing) holed.files.delete(`epochs/0/tracks/${track}/${seq}.bin`);
  return holed;
}

test.each([
  ['even chunks', 1, []],
  ['uneven chunks', 2, []],
  ['missing chunks', 1, MISSING],
] as const)('every moment finds the last chunk that begins before it: %s', async (_, track, missing) => {
  const folder = without(whole, track, missing);
  const { reader } = await open(folder);
  const starts = startsOf(folder, track);
  const endMs = await reader.trackEndMs(0, track);
  for (let atMs = 0; atMs < endMs; atMs += 731) {
    expect(await reader.seqAt(0, track, atMs)).toBe(starts.findLast(({ startMs }) => startMs <= atMs)!.seq);
  }
});

test('a moment costs a few heads, a moment nearby none', async () => {
  const { reader, source } = await open(whole);
  await reader.seqAt(0, 1, 33_500);
  expect(source.ranges).toBeLessThanOrEqual(4);
  const before = source.ranges;
  await reader.seqAt(0, 1, 33_600);
  expect(source.ranges).toBe(before);
  expect(source.objects).toBe(0);
});

test('a chunk is read by itself, its head checked once more against the one that was known', async () => {
  const folder = without(whole, 1, MISSING);
  const { reader } = await open(folder);
  expect(isKnown((await reader.readChunk(0, 1, 7))!.bytes, 0, 1, 7 * CHUNK)).toBe(true);
  expect(await reader.readChunk(0, 1, MISSING[0]!)).toBeUndefined();
  folder.files.set('epochs/0/tracks/1/7.bin', whole.files.get('epochs/0/tracks/1/8.bin')!);
  await expect(reader.readChunk(0, 1, 7)).rejects.toMatchObject({ code: 'chain' });
  await expect((await open(folder)).reader.readChunk(0, 1, 7)).rejects.toMatchObject({ code: 'seq' });
});

test('a chunk whose bytes were altered is not handed out', async () => {
  const folder = without(whole, 1, []);
  const altered = whole.files.get('epochs/0/tracks/1/9.bin')!.slice();
  altered[altered.length - 1]! ^= 1;
  folder.files.set('epochs/0/tracks/1/9.bin', altered);
  const { reader } = await open(folder);
  await expect(reader.readChunk(0, 1, 9)).rejects.toMatchObject({ code: 'segment-hash' });
});
