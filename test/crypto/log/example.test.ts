import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { fromUtf8, toHex } from '../../../crypto/format/bytes.ts';
import { signCheckpoint } from '../../../crypto/log/checkpoint.ts';
import { encodeEntry } from '../../../crypto/log/entry.ts';
import { encodeVkey, verifierKey } from '../../../crypto/log/note.ts';
import { encodeProof, verifyProof } from '../../../crypto/log/proof.ts';
import { Frontier, leafHash, proveInclusion } from '../../../crypto/log/tree.ts';
import { DAY, entryOf, MINUTE, START } from './histories.ts';
import { ORIGIN, signerOf } from './keys.ts';
import { memoryHashes } from './trees.ts';

it('the worked example in LOG.md is what this code writes, byte for byte', async () => {
  const { publicKey, sign } = signerOf(0xf0);
  const vkey = encodeVkey(verifierKey(ORIGIN, publicKey));
  const entries = [
    entryOf('policy.published', START - MINUTE),
    entryOf('recording.opened', START),
    entryOf('deletion.completed', START + 30 * DAY + 2 * MINUTE),
  ].map(encodeEntry);
  const leaves = entries.map(leafHash);
  const frontier = new Frontier();
  for (const leaf of leaves) frontier.append(leaf);
  const checkpoint = await signCheckpoint({ origin: ORIGIN, size: 3, root: frontier.root() }, publicKey, sign);
  const hashes = await proveInclusion(1, 3, memoryHashes(leaves));
  const proof = encodeProof({ index: 1, hashes, checkpoint });
  await verifyProof(entries[1]!, proof, vkey);

  const specification = readFileSync('schema/LOG.md', 'utf8');
  for (const part of [...entries.map(fromUtf8), ...leaves.map(toHex), vkey, checkpoint, proof]) {
    expect(specification).toContain(part);
  }
});
