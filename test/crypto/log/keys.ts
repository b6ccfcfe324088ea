import nacl from 'tweetnacl';
import type { Bytes } from '../../../crypto/format/bytes.ts';
import { signCheckpoint } from '../../../crypto/log/checkpoint.ts';
import { encodeVkey, type SignMessage, verifierKey } from '../../../crypto/log/note.ts';
import { Frontier } from '../../../crypto/log/tree.ts';

/** The Ed25519 key whose seed is first, first + 1, ... modulo 256, as the protocol's vectors write `seq(32, first)`. */
export function signerOf(first: number): { publicKey: Bytes; sign: SignMessage } {
  const seed = Uint8Array.from({ length: 32 }, (_, i) => (first + i) % 256);
  const { publicKey, secretKey } = nacl.sign.keyPair.fromSeed(seed);
  return {
    publicKey: new Uint8Array(publicKey),
    sign: async (message) => new Uint8Array(nacl.sign.detached(message, secretKey)),
  };
}

/** The test log: its origin, its key and its vkey. */
export const ORIGIN = 'log.example.org/zeroreel';
export const LOG = signerOf(0x10);
export const VKEY = encodeVkey(verifierKey(ORIGIN, LOG.publicKey));

/** The test log's signed checkpoint over these leaf hashes. */
export async function checkpointOver(leaves: readonly Bytes[]): Promise<string> {
  const frontier = new Frontier();
  for (const leaf of leaves) frontier.append(leaf);
  return signCheckpoint({ origin: ORIGIN, size: frontier.size, root: frontier.root() }, LOG.publicKey, LOG.sign);
}
