import { readFileSync } from 'node:fs';
import { base64 } from '@scure/base';
import { describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../../crypto/format/bytes.ts';
import { openCheckpoint, signCheckpoint } from '../../../crypto/log/checkpoint.ts';
import { encodeVkey, verifierKey } from '../../../crypto/log/note.ts';
import { Frontier, leafHash } from '../../../crypto/log/tree.ts';
import { signerOf } from './keys.ts';

interface Vectors {
  readonly inputs: { readonly log: { readonly entries: readonly string[]; readonly origin: string } };
  readonly outputs_hex_or_text: Readonly<Record<'leafhash1' | 'root3' | 'checkpoint' | 'log_vkey', string>>;
}

const vectors = JSON.parse(readFileSync('test/vectors/protocol-v1.json', 'utf8')) as Vectors;
const { entries, origin } = vectors.inputs.log;
const known = vectors.outputs_hex_or_text;

describe('the known answers of protocol v1', () => {
  const logKey = signerOf(0xf0);

  it('leaf, root, vkey and signed checkpoint are byte for byte those', async () => {
    const frontier = new Frontier();
    for (const entry of entries) frontier.append(leafHash(utf8(entry)));
    expect(toHex(leafHash(utf8(entries[1]!)))).toBe(known.leafhash1);
    expect(base64.encode(frontier.root())).toBe(known.root3);
    expect(encodeVkey(verifierKey(origin, logKey.publicKey))).toBe(known.log_vkey);
    expect(await signCheckpoint({ origin, size: 3, root: frontier.root() }, logKey.publicKey, logKey.sign)).toBe(
      known.checkpoint,
    );
    expect(await openCheckpoint(known.checkpoint, known.log_vkey, origin)).toEqual({
      origin,
      size: 3,
      root: frontier.root(),
      cosignatures: [],
    });
  });
});
