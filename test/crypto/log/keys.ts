import nacl from 'tweetnacl';
import type { Bytes } from '../../../crypto/format/bytes.ts';
import type { SignMessage } from '../../../crypto/log/note.ts';

/** The Ed25519 key whose seed is first, first + 1, ... modulo 256, as the protocol's vectors write `seq(32, first)`. */
export function signerOf(first: number): { publicKey: Bytes; sign: SignMessage } {
  const seed = Uint8Array.from({ length: 32 }, (_, i) => (first + i) % 256);
  const { publicKey, secretKey } = nacl.sign.keyPair.fromSeed(seed);
  return {
    publicKey: new Uint8Array(publicKey),
    sign: async (message) => new Uint8Array(nacl.sign.detached(message, secretKey)),
  };
}
