/** The proof that an entry is in the retention log: C2SP tlog-proof over RFC 6962, by the second implementation. */
import { must, same, sha256, signatureHolds } from './primitives.ts';

const leaf = (entry: Uint8Array): Buffer => sha256(Buffer.of(0), entry);
const node = (left: Uint8Array, right: Uint8Array): Buffer => sha256(Buffer.of(1), left, right);

/** RFC 9162 section 2.1.3.2, in the recursive form of RFC 6962 section 2.1.1. */
function rootFrom(index: number, size: number, hash: Buffer, path: Buffer[]): Buffer {
  if (size === 1) {
    must(path.length === 0, 'log', 'path too long');
    return hash;
  }
  const sibling = path.at(-1);
  must(sibling !== undefined, 'log', 'path too short');
  let split = 1;
  while (split * 2 < size) split *= 2;
  const rest = path.slice(0, -1);
  return index < split
    ? node(rootFrom(index, split, hash, rest), sibling)
    : node(sibling, rootFrom(index - split, size - split, hash, rest));
}

/** Checks checkpoint signature, origin and inclusion; answers the entry's index. */
export function checkProof(entry: Buffer, proof: string, origin: string, vkey: string): number {
  const [path = '', ...checkpointParts] = proof.split('\n\n');
  const lines = path.split('\n');
  must(lines.shift() === 'c2sp.org/tlog-proof@v1', 'log', 'magic');
  if (lines[0]?.startsWith('extra ')) lines.shift();
  const index = Number(/^index (0|[1-9]\d*)$/.exec(lines.shift() ?? '')?.[1]);
  const checkpoint = checkpointParts.join('\n\n');
  const text = checkpoint.slice(0, checkpoint.indexOf('\n\n') + 1);
  const [name, sizeText, rootB64] = text.split('\n');
  const size = Number(sizeText);
  must(name === origin && Number.isSafeInteger(size) && index < size, 'log', 'origin or size');
  must(checkpointHolds(checkpoint, text, vkey), 'log', 'checkpoint signature');
  const hashes = lines.map((line) => Buffer.from(line, 'base64'));
  const root = rootFrom(index, size, leaf(entry), hashes);
  must(same(root, Buffer.from(rootB64 ?? '', 'base64')), 'log', 'root');
  return index;
}

/** vkey: `<name>+<hex id>+<base64 of 0x01 and the key>`, as in Go's sumdb/note. */
function checkpointHolds(checkpoint: string, text: string, vkey: string): boolean {
  const [, name = '', id = '', keyB64 = ''] = /^(.*)\+([0-9a-f]{8})\+(.*)$/.exec(vkey) ?? [];
  const key = Buffer.from(keyB64, 'base64');
  const expectedId = sha256(Buffer.from(`${name}\n`), key).subarray(0, 4);
  if (key[0] !== 1 || expectedId.toString('hex') !== id) return false;
  const signatures = checkpoint.slice(text.length + 1).split('\n');
  return signatures.some((line) => {
    const [dash, signer, b64 = ''] = line.split(' ');
    const blob = Buffer.from(b64, 'base64');
    if (dash !== '\u2014' || signer !== name || blob.length !== 68 || !same(blob.subarray(0, 4), expectedId))
      return false;
    return signatureHolds(key.subarray(1), Buffer.from(text), blob.subarray(4));
  });
}
