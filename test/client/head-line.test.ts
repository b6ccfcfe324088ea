import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { UPLOAD_WINDOW } from '../../schema/api.ts';
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import type { Signer } from '../../crypto/format/ed25519.ts';
import { checkSuccessor, parseHead, verifyHead, type HeadRecord } from '../../crypto/format/head.ts';
import { newId } from '../../crypto/format/ids.ts';
import { generateSigner } from '../../crypto/seal/identity.ts';
import { HeadLine } from '../../src/client/head-line.ts';

let signer: Signer;
beforeAll(async () => {
  signer = await generateSigner();
});

type Step = { append: number; many: number } | { advance: number };

const steps = fc.array(
  fc.oneof(
    fc.record({ append: fc.constantFrom(1, 2), many: fc.integer({ min: 1, max: 100 }) }),
    fc.record({ advance: fc.integer({ min: 0, max: UPLOAD_WINDOW }) }),
  ),
  { maxLength: 8 },
);

test('wherever a recorder dies, what it and its successor release is one line: each number once, each window kept, nothing left out', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (script: Step[]) => {
      const sessionId = newId();
      const openHash = new Uint8Array(32).fill(1);
      const clock = { now: () => 0, monotonic: () => 0 };
      const line = new HeadLine({
        signer,
        clock,
        sessionId,
        epoch: 0,
        openHash,
        beaconSize: 0,
        beaconRoot: openHash,
        tracks: [1, 2],
      });
      const released: Bytes[] = [];
      const covered = new Map([
        [1, 0],
        [2, 0],
      ]);
      // What an outbox holds.
      let durable = await line.begin();
      let tails = durable.tails;
      durable.commit();
      let chunk = 0;
      for (const step of script) {
        if ('append' in step) {
          for (let i = 0; i < step.many; i++) {
            const entryHash = new Uint8Array(32);
            new DataView(entryHash.buffer).setUint32(0, ++chunk);
            const { tail, commit } = await line.append(step.append, entryHash, false);
            const { headSeq } = parseHead(tail);
            tails = [...tails.filter((standing) => parseHead(standing).headSeq < headSeq), tail];
            commit();
          }
        } else {
          const sealed = line.sealedCounts();
          for (const [track, count] of covered) covered.set(track, Math.min(sealed.get(track)!, count + step.advance));
          durable = await line.advance(new Map(covered));
          tails = durable.tails;
          durable.commit();
          released.push(durable.sent!);
        }
      }
      // It dies here: the successor releases the tails in order.
      const heads = [...released, ...tails].map(parseHead);
      let before: HeadRecord | { sessionId: string; epoch: number; openHash: Bytes } = {
        sessionId,
        epoch: 0,
        openHash,
      };
      const counts = new Map<number, number>();
      for (const head of heads) {
        await verifyHead(head, signer.publicKey);
        await checkSuccessor(before, head);
        for (const { track, count } of head.tracks) {
          expect(count - (counts.get(track) ?? 0)).toBeLessThanOrEqual(UPLOAD_WINDOW);
          counts.set(track, count);
        }
        before = head;
      }
      expect(new Set(heads.map(({ headSeq }) => headSeq)).size).toBe(heads.length);
      expect(new Set(heads.map(({ body }) => toBase64Url(body))).size).toBe(heads.length);
      expect(counts).toEqual(line.sealedCounts());
    }),
    { numRuns: 25 },
  );
});

test('nothing follows a head that closes', async () => {
  const openHash = new Uint8Array(32).fill(1);
  const clock = { now: () => 0, monotonic: () => 0 };
  const line = new HeadLine({
    signer,
    clock,
    sessionId: newId(),
    epoch: 0,
    openHash,
    beaconSize: 0,
    beaconRoot: openHash,
    tracks: [1],
  });
  (await line.begin()).commit();
  const { commit } = await line.append(1, new Uint8Array(32).fill(5), true);
  commit();
  const step = await line.advance(new Map([[1, 1]]), 1);
  expect(step.tails).toEqual([]);
  expect(parseHead(step.sent!)).toMatchObject({ isClose: true, reason: 1, tracks: [{ track: 1, state: 2, count: 1 }] });
});
