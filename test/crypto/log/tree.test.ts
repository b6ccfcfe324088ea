import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex, utf8 } from '../../../crypto/format/bytes.ts';
import {
  emptyRoot,
  Frontier,
  leafHash,
  nodeHash,
  proveConsistency,
  proveInclusion,
  rootHash,
  verifyConsistency,
  verifyInclusion,
} from '../../../crypto/log/tree.ts';
import { leavesOf, memoryHashes, naiveRoot } from './trees.ts';

const vectorsDirectory = process.env['ZEROREEL_PUBLIC_VECTORS'] ?? '../shared/vectors/public';
const publicVectors = `${vectorsDirectory}/rfc6962_proofs.json`;

interface ProofVector {
  readonly desc: string;
  readonly wantErr: boolean;
  readonly proof: readonly string[] | null;
  readonly size1?: number;
  readonly size2?: number;
  readonly root1?: string | null;
  readonly root2?: string | null;
  readonly leafIdx?: number;
  readonly treeSize?: number;
  readonly leafHash?: string | null;
  readonly root?: string | null;
}

const decode = (text: string | null | undefined): Buffer => Buffer.from(text ?? '', 'base64');

/** Good in the suite, refused here: its roots are arbitrary texts and not 32 bytes. */
const NOT_SHA256 = 'consistency/additional/sizes-are-equal-one-and-proof-is-empty';

function check(vector: ProofVector): void {
  const proof = (vector.proof ?? []).map(decode);
  if (vector.leafIdx === undefined) {
    verifyConsistency(vector.size1!, decode(vector.root1), vector.size2!, decode(vector.root2), proof);
  } else {
    verifyInclusion(decode(vector.leafHash), vector.leafIdx, vector.treeSize!, proof, decode(vector.root));
  }
}

if (!existsSync(publicVectors) && process.env['ZEROREEL_REQUIRE_ALL'] === '1') {
  throw new Error(`expected ${publicVectors}: ZEROREEL_REQUIRE_ALL is set`);
}
if (!existsSync(publicVectors)) {
  process.stderr.write(`SKIPPED: ${publicVectors} is absent, so the public RFC 6962 proofs were not run\n`);
}

describe.skipIf(!existsSync(publicVectors))('public RFC 6962 proofs (transparency-dev/merkle)', () => {
  const vectors = existsSync(publicVectors)
    ? (JSON.parse(readFileSync(publicVectors, 'utf8')) as Record<string, ProofVector>)
    : {};

  it('holds both good and bad proofs of both kinds', () => {
    const kinds = Object.entries(vectors).map(([name, { wantErr }]) => `${name.split('/')[0]!} ${wantErr}`);
    expect(new Set(kinds)).toEqual(
      new Set(['consistency false', 'consistency true', 'inclusion false', 'inclusion true']),
    );
  });

  it.each(Object.entries(vectors))('%s', (name, vector) => {
    if (vector.wantErr || name === NOT_SHA256) {
      expect(() => {
        check(vector);
      }).toThrow(expect.objectContaining({ name: 'ProtocolError', code: 'log' }));
    } else {
      check(vector);
    }
  });
});

describe('hashes', () => {
  // SHA-256 of nothing, and the empty leaf of RFC 6962 test data.
  it('are those of RFC 6962', () => {
    expect(toHex(emptyRoot())).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(toHex(leafHash(utf8('')))).toBe('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
    expect(toHex(nodeHash(leafHash(utf8('')), leafHash(fromHex('00'))))).toBe(
      'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    );
  });
});

describe('every tree of 0 to 70 leaves', () => {
  const leaves = leavesOf(70);
  const read = memoryHashes(leaves);
  const roots = Array.from({ length: 71 }, (_, size) => naiveRoot(leaves.slice(0, size)));

  it('has one root, whether recursed, appended leaf by leaf, resumed from stored bytes or read from its nodes', async () => {
    let frontier = new Frontier();
    for (let size = 0; size <= 70; size++) {
      expect(frontier.root()).toEqual(roots[size]);
      expect(await rootHash(size, read)).toEqual(roots[size]);
      expect(frontier.size).toBe(size);
      frontier = Frontier.fromBytes(size, frontier.toBytes());
      if (size < 70) frontier.append(leaves[size]!);
    }
  });

  it('proves every leaf in every size, and no leaf at another index, in another size or under another root', async () => {
    for (let size = 1; size <= 70; size++) {
      for (let index = 0; index < size; index++) {
        const proof = await proveInclusion(index, size, read);
        verifyInclusion(leaves[index]!, index, size, proof, roots[size]!);
        const refused = (change: () => void): void => {
          expect(change).toThrow(expect.objectContaining({ code: 'log' }));
        };
        refused(() => {
          verifyInclusion(leaves[(index + 1) % 70]!, index, size, proof, roots[size]!);
        });
        refused(() => {
          verifyInclusion(leaves[index]!, index, size, proof, roots[size - 1]!);
        });
        refused(() => {
          verifyInclusion(leaves[index]!, index, size, [...proof, leaves[0]!], roots[size]!);
        });
        if (size > 1) {
          refused(() => {
            verifyInclusion(leaves[index]!, (index + 1) % size, size, proof, roots[size]!);
          });
          refused(() => {
            verifyInclusion(leaves[index]!, index, size, proof.slice(0, -1), roots[size]!);
          });
        }
      }
    }
  });

  it('is proven consistent with every larger tree, and with none that differs', async () => {
    for (let size2 = 1; size2 <= 70; size2++) {
      for (let size1 = 1; size1 <= size2; size1++) {
        const proof = await proveConsistency(size1, size2, read);
        verifyConsistency(size1, roots[size1]!, size2, roots[size2]!, proof);
        expect(() => {
          verifyConsistency(size1, roots[size1 - 1]!, size2, roots[size2]!, proof);
        }).toThrow(expect.objectContaining({ code: 'log' }));
        expect(() => {
          verifyConsistency(size1, roots[size1]!, size2, roots[size2 - 1]!, proof);
        }).toThrow(expect.objectContaining({ code: 'log' }));
      }
    }
  });
});

describe('any flipped bit', () => {
  const leaves = leavesOf(200);
  const read = memoryHashes(leaves);

  it('in an inclusion proof, its leaf or its root is refused', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 200 }).chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1))),
        fc.nat(),
        async ([size, index], flip) => {
          const parts = [
            leaves[index]!,
            naiveRoot(leaves.slice(0, size)),
            ...(await proveInclusion(index, size, read)),
          ];
          const changed = flipBit(parts, flip);
          expect(() => {
            verifyInclusion(changed[0]!, index, size, changed.slice(2), changed[1]!);
          }).toThrow(expect.objectContaining({ code: 'log' }));
        },
      ),
    );
  });

  it('in a consistency proof or in either root is refused', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc
          .integer({ min: 2, max: 200 })
          .chain((size) => fc.tuple(fc.constant(size), fc.integer({ min: 1, max: size - 1 }))),
        fc.nat(),
        async ([size2, size1], flip) => {
          const roots = [naiveRoot(leaves.slice(0, size1)), naiveRoot(leaves.slice(0, size2))];
          const changed = flipBit([...roots, ...(await proveConsistency(size1, size2, read))], flip);
          expect(() => {
            verifyConsistency(size1, changed[0]!, size2, changed[1]!, changed.slice(2));
          }).toThrow(expect.objectContaining({ code: 'log' }));
        },
      ),
    );
  });
});

function flipBit(parts: readonly Uint8Array[], flip: number): Uint8Array[] {
  const bit = flip % (parts.length * 256);
  return parts.map((part, i) => {
    const copy = new Uint8Array(part);
    if (i === Math.floor(bit / 256)) copy[Math.floor(bit / 8) % 32]! ^= 1 << (bit % 8);
    return copy;
  });
}

describe('sizes and stores that cannot be', () => {
  const read = memoryHashes(leavesOf(8));

  it.each([
    ['an index at the size', () => proveInclusion(8, 8, read)],
    ['a negative index', () => proveInclusion(-1, 8, read)],
    ['a fractional size', () => proveInclusion(0, 1.5, read)],
    ['a size beyond 2^53', () => proveInclusion(0, 2 ** 53, read)],
    ['a shrinking log', () => proveConsistency(8, 7, read)],
    ['a store that answers too little', () => proveInclusion(0, 8, () => [])],
    ['a store with short hashes', () => proveInclusion(0, 8, (nodes) => nodes.map(() => new Uint8Array(31)))],
  ])('%s is refused', async (_name, prove) => {
    await expect(prove()).rejects.toMatchObject({ code: 'log' });
  });

  it('a frontier whose bytes do not fit its size is refused', () => {
    expect(() => Frontier.fromBytes(3, new Uint8Array(32))).toThrow(expect.objectContaining({ code: 'log' }));
    expect(() => Frontier.fromBytes(4, new Uint8Array(64))).toThrow(expect.objectContaining({ code: 'log' }));
  });

  it('sizes beyond 32 bits keep their proofs: 2^40 + 5 leaves from the one right edge', async () => {
    const size = 2 ** 40 + 5;
    const node = leafHash(utf8('the same everywhere'));
    const proof = await proveInclusion(2 ** 40 + 4, size, (nodes) => nodes.map(() => node));
    const root = await rootHash(size, (nodes) => nodes.map(() => node));
    verifyInclusion(node, 2 ** 40 + 4, size, proof, root);
  });
});
