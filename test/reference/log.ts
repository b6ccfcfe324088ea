/** Section 12: the proof that an entry is in the retention log, as C2SP tlog-proof over RFC 6962. */
import { must, same, sha256 } from './fields.ts';
import { signatureHolds } from './primitives.ts';

/** RFC 6962 section 2.1.1, read from the root down: what the path makes of the leaf's hash. */
function rootFrom(index: number, size: number, hash: Buffer, path: Buffer[]): Buffer {
  if (size === 1) {
    must(path.length === 0, 'log');
    return hash;
  }
  const sibling = path.at(-1);
  must(sibling !== undefined, 'log');
  const split = 2 ** Math.ceil(Math.log2(size) - 1);
  const rest = path.slice(0, -1);
  return index < split
    ? sha256(Buffer.of(1), rootFrom(index, split, hash, rest), sibling)
    : sha256(Buffer.of(1), sibling, rootFrom(index - split, size - split, hash, rest));
}

/** Checks checkpoint signature, origin and inclusion; answers the entry's index. */
export function checkProof(entry: Buffer, proof: string, { origin, vkey }: { origin: string; vkey: string }): number {
  const match = /^c2sp\.org\/tlog-proof@v1\n(?:extra \S+\n)?index (0|[1-9]\d*)\n((?:\S{44}\n)*)\n([^]*)$/.exec(proof);
  must(match !== null, 'log');
  const [, index, hashes, checkpoint] = match as unknown as [string, string, string, string];
  const [text, signatures] = [/^[^]*?\n(?=\n)/.exec(checkpoint)?.[0] ?? '', checkpoint.split('\n\n')[1] ?? ''];
  const [name, size, root] = text.split('\n');
  must(name === origin && Number(index) < Number(size), 'log');
  must(
    signatures.split('\n').some((line) => isSignature(line, text, vkey)),
    'log',
  );
  const path = [...hashes.matchAll(/\S+/g)].map(([hash]) => Buffer.from(hash, 'base64'));
  const computed = rootFrom(Number(index), Number(size), sha256(Buffer.of(0), entry), path);
  must(same(computed, Buffer.from(root ?? '', 'base64')), 'log');
  return Number(index);
}

/** Whether a line is the log's own. vkey: `<name>+<hex id>+<base64 of 0x01 and the key>`, as in Go's sumdb/note. */
function isSignature(line: string, text: string, vkey: string): boolean {
  const [, name = '', id = '', keyB64 = ''] = /^(.*)\+([0-9a-f]{8})\+(.*)$/.exec(vkey) ?? [];
  const key = Buffer.from(keyB64, 'base64');
  const keyId = sha256(Buffer.from(`${name}\n`), key).subarray(0, 4);
  const [dash, signer, b64 = ''] = line.split(' ');
  const blob = Buffer.from(b64, 'base64');
  const isOfKey = dash === '\u2014' && signer === name && same(blob.subarray(0, 4), keyId);
  if (key[0] !== 1 || keyId.toString('hex') !== id || !isOfKey) return false;
  return signatureHolds(key.subarray(1), Buffer.from(text), blob.subarray(4));
}
