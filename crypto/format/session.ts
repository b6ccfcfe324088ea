/** How an identity signs in at a service's pages (PROTOCOL.md section 11.1). */
import { utf8, Writer, type Bytes } from './bytes.ts';
import { hash } from './hash.ts';

/**
 * `H("session", challenge 32 || lp16 origin)`: what an identity key signs under the label `session`. `origin` is the one that the
 * signer's browser or command line talks to, so that a signature which another site asked for is worth nothing here.
 */
export async function sessionHash(challenge: Uint8Array, origin: string): Promise<Bytes> {
  return hash('session', new Writer().bytes(challenge, 32).lp16(utf8(origin)).finish());
}
