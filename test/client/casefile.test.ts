import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromUtf8, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { encodeHead, parseHead, type HeadRecord } from '../../crypto/format/head.ts';
import { generateDecryptionKey, generateIdentity } from '../../crypto/seal/identity.ts';
import { NodeCaseFolder } from '../../src/client/casefile-node.ts';
import { caseFileOwner, CaseFileSource, exportCaseFile, openCaseFile } from '../../src/client/casefile.ts';
import { ClientError } from '../../src/client/errors.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { Recorder } from '../../src/client/recorder.ts';
import type { Source } from '../../src/client/source.ts';
import type { RecordingFindings } from '../../src/client/verdict.ts';
import { recordWithKnownKey } from './known-key.ts';
import { isKnown, knownStream, TRACKS } from './known-media.ts';
import { MemoryFolder } from './memory-folder.ts';
import { TestService, type TestExam } from './service.ts';

const CHUNK = 4096;
/** Chunks of tracks 1 and 2, in epochs 0 and 1. */
const CHUNKS = 5;

let service: TestService;
let exam: TestExam;
let whole: MemoryFolder;
let exported: RecordingFindings;

beforeAll(async () => {
  service = await TestService.start();
  exam = await service.exam({ capture: { chunk_bytes: CHUNK } });
  const directory = await mkdtemp(join(tmpdir(), 'zeroreel-casefile-'));
  const link = await exam.link('seat-1');
  let recordingId = '';
  for (const epoch of [0, 1]) {
    const outbox = await openFolderOutbox({ directory });
    const options = { api: service.api(), link, outbox, tracks: TRACKS.slice(0, 2) };
    const recorder = epoch === 0 ? await Recorder.open(options) : await Recorder.resume(options);
    for (const track of [1, 2]) {
      for (let seq = 0; seq < CHUNKS; seq++) {
        const bytes = knownStream(epoch, track, seq * CHUNK, CHUNK);
        await recorder.track(track).write(bytes, { tMs: seq * 1000, durMs: 1000 });
      }
    }
    if (epoch === 0) await recorder.suspend();
    else await recorder.close();
    await outbox.close();
    ({ recordingId } = recorder);
  }
  await rm(directory, { recursive: true });
  await service.server.jobs.publish();
  whole = new MemoryFolder();
  const { key } = exam.instructors[0]!;
  exported = await exportCaseFile({ api: service.staff(), recordingId, key, pins: exam.pins, folder: whole });
}, 60_000);
afterAll(() => service.stop());

async function open(folder: MemoryFolder, instructor?: number): Promise<RecordingReader> {
  const key = instructor === undefined ? undefined : exam.instructors[instructor]!.key;
  return openCaseFile({ folder, ownerHash: exam.pins.ownerHash, ...(key && { key }), nowMs: Date.now() });
}

async function judge(folder: MemoryFolder): Promise<RecordingFindings> {
  return (await open(folder, 0)).verify('plaintext');
}

/** What a reader says of a tampered case file: a verdict, or the code of what it threw. */
async function outcome(folder: MemoryFolder): Promise<string> {
  try {
    return (await judge(folder)).verdict;
  } catch (error) {
    if (error instanceof ProtocolError || error instanceof ClientError) return error.code;
    throw error;
  }
}

describe('a whole case file', () => {
  test('is COMPLETE when exported, and offline for both instructors and without a key', async () => {
    expect(exported.reasons).toEqual([]);
    expect(exported.verdict).toBe('COMPLETE');
    for (const instructor of [0, 1]) {
      expect((await (await open(whole, instructor)).verify('plaintext')).verdict).toBe('COMPLETE');
    }
    expect((await (await open(whole)).verify('ciphertext')).verdict).toBe('COMPLETE');
  });

  test('has the layout that was published, and nothing else', () => {
    const layout =
      /^(policy\.bin|recording\.json|epochs\/\d+\/(open\.bin|shred\.bin|wraps\/[\w-]{22}\.bin|heads\/\d+\.bin|tracks\/\d+\/\d+\.bin)|log\/(checkpoint|proofs\/\d+\.(json|tlog-proof)))$/;
    for (const path of whole.files.keys()) expect(path).toMatch(layout);
    expect(whole.files.has('epochs/1/tracks/2/4.bin')).toBe(true);
  });

  test('gives back what was recorded, whole and by time', async () => {
    const reader = await open(whole, 1);
    for (const epoch of [0, 1]) {
      let at = 0;
      for await (const { bytes } of reader.readTrack(epoch, 2)) {
        expect(isKnown(bytes, epoch, 2, at)).toBe(true);
        at += bytes.length;
      }
      expect(at).toBe(CHUNKS * CHUNK);
    }
    const seqs: number[] = [];
    for await (const { seq, startMs, bytes } of reader.readRange(1, 1, 1500, 3500)) {
      seqs.push(seq);
      expect(startMs).toBe(seq * 1000);
      expect(isKnown(bytes, 1, 1, seq * CHUNK)).toBe(true);
    }
    expect(seqs).toEqual([1, 2, 3]);
  });

  test('survives the way through a folder of this machine', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'zeroreel-casefile-'));
    const folder = await NodeCaseFolder.create(directory);
    for (const [path, bytes] of whole.files) await folder.write(path, bytes);
    const reader = await openCaseFile({
      folder: new NodeCaseFolder(directory),
      key: exam.instructors[0]!.key,
      nowMs: Date.now(),
    });
    expect((await reader.verify('plaintext')).verdict).toBe('COMPLETE');
    expect(await caseFileOwner(folder)).toEqual(exam.pins.ownerHash);
    await expect(NodeCaseFolder.create(directory)).rejects.toMatchObject({ code: 'casefile' });
    await rm(directory, { recursive: true });
  });
});

describe('who may not', () => {
  test('another key is no-key', async () => {
    const key = await generateDecryptionKey(2);
    const opening = openCaseFile({ folder: whole, ownerHash: exam.pins.ownerHash, key, nowMs: Date.now() });
    await expect(opening).rejects.toMatchObject({ code: 'no-key' });
  });

  test('another owner is a policy refused', async () => {
    const { publicKey } = await generateIdentity();
    const opening = openCaseFile({ folder: whole, ownerHash: publicKey, nowMs: Date.now() });
    await expect(opening).rejects.toMatchObject({ code: 'policy' });
  });

  test('without the shred share an instructor’s key opens nothing', async () => {
    const folder = whole.copy();
    folder.files.delete('epochs/0/shred.bin');
    folder.files.delete('epochs/1/shred.bin');
    await expect(open(folder, 0)).rejects.toMatchObject({ code: 'no-key' });
  });
});

describe('what is missing', () => {
  test('a chunk in the middle: GAPS, and which', async () => {
    const folder = whole.copy();
    folder.files.delete('epochs/0/tracks/1/2.bin');
    const findings = await judge(folder);
    expect(findings.verdict).toBe('GAPS');
    expect(findings.epochs[0]!.tracks.find(({ track }) => track === 1)!.missing).toEqual([2]);
    await expect(async () => {
      for await (const _ of (await open(folder, 0)).readTrack(0, 1)) continue;
    }).rejects.toMatchObject({ code: 'gap' });
  });

  test('the tail of a track, which only the head still counts: GAPS', async () => {
    const folder = whole.copy();
    folder.files.delete('epochs/1/tracks/1/4.bin');
    folder.files.delete('epochs/1/tracks/1/5.bin');
    const findings = await judge(folder);
    expect(findings.verdict).toBe('GAPS');
    expect(findings.epochs[1]!.tracks.find(({ track }) => track === 1)!.missing).toEqual([4, 5]);
  });

  test('the last head, which the log still names: INVALID; with the log’s word gone too: OPEN-ENDED', async () => {
    const folder = whole.copy();
    for (const path of folder.files.keys()) if (path.startsWith('epochs/1/heads/')) folder.files.delete(path);
    expect(await outcome(folder)).toBe('INVALID');
    for (const [path, bytes] of folder.files) {
      if (path.endsWith('.json') && new TextDecoder().decode(bytes).includes('recording.closed'))
        folder.files.delete(path);
    }
    expect(await outcome(folder)).toBe('OPEN-ENDED');
  });

  test('the last head of an older epoch: its successor names another: GAPS', async () => {
    const folder = whole.copy();
    for (const path of folder.files.keys()) if (path.startsWith('epochs/0/heads/')) folder.files.delete(path);
    expect(await outcome(folder)).toBe('GAPS');
  });

  test('an epoch that the log proves: INVALID', async () => {
    const folder = whole.copy();
    for (const path of folder.files.keys()) if (path.startsWith('epochs/1/')) folder.files.delete(path);
    expect(await outcome(folder)).toBe('INVALID');
  });

  test('the proofs: nothing is believed', async () => {
    const folder = whole.copy();
    for (const path of folder.files.keys()) if (path.startsWith('log/')) folder.files.delete(path);
    expect(await outcome(folder)).toBe('INVALID');
  });

  test('recording.json: the export did not finish', async () => {
    const folder = whole.copy();
    folder.files.delete('recording.json');
    expect(await outcome(folder)).toBe('casefile');
  });
});

describe('what was moved or changed', () => {
  test.each([
    ['two chunks of one track', 'epochs/0/tracks/1/1.bin', 'epochs/0/tracks/1/2.bin'],
    ['chunks of two tracks', 'epochs/0/tracks/1/1.bin', 'epochs/0/tracks/2/1.bin'],
    ['chunks of two epochs', 'epochs/0/tracks/1/1.bin', 'epochs/1/tracks/1/1.bin'],
    ['open records of two epochs', 'epochs/0/open.bin', 'epochs/1/open.bin'],
    ['shred shares of two epochs', 'epochs/0/shred.bin', 'epochs/1/shred.bin'],
  ])('%s swapped: INVALID', async (_what, a, b) => {
    const folder = whole.copy();
    const [first, second] = [folder.files.get(a)!, folder.files.get(b)!];
    folder.files.set(a, second).set(b, first);
    expect(await outcome(folder)).toBe('INVALID');
  });

  test('one bit of any file: never COMPLETE', async () => {
    const survivors: string[] = [];
    const own = toBase64Url(exam.instructors[0]!.key.keyId);
    for (const [path, bytes] of whole.files) {
      // recording.json is a table of contents that nobody believes; the other reader's wrap is not ours to open.
      if (path === 'recording.json' || path === 'log/checkpoint' || (path.includes('/wraps/') && !path.includes(own)))
        continue;
      const folder = whole.copy();
      const bit = (bytes.length * 5) % (bytes.length * 8);
      folder.files.get(path)![bit >> 3]! ^= 1 << (bit & 7);
      if ((await outcome(folder)) === 'COMPLETE') survivors.push(path);
    }
    expect(survivors).toEqual([]);
  });
});

describe('two statements that cannot both be honest', () => {
  /** What a reader says when a dishonest recorder's second word turns up beside, or in place of, its newest head. */
  async function judgeFork(
    change: (head: HeadRecord) => Partial<HeadRecord>,
    isBeside: boolean,
  ): Promise<RecordingFindings> {
    const { folder, signer } = await recordWithKnownKey(service, exam);
    const honest = new CaseFileSource(folder);
    const source: Source = {
      release: async () => {
        const released = await honest.release();
        const [epoch] = released.epochs;
        const [newest] = epoch!.heads;
        const head = parseHead(newest!);
        const forged = await encodeHead({ ...head, ...change(head) }, signer);
        return { ...released, epochs: [{ ...epoch!, heads: isBeside ? [forged, newest!] : [forged] }] };
      },
      // Without the log's word on the end, so that the heads alone must tell.
      entries: async () =>
        (await honest.entries()).filter(({ entry }) => !fromUtf8(entry).includes('recording.closed')),
      object: (name, range) => honest.object(name, range),
    };
    const reader = await RecordingReader.open({ source, pins: exam.pins, nowMs: Date.now() });
    return reader.verify('ciphertext');
  }
  const other: Bytes = new Uint8Array(32).fill(9);

  test('two heads with one number: EQUIVOCATION', async () => {
    const findings = await judgeFork((head) => ({ wallMs: head.wallMs + 1 }), true);
    expect(findings.reasons.join()).toContain('two heads');
    expect(findings.verdict).toBe('EQUIVOCATION');
  });

  test('a head that names another last chunk than the one that was signed: EQUIVOCATION', async () => {
    const rename = (head: HeadRecord) => ({ tracks: head.tracks.map((track) => ({ ...track, last: other })) });
    const findings = await judgeFork(rename, false);
    expect(findings.reasons.join()).toContain('the head names another chunk');
    expect(findings.verdict).toBe('EQUIVOCATION');
  });

  test('a head that counts less, and a track that goes on after its end: INVALID', async () => {
    const shorten = (head: HeadRecord) => ({
      tracks: head.tracks.map((track) => ({ ...track, count: 1, last: other })),
    });
    expect((await judgeFork(shorten, false)).verdict).not.toBe('COMPLETE');
  });

  test('a head that counts four billion chunks more: GAPS at once, and not after four billion requests', async () => {
    const inflate = (head: HeadRecord) => ({
      tracks: head.tracks.map((track) => ({ ...track, count: 0xffffffff, state: 1 as const, last: other })),
    });
    const findings = await judgeFork(inflate, false);
    expect(findings.verdict).toBe('GAPS');
    expect(findings.epochs[0]!.tracks[0]!.missingCount).toBeGreaterThan(4e9);
    expect(findings.epochs[0]!.tracks[0]!.missing.length).toBeLessThanOrEqual(1000);
  });
});
