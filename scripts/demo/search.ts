/** Looking for bytes in every file of a folder: raw, as they lie on the disk. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Needle {
  name: string;
  bytes: Uint8Array;
}

/** Files are the demonstration's own: small enough to be read whole. */
export async function* filesIn(folder: string): AsyncGenerator<{ path: string; bytes: Buffer }> {
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    yield { path, bytes: await readFile(path) };
  }
}

/** How many of the needles occur in some file, with the first places. */
export async function search(
  folder: string,
  needles: readonly Needle[],
): Promise<{ found: number; bytes: number; places: string[] }> {
  const places = new Map<Needle, string>();
  for await (const { path, bytes } of filesIn(folder)) {
    for (const needle of needles) {
      if (!places.has(needle) && bytes.includes(Buffer.from(needle.bytes)))
        places.set(needle, `${needle.name} in ${path}`);
    }
  }
  const bytes = [...places.keys()].reduce((sum, needle) => sum + needle.bytes.length, 0);
  return { found: places.size, bytes, places: [...places.values()] };
}

/** `count` stretches of 32 bytes, spread evenly: long enough that chance finds none of them. */
export function windows(name: string, bytes: Uint8Array, count: number): Needle[] {
  const length = 32;
  const last = Math.max(0, bytes.length - length);
  const steps = Math.min(count, last + 1);
  return Array.from({ length: steps }, (_, i) => {
    const from = steps === 1 ? 0 : Math.floor((i * last) / (steps - 1));
    return { name: `${name} at ${from}`, bytes: bytes.subarray(from, from + length) };
  });
}
