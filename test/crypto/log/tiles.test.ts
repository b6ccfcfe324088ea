import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, utf8, type Bytes } from '../../../crypto/format/bytes.ts';
import {
  changedBundles,
  changedTiles,
  decodeBundle,
  edgeTiles,
  encodeBundle,
  growTiles,
  hashesFromTiles,
  parseTilePath,
  type ReadTiles,
  type Tile,
  tileAt,
  tilePath,
} from '../../../crypto/log/tiles.ts';
import {
  proveConsistency,
  proveInclusion,
  rootHash,
  verifyConsistency,
  verifyInclusion,
} from '../../../crypto/log/tree.ts';
import { leavesOf, naiveRoot } from './trees.ts';

/** What a server keeps: the newest bytes of each tile. Asking for what was never written throws. */
class TileStore {
  readonly tiles = new Map<string, Bytes>();
  size = 0;

  readonly read: ReadTiles = (tiles) =>
    tiles.map(({ level, index }) => {
      const bytes = this.tiles.get(`${level}/${index}`);
      if (!bytes) throw new Error(`tile ${level}/${index} was never written`);
      return bytes;
    });

  async append(leaves: readonly Bytes[]): Promise<Tile[]> {
    const grown = await growTiles(this.size, leaves, this.read);
    for (const { tile, bytes } of grown) this.tiles.set(`${tile.level}/${tile.index}`, bytes);
    this.size += leaves.length;
    return grown.map(({ tile }) => tile);
  }
}

describe('a tile path', () => {
  it.each<[Tile, string]>([
    [{ level: 0, index: 0, width: 256 }, 'tile/0/000'],
    [{ level: 0, index: 273, width: 112 }, 'tile/0/273.p/112'],
    [{ level: 1, index: 1234067, width: 256 }, 'tile/1/x001/x234/067'],
    [{ level: 63, index: 1000, width: 1 }, 'tile/63/x001/000.p/1'],
    [{ level: 'entries', index: 999999, width: 255 }, 'tile/entries/x999/999.p/255'],
  ])('%o is %s, and back', (tile, path) => {
    expect(tilePath(tile)).toBe(path);
    expect(parseTilePath(path)).toEqual(tile);
  });

  it.each([
    'tile/0/0', // not three digits
    'tile/00/000', // level with a leading zero
    'tile/64/000', // no such level
    'tile/0/x000/001', // a leading group of zeros
    'tile/0/001/002', // the x is missing
    'tile/0/x001', // the last group has no x
    'tile/0/000.p/0', // an empty tile is never served
    'tile/0/000.p/256', // a full tile has no suffix
    'tile/0/000.p/01',
    'tile/-1/000',
    'tile/entries/../checkpoint',
    'tile/entries/000/',
    '/tile/0/000',
    'tile/0/000\n',
    `tile/0/${'x999/'.repeat(6)}999`, // beyond 2^53
    '',
  ])('%j is none', (path) => {
    expect(parseTilePath(path)).toBeUndefined();
  });
});

describe('which tiles there are', () => {
  it('for 70,000 entries is the example of C2SP tlog-tiles', () => {
    const tiles = changedTiles(0, 70_000);
    const count = (level: number, isFull: boolean): number =>
      tiles.filter((tile) => tile.level === level && (tile.width === 256) === isFull).length;
    expect([count(0, true), count(0, false), count(1, true), count(1, false), count(2, true), count(2, false)]).toEqual(
      [273, 1, 1, 1, 0, 1],
    );
    expect(edgeTiles(70_000)).toEqual([
      { level: 0, index: 273, width: 112 },
      { level: 1, index: 1, width: 17 },
      { level: 2, index: 0, width: 1 },
    ]);
  });

  it('for 256 entries is a full tile and one of width 1 above it', () => {
    expect(changedTiles(0, 256)).toEqual([
      { level: 0, index: 0, width: 256 },
      { level: 1, index: 0, width: 1 },
    ]);
    expect(edgeTiles(256)).toEqual([{ level: 1, index: 0, width: 1 }]);
  });

  it('changed by one entry are the edge, and by none are none', () => {
    expect(changedTiles(70_000, 70_001)).toEqual([{ level: 0, index: 273, width: 113 }]);
    expect(changedTiles(70_000, 70_000)).toEqual([]);
    expect(changedBundles(255, 257)).toEqual([
      { level: 'entries', index: 0, width: 256 },
      { level: 'entries', index: 1, width: 1 },
    ]);
  });

  it('beyond the log there is none', () => {
    expect(tileAt(0, 274, 70_000)).toBeUndefined();
    expect(tileAt(3, 0, 70_000)).toBeUndefined();
    expect(tileAt('entries', 273, 70_000)).toEqual({ level: 'entries', index: 273, width: 112 });
  });
});

describe('the tree out of tiles is the tree out of leaves', () => {
  const leaves = leavesOf(700);

  it('however the log grew, and every proof read from tiles holds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 6 }),
        fc.nat(),
        async (steps, choice) => {
          const store = new TileStore();
          for (const step of steps) {
            const from = store.size;
            const to = Math.min(700, from + step);
            expect(await store.append(leaves.slice(from, to))).toEqual(changedTiles(from, to));
          }
          const { size } = store;
          const read = hashesFromTiles(size, store.read);
          const root = naiveRoot(leaves.slice(0, size));
          expect(await rootHash(size, read)).toEqual(root);
          if (size === 0) return;
          const index = choice % size;
          verifyInclusion(leaves[index]!, index, size, await proveInclusion(index, size, read), root);
          const older = index + 1;
          const proof = await proveConsistency(older, size, read);
          verifyConsistency(older, naiveRoot(leaves.slice(0, older)), size, root, proof);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('across the boundary of the third level: 65,537 leaves', async () => {
    const many = leavesOf(65_537);
    const store = new TileStore();
    await store.append(many.slice(0, 65_000));
    await store.append(many.slice(65_000));
    expect(await rootHash(65_537, hashesFromTiles(65_537, store.read))).toEqual(naiveRoot(many));
    // An older checkpoint's proofs come from the newer tiles: a tile begins with what it was.
    const older = hashesFromTiles(65_535, store.read);
    const root = await rootHash(65_535, older);
    expect(root).toEqual(naiveRoot(many.slice(0, 65_535)));
    verifyInclusion(many[65_534]!, 65_534, 65_535, await proveInclusion(65_534, 65_535, older), root);
  });

  it('reads each tile once and no more than one per level and side', async () => {
    const store = new TileStore();
    await store.append(leaves);
    const asked: string[] = [];
    const read = hashesFromTiles(700, (tiles) => {
      asked.push(...tiles.map(tilePath));
      return store.read(tiles);
    });
    await proveInclusion(5, 700, read);
    expect(asked.sort()).toEqual(['tile/0/000', 'tile/0/002.p/188', 'tile/1/000.p/2']);
  });

  it('grown from an older size, over tiles that are wider by now, takes of them what was there then', async () => {
    const store = new TileStore();
    await store.append(leaves.slice(0, 300));
    const others = leaves.slice(500, 700);
    const first = await growTiles(300, others, store.read);
    await store.append(leaves.slice(300, 500));
    expect(await growTiles(300, others, store.read)).toEqual(first);
  });

  it('a store that gives a short or ragged tile is refused', async () => {
    const cut = (bytes: number): Promise<unknown> => growTiles(10, leaves.slice(10, 12), () => [new Uint8Array(bytes)]);
    await expect(cut(9 * 32)).rejects.toMatchObject({ code: 'log' });
    await expect(cut(10 * 32 + 1)).rejects.toMatchObject({ code: 'log' });
    await expect(cut(257 * 32)).rejects.toMatchObject({ code: 'log' });
    await expect(growTiles(10, leaves.slice(10, 12), () => [])).rejects.toMatchObject({ code: 'log' });
  });

  it('a node beyond the log is refused', async () => {
    await expect(hashesFromTiles(5, () => [])([{ level: 2, index: 1 }])).rejects.toMatchObject({ code: 'log' });
  });
});

describe('an entry bundle', () => {
  const entries = ['', 'a', 'bc'].map(utf8);

  it('is each entry behind its length in 16 bits', () => {
    expect(encodeBundle(entries)).toEqual(Uint8Array.of(0, 0, 0, 1, 0x61, 0, 2, 0x62, 0x63));
    expect(decodeBundle(encodeBundle(entries), 3)).toEqual(entries);
    expect(decodeBundle(encodeBundle([]), 0)).toEqual([]);
  });

  it('is refused when it is cut, longer, or of another count', () => {
    const bundle = encodeBundle(entries);
    expect(() => decodeBundle(bundle.subarray(0, -1), 3)).toThrow(expect.objectContaining({ code: 'length' }));
    expect(() => decodeBundle(concat(bundle, Uint8Array.of(0)), 3)).toThrow(expect.objectContaining({ code: 'log' }));
    expect(() => decodeBundle(bundle, 2)).toThrow(expect.objectContaining({ code: 'log' }));
    expect(() => decodeBundle(bundle, 4)).toThrow(expect.objectContaining({ code: 'log' }));
  });

  it('cannot hold an entry longer than its prefix can say', () => {
    expect(() => encodeBundle([new Uint8Array(65_536)])).toThrow(expect.objectContaining({ code: 'limit' }));
    expect(decodeBundle(encodeBundle([new Uint8Array(65_535)]), 1)[0]).toHaveLength(65_535);
  });
});
