import { sha256 } from '@noble/hashes/sha2.js';
import { concat, equal, type Bytes } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';

/** Bytes of one hash, and of one node in a tile. */
export const HASH_BYTES = 32;

/** The complete subtree over leaves [index * 2^level, (index + 1) * 2^level). Only complete subtrees have an address, because only they never change. */
export interface NodeAddress {
  readonly level: number;
  readonly index: number;
}

/**
 * Gives the hashes of complete subtrees, in the order asked. It is called once per proof with everything that the proof
 * needs, so a database answers with one query. What it returns is trusted: proofs are checked by whoever receives them.
 */
export type ReadHashes = (nodes: readonly NodeAddress[]) => Promise<readonly Uint8Array[]> | readonly Uint8Array[];

const LEAF_PREFIX = Uint8Array.of(0);

/** RFC 6962 section 2.1: SHA-256(0x00 || entry). Synchronous, because an awaited digest per node costs twenty times more. */
export function leafHash(entry: Uint8Array): Bytes {
  return sha256.create().update(LEAF_PREFIX).update(entry).digest();
}

/** RFC 6962 section 2.1: SHA-256(0x01 || left || right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Bytes {
  const message = new Uint8Array(1 + 2 * HASH_BYTES);
  message[0] = 1;
  message.set(left, 1);
  message.set(right, 1 + HASH_BYTES);
  return sha256(message);
}

/** The root of a tree without leaves: SHA-256 of nothing. */
export function emptyRoot(): Bytes {
  return sha256(new Uint8Array(0));
}

function requireSize(size: number): void {
  if (!Number.isSafeInteger(size) || size < 0) throw new ProtocolError('log', `expected a tree size, found ${size}`);
}

/** Largest power of two that is at most `count`; sizes exceed 32 bits, so no bit operators here or below. */
function powerBelow(count: number): number {
  let power = 1;
  while (power * 2 <= count) power *= 2;
  return power;
}

/** The complete subtrees that make up leaves [start, end), left to right, biggest first. `start` must be aligned to the biggest. */
function subtreesOf(start: number, end: number): NodeAddress[] {
  const nodes: NodeAddress[] = [];
  for (let at = start; at < end;) {
    const width = powerBelow(end - at);
    nodes.push({ level: Math.log2(width), index: at / width });
    at += width;
  }
  return nodes;
}

/** The hash over adjacent subtrees of falling size is folded from the right: a ragged edge hangs off the deepest node. */
function foldRight(hashes: readonly Uint8Array[]): Bytes {
  const last = hashes.at(-1);
  if (last === undefined) return emptyRoot();
  let hash = new Uint8Array(last);
  for (let i = hashes.length - 2; i >= 0; i--) hash = nodeHash(hashes[i]!, hash);
  return hash;
}

/** The nodes from which `rootHash` folds the root of the first `size` leaves. */
export function rootNodes(size: number): NodeAddress[] {
  requireSize(size);
  return subtreesOf(0, size);
}

/** The root of the first `size` leaves. */
export async function rootHash(size: number, read: ReadHashes): Promise<Bytes> {
  return foldRight(await readAll(rootNodes(size), read));
}

async function readAll(nodes: readonly NodeAddress[], read: ReadHashes): Promise<readonly Uint8Array[]> {
  if (nodes.length === 0) return [];
  const hashes = await read(nodes);
  if (hashes.length !== nodes.length || hashes.some((hash) => hash.length !== HASH_BYTES)) {
    throw new ProtocolError('log', `expected ${nodes.length} hashes of ${HASH_BYTES} bytes from the log's store`);
  }
  return hashes;
}

/** Reads every range in one call, then folds each of them to one hash. */
async function hashRanges(ranges: readonly (readonly [number, number])[], read: ReadHashes): Promise<Bytes[]> {
  const parts = ranges.map(([start, end]) => subtreesOf(start, end));
  const hashes = await readAll(parts.flat(), read);
  let at = 0;
  return parts.map((part) => foldRight(hashes.slice(at, (at += part.length))));
}

/**
 * The inclusion proof of leaf `index` in the tree of the first `size` leaves (RFC 9162 section 2.1.3.1): sibling hashes
 * from the leaf up, at most 53 of them. Throws `log` where index >= size.
 */
export async function proveInclusion(index: number, size: number, read: ReadHashes): Promise<Bytes[]> {
  requireSize(size);
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new ProtocolError('log', `expected an index below the tree size ${size}, found ${index}`);
  }
  const siblings: [number, number][] = [];
  for (let start = 0, end = size; end - start > 1;) {
    const middle = start + powerBelow(end - start - 1);
    if (index < middle) {
      siblings.push([middle, end]);
      end = middle;
    } else {
      siblings.push([start, middle]);
      start = middle;
    }
  }
  return hashRanges(siblings.reverse(), read);
}

/**
 * The consistency proof between the trees of the first `size1` and the first `size2` leaves (RFC 9162 section 2.1.4.1).
 * Empty where the sizes are equal or `size1` is 0: then there is nothing to prove. Throws `log` where size1 > size2.
 */
export async function proveConsistency(size1: number, size2: number, read: ReadHashes): Promise<Bytes[]> {
  requireSize(size1);
  requireSize(size2);
  if (size1 > size2) throw new ProtocolError('log', `expected a size of at least ${size1}, found ${size2}`);
  if (size1 === 0 || size1 === size2) return [];
  const ranges: [number, number][] = [];
  let start = 0;
  let end = size2;
  while (size1 !== end) {
    const middle = start + powerBelow(end - start - 1);
    if (size1 <= middle) {
      ranges.push([middle, end]);
      end = middle;
    } else {
      ranges.push([start, middle]);
      start = middle;
    }
  }
  // The old tree's own hash is left out where it is a complete subtree from leaf 0: the verifier holds that root already.
  if (start > 0) ranges.push([start, end]);
  return hashRanges(ranges.reverse(), read);
}

function requireHashes(proof: readonly Uint8Array[], root: Uint8Array): void {
  if (root.length !== HASH_BYTES || proof.some((hash) => hash.length !== HASH_BYTES)) {
    throw new ProtocolError('log', `expected hashes of ${HASH_BYTES} bytes`);
  }
}

const half = (value: number): number => Math.floor(value / 2);

/**
 * Checks that `leaf` (a leaf hash) is number `index` of the tree with this size and root: RFC 9162 section 2.1.3.2. Throws `log` otherwise.
 */
export function verifyInclusion(
  leaf: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): void {
  requireSize(size);
  requireHashes([leaf, ...proof], root);
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) {
    throw new ProtocolError('log', `expected an index below the tree size ${size}, found ${index}`);
  }
  let position = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0) throw new ProtocolError('log', 'the inclusion proof is longer than the tree is deep');
    if (position % 2 === 1 || position === last) {
      hash = nodeHash(sibling, hash);
      while (position % 2 === 0 && position !== 0) {
        position = half(position);
        last = half(last);
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    position = half(position);
    last = half(last);
  }
  if (last !== 0) throw new ProtocolError('log', 'the inclusion proof is shorter than the tree is deep');
  if (!equal(hash, root)) throw new ProtocolError('log', `the inclusion proof of entry ${index} leads to another root`);
}

/**
 * Checks that the tree (size2, root2) begins with the tree (size1, root1), so that nothing was changed or removed: RFC
 * 9162 section 2.1.4.2. Throws `log` otherwise. An empty first tree is refused as meaningless: every tree begins with it.
 */
export function verifyConsistency(
  size1: number,
  root1: Uint8Array,
  size2: number,
  root2: Uint8Array,
  proof: readonly Uint8Array[],
): void {
  requireSize(size1);
  requireSize(size2);
  requireHashes([root1, ...proof], root2);
  if (size1 > size2) throw new ProtocolError('log', `the log shrank: it had ${size1} entries and now has ${size2}`);
  if (size1 === 0) throw new ProtocolError('log', 'a consistency proof from the empty tree proves nothing');
  if (size1 === size2) {
    if (proof.length > 0) throw new ProtocolError('log', 'expected an empty consistency proof between equal sizes');
    if (!equal(root1, root2)) throw new ProtocolError('log', `two roots for one tree size ${size1}`);
    return;
  }
  // A first size that is a power of two is a complete subtree: its root opens the path and is not repeated in the proof.
  const path = powerBelow(size1) === size1 ? [root1, ...proof] : proof;
  let position = size1 - 1;
  let last = size2 - 1;
  while (position % 2 === 1) {
    position = half(position);
    last = half(last);
  }
  const [first, ...rest] = path;
  if (first === undefined) throw new ProtocolError('log', 'the consistency proof is empty');
  let hash1 = first;
  let hash2 = first;
  for (const sibling of rest) {
    if (last === 0) throw new ProtocolError('log', 'the consistency proof is longer than the tree is deep');
    if (position % 2 === 1 || position === last) {
      hash1 = nodeHash(sibling, hash1);
      hash2 = nodeHash(sibling, hash2);
      while (position % 2 === 0 && position !== 0) {
        position = half(position);
        last = half(last);
      }
    } else {
      hash2 = nodeHash(hash2, sibling);
    }
    position = half(position);
    last = half(last);
  }
  if (last !== 0) throw new ProtocolError('log', 'the consistency proof is shorter than the tree is deep');
  if (!equal(hash1, root1)) throw new ProtocolError('log', `the consistency proof leads to another root at ${size1}`);
  if (!equal(hash2, root2)) throw new ProtocolError('log', `the consistency proof leads to another root at ${size2}`);
}

/**
 * The right edge of a growing tree: one hash per set bit of the size, biggest subtree first. It is all that is needed to
 * append and to compute roots, and it is 32 bytes per level: a log of a billion entries has a frontier of at most 960 bytes.
 */
export class Frontier {
  #size = 0;
  readonly #hashes: Bytes[] = [];

  get size(): number {
    return this.#size;
  }

  append(leaf: Uint8Array): void {
    if (leaf.length !== HASH_BYTES) throw new ProtocolError('log', `expected a leaf hash, found ${leaf.length} bytes`);
    let hash = new Uint8Array(leaf);
    for (let size = this.#size; size % 2 === 1; size = half(size)) hash = nodeHash(this.#hashes.pop()!, hash);
    this.#hashes.push(hash);
    this.#size++;
  }

  root(): Bytes {
    return foldRight(this.#hashes);
  }

  /** The hashes one after the other; their number follows from the size, which is stored beside them. */
  toBytes(): Bytes {
    return concat(...this.#hashes);
  }

  /** The inverse of `toBytes`; throws `log` where the length does not fit the size. */
  static fromBytes(size: number, bytes: Uint8Array): Frontier {
    const count = rootNodes(size).length;
    if (bytes.length !== count * HASH_BYTES) {
      throw new ProtocolError(
        'log',
        `expected a frontier of ${count} hashes for size ${size}, found ${bytes.length} bytes`,
      );
    }
    const frontier = new Frontier();
    frontier.#size = size;
    for (let i = 0; i < count; i++)
      frontier.#hashes.push(new Uint8Array(bytes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)));
    return frontier;
  }
}
