import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import type { Signer } from '../../crypto/format/ed25519.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { headHash, parseHead } from '../../crypto/format/head.ts';
import { newId } from '../../crypto/format/ids.ts';
import { generateSigner } from '../../crypto/seal/identity.ts';
import { HeadLine } from '../../src/client/head-line.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import type { Outbox, OutboxSession, SealedChunk } from '../../src/client/outbox.ts';

let directory: string;
let signer: Signer;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'zeroreel-outbox-'));
  signer = await generateSigner();
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const CLOCK = { now: () => 1_800_000_000_000, monotonic: () => 0 };

function newLine(): HeadLine {
  return new HeadLine({
    signer,
    clock: CLOCK,
    sessionId: newId(),
    epoch: 0,
    openHash: new Uint8Array(32).fill(7),
    beaconSize: 0,
    beaconRoot: new Uint8Array(32),
    tracks: [1, 2],
  });
}

async function begin(outbox: Outbox, line: HeadLine): Promise<void> {
  const { sent, tails, commit } = await line.begin();
  await outbox.saveHeads(0, { sent, receipt: null, tails });
  commit();
}

async function chunkOf(track: number, seq: number, length = 100): Promise<{ chunk: SealedChunk; object: Bytes }> {
  const object = new Uint8Array(length).fill(track * 16 + seq);
  return { chunk: { epoch: 0, track, seq, bytes: length, sha256B64: toBase64Url(await sha256(object)) }, object };
}

async function put(outbox: Outbox, line: HeadLine, track: number, seq: number, length?: number): Promise<void> {
  const { chunk, object } = await chunkOf(track, seq, length);
  const { tail, commit } = await line.append(track, await sha256(object), false);
  await outbox.put(chunk, object, tail);
  commit();
}

const SESSION: OutboxSession = {
  link: 'https://example.org/record#v1.x',
  recordingId: newId(),
  participantSalt: new Uint8Array(16).fill(1),
  epochs: [{ epoch: 0, state: 'open', uploadToken: 'token', open: Uint8Array.of(1, 2, 3) }],
  checkpoint: 'note',
  openedMs: 1,
  deleteByMs: 2,
  closeReceipt: null,
};

describe('what was put is there for the next process', () => {
  test('session, heads and chunks come back as they were', async () => {
    const outbox = await openFolderOutbox({ directory });
    const line = newLine();
    await outbox.saveSession(SESSION);
    await begin(outbox, line);
    for (const seq of [0, 1, 2]) await put(outbox, line, 1, seq);
    const heads = await outbox.heads(0);
    await outbox.close();

    const next = await openFolderOutbox({ directory });
    expect(await next.session()).toEqual(SESSION);
    expect(await next.heads(0)).toEqual(heads);
    const chunks = await next.chunks(0);
    expect(chunks.map(({ track, seq }) => [track, seq])).toEqual([
      [1, 0],
      [1, 1],
      [1, 2],
    ]);
    const { object } = await chunkOf(1, 2);
    expect(await next.object(chunks[2]!)).toEqual(object);
    expect(next.backlogBytes).toBe(300);
    await next.close();
  });

  test('the last tail counts every chunk that is there, also across the server’s window', async () => {
    const outbox = await openFolderOutbox({ directory });
    const line = newLine();
    await begin(outbox, line);
    for (let seq = 0; seq < 150; seq++) await put(outbox, line, 1, seq, 10);
    await put(outbox, line, 2, 0);
    await outbox.close();

    const next = await openFolderOutbox({ directory });
    const tails = (await next.heads(0))!.tails.map(parseHead);
    expect(tails.map(({ headSeq }) => headSeq)).toEqual([0, 1, 2]);
    expect(tails.map(({ tracks }) => tracks[0]!.count)).toEqual([64, 128, 150]);
    expect(tails.at(-1)!.tracks[1]!.count).toBe(1);
    for (const [i, tail] of tails.slice(1).entries()) expect(tail.prev).toEqual(await headHash(tails[i]!));
    await next.close();
  });

  test('tails from before a released head are not taken up again', async () => {
    const outbox = await openFolderOutbox({ directory });
    const line = newLine();
    await begin(outbox, line);
    for (let seq = 0; seq < 70; seq++) await put(outbox, line, 1, seq, 10);
    const step = await line.advance(new Map([[1, 40]]));
    await outbox.saveHeads(0, { sent: step.sent, receipt: null, tails: step.tails });
    step.commit();
    await put(outbox, line, 1, 70, 10);
    await outbox.close();

    const next = await openFolderOutbox({ directory });
    const { sent, tails } = (await next.heads(0))!;
    const line2 = [sent!, ...tails].map(parseHead);
    expect(line2.map(({ headSeq }) => headSeq)).toEqual([0, 1]);
    expect(line2.map(({ tracks }) => tracks[0]!.count)).toEqual([40, 71]);
    expect(line2[1]!.prev).toEqual(await headHash(line2[0]!));
    await next.close();
  });

  test('what a crash left half written is swept, and the rest stands', async () => {
    const outbox = await openFolderOutbox({ directory });
    const line = newLine();
    await begin(outbox, line);
    await put(outbox, line, 1, 0);
    await outbox.close();
    await writeFile(join(directory, 'epochs/0/1/1.zrch.tmp'), 'half');
    await writeFile(join(directory, 'session.json.tmp'), 'half');

    const next = await openFolderOutbox({ directory });
    expect(await next.chunks(0)).toHaveLength(1);
    expect(await readdir(join(directory, 'epochs/0/1'))).toEqual(['0.zrch']);
    expect(await next.session()).toBeUndefined();
    await next.close();
  });
});

describe('what leaves and what does not fit', () => {
  test('only chunks below a receipt’s counts leave', async () => {
    const outbox = await openFolderOutbox({ directory });
    const line = newLine();
    await begin(outbox, line);
    for (const seq of [0, 1, 2]) await put(outbox, line, 1, seq);
    await put(outbox, line, 2, 0);
    await outbox.release(0, new Map([[1, 2]]));
    expect((await outbox.chunks(0)).map(({ track, seq }) => [track, seq])).toEqual([
      [1, 2],
      [2, 0],
    ]);
    expect(outbox.backlogBytes).toBe(200);
    await outbox.close();
  });

  test('beyond its limit it refuses the new chunk and keeps the old ones', async () => {
    const outbox = await openFolderOutbox({ directory, maximumBytes: 250 });
    const line = newLine();
    await begin(outbox, line);
    await put(outbox, line, 1, 0);
    await put(outbox, line, 1, 1);
    const before = await outbox.heads(0);
    await expect(put(outbox, line, 1, 2)).rejects.toMatchObject({ code: 'outbox-full' });
    expect(await outbox.chunks(0)).toHaveLength(2);
    expect(await outbox.heads(0)).toEqual(before);
    await outbox.release(0, new Map([[1, 1]]));
    await put(outbox, line, 1, 2);
    expect(await outbox.chunks(0)).toHaveLength(2);
    await outbox.close();
  });

  test('a chunk that the disk cut is outbox-damaged when it is opened', async () => {
    const outbox = await openFolderOutbox({ directory });
    const line = newLine();
    await begin(outbox, line);
    await put(outbox, line, 1, 0);
    await outbox.close();
    await truncate(join(directory, 'epochs/0/1/0.zrch'), 20);
    await expect(openFolderOutbox({ directory })).rejects.toMatchObject({ code: 'outbox-damaged' });
  });

  test('a session that is none is outbox-damaged', async () => {
    await writeFile(join(directory, 'session.json'), '{"v":2}');
    const outbox = await openFolderOutbox({ directory });
    await expect(outbox.session()).rejects.toMatchObject({ code: 'outbox-damaged' });
    await outbox.close();
  });
});

describe('one process owns it', () => {
  test('a second opening is refused while the first lives, and succeeds after it closed', async () => {
    const outbox = await openFolderOutbox({ directory });
    await expect(openFolderOutbox({ directory })).rejects.toMatchObject({ code: 'outbox-locked' });
    await outbox.close();
    await (await openFolderOutbox({ directory })).close();
  });

  test('of eight that race for it exactly one wins', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => openFolderOutbox({ directory })));
    const winners = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    for (const { value } of winners) await value.close();
  });

  test('the lock of a process that is gone is taken over, also where its pid lives again', async () => {
    const child = spawn('true');
    await new Promise((resolve) => child.once('exit', resolve));
    await writeFile(join(directory, 'lock.7'), `${child.pid!} 12345`);
    await (await openFolderOutbox({ directory })).close();
    await rm(directory, { recursive: true });
    await mkdir(directory);
    await writeFile(join(directory, 'lock.7'), `${process.pid} 1`);
    await (await openFolderOutbox({ directory })).close();
  });
});

test('no file of an outbox holds the recorder’s key', async () => {
  const seed = new Uint8Array(32).fill(0xa7);
  const { tweetnaclSigner } = await import('../../crypto/seal/identity.ts');
  signer = tweetnaclSigner(seed);
  const outbox = await openFolderOutbox({ directory });
  const line = newLine();
  await outbox.saveSession(SESSION);
  await begin(outbox, line);
  await put(outbox, line, 1, 0);
  await outbox.close();
  const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  expect(files.length).toBeGreaterThanOrEqual(3);
  for (const { parentPath, name } of files) {
    const content = await readFile(join(parentPath, name));
    expect(content.includes(Buffer.from(seed))).toBe(false);
    expect(content.includes(toBase64Url(seed))).toBe(false);
  }
});
