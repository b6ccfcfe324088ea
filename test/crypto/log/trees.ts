import { utf8, type Bytes } from '../../../crypto/format/bytes.ts';
import { emptyRoot, leafHash, nodeHash, type ReadHashes } from '../../../crypto/log/tree.ts';

/** Leaf hashes of the entries "0", "1", ... */
export function leavesOf(count: number): Bytes[] {
  return Array.from({ length: count }, (_, i) => leafHash(utf8(String(i))));
}

/** MTH as RFC 6962 section 2.1 defines it, by recursion: slow, and obviously the definition. */
export function naiveRoot(leaves: readonly Bytes[]): Bytes {
  if (leaves.length === 0) return emptyRoot();
  if (leaves.length === 1) return leaves[0]!;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return nodeHash(naiveRoot(leaves.slice(0, split)), naiveRoot(leaves.slice(split)));
}

/** Hashes of complete subtrees computed from the leaves by definition; asking beyond the leaves throws. */
export function memoryHashes(leaves: readonly Bytes[]): ReadHashes {
  return (nodes) =>
    nodes.map(({ level, index }) => {
      const part = leaves.slice(index * 2 ** level, (index + 1) * 2 ** level);
      if (part.length !== 2 ** level) throw new Error(`no node ${index} at level ${level}`);
      return naiveRoot(part);
    });
}
