import { mkdir, open, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Bytes } from '../../crypto/format/bytes.ts';
import type { CaseFolder } from './casefile.ts';
import { ClientError } from './errors.ts';

/** A case file in a folder of this machine. Files are read with their own permission bits; those written are the owner's only. */
export class NodeCaseFolder implements CaseFolder {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** An empty folder to export into; throws `casefile` where something is in it already. */
  static async create(directory: string): Promise<NodeCaseFolder> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if ((await readdir(directory)).length > 0) {
      throw new ClientError('casefile', `${directory} is not empty`, { hint: 'export into a new folder' });
    }
    return new NodeCaseFolder(directory);
  }

  async read(path: string): Promise<Bytes | undefined> {
    try {
      const bytes = await readFile(join(this.#directory, path));
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async write(path: string, bytes: Bytes): Promise<void> {
    const target = join(this.#directory, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    const file = await open(target, 'w', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  async list(path: string): Promise<string[]> {
    try {
      return await readdir(join(this.#directory, path));
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
  }
}

function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
