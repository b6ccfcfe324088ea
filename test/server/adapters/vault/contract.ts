/** What every vault keeps, whatever is under it. `open` answers an empty vault each time. */
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Bytes } from '../../../../crypto/format/bytes.ts';
import { hash } from '../../../../crypto/format/hash.ts';
import type { Vault } from '../../../../src/server/ports.ts';
import { newBytes, newId, OPENED_MS } from '../store/rows.ts';

export type ClosableVault = Vault & { close(): Promise<void> };

export function vaultContract(name: string, openVault: () => Promise<ClosableVault>): void {
  describe(`${name} as a vault`, () => {
    let vault: ClosableVault;

    beforeEach(async () => {
      vault = await openVault();
    });

    afterEach(async () => {
      await vault.close();
    });

    const everything = async () => (await vault.list(Number.MAX_SAFE_INTEGER, 1000)).shares;
    const commitTo = async (epoch: number, share: Bytes) => new Map([[epoch, await hash('shred', share)]]);

    it('hands back the shares of a recording by epoch, and of no other', async () => {
      const id = newId();
      const shares = [newBytes(32), newBytes(32)];
      await vault.put(id, 0, shares[0]!, OPENED_MS);
      await vault.put(id, 7, shares[1]!, OPENED_MS);
      await vault.put(newId(), 0, newBytes(32), OPENED_MS);
      expect(await vault.get(id)).toEqual(new Map([[0, shares[0]!], [7, shares[1]!]])); // prettier-ignore
      expect(await vault.get(newId())).toEqual(new Map());
    });

    it('takes the same share again', async () => {
      const id = newId();
      const share = newBytes(32);
      await vault.put(id, 0, share, OPENED_MS);
      await vault.put(id, 0, share.slice(), OPENED_MS + 1);
      expect(await vault.get(id)).toEqual(new Map([[0, share]]));
      expect(await everything()).toEqual([{ recordingId: id, epoch: 0 }]);
    });

    it('hands out the share that was committed to and no other', async () => {
      const id = newId();
      const share = newBytes(32);
      await vault.put(id, 0, share, OPENED_MS);
      expect(await vault.get(id, await commitTo(0, share))).toEqual(new Map([[0, share]]));
      expect(await vault.get(id, await commitTo(0, newBytes(32)))).toEqual(new Map());
      expect(await vault.get(id, await commitTo(1, share))).toEqual(new Map());
      expect(await vault.get(id, new Map())).toEqual(new Map());
    });

    it('never gives up the first share of an epoch for another', async () => {
      const id = newId();
      const share = newBytes(32);
      await vault.put(id, 0, share, OPENED_MS);
      const other = share.slice();
      other[31]! ^= 1;
      const [outcome] = await Promise.allSettled([vault.put(id, 0, other, OPENED_MS + 1)]);
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'refused' });
      expect(await vault.get(id, await commitTo(0, share))).toEqual(new Map([[0, share]]));
    });

    it.each([0, 31, 33])('takes no share of %d bytes', async (length) => {
      const id = newId();
      await expect(vault.put(id, 0, newBytes(length), OPENED_MS)).rejects.toThrow();
      expect(await vault.get(id)).toEqual(new Map());
    });

    it('has whatever share it took, of two that race for an epoch', async () => {
      const id = newId();
      const shares = [newBytes(32), newBytes(32)];
      const outcomes = await Promise.allSettled(shares.map((share) => vault.put(id, 0, share, OPENED_MS)));
      const kept = shares.filter((_, index) => outcomes[index]!.status === 'fulfilled');
      expect(kept.length).toBeGreaterThan(0);
      for (const share of kept) expect(await vault.get(id, await commitTo(0, share))).toEqual(new Map([[0, share]]));
      expect(await vault.destroy(id)).toBe(1);
      for (const share of shares) expect(await vault.get(id, await commitTo(0, share))).toEqual(new Map());
    });

    it('destroys every share of one recording, and leaves the others', async () => {
      const [dying, living] = [newId(), newId()];
      const share = newBytes(32);
      await vault.put(living, 0, share, OPENED_MS);
      for (const epoch of [0, 1, 2]) await vault.put(dying, epoch, newBytes(32), OPENED_MS);
      expect(await vault.destroy(dying)).toBe(3);
      expect(await vault.get(dying)).toEqual(new Map());
      expect(await vault.get(living)).toEqual(new Map([[0, share]]));
      expect(await everything()).toEqual([{ recordingId: living, epoch: 0 }]);
    });

    it('destroys nothing the second time, nor where nothing was', async () => {
      const id = newId();
      await vault.put(id, 0, newBytes(32), OPENED_MS);
      await vault.destroy(id);
      expect(await vault.destroy(id)).toBe(0);
      expect(await vault.destroy(newId())).toBe(0);
    });

    it('destroys one epoch and leaves its siblings', async () => {
      const id = newId();
      const share = newBytes(32);
      await vault.put(id, 0, share, OPENED_MS);
      await vault.put(id, 1, newBytes(32), OPENED_MS);
      expect(await vault.destroyEpoch(id, 1, OPENED_MS + 1)).toBe(true);
      expect(await vault.get(id)).toEqual(new Map([[0, share]]));
      expect(await vault.destroyEpoch(id, 1, OPENED_MS + 1)).toBe(false);
    });

    it('spares an epoch that was written again since', async () => {
      const id = newId();
      const share = newBytes(32);
      await vault.put(id, 0, share, OPENED_MS);
      await vault.put(id, 0, share, OPENED_MS + 50);
      expect(await vault.destroyEpoch(id, 0, OPENED_MS + 50)).toBe(false);
      expect(await vault.get(id)).toEqual(new Map([[0, share]]));
      expect(await vault.destroyEpoch(id, 0, OPENED_MS + 51)).toBe(true);
    });

    it('lists what was written before a time, in pages, each once', async () => {
      const old: string[] = [];
      for (let i = 0; i < 7; i++) {
        const id = newId();
        old.push(`${id}/0`, `${id}/1`);
        await vault.put(id, 1, newBytes(32), OPENED_MS + i);
        await vault.put(id, 0, newBytes(32), OPENED_MS + i);
      }
      await vault.put(newId(), 0, newBytes(32), OPENED_MS + 7);
      const found: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await vault.list(OPENED_MS + 7, 4, cursor);
        expect(page.shares.length).toBeLessThanOrEqual(4);
        found.push(...page.shares.map(({ recordingId, epoch }) => `${recordingId}/${epoch}`));
        cursor = page.cursor;
      } while (cursor !== undefined);
      expect(found.sort()).toEqual(old.sort());
      expect((await vault.list(OPENED_MS, 100)).shares).toEqual([]);
    });

    it('is what a map would be, after any sequence of puts and destructions', async () => {
      const recordings = [newId(), newId(), newId()];
      const step = fc.record({
        kind: fc.constantFrom('put', 'put', 'put', 'destroy', 'epoch' as const),
        recording: fc.nat(2),
        epoch: fc.nat(2),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
          const model = new Map<string, Bytes>();
          for (const { kind, recording, epoch } of steps) {
            const id = recordings[recording]!;
            if (kind === 'put') {
              const share = model.get(`${id}/${epoch}`) ?? newBytes(32);
              model.set(`${id}/${epoch}`, share);
              await vault.put(id, epoch, share, OPENED_MS);
            } else if (kind === 'epoch') {
              expect(await vault.destroyEpoch(id, epoch, OPENED_MS + 1)).toBe(model.delete(`${id}/${epoch}`));
            } else {
              const there = [0, 1, 2].filter((number) => model.delete(`${id}/${number}`));
              expect(await vault.destroy(id)).toBe(there.length);
            }
          }
          const found = new Map<string, Bytes>();
          for (const id of recordings) {
            for (const [epoch, share] of await vault.get(id)) found.set(`${id}/${epoch}`, share);
          }
          expect(found).toEqual(model);
          for (const id of recordings) await vault.destroy(id);
        }),
        { numRuns: 25 },
      );
    });

    it('declares how long a backup of it can exist, and never less than a read may lag', () => {
      expect(vault.horizonMs).toBeGreaterThan(0);
      expect(vault.horizonMs).toBeGreaterThanOrEqual(vault.settlesMs);
    });
  });
}
