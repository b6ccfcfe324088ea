/**
 * Each verdict of PROTOCOL.md section 9, brought about by a recorder, server, bucket or instructor that misbehaves. The recording, the
 * service, the bucket and the log are real; who lies has the keys that it would have, and lies on the wire.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { concat, fromBase64Url, fromUtf8, toBase64Url, utf8, type Bytes } from '../crypto/format/bytes.ts';
import { parseChunkHead } from '../crypto/format/chunk.ts';
import type { Signer } from '../crypto/format/ed25519.ts';
import { ProtocolError } from '../crypto/format/errors.ts';
import { encodeHead, parseHead, type HeadFields } from '../crypto/format/head.ts';
import { encodeEncryptionKey, encodeIdentity } from '../crypto/format/ids.ts';
import { openHash, parseOpen, signOpen } from '../crypto/format/open.ts';
import { parsePolicy } from '../crypto/format/policy.ts';
import { signCheckpoint } from '../crypto/log/checkpoint.ts';
import { decodeEntry, encodeEntry } from '../crypto/log/entry.ts';
import { encodeProof } from '../crypto/log/proof.ts';
import { Frontier, leafHash, proveInclusion } from '../crypto/log/tree.ts';
import { sealChunk } from '../crypto/seal/chunk.ts';
import { generateDecryptionKey, generateIdentity } from '../crypto/seal/identity.ts';
import { openEpochKeys } from '../crypto/seal/schedule.ts';
import type { Release } from '../schema/api.ts';
import type { ReaderPins } from '../src/client/epoch-check.ts';
import { signExam } from '../src/client/exam.ts';
import {
  type Beacon,
  fetchCheckpoint,
  watchLog,
  watchLogOffline,
  type CheckpointShelf,
} from '../src/client/pinning.ts';
import { RecordingReader } from '../src/client/reader.ts';
import { ApiSource, type ChunkName } from '../src/client/source.ts';
import { recordWithKnownKey } from './client/known-key.ts';
import { lying, type Lies } from './client/liar.ts';
import { memoryHashes } from './crypto/log/trees.ts';
import { TestService, type TestExam } from './client/service.ts';

let service: TestService;
let exam: TestExam;
let recorder: Signer;
let recordingId: string;
let released: Release;

beforeAll(async () => {
  service = await TestService.start();
  exam = await service.exam({ capture: { chunk_bytes: 4096 } });
  ({ signer: recorder, recordingId } = await recordWithKnownKey(service, exam, [1, 2]));
  released = await sourceOf({}).released();
}, 60_000);
afterAll(() => service.stop());

function sourceOf(lies: Lies): ApiSource {
  const keyIdB64 = toBase64Url(exam.instructors[0]!.key.keyId);
  return new ApiSource({ api: service.staff(lying(service, lies)), recordingId, keyIdB64, purpose: 'review' });
}

async function readerOf(lies: Lies, pins: ReaderPins = exam.pins, shelf?: CheckpointShelf): Promise<RecordingReader> {
  const { key } = exam.instructors[0]!;
  const watch = shelf && watchLog(service.api(lying(service, lies)), shelf);
  return RecordingReader.open({ source: sourceOf(lies), pins, key, nowMs: Date.now(), watch });
}

/** Verdict, or the code of the refusal, of a reader who is lied to. */
async function outcome(lies: Lies, pins?: ReaderPins, shelf?: CheckpointShelf): Promise<string> {
  try {
    return (await (await readerOf(lies, pins, shelf)).verify('plaintext')).verdict;
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

/** The server releases something else. */
const releasing = (change: (honest: Release) => Release): Lies => ({
  answer: (path, honest) => (path.endsWith('/release') ? change(honest as Release) : honest),
});
const withEpoch = (change: Partial<Release['epochs'][number]>): Lies =>
  releasing((honest) => ({ ...honest, epochs: [{ ...honest.epochs[0]!, ...change }] }));

interface ReceiptAnswer {
  entries: { index: number; entry: string; proof: string | null }[];
}
/** The server keeps back entries of the log that `isTold` does not let pass. */
const telling = (isTold: (entry: string) => boolean, more: Lies = {}): Lies => ({
  answer: (path, honest) => {
    if (!path.includes('/receipts/')) return more.answer ? more.answer(path, honest) : honest;
    const { entries } = honest as ReceiptAnswer;
    return { ...(honest as object), entries: entries.filter(({ entry }) => isTold(fromUtf8(fromBase64Url(entry)))) };
  },
});
const isEnding = (entry: string): boolean => entry.includes('recording.closed');

/** The bucket answers with another object, or none, where this chunk is asked for. */
const answering = (track: number, seq: number, other: Partial<ChunkName> | null): Lies => ({
  object: (asked) => (asked.track === track && asked.seq === seq ? other && { ...asked, ...other } : asked),
});
const replacing = (track: number, seq: number, content: (honest: Bytes) => Bytes): Lies => ({
  content: (asked, honest) => (asked.track === track && asked.seq === seq ? content(honest) : honest),
});

/** The recorder signs another head than the newest one that it sent. */
async function forkedHead(change: Partial<HeadFields>): Promise<Bytes> {
  const head = parseHead(fromBase64Url(released.epochs[0]!.head!));
  return encodeHead({ ...head, ...change }, recorder);
}

test('everybody honest: COMPLETE', async () => {
  expect(await outcome({})).toBe('COMPLETE');
});

describe('dropped tail', () => {
  test('by the server’s listing: GAPS, because a signed head still counts it', async () => {
    const shorter = released.epochs[0]!.tracks.map((track) => ({ ...track, end: track.end - 1 }));
    expect(await outcome(withEpoch({ tracks: shorter }))).toBe('GAPS');
    expect(await outcome(withEpoch({ tracks: [] }))).toBe('GAPS');
  });

  test('by the bucket: GAPS', async () => {
    const { end } = released.epochs[0]!.tracks[0]!;
    expect(await outcome(answering(1, end - 1, null))).toBe('GAPS');
  });

  test('with the close: INVALID against the log’s word, OPEN-ENDED where that is held back too', async () => {
    expect(await outcome(withEpoch({ head: null }))).toBe('INVALID');
    expect(await outcome(telling((entry) => !isEnding(entry), withEpoch({ head: null })))).toBe('OPEN-ENDED');
  });
});

test('dropped middle, by the bucket: GAPS', async () => {
  expect(await outcome(answering(1, 1, null))).toBe('GAPS');
});

test('swapped tracks, by the bucket: INVALID; a neighbour of the same track, or one bit, too', async () => {
  const swap = (asked: ChunkName): ChunkName => ({ ...asked, track: asked.track === 1 ? 2 : 1 });
  expect(await outcome({ object: swap })).toBe('INVALID');
  expect(await outcome(answering(1, 1, { track: 2 }))).toBe('INVALID');
  expect(await outcome(answering(1, 1, { seq: 2 }))).toBe('INVALID');
  const altered = (honest: Bytes): Bytes => honest.map((byte, i) => (i === honest.length - 1 ? byte ^ 1 : byte));
  expect(await outcome(replacing(1, 1, altered))).toBe('INVALID');
});

test('replayed epoch, by the server: INVALID', async () => {
  const again = (honest: Release): Release => {
    const [epoch] = honest.epochs;
    return { ...honest, epochs: [epoch!, { ...epoch!, epoch: 1 }] };
  };
  expect(await outcome({ ...releasing(again), object: (asked) => ({ ...asked, epoch: 0 }) })).toBe('INVALID');
  expect(await outcome(releasing((honest) => ({ ...honest, epochs: [] })))).toBe('INVALID');
  expect(await outcome(telling(() => false))).toBe('INVALID');
});

test('a head that counts a track which was never opened, by the recorder: INVALID', async () => {
  const { tracks } = parseHead(fromBase64Url(released.epochs[0]!.head!));
  const more = [...tracks, { track: 9, state: 1 as const, count: 5, last: new Uint8Array(32) }];
  const head = toBase64Url(await forkedHead({ tracks: more }));
  expect(await outcome(telling((entry) => !isEnding(entry), withEpoch({ head })))).toBe('INVALID');
});

describe('forked heads, by the recorder', () => {
  test('one that names another last chunk than was signed: EQUIVOCATION', async () => {
    const { tracks } = parseHead(fromBase64Url(released.epochs[0]!.head!));
    const renamed = tracks.map((track) => ({ ...track, last: new Uint8Array(32).fill(9) }));
    const head = toBase64Url(await forkedHead({ tracks: renamed }));
    expect(await outcome(withEpoch({ head }))).toBe('EQUIVOCATION');
  });

  test('another of the same number, with the server’s help: INVALID, because the log proves which one was acknowledged', async () => {
    const head = toBase64Url(await forkedHead({ wallMs: 1 }));
    expect(await outcome(withEpoch({ head }))).toBe('INVALID');
  });
});

test('an old policy, by the server: refused', async () => {
  expect(await outcome({}, { ...exam.pins, minSeq: 1 })).toBe('policy');
});

test('a recipient added, by the server or under a stranger’s signature: refused', async () => {
  const handingOut = (policy: Uint8Array): Lies =>
    releasing((honest) => ({ ...honest, policies: [{ ...honest.policies[0]!, policy: toBase64Url(policy) }] }));
  // "instructor 1" becomes "instructor 9" under the owner's signature.
  const { bytes, policy } = exam.signed;
  const altered = new Uint8Array(bytes);
  altered[Buffer.from(bytes).indexOf('instructor 1') + 'instructor '.length] = '9'.charCodeAt(0);
  expect(altered).not.toEqual(bytes);
  expect(await outcome(handingOut(altered))).toBe('policy');

  const [operator, spy] = [await generateIdentity(), await generateIdentity()];
  const { publicKey } = await generateDecryptionKey(2);
  const recipient = { key: encodeEncryptionKey(2, publicKey), identity: encodeIdentity(spy.publicKey), label: 'spy' };
  const forged = await signExam(
    {
      title: policy.title,
      recipients: [{ role: 'instructor', ...recipient }],
      tracks: [{ kind: 'webcam' }],
      notBeforeMs: policy.not_before,
      notAfterMs: policy.not_after,
      log: policy.log,
    },
    operator.signer,
    await parsePolicy(bytes),
  );
  expect(forged.policy.exam_id).toBe(policy.exam_id);
  expect(await outcome(handingOut(forged.bytes))).toBe('policy');
});

test('another chunk, by an instructor who has the content key: INVALID, only the recorder signs', async () => {
  const { identity } = exam.instructors[0]!;
  const reader = await readerOf({});
  const { open } = reader.epochs[0]!.checked!;
  const trackKey = await (await openEpochKeys(reader.secrets(0), open)).trackKey(1);
  const honest = (await sourceOf({}).object({ epoch: 0, track: 1, seq: 1 }))!;
  const { header } = parseChunkHead(honest);
  const fields = { ...header, salt: new Uint8Array(32) };
  const { object } = await sealChunk(trackKey, fields, utf8('he was not at his desk'), identity.signer);
  expect(await outcome(replacing(1, 1, () => object))).toBe('INVALID');
});

describe('the log, by the server that signs it', () => {
  /** A log of the server's own making: its checkpoint, the one tile that so small a log has, and proofs of what a receipt tells. */
  async function forkOf(entries: Bytes[]): Promise<Lies & { note: string }> {
    const leaves = entries.map(leafHash);
    const frontier = new Frontier();
    for (const leaf of leaves) frontier.append(leaf);
    const { signer } = service.server.ports;
    const tree = { origin: exam.signed.policy.log.origin, size: frontier.size, root: frontier.root() };
    const note = await signCheckpoint(tree, signer.publicKey, (message) => signer.sign(message));
    const proofs = await Promise.all(
      leaves.map(async (_, index) => {
        const hashes = await proveInclusion(index, leaves.length, memoryHashes(leaves));
        return encodeProof({ index, hashes, checkpoint: note });
      }),
    );
    return {
      note,
      body: (path) => (path.endsWith('/checkpoint') ? note : path.includes('/tile/') ? concat(...leaves) : undefined),
      answer: (path, honest) => {
        if (!path.includes('/receipts/')) return honest;
        const told = (honest as ReceiptAnswer).entries.filter(
          ({ index, entry }) => entries[index] && toBase64Url(entries[index]) === entry,
        );
        return { ...(honest as object), entries: told.map((entry) => ({ ...entry, proof: proofs[entry.index]! })) };
      },
    };
  }

  /** What an instructor's machine keeps of this log from run to run. */
  function newShelf(kept: string | null = null): CheckpointShelf & { kept: string | null } {
    return {
      kept,
      async read() {
        return this.kept;
      },
      async write(_vkey, note) {
        this.kept = note;
      },
    };
  }

  test('rolled back or forked between two runs of one reader: INVALID, and what was seen stays known', async () => {
    const heartbeat = (at: number): Bytes => encodeEntry({ v: 1, type: 'heartbeat', at, entries: 0 });
    const { store } = service.server.ports;
    await store.append([{ v: 1, type: 'heartbeat', at: Date.now(), entries: 0 }]);
    await service.server.jobs.publish();
    const shelf = newShelf();
    expect(await outcome({}, exam.pins, shelf)).toBe('COMPLETE');
    const seen = shelf.kept;
    const entries = (await store.entries(0, 256)).map(({ bytes }) => bytes);
    const honest = await forkOf(entries);
    expect(await outcome(honest, exam.pins, newShelf(seen)), 'the lies’ own machinery is sound').toBe('COMPLETE');
    const begun = entries.slice(0, -1);
    for (const lies of [
      await forkOf(begun),
      await forkOf([...begun, heartbeat(1)]),
      await forkOf([...begun, heartbeat(1), heartbeat(2)]),
    ]) {
      expect(await outcome(lies), 'who saw nothing before believes it').toBe('COMPLETE');
      expect(await outcome(lies, exam.pins, shelf)).toBe('INVALID');
      expect(shelf.kept).toBe(seen);
      const reader = await readerOf(lies, exam.pins, shelf);
      await expect(reader.readTrack(0, 1).next()).rejects.toThrow();
    }
    const grown = await forkOf([...entries, heartbeat(3)]);
    expect(await outcome(grown, exam.pins, shelf)).toBe('COMPLETE');
    expect(shelf.kept).toBe(grown.note);
  });

  test('forked between a reading and a case file: refused offline where both are of one size', async () => {
    const { log: pinned } = exam.signed.policy;
    const { store } = service.server.ports;
    const entries = (await store.entries(0, 256)).map(({ bytes }) => bytes);
    const ours = await forkOf(entries);
    const theirs = await forkOf([...entries.slice(0, -1), encodeEntry({ v: 1, type: 'heartbeat', at: 4, entries: 0 })]);
    const watch = watchLogOffline(newShelf(ours.note));
    await expect(watch(pinned, theirs.note)).rejects.toMatchObject({ code: 'log' });
    await watch(pinned, ours.note);
    await watch(pinned, (await forkOf(entries.slice(0, -1))).note);
  });

  test('shown to a student otherwise than to the instructor: INVALID, because the recorder signed what it saw', async () => {
    await service.server.jobs.publish();
    const { log: pinned } = exam.signed.policy;
    const seen = (await fetchCheckpoint(service.api(), pinned, null))!;
    const other = { size: seen.size, root: new Uint8Array(32).fill(7) };
    const verdictWith = async (beacon: { size: number; root: Uint8Array }, isWatched = true): Promise<string> => {
      const { recordingId: id } = await recordWithKnownKey(service, exam, [1], beacon as Beacon);
      const { key } = exam.instructors[0]!;
      const keyIdB64 = toBase64Url(key.keyId);
      const source = new ApiSource({ api: service.staff(), recordingId: id, keyIdB64, purpose: 'review' });
      const watch = isWatched ? watchLog(service.api(), newShelf()) : undefined;
      const reader = await RecordingReader.open({ source, pins: exam.pins, key, nowMs: Date.now(), watch });
      return (await reader.verify('heads')).verdict;
    };
    expect(await verdictWith(seen)).toBe('COMPLETE');
    expect(await verdictWith(other)).toBe('INVALID');
    expect(await verdictWith(other, false), 'who asks nothing of the log sees no fork').toBe('COMPLETE');
    // Before its own opening no recorder can have seen so much: told offline, too.
    const entries = await service.server.ports.store.logSize();
    expect(await verdictWith({ ...seen, size: entries + 1000 }, false)).toBe('INVALID');
  });

  test('rolled back: refused by whoever saw more; forked between two readers: by either, once they compare', async () => {
    await service.server.jobs.publish();
    const { store } = service.server.ports;
    const entries = (await store.entries(0, 256)).map(({ bytes }) => bytes);
    const { log: pinned } = exam.signed.policy;
    const ours = (await fetchCheckpoint(service.api(), pinned, null))!;

    const shorter = lying(service, await forkOf(entries.slice(0, -1)));
    await expect(fetchCheckpoint(service.api(shorter), pinned, ours.note)).rejects.toMatchObject({ code: 'log' });

    const other = encodeEntry({ v: 1, type: 'heartbeat', at: Date.now(), entries: 0 });
    for (const forked of [
      [...entries.slice(0, -1), other],
      [...entries.slice(0, -1), other, other],
    ]) {
      const elsewhere = service.api(lying(service, await forkOf(forked)));
      // To a reader who saw nothing before, a fork is a log like any other.
      const theirs = (await fetchCheckpoint(elsewhere, pinned, null))!;
      expect(theirs.size).toBe(forked.length);
      await expect(fetchCheckpoint(elsewhere, pinned, ours.note)).rejects.toMatchObject({ code: 'log' });
      await expect(fetchCheckpoint(service.api(), pinned, theirs.note)).rejects.toMatchObject({ code: 'log' });
    }
  });
});

// Last, because what is in the log stays there.
test('two opens of one epoch, by a recorder and an operator who logs both: EQUIVOCATION', async () => {
  const { store } = service.server.ports;
  const first = parseOpen(fromBase64Url(released.epochs[0]!.open));
  const body = first.body.slice();
  body[4 + 1 + 1 + 2 + 16 + 32 + 16 + 4 + 32 + 32 + 32 + 32]! ^= 1; // the participant
  const second = parseOpen(await signOpen(body, recorder));
  const logged = (await store.entriesOf(recordingId)).map(({ bytes }) => decodeEntry(bytes));
  const opening = logged.find((entry) => entry.type === 'recording.opened')!;
  await store.append([{ ...opening, open_hash: toBase64Url(await openHash(second)) }]);
  await service.server.jobs.publish();
  expect(await outcome({})).toBe('EQUIVOCATION');
});
