import type { Bytes } from './bytes.ts';

/** Where random bytes come from; tests pass a deterministic one. */
export type RandomSource = (length: number) => Bytes;

/** The platform's cryptographic generator, at most 65,536 bytes a call. */
export function randomBytes(length: number): Bytes {
  return globalThis.crypto.getRandomValues(new Uint8Array(length));
}
