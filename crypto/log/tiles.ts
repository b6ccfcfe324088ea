import { concat, Reader, Writer, type Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import { MAX_ENTRY_BYTES } from './entry.ts';
import { HASH_BYTES, nodeHash, type ReadHashes } from './tree.ts';

/** Hashes in a full tile, entries in a full bundle. */
export const TILE_WIDTH = 256;

/**
 * A tile of C2SP tlog-tiles: `width` consecutive hashes of subtrees of 256^level leaves each, from number 256 * index on.
 * Level 'entries' is the bundle with the entries themselves.
 */
export interface Tile {
  readonly level: number | 'entries';
  readonly index: number;
  /** 1 to 255 in a partial tile, 256 in a full one. */
  readonly width: number;
}

/** A tile and what is served under its path: concatenated hashes, or an entry bundle. */
export interface TileContent {
  readonly tile: Tile;
  readonly bytes: Bytes;
}

/** Gives the contents of hash tiles, in the order asked; called once with everything needed. Wider than asked is accepted. */
export type ReadTiles = (tiles: readonly Tile[]) => Promise<readonly Uint8Array[]> | readonly Uint8Array[];

function indexPath(index: number): string {
  const groups: string[] = [];
  let rest = index;
  do {
    groups.unshift(String(rest % 1000).padStart(3, '0'));
    rest = Math.floor(rest / 1000);
  } while (rest > 0);
  return groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/');
}

/** The path under the log's prefix, for example `tile/0/x001/x234/067.p/8` or `tile/entries/000`. */
export function tilePath({ level, index, width }: Tile): string {
  return `tile/${level}/${indexPath(index)}${width < TILE_WIDTH ? `.p/${width}` : ''}`;
}

const TILE_PATH = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/){0,5}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

/** Reads a path that a client asked for; undefined unless it is the one spelling that `tilePath` gives to some tile. */
export function parseTilePath(path: string): Tile | undefined {
  const match = TILE_PATH.exec(path);
  if (!match) return undefined;
  const [, level, index, width] = match;
  const tile: Tile = {
    level: level === 'entries' ? level : Number(level),
    index: Number(index!.replaceAll(/[x/]/g, '')),
    width: width === undefined ? TILE_WIDTH : Number(width),
  };
  const isInRange = tile.level === 'entries' || tile.level <= 63;
  return isInRange && Number.isSafeInteger(tile.index) && tilePath(tile) === path ? tile : undefined;
}

/** How many hashes the whole log has at a tile level: only subtrees that are complete. */
function hashesAt(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level);
}

/** The tile with this index at a log of this size; undefined where the log does not reach it. A bundle is as wide as its level 0 tile. */
export function tileAt(level: number | 'entries', index: number, size: number): Tile | undefined {
  const width = Math.min(TILE_WIDTH, hashesAt(level === 'entries' ? 0 : level, size) - index * TILE_WIDTH);
  return width > 0 ? { level, index, width } : undefined;
}

function* changedAt(level: number | 'entries', from: number, to: number): Generator<Tile> {
  const depth = level === 'entries' ? 0 : level;
  if (hashesAt(depth, from) === hashesAt(depth, to)) return;
  for (let index = Math.floor(hashesAt(depth, from) / TILE_WIDTH); ; index++) {
    const tile = tileAt(level, index, to);
    if (!tile) return;
    yield tile;
  }
}

/** The hash tiles that are new or wider at size `to` than they were at size `from`, lowest level first. */
export function changedTiles(from: number, to: number): Tile[] {
  const tiles: Tile[] = [];
  for (let level = 0; hashesAt(level, to) > 0; level++) tiles.push(...changedAt(level, from, to));
  return tiles;
}

/** The entry bundles that are new or longer at size `to` than they were at size `from`. */
export function changedBundles(from: number, to: number): Tile[] {
  return [...changedAt('entries', from, to)];
}

/** The partial tiles at the right edge of a log of this size, lowest level first: what `growTiles` has to read. */
export function edgeTiles(size: number): Tile[] {
  const tiles: Tile[] = [];
  for (let level = 0; hashesAt(level, size) > 0; level++) {
    const tile = tileAt(level, Math.floor(hashesAt(level, size) / TILE_WIDTH), size);
    if (tile) tiles.push(tile);
  }
  return tiles;
}

function splitHashes(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, i) =>
    bytes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES),
  );
}

/** The hash over a power of two of adjacent subtrees of equal size. */
function foldPairs(hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes;
  while (row.length > 1) row = Array.from({ length: row.length / 2 }, (_, i) => nodeHash(row[2 * i]!, row[2 * i + 1]!));
  return row[0]!;
}

/** A wider tile than asked for is good too: a tile only ever grows to the right, so it begins with the narrower one. */
async function readChecked(tiles: readonly Tile[], read: ReadTiles): Promise<Uint8Array[]> {
  const contents = tiles.length > 0 ? await read(tiles) : [];
  return tiles.map((tile, i) => {
    const bytes = contents[i] ?? new Uint8Array(0);
    const expected = tile.width * HASH_BYTES;
    if (bytes.length < expected || bytes.length > TILE_WIDTH * HASH_BYTES || bytes.length % HASH_BYTES > 0) {
      throw new ProtocolError('log', `expected ${expected} bytes in ${tilePath(tile)}, found ${bytes.length}`);
    }
    return bytes.subarray(0, expected);
  });
}

/**
 * Appends leaf hashes to a log of `from` entries: reads the right edge, returns exactly `changedTiles(from, from +
 * leaves.length)` with their bytes. Nothing but the edge is read, so the cost does not depend on the log's size.
 */
export async function growTiles(from: number, leaves: readonly Uint8Array[], read: ReadTiles): Promise<TileContent[]> {
  const edge = edgeTiles(from);
  const edgeBytes = new Map((await readChecked(edge, read)).map((bytes, i) => [edge[i]!.level, bytes]));
  const to = from + leaves.length;
  const grown: TileContent[] = [];
  let added = leaves;
  for (let level = 0; added.length > 0; level++) {
    const hashes = [...splitHashes(edgeBytes.get(level) ?? new Uint8Array(0)), ...added];
    const completed: Uint8Array[] = [];
    for (const tile of changedAt(level, from, to)) {
      const part = hashes.splice(0, tile.width);
      grown.push({ tile, bytes: concat(...part) });
      if (tile.width === TILE_WIDTH) completed.push(foldPairs(part));
    }
    added = completed;
  }
  return grown;
}

/**
 * Reads node hashes out of the tiles of a log of `size` entries, for making proofs without any other store. The tiles are
 * not authenticated here: check what is made of them against a signed checkpoint.
 */
export function hashesFromTiles(size: number, read: ReadTiles): ReadHashes {
  return async (nodes) => {
    const places = nodes.map(({ level, index }) => {
      const width = 2 ** (level % 8);
      const first = index * width;
      const tile = tileAt(Math.floor(level / 8), Math.floor(first / TILE_WIDTH), size);
      const offset = first % TILE_WIDTH;
      if (!tile || offset + width > tile.width) {
        throw new ProtocolError('log', `a log of ${size} entries has no node ${index} at level ${level}`);
      }
      return { tile, offset, width };
    });
    const tiles = new Map(places.map(({ tile }) => [tilePath(tile), tile]));
    const contents = await readChecked([...tiles.values()], read);
    const bytesOf = new Map([...tiles.keys()].map((path, i) => [path, contents[i]!]));
    return places.map(({ tile, offset, width }) => {
      const bytes = bytesOf.get(tilePath(tile))!;
      return foldPairs(splitHashes(bytes.subarray(offset * HASH_BYTES, (offset + width) * HASH_BYTES)));
    });
  };
}

/** C2SP tlog-tiles, log entries: each entry behind its length in 16 bits. */
export function encodeBundle(entries: readonly Uint8Array[]): Bytes {
  const writer = new Writer();
  for (const entry of entries) writer.lp16(entry);
  return writer.finish();
}

/** The inverse of `encodeBundle`; throws `length` on a cut bundle and `log` where it does not hold exactly `count` entries. */
export function decodeBundle(bytes: Uint8Array, count: number): Bytes[] {
  if (bytes.length > TILE_WIDTH * (2 + MAX_ENTRY_BYTES)) throw new ProtocolError('log', 'the entry bundle is too long');
  const reader = new Reader(bytes);
  const entries: Bytes[] = [];
  while (reader.left > 0 && entries.length < count) entries.push(reader.lp16());
  if (entries.length < count || reader.left > 0) {
    throw new ProtocolError(
      'log',
      `expected a bundle of ${count} entries, found ${reader.left > 0 ? 'more' : entries.length}`,
    );
  }
  return entries;
}
