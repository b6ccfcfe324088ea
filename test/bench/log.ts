/** The retention log: appending, proving and verifying, beside a bare SHA-256 per node; and how proofs grow with the log. */
import { createHash } from 'node:crypto';
import {
  leafHash,
  nodeHash,
  Frontier,
  type NodeAddress,
  proveInclusion,
  rootHash,
  verifyInclusion,
} from '../../crypto/log/tree.ts';
import type { Bytes } from '../../crypto/format/bytes.ts';
import type { Comparison } from './comparison.ts';

const LARGEST = 10_000_000;
const LEVELS = 24;

/** A log whose entries are all alike has one hash a level: so ten million entries fit into a kilobyte, and proofs cost the same. */
function uniformTree(): { leaf: Bytes; read: (nodes: readonly NodeAddress[]) => Bytes[] } {
  const leaf = leafHash(new Uint8Array(300));
  const levels = [leaf];
  for (let level = 1; level < LEVELS; level++) levels.push(nodeHash(levels[level - 1]!, levels[level - 1]!));
  return { leaf, read: (nodes) => nodes.map(({ level }) => levels[level]!) };
}

function bareHashes(count: number): void {
  const node = new Uint8Array(65);
  for (let i = 0; i < count; i++) createHash('sha256').update(node).digest();
}

export async function logging(): Promise<Comparison[]> {
  const { leaf, read } = uniformTree();
  const root = await rootHash(LARGEST, read);
  const index = 6_543_210;
  const proof = await proveInclusion(index, LARGEST, read);
  const growth: Record<string, number> = {};
  for (let size = 10; size <= LARGEST; size *= 100) {
    growth[`hashes at ${size.toLocaleString('en')}`] = (await proveInclusion(size - 1, size, read)).length;
  }
  growth[`hashes at ${LARGEST.toLocaleString('en')}`] = proof.length;
  const entry = new Uint8Array(300);
  return [
    {
      key: 'log-verify',
      title: `verify inclusion among ${LARGEST.toLocaleString('en')} entries, in nodes`,
      unit: 'nodes/s',
      per: 'cpu-second',
      target: 0.5,
      contenders: [
        {
          name: 'verifyInclusion',
          run: () => {
            const times = 5000;
            for (let i = 0; i < times; i++) verifyInclusion(leaf, index, LARGEST, proof, root);
            return { units: times * proof.length, notes: growth };
          },
        },
        {
          name: 'a bare SHA-256 each, node:crypto',
          run: () => {
            bareHashes(100_000);
            return { units: 100_000 };
          },
        },
      ],
    },
    {
      key: 'log-append',
      title: 'append entries of 300 bytes to the tree, in hashes',
      unit: 'hashes/s',
      per: 'cpu-second',
      target: 0.5,
      contenders: [
        {
          name: 'Frontier.append',
          run: () => {
            const frontier = new Frontier();
            const entries = 2 ** 16;
            for (let i = 0; i < entries; i++) frontier.append(leafHash(entry));
            return { units: 2 * entries - 1 };
          },
        },
        {
          name: 'a bare SHA-256 each, node:crypto',
          run: () => {
            const hashes = 2 ** 16;
            for (let i = 0; i < hashes; i++) createHash('sha256').update(entry).digest();
            bareHashes(hashes - 1);
            return { units: 2 * hashes - 1 };
          },
        },
      ],
    },
    {
      key: 'log-prove',
      title: `prove inclusion, among ${LARGEST.toLocaleString('en')} entries and among fewer`,
      unit: 'proofs/s',
      per: 'cpu-second',
      target: 0.2,
      contenders: [LARGEST, LARGEST / 10, LARGEST / 100, LARGEST / 1000].map((size) => ({
        name: `of ${size.toLocaleString('en')}`,
        size,
        run: async () => {
          const times = 5000;
          for (let i = 0; i < times; i++) await proveInclusion((i * 7919) % size, size, read);
          return { units: times };
        },
      })),
      remark: 'tree nodes from memory; O(log n) would be 0.58 of 10,000 entries: 14 levels to 24',
    },
  ];
}
