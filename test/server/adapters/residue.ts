import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const PROBE_BYTES = 16;

/** How many of these secrets have a trace in a SQLite file, its journal or its shared memory. */
export function stillThere(path: string, secrets: readonly Uint8Array[]): number {
  const files = ['', '-wal', '-shm'].map((suffix) => path + suffix).filter((file) => existsSync(file));
  return traces(files, secrets).size;
}

/** The same for every file below a folder; `only` chooses among them. */
export function stillBelow(
  folder: string,
  secrets: readonly Uint8Array[],
  only: (path: string) => boolean = () => true,
): number {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return traces(files.filter(only), secrets).size;
}

/** A file that a checkpoint has removed since it was listed holds nothing. */
function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

/**
 * Which of the secrets, by index, have a trace. A trace is any 16 bytes that begin at a multiple of 16 in the secret, wherever they
 * lie in the file: pages may hold a secret's parts only.
 */
function traces(files: readonly string[], secrets: readonly Uint8Array[]): Set<number> {
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
  for (const path of files) {
    const file = read(path);
    for (let at = 0; at + PROBE_BYTES <= file.length; at++) {
      if (isCandidate[(file[at]! << 16) | (file[at + 1]! << 8) | file[at + 2]!] === 0) continue;
      const index = owners.get(file.toString('latin1', at, at + PROBE_BYTES));
      if (index !== undefined) found.add(index);
    }
  }
  return found;
}
