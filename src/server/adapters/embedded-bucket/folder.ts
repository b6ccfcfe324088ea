/**
 * The files under the embedded bucket's index.
 *
 * [Note: Order of effects]
 * Put: 1. the body is streamed to `incoming/NAME` and fsynced; 2. `incoming/` is fsynced; 3. the index commits the row, with
 * fsync: from here the object exists, and only now may anybody be told so; 4. the file is renamed to `objects/FOLDER/NAME`, in
 * the same turn of the event loop, so that no request sees the moment between. A crash before 3 leaves a file without a
 * row: the sweep at the next start unlinks it. A crash after 3 leaves a file with a row in `incoming/`: the sweep repeats 4.
 * Delete: 1. the index commits the row's removal together with a `doomed` row; 2. the file is unlinked; 3. its folder is fsynced;
 * 4. the `doomed` row goes. A crash after 1 or 2 leaves the `doomed` row: the next start repeats 2 to 4.
 * So nothing ever has to look through `objects/`, and what the sweep reads is bounded by the uploads that were under way.
 */
import Database from 'better-sqlite3';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, fsyncSync, renameSync } from 'node:fs';
import { type FileHandle, mkdir, open, opendir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Catalogue } from './catalogue.ts';

/** Files are spread over at most 4,096 folders by the key's first segment: a purge of one recording touches one folder. */
const FOLDER_DIGITS = 3;

/** Where a file belongs. Its name is `BODY-NUMBER-CHANCE`, so that the sweep finds its row by key and not by search. */
export interface FilePlace {
  folder: string;
  name: string;
}

/** A body on its way in. Exactly one of `discard` or, by the index, `settle` ends it. */
export interface Incoming extends FilePlace {
  body: string;
  number: number;
  handle: FileHandle;
}

export class Folder {
  readonly #dir: string;
  readonly #made = new Set<string>();

  constructor(dir: string) {
    this.#dir = dir;
    for (const part of ['', 'incoming', 'objects']) mkdirSync(join(dir, part), { recursive: true, mode: 0o700 });
    fsyncFolder(dir);
  }

  /**
   * Keeps a second process out: its sweep would take this one's uploads for leftovers. The lock is SQLite's on an empty database,
   * which the kernel releases however the process ends. Answers what releases it.
   */
  lock(): () => void {
    const database = new Database(join(this.#dir, 'lock.sqlite'), { timeout: 0 });
    try {
      database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      database.close();
      throw new Error('the folder of the embedded bucket is in use by another process', { cause: error });
    }
    return () => void database.close();
  }

  get cataloguePath(): string {
    return join(this.#dir, 'index.sqlite');
  }

  pathOf(place: FilePlace): string {
    return join(this.#dir, 'objects', place.folder, place.name);
  }

  #incomingPath(name: string): string {
    return join(this.#dir, 'incoming', name);
  }

  /** Opens a new file for a body, or for one part of it. */
  async receive(folder: string, body = randomBytes(16).toString('hex'), number = 1): Promise<Incoming> {
    const name = `${body}-${number}-${randomBytes(4).toString('hex')}`;
    const handle = await open(this.#incomingPath(name), 'wx', 0o600);
    return { folder, name, body, number, handle };
  }

  async discard(incoming: Incoming): Promise<void> {
    await incoming.handle.close().catch(() => undefined);
    await unlink(this.#incomingPath(incoming.name)).catch(ignoreAbsence);
  }

  /** Makes the names in `incoming/` durable: step 2, once for a group of puts. */
  async syncIncoming(): Promise<void> {
    await syncFolder(join(this.#dir, 'incoming'));
  }

  /** Step 4 of a put. */
  settle(place: FilePlace): void {
    if (!this.#made.has(place.folder)) {
      mkdirSync(join(this.#dir, 'objects', place.folder), { recursive: true, mode: 0o700 });
      this.#made.add(place.folder);
    }
    renameSync(this.#incomingPath(place.name), this.pathOf(place));
  }

  /** Steps 2 to 4 of a delete, for everything that is doomed. */
  async unlinkDoomed(catalogue: Catalogue): Promise<void> {
    for (;;) {
      const doomed = catalogue.doomed.all(1_000);
      if (doomed.length === 0) return;
      for (const place of doomed) await unlink(this.pathOf(place)).catch(ignoreAbsence);
      for (const folder of new Set(doomed.map((place) => place.folder))) {
        await syncFolder(join(this.#dir, 'objects', folder)).catch(ignoreAbsence);
      }
      catalogue.transaction(() => {
        for (const { folder, name } of doomed) catalogue.forgetDoomed.run(folder, name);
      });
    }
  }

  /** Brings files and index to agreement after a crash; run before the first request. */
  async sweep(catalogue: Catalogue): Promise<void> {
    await mkdir(join(this.#dir, 'incoming'), { recursive: true });
    for await (const { name } of await opendir(join(this.#dir, 'incoming'))) {
      const [body = '', number = ''] = name.split('-');
      const row = catalogue.file.get(body, Number(number));
      if (row?.name === name) this.settle(row);
      else await unlink(this.#incomingPath(name)).catch(ignoreAbsence);
    }
    await this.unlinkDoomed(catalogue);
  }
}

/** The folder for a key, from the hash of its bucket and first segment. */
export function folderOf(hashHex: string): string {
  return hashHex.slice(0, FOLDER_DIGITS);
}

function ignoreAbsence(error: unknown): void {
  if ((error as { code?: unknown }).code !== 'ENOENT') throw error;
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function fsyncFolder(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
