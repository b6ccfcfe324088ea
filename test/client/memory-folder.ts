import type { Bytes } from '../../crypto/format/bytes.ts';
import type { CaseFolder } from '../../src/client/casefile.ts';

/** A case file in memory, to be tampered with. */
export class MemoryFolder implements CaseFolder {
  readonly files: Map<string, Bytes>;

  constructor(files: Iterable<[string, Bytes]> = []) {
    this.files = new Map(files);
  }

  /** A copy whose files can be changed without changing this one's. */
  copy(): MemoryFolder {
    return new MemoryFolder([...this.files].map(([path, bytes]) => [path, bytes.slice()]));
  }

  async read(path: string): Promise<Bytes | undefined> {
    return this.files.get(path);
  }

  async write(path: string, bytes: Bytes): Promise<void> {
    this.files.set(path, bytes.slice());
  }

  async list(path: string): Promise<string[]> {
    const inside = [...this.files.keys()].filter((name) => name.startsWith(`${path}/`));
    return [...new Set(inside.map((name) => name.slice(path.length + 1).split('/')[0]!))];
  }
}
