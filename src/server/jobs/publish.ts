/**
 * Publishes the log: tiles and a signed checkpoint over everything that is durable. Entries are append-only, so two
 * servers that publish the same size sign the same root; the compare-and-swap keeps the tiles in step.
 */
import { tilePath, type Tile, growTiles, hashesFromTiles } from '../../../crypto/log/tiles.ts';
import { leafHash, type ReadHashes, rootHash } from '../../../crypto/log/tree.ts';
import type { Bytes } from '../../../crypto/format/bytes.ts';
import type { Ports, Store } from '../ports.ts';
import { signTree } from '../signing.ts';

/** Entries that one checkpoint adds at most: bounds memory, and what D1 answers, in a publication that has fallen behind. */
const ENTRIES_PER_CHECKPOINT = 2048;

/** Brings the newest checkpoint up to the log's end, or as far as the budget allows; answers its size. */
export async function publish({ store, signer, clock, budget }: Ports): Promise<number> {
  for (let isFirst = true; ; isFirst = false) {
    const from = (await store.newestCheckpoint())?.size ?? 0;
    const entries = await store.entries(from, ENTRIES_PER_CHECKPOINT);
    if (entries.length === 0) return from;
    // One checkpoint is always paid for; a log that is further behind catches up trigger by trigger.
    if (!isFirst && budget?.isSpent() === true) return from;
    const size = from + entries.length;

    const grown = await growTiles(
      from,
      entries.map(({ bytes }) => leafHash(bytes)),
      (tiles) => readTiles(store, tiles),
    );
    const fresh = new Map(grown.map(({ tile, bytes }) => [tilePath(tile), bytes]));
    const read = async (tile: Tile) => fresh.get(tilePath(tile)) ?? readTile(store, tile);
    const root = await rootHash(
      size,
      hashesFromTiles(size, (tiles) => Promise.all(tiles.map(read))),
    );
    const note = await signTree(signer, size, root);
    const rows = grown.map(({ tile, bytes }) => ({ level: tile.level as number, index: tile.index, hashes: bytes }));
    // Lost: another server published these entries a moment ago. Look again.
    await store.publish({ size, note, publishedMs: clock.now() }, rows, from);
  }
}

/** Node hashes of the published log at `size`, out of its tiles. */
export function publishedHashes(store: Store, size: number): ReadHashes {
  return hashesFromTiles(size, (tiles) => readTiles(store, tiles));
}

async function readTiles(store: Store, tiles: readonly Tile[]): Promise<Bytes[]> {
  return Promise.all(tiles.map((tile) => readTile(store, tile)));
}

async function readTile(store: Store, { level, index }: Tile): Promise<Bytes> {
  const row = await store.tile(level as number, index);
  return row?.hashes ?? new Uint8Array(0);
}
