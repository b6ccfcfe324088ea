/**
 * Files on their way out, in the storage that belongs to this page alone (OPFS): large ones never lie in memory. They are swept when the
 * key is locked and when the page begins anew; the browser's download has its own copy by then.
 */
import type { Bytes } from '../../../crypto/format/bytes.ts';
import type { CaseFolder } from '../../client/casefile.ts';

const FOLDER = 'zeroreel-export';

export async function sweepOwnFiles(): Promise<void> {
  const root = await navigator.storage.getDirectory();
  await root.removeEntry(FOLDER, { recursive: true }).catch(() => undefined);
}

async function exportFolder(name: string): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  const all = await root.getDirectoryHandle(FOLDER, { create: true });
  await all.removeEntry(name, { recursive: true }).catch(() => undefined);
  return all.getDirectoryHandle(name, { create: true });
}

/** One file that is written and then read as a whole. */
export async function ownFile(
  name: string,
): Promise<{ writable: FileSystemWritableFileStream; read: () => Promise<File> }> {
  const folder = await exportFolder(name);
  const handle = await folder.getFileHandle(name, { create: true });
  return { writable: await handle.createWritable(), read: () => handle.getFile() };
}

/** A case file under way. */
export class OwnCaseFolder implements CaseFolder {
  readonly #root: FileSystemDirectoryHandle;
  /** In the order of writing. */
  readonly #paths = new Set<string>();

  private constructor(root: FileSystemDirectoryHandle) {
    this.#root = root;
  }

  static async create(name: string): Promise<OwnCaseFolder> {
    return new OwnCaseFolder(await exportFolder(name));
  }

  async read(path: string): Promise<Bytes | undefined> {
    if (!this.#paths.has(path)) return undefined;
    return new Uint8Array(await (await this.#file(path)).arrayBuffer());
  }

  async write(path: string, bytes: Bytes): Promise<void> {
    const { folder, name } = await this.#place(path);
    const writable = await (await folder.getFileHandle(name, { create: true })).createWritable();
    await writable.write(bytes);
    await writable.close();
    this.#paths.add(path);
  }

  async list(path: string): Promise<string[]> {
    const inside = [...this.#paths].filter((name) => name.startsWith(`${path}/`));
    return [...new Set(inside.map((name) => name.slice(path.length + 1).split('/', 1)[0]!))];
  }

  async files(): Promise<[path: string, file: File][]> {
    return Promise.all([...this.#paths].map(async (path) => [path, await this.#file(path)] as [string, File]));
  }

  async #file(path: string): Promise<File> {
    const { folder, name } = await this.#place(path);
    return (await folder.getFileHandle(name)).getFile();
  }

  async #place(path: string): Promise<{ folder: FileSystemDirectoryHandle; name: string }> {
    const names = path.split('/');
    const name = names.pop()!;
    let folder = this.#root;
    for (const step of names) folder = await folder.getDirectoryHandle(step, { create: true });
    return { folder, name };
  }
}
