import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { concat, type Bytes, utf8 } from './bytes.ts';
import { ProtocolError } from './errors.ts';

/** `DS(l)`: the domain separator of PROTOCOL.md section 2. */
export function separator(label: string): Bytes {
  return utf8(`zeroreel/v1/${label}\0`);
}

/** WebCrypto, or `unsupported`: no fallback stands in for it. */
export function subtle(): SubtleCrypto {
  const found = (globalThis.crypto as Crypto | undefined)?.subtle;
  if (!found) throw new ProtocolError('unsupported', 'WebCrypto is missing; open the page over https');
  return found;
}

/** Up to here WebCrypto's hand-over to a thread costs more than the hash: at 256 bytes ten times as much, at 4 KiB as much. */
const SHORT = 2048;

export async function sha256(bytes: Uint8Array): Promise<Bytes> {
  if (bytes.length <= SHORT) return new Uint8Array(nobleSha256(bytes));
  return new Uint8Array(await subtle().digest('SHA-256', bytes as Bytes));
}

/** `H(l, m)` = SHA-256(DS(l) || m), 32 bytes. */
export async function hash(label: string, ...message: readonly Uint8Array[]): Promise<Bytes> {
  return sha256(concat(separator(label), ...message));
}
