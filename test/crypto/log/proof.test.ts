import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../crypto/format/bytes.ts';
import { encodeProof, parseProof, verifyProof } from '../../../crypto/log/proof.ts';
import { proveInclusion } from '../../../crypto/log/tree.ts';
import { checkpointOver, VKEY } from './keys.ts';
import { leavesOf, memoryHashes } from './trees.ts';

const leaves = leavesOf(11);
const INDEX = 6;
const entry = utf8('6');

const checkpoint = await checkpointOver(leaves);
const hashes = await proveInclusion(INDEX, 11, memoryHashes(leaves));
const proof = encodeProof({ index: INDEX, hashes, checkpoint });
const isRefused = { code: 'log', name: 'ProtocolError' };

describe('a proof', () => {
  it('verifies with the entry and the vkey, and nothing else', async () => {
    const verified = await verifyProof(entry, proof, VKEY);
    expect(verified.index).toBe(INDEX);
    expect(verified.checkpoint.size).toBe(11);
  });

  it('is laid out as C2SP tlog-proof says', () => {
    const lines = proof.split('\n');
    expect(lines[0]).toBe('c2sp.org/tlog-proof@v1');
    expect(lines[1]).toBe('index 6');
    expect(lines.slice(2, 6).every((line) => line.length === 44)).toBe(true);
    expect(proof.endsWith(`\n\n${checkpoint}`)).toBe(true);
  });

  it('carries extra data, which it does not vouch for', async () => {
    const withExtra = encodeProof({ index: INDEX, hashes, extra: utf8('context'), checkpoint });
    expect(withExtra.split('\n')[1]).toBe('extra Y29udGV4dA==');
    expect(parseProof(withExtra).extra).toEqual(utf8('context'));
    await verifyProof(entry, withExtra.replace('Y29udGV4dA==', 'b3RoZXI='), VKEY);
  });

  it('of the only entry of a log has no hashes', async () => {
    const one = encodeProof({ index: 0, hashes: [], checkpoint: await checkpointOver(leaves.slice(0, 1)) });
    expect((await verifyProof(utf8('0'), one, VKEY)).index).toBe(0);
  });

  it('any flipped bit of it, or of the entry, is refused', async () => {
    const bytes = Buffer.from(proof);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[Math.floor(bit / 8)]! ^= 1 << (bit % 8);
      await expect(verifyProof(entry, changed.toString('utf8'), VKEY), `bit ${bit}`).rejects.toMatchObject(isRefused);
    }
    await expect(verifyProof(utf8('7'), proof, VKEY)).rejects.toMatchObject(isRefused);
  });

  it.each<[string, string]>([
    ['another magic', proof.replace('@v1', '@v2')],
    ['no index', proof.replace(/index \d+\n/, '')],
    ['an index with a leading zero', proof.replace('index 6', 'index 06')],
    ['an index at the size', proof.replace('index 6', 'index 11')],
    ['an index beyond 2^53', proof.replace('index 6', 'index 9007199254740992')],
    ['a hash too few', proof.replace(/\n[^\n]{44}\n\n/, '\n\n')],
    ['a hash too many', proof.replace(/\n\n/, `\n${'A'.repeat(43)}=\n\n`)],
    ['a hash of 31 bytes', proof.replace(/index 6\n[^\n]+/, `index 6\n${'A'.repeat(42)}==`)],
    ['54 hashes', proof.replace(/\n\n/, `\n${`${'A'.repeat(43)}=\n`.repeat(54)}\n`)],
    ['a million hashes', proof.replace(/\n\n/, `\n${`${'A'.repeat(43)}=\n`.repeat(1_000_000)}\n`)],
    ['no checkpoint', proof.slice(0, proof.indexOf('\n\n'))],
    ['nothing', ''],
  ])('with %s is refused', async (_name, changed) => {
    expect(changed).not.toBe(proof);
    await expect(verifyProof(entry, changed, VKEY)).rejects.toMatchObject(isRefused);
  });

  it('is not written with what could not be read', () => {
    expect(() => encodeProof({ index: -1, hashes, checkpoint })).toThrow(expect.objectContaining(isRefused));
    expect(() => encodeProof({ index: 0, hashes: [new Uint8Array(31)], checkpoint })).toThrow(
      expect.objectContaining(isRefused),
    );
  });
});
