/** What every outbox keeps: one suite, run over the folder in Node and over IndexedDB in a real Chromium. */
import { describe, expect, test } from 'vitest';
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import type { Signer } from '../../crypto/format/ed25519.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { headHash, parseHead } from '../../crypto/format/head.ts';
import { newId } from '../../crypto/format/ids.ts';
import { generateSigner } from '../../crypto/seal/identity.ts';
import { HeadLine } from '../../src/client/head-line.ts';
import type { Outbox, OutboxSession, SealedChunk } from '../../src/client/outbox.ts';

/** Somewhere to open outboxes, one after the other. */
export interface OutboxPlace {
  open(options?: { maximumBytes?: number }): Promise<Outbox>;
  remove(): Promise<void>;
}

const CLOCK = { now: () => 1_800_000_000_000, monotonic: () => 0 };

export async function newLine(signer?: Signer): Promise<HeadLine> {
  return new HeadLine({
    signer: signer ?? (await generateSigner()),
    clock: CLOCK,
    sessionId: newId(),
    epoch: 0,
    openHash: new Uint8Array(32).fill(7),
    beaconSize: 0,
    beaconRoot: new Uint8Array(32),
    tracks: [1, 2],
  });
}

export async function begin(outbox: Outbox, line: HeadLine): Promise<void> {
  const { sent, tails, commit } = await line.begin();
  await outbox.saveHeads(0, { sent, receipt: null, tails });
  commit();
}

async function chunkOf(track: number, seq: number, length = 100): Promise<{ chunk: SealedChunk; object: Bytes }> {
  const object = new Uint8Array(length).fill(track * 16 + seq);
  return { chunk: { epoch: 0, track, seq, bytes: length, sha256B64: toBase64Url(await sha256(object)) }, object };
}

export async function put(outbox: Outbox, line: HeadLine, track: number, seq: number, length?: number): Promise<void> {
  const { chunk, object } = await chunkOf(track, seq, length);
  const { tail, commit } = await line.append(track, await sha256(object), false);
  await outbox.put(chunk, object, tail);
  commit();
}

export const SESSION: OutboxSession = {
  link: 'https://example.org/record#v1.x',
  recordingId: newId(),
  participantSalt: new Uint8Array(16).fill(1),
  epochs: [{ epoch: 0, state: 'open', uploadToken: 'token', open: Uint8Array.of(1, 2, 3) }],
  checkpoint: 'note',
  openedMs: 1,
  deleteByMs: 2,
  closeReceipt: null,
};

export function outboxContract(newPlace: () => Promise<OutboxPlace>): void {
  describe('what was put is there for the next process', () => {
    test('session, heads and chunks come back as they were', async () => {
      const place = await newPlace();
      const outbox = await place.open();
      const line = await newLine();
      await outbox.saveSession(SESSION);
      await begin(outbox, line);
      for (const seq of [0, 1, 2]) await put(outbox, line, 1, seq);
      const heads = await outbox.heads(0);
      await outbox.close();

      const next = await place.open();
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
      await place.remove();
    });

    test('the last tail counts every chunk that is there, also across the server’s window', async () => {
      const place = await newPlace();
      const outbox = await place.open();
      const line = await newLine();
      await begin(outbox, line);
      for (let seq = 0; seq < 150; seq++) await put(outbox, line, 1, seq, 10);
      await put(outbox, line, 2, 0);
      await outbox.close();

      const next = await place.open();
      const tails = (await next.heads(0))!.tails.map(parseHead);
      expect(tails.map(({ headSeq }) => headSeq)).toEqual([0, 1, 2]);
      expect(tails.map(({ tracks }) => tracks[0]!.count)).toEqual([64, 128, 150]);
      expect(tails.at(-1)!.tracks[1]!.count).toBe(1);
      for (const [i, tail] of tails.slice(1).entries()) expect(tail.prev).toEqual(await headHash(tails[i]!));
      await next.close();
      await place.remove();
    });

    test('tails from before a released head are not taken up again', async () => {
      const place = await newPlace();
      const outbox = await place.open();
      const line = await newLine();
      await begin(outbox, line);
      for (let seq = 0; seq < 70; seq++) await put(outbox, line, 1, seq, 10);
      const step = await line.advance(new Map([[1, 40]]));
      await outbox.saveHeads(0, { sent: step.sent, receipt: null, tails: step.tails });
      step.commit();
      await put(outbox, line, 1, 70, 10);
      await outbox.close();

      const next = await place.open();
      const { sent, tails } = (await next.heads(0))!;
      const line2 = [sent!, ...tails].map(parseHead);
      expect(line2.map(({ headSeq }) => headSeq)).toEqual([0, 1]);
      expect(line2.map(({ tracks }) => tracks[0]!.count)).toEqual([40, 71]);
      expect(line2[1]!.prev).toEqual(await headHash(line2[0]!));
      await next.close();
      await place.remove();
    });
  });

  describe('what leaves and what does not fit', () => {
    test('only chunks below a receipt’s counts leave', async () => {
      const place = await newPlace();
      const outbox = await place.open();
      const line = await newLine();
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
      await place.remove();
    });

    test('beyond its limit it refuses the new chunk and keeps the old ones', async () => {
      const place = await newPlace();
      const outbox = await place.open({ maximumBytes: 250 });
      const line = await newLine();
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
      await place.remove();
    });
  });

  describe('one process owns it', () => {
    test('a second opening is refused while the first lives, and succeeds after it closed', async () => {
      const place = await newPlace();
      const outbox = await place.open();
      await expect(place.open()).rejects.toMatchObject({ code: 'outbox-locked' });
      await outbox.close();
      await (await place.open()).close();
      await place.remove();
    });

    test('of eight that race for it exactly one wins', async () => {
      const place = await newPlace();
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => place.open()));
      const winners = outcomes.filter((outcome) => outcome.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      for (const { value } of winners) await value.close();
      await place.remove();
    });
  });
}
