import { existsSync, readFileSync } from 'node:fs';

const PROBE_BYTES = 16;

/**
 * How many of these secrets have a trace in a SQLite file, its journal or its shared memory. A trace is any 16 bytes that
 * begin at a multiple of 16 in the secret, wherever they lie in the file: pages may hold a secret's parts only.
 */
export function stillThere(path: string, secrets: readonly Uint8Array[]): number {
  const owners = new Map<string, number>();
  // By a probe's first three bytes: rules nearly every offset out without a look at the map.
  const isCandidate = new Uint8Array(2 ** 24);
  secrets.forEach((secret, index) => {
    for (let at = 0; at + PROBE_BYTES <= secret.length; at += PROBE_BYTES) {
      const probe = Buffer.from(secret.subarray(at, at + PROBE_BYTES));
      owners.set(probe.toString('latin1'), index);
      isCandidate[probe.readUIntBE(0, 3)] = 1;
    }
  });
  const found = new Set<number>();
  for (const suffix of ['', '-wal', '-shm']) {
    if (!existsSync(path + suffix)) continue;
    const file = readFileSync(path + suffix);
    for (let at = 0; at + PROBE_BYTES <= file.length; at++) {
      if (isCandidate[(file[at]! << 16) | (file[at + 1]! << 8) | file[at + 2]!] === 0) continue;
      const index = owners.get(file.toString('latin1', at, at + PROBE_BYTES));
      if (index !== undefined) found.add(index);
    }
  }
  return found.size;
}
