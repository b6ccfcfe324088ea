/** Destroys shred shares that no epoch owns: an open wrote the share and crashed before its commit. */
import type { Ports } from '../ports.ts';
import { fromBookmark } from './bookmark.ts';
import { withLease } from './lease.ts';

/** An open is committed or dead long before its share is this old; one that is tried again renews it. */
const ORPHAN_AFTER_MS = 60 * 60_000;
const PAGE = 500;

/** Looks through the whole vault; answers how many orphans it destroyed. */
export async function sweep(ports: Ports): Promise<number> {
  const { store, vault, clock } = ports;
  let destroyed = 0;
  const lookThrough = async (renew: () => Promise<void>, from: string | undefined, keep: (place: string) => void) => {
    let cursor = from;
    do {
      await renew();
      const before = clock.now() - ORPHAN_AFTER_MS;
      const page = await vault.list(before, PAGE, cursor);
      const { shares } = page;
      const owned = new Set((await store.existingEpochs(shares)).map(nameOf));
      for (const share of shares) {
        if (owned.has(nameOf(share))) continue;
        await renew();
        if (await vault.destroyEpoch(share.recordingId, share.epoch, before)) destroyed++;
      }
      cursor = page.cursor;
      if (cursor !== undefined) keep(cursor);
    } while (cursor !== undefined);
  };
  await withLease(ports, 'sweep', async (renew) => {
    await fromBookmark<string>(store, 'sweep', (from, keep) => lookThrough(renew, from, keep));
  });
  return destroyed;
}

function nameOf({ recordingId, epoch }: { recordingId: string; epoch: number }): string {
  return `${recordingId}/${epoch}`;
}
