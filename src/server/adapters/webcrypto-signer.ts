/** The log's key where there is no file system: an Ed25519 seed from a secret, held by WebCrypto and not extractable. */
import { type Bytes, concat, fromHex, fromBase64Url } from '../../../crypto/format/bytes.ts';
import type { Signer } from '../ports.ts';

/** PKCS #8 around a bare Ed25519 seed (RFC 8410, section 7). */
const PKCS8_PREFIX = fromHex('302e020100300506032b657004220420');

/** `seed` is 32 bytes. */
export async function importLogSigner(seed: Bytes, origin: string): Promise<Signer> {
  const { subtle } = globalThis.crypto;
  const pkcs8 = concat(PKCS8_PREFIX, seed);
  const readable = await subtle.importKey('pkcs8', pkcs8, 'Ed25519', true, ['sign']);
  const { x } = await subtle.exportKey('jwk', readable);
  const key = await subtle.importKey('pkcs8', pkcs8, 'Ed25519', false, ['sign']);
  return {
    origin,
    publicKey: fromBase64Url(x!),
    sign: async (message) => new Uint8Array(await subtle.sign('Ed25519', key, message)),
  };
}
