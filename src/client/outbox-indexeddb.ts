import type { Bytes } from '../../crypto/format/bytes.ts';
import { parseHead } from '../../crypto/format/head.ts';
import { ClientError } from './errors.ts';
import type { Outbox, OutboxHeads, OutboxSession, SealedChunk } from './outbox.ts';

/**
 * An outbox in a browser's IndexedDB:
 *
 *   session   one OutboxSession, under 'session'
 *   heads     OutboxHeads by epoch
 *   chunks    SealedChunk by [epoch, track, seq]
 *   objects   ArrayBuffer by [epoch, track, seq]; apart from the list, so that opening loads no media
 *
 * Each change is one transaction of strict durability: whole and on the disk when it resolves, or not there at all. ArrayBuffers and
 * not Blobs, which WebKit has lost. One tab owns it, by a Web Lock, which the browser takes back when the tab is gone, however it went.
 */
export interface BrowserOutboxOptions {
  /** Of the database; one per exam and seat. */
  name: string;
  /** Most bytes of chunks that may wait here; the browser's own quota may be less. */
  maximumBytes?: number;
}

const DEFAULT_MAXIMUM_BYTES = 16 * 2 ** 30;
const STORES = ['session', 'heads', 'chunks', 'objects'] as const;
type StoreName = (typeof STORES)[number];

/** Opens the database, or makes it. Throws `outbox-locked` while another tab has it. */
export async function openBrowserOutbox(options: BrowserOutboxOptions): Promise<Outbox> {
  const unlock = await lock(options.name);
  try {
    const database = await openDatabase(options.name);
    const heads = new Map<number, OutboxHeads>();
    const chunks: SealedChunk[] = [];
    await walk(database, 'heads', (epoch, value) => heads.set(epoch as number, value as OutboxHeads));
    await walk(database, 'chunks', (_key, value) => chunks.push(value as SealedChunk));
    return new BrowserOutbox(database, options.maximumBytes ?? DEFAULT_MAXIMUM_BYTES, unlock, heads, chunks);
  } catch (error) {
    await unlock();
    throw error;
  }
}

class BrowserOutbox implements Outbox {
  readonly #database: IDBDatabase;
  readonly #maximumBytes: number;
  readonly #unlock: Unlock;
  readonly #heads: Map<number, OutboxHeads>;
  readonly #chunks: Map<string, SealedChunk>;
  #backlogBytes: number;

  constructor(
    database: IDBDatabase,
    maximumBytes: number,
    unlock: Unlock,
    heads: Map<number, OutboxHeads>,
    chunks: readonly SealedChunk[],
  ) {
    this.#database = database;
    this.#maximumBytes = maximumBytes;
    this.#unlock = unlock;
    this.#heads = heads;
    this.#chunks = new Map(chunks.map((chunk) => [keyOf(chunk).join('/'), chunk]));
    this.#backlogBytes = chunks.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  async session(): Promise<OutboxSession | undefined> {
    return (await this.#read('session', 'session')) as OutboxSession | undefined;
  }

  async saveSession(session: OutboxSession): Promise<void> {
    await this.#change(['session'], (store) => store('session').put(session, 'session'));
  }

  async heads(epoch: number): Promise<OutboxHeads | undefined> {
    return this.#heads.get(epoch);
  }

  async saveHeads(epoch: number, heads: OutboxHeads): Promise<void> {
    await this.#change(['heads'], (store) => store('heads').put(heads, epoch));
    this.#heads.set(epoch, heads);
  }

  async put(chunk: SealedChunk, object: Bytes, tail: Bytes): Promise<void> {
    const standing = this.#heads.get(chunk.epoch);
    if (!standing) throw damaged('a chunk before the first head');
    if (this.#backlogBytes + object.length > this.#maximumBytes) {
      throw full(`the outbox holds ${this.#backlogBytes} of at most ${this.#maximumBytes} bytes`);
    }
    const { headSeq } = parseHead(tail);
    const earlier = standing.tails.filter((head) => parseHead(head).headSeq < headSeq);
    const heads = { ...standing, tails: [...earlier, tail] };
    await this.#change(['heads', 'chunks', 'objects'], (store) => {
      store('heads').put(heads, chunk.epoch);
      store('chunks').put(chunk, keyOf(chunk));
      store('objects').put(object.slice().buffer, keyOf(chunk));
    });
    this.#heads.set(chunk.epoch, heads);
    this.#chunks.set(keyOf(chunk).join('/'), chunk);
    this.#backlogBytes += chunk.bytes;
  }

  async object(chunk: SealedChunk): Promise<Bytes> {
    const stored = await this.#read('objects', keyOf(chunk));
    if (!(stored instanceof ArrayBuffer) || stored.byteLength !== chunk.bytes) {
      throw damaged(`chunk ${keyOf(chunk).join('/')} is not what was put into the outbox`);
    }
    return new Uint8Array(stored);
  }

  async chunks(epoch: number): Promise<SealedChunk[]> {
    return [...this.#chunks.values()]
      .filter((chunk) => chunk.epoch === epoch)
      .sort((a, b) => a.track - b.track || a.seq - b.seq);
  }

  async release(epoch: number, counts: ReadonlyMap<number, number>): Promise<void> {
    const covered = [...this.#chunks].filter(
      ([, chunk]) => chunk.epoch === epoch && chunk.seq < (counts.get(chunk.track) ?? 0),
    );
    if (covered.length === 0) return;
    await this.#change(['chunks', 'objects'], (store) => {
      for (const [, chunk] of covered) {
        store('chunks').delete(keyOf(chunk));
        store('objects').delete(keyOf(chunk));
      }
    });
    for (const [name, { bytes }] of covered) {
      this.#chunks.delete(name);
      this.#backlogBytes -= bytes;
    }
  }

  async close(): Promise<void> {
    this.#database.close();
    await this.#unlock();
  }

  #read(name: StoreName, key: IDBValidKey): Promise<unknown> {
    return answerOf(this.#database.transaction(name).objectStore(name).get(key));
  }

  /** One transaction, durable when it resolves; no room is `outbox-full`, and nothing changed then. */
  #change(names: StoreName[], change: (store: (name: StoreName) => IDBObjectStore) => unknown): Promise<void> {
    return new Promise((resolve, reject) => {
      const transaction = this.#database.transaction(names, 'readwrite', { durability: 'strict' });
      transaction.oncomplete = () => {
        resolve();
      };
      transaction.onabort = () => {
        const { error } = transaction;
        reject(isFull(error) ? full('the browser gives no more room', error) : asError(error));
      };
      change((name) => transaction.objectStore(name));
    });
  }
}

/** A quota that is used up, or the disk under it: Chromium calls the latter DataError ("Failed to write blobs") or UnknownError. */
function isFull(error: DOMException | null): boolean {
  return error !== null && ['QuotaExceededError', 'DataError', 'UnknownError'].includes(error.name);
}

function keyOf({ epoch, track, seq }: SealedChunk): [number, number, number] {
  return [epoch, track, seq];
}

type Unlock = () => Promise<void>;

/** Answers the way to give it back. */
function lock(name: string): Promise<Unlock> {
  return new Promise((resolve, reject) => {
    const held = navigator.locks.request(`zeroreel-outbox ${name}`, { ifAvailable: true }, async (granted) => {
      if (!granted) {
        throw new ClientError('outbox-locked', 'another tab is recording this exam', {
          hint: 'go on in the other tab, or close it and load this one again',
        });
      }
      await new Promise<void>((release) => {
        resolve(async () => {
          release();
          await held; // the next one may come only when the browser has it back
        });
      });
    });
    held.catch(reject);
  });
}

function openDatabase(name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => {
      for (const store of STORES) opening.result.createObjectStore(store);
    };
    opening.onsuccess = () => {
      resolve(opening.result);
    };
    opening.onerror = () => {
      reject(asError(opening.error));
    };
  });
}

/** Every key and value of a store, one at a time. */
function walk(
  database: IDBDatabase,
  name: StoreName,
  visit: (key: IDBValidKey, value: unknown) => unknown,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const cursors = database.transaction(name).objectStore(name).openCursor();
    cursors.onsuccess = () => {
      const cursor = cursors.result;
      if (!cursor) {
        resolve();
        return;
      }
      visit(cursor.key, cursor.value);
      cursor.continue();
    };
    cursors.onerror = () => {
      reject(asError(cursors.error));
    };
  });
}

function answerOf(request: IDBRequest): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => {
      resolve(request.result);
    };
    request.onerror = () => {
      reject(asError(request.error));
    };
  });
}

function asError(error: DOMException | null): ClientError {
  return new ClientError('outbox-damaged', `the browser's database failed: ${error?.name ?? 'no reason'}`, {
    cause: error,
    hint: 'keep the browser’s data of this page and ask who runs the exam',
  });
}

function damaged(what: string): ClientError {
  return new ClientError('outbox-damaged', what, {
    hint: 'keep the browser’s data of this page and ask who runs the exam',
  });
}

function full(what: string, cause?: unknown): ClientError {
  return new ClientError('outbox-full', `${what}; nothing was lost and nothing more is taken`, {
    cause,
    hint: 'free space on this device or wait for the upload; recording goes on where it stopped',
  });
}
