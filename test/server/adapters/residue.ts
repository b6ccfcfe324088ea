import { existsSync, readFileSync } from 'node:fs';

const PROBE_BYTES = 16;

/**
 * How many of these secrets have a trace in a SQLite file, its journal or its shared memory. A trace is any 16 bytes that
 * begin at a multiple of 16 in the secret, wherever they lie in the file: pages may hold a secret's parts only.
 */
export function stillThere(path: string, secrets: readonly Uint8Array[]): number {
  const owner = new Map<string, number>();
  secrets.forEach((secret, index) => {
    for (let at = 0; at + PROBE_BYTES <= secret.length; at += PROBE_BYTES) {
      owner.set(Buffer.from(secret.subarray(at, at + PROBE_BYTES)).toString('latin1'), index);
    }
  });
  const found = new Set<number>();
  for (const suffix of ['', '-wal', '-shm']) {
    if (!existsSync(path + suffix)) continue;
    const text = readFileSync(path + suffix).toString('latin1');
    for (let at = 0; at + PROBE_BYTES <= text.length; at++) {
      const index = owner.get(text.slice(at, at + PROBE_BYTES));
      if (index !== undefined) found.add(index);
    }
  }
  return found.size;
}
