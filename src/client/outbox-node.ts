import { mkdir, open, readdir, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { concat, equal, fromBase64Url, fromUtf8, toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { headHash, parseHead, type HeadRecord } from '../../crypto/format/head.ts';
import { z } from 'zod';
import { ClientError } from './errors.ts';
import { FolderLock } from './outbox-lock-node.ts';
import type { Outbox, OutboxHeads, OutboxSession, SealedChunk } from './outbox.ts';

/**
 * An outbox in a folder:
 *
 *   session.json                          OutboxSession
 *   epochs/<epoch>/heads.json             OutboxHeads
 *   epochs/<epoch>/<track>/<seq>.zrch     object || tail || u16 length of tail || SHA-256 of the object
 *
 * Each file is written under a temporary name, synced, renamed, and its directory synced: it is there whole or not at
 * all. A chunk and its tail are one file, so that `put` is atomic; when the folder is opened, the tails of heads.json are
 * continued by those out of the chunks that chain after them (older ones do not: a head was released since). Temporary
 * files that a crash left are removed then.
 */
export interface FolderOutboxOptions {
  directory: string;
  /** Most bytes of chunks that may wait here. */
  maximumBytes?: number;
}

const DEFAULT_MAXIMUM_BYTES = 16 * 2 ** 30;
const HASH_LENGTH = 32;
const TRAILER_LENGTH = 2 + HASH_LENGTH;

const bytesText = z.string().transform((text) => fromBase64Url(text));
const sessionSchema = z.object({
  v: z.literal(1),
  link: z.string(),
  recordingId: z.string(),
  participantSalt: bytesText,
  epochs: z.array(
    z.object({
      epoch: z.int().nonnegative(),
      state: z.enum(['opening', 'open', 'drained']),
      uploadToken: z.string(),
      open: bytesText,
    }),
  ),
  checkpoint: z.string().nullable(),
  openedMs: z.int().nullable(),
  deleteByMs: z.int().nullable(),
  closeReceipt: bytesText.nullable(),
});
const headsSchema = z.object({ sent: bytesText.nullable(), receipt: bytesText.nullable(), tails: z.array(bytesText) });

/** Opens the folder, or makes it. Throws `outbox-locked` while another process has it, `outbox-damaged` for a foreign file. */
export async function openFolderOutbox(options: FolderOutboxOptions): Promise<Outbox> {
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  const lock = await FolderLock.acquire(options.directory);
  try {
    const outbox = new FolderOutbox(options.directory, options.maximumBytes ?? DEFAULT_MAXIMUM_BYTES, lock);
    await outbox.load();
    return outbox;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

class FolderOutbox implements Outbox {
  readonly #directory: string;
  readonly #maximumBytes: number;
  readonly #lock: FolderLock;
  readonly #chunks = new Map<string, SealedChunk>();
  readonly #heads = new Map<number, OutboxHeads>();
  #backlogBytes = 0;

  constructor(directory: string, maximumBytes: number, lock: FolderLock) {
    this.#directory = directory;
    this.#maximumBytes = maximumBytes;
    this.#lock = lock;
  }

  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  async load(): Promise<void> {
    for (const name of await namesIn(this.#directory)) await this.#sweep(join(this.#directory, name));
    for (const epochName of await namesIn(join(this.#directory, 'epochs'))) {
      const epoch = Number(epochName);
      const tails: Bytes[] = [];
      for (const trackName of await namesIn(this.#epochPath(epoch))) {
        const path = join(this.#epochPath(epoch), trackName);
        if ((await this.#sweep(path)) || !/^\d+$/.test(trackName)) continue;
        for (const chunkName of await namesIn(path)) {
          const chunkPath = join(path, chunkName);
          if (!(await this.#sweep(chunkPath))) tails.push(await this.#loadChunk(epoch, Number(trackName), chunkPath));
        }
      }
      const stored = await this.#storedHeads(epoch);
      if (stored) this.#heads.set(epoch, { ...stored, tails: await continueTails(stored.tails, tails) });
    }
  }

  /** True where the path was a temporary file that a crash left behind; it is gone then. Those of a lock are a rival's at work. */
  async #sweep(path: string): Promise<boolean> {
    if (!path.endsWith('.tmp') || basename(path).startsWith('lock.')) return false;
    await unlink(path);
    return true;
  }

  /** Answers the tail that came with the chunk. */
  async #loadChunk(epoch: number, track: number, path: string): Promise<Bytes> {
    const seq = Number(/\/(\d+)\.zrch$/.exec(path)?.[1] ?? Number.NaN);
    if (!Number.isInteger(seq)) throw damaged(path, 'the name is not that of a chunk');
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const trailer = await readExactly(file, path, size - TRAILER_LENGTH, TRAILER_LENGTH);
      const tailLength = (trailer[0]! << 8) | trailer[1]!;
      const tail = await readExactly(file, path, size - TRAILER_LENGTH - tailLength, tailLength);
      const bytes = size - TRAILER_LENGTH - tailLength;
      this.#add({ epoch, track, seq, bytes, sha256B64: toBase64Url(trailer.subarray(2)) });
      return tail;
    } finally {
      await file.close();
    }
  }

  async session(): Promise<OutboxSession | undefined> {
    const text = await readText(join(this.#directory, 'session.json'));
    if (text === undefined) return undefined;
    const parsed = sessionSchema.safeParse(parseJson(text));
    if (!parsed.success) throw damaged(join(this.#directory, 'session.json'), 'not a session');
    const { v: _version, ...session } = parsed.data;
    return session;
  }

  async saveSession(session: OutboxSession): Promise<void> {
    await this.#write(join(this.#directory, 'session.json'), [encodeJson({ v: 1, ...session })]);
  }

  async heads(epoch: number): Promise<OutboxHeads | undefined> {
    return this.#heads.get(epoch);
  }

  async #storedHeads(epoch: number): Promise<OutboxHeads | undefined> {
    const path = this.#headsPath(epoch);
    const text = await readText(path);
    if (text === undefined) return undefined;
    const parsed = headsSchema.safeParse(parseJson(text));
    if (!parsed.success) throw damaged(path, 'not a pair of heads');
    return parsed.data;
  }

  async saveHeads(epoch: number, heads: OutboxHeads): Promise<void> {
    await this.#write(this.#headsPath(epoch), [encodeJson(heads)]);
    this.#heads.set(epoch, heads);
  }

  async put(chunk: SealedChunk, object: Bytes, tail: Bytes): Promise<void> {
    const path = this.#chunkPath(chunk);
    const heads = this.#heads.get(chunk.epoch);
    if (!heads) throw damaged(path, 'a chunk before the first head');
    if (this.#backlogBytes + object.length > this.#maximumBytes) {
      throw full(`the outbox holds ${this.#backlogBytes} of at most ${this.#maximumBytes} bytes`);
    }
    const trailer = concat(tail, Uint8Array.of(tail.length >> 8, tail.length & 0xff), fromBase64Url(chunk.sha256B64));
    await this.#write(path, [object, trailer]);
    this.#add(chunk);
    const { headSeq } = parseHead(tail);
    const earlier = heads.tails.filter((standing) => parseHead(standing).headSeq < headSeq);
    this.#heads.set(chunk.epoch, { ...heads, tails: [...earlier, tail] });
  }

  async object(chunk: SealedChunk, buffer?: Bytes): Promise<Bytes> {
    const path = this.#chunkPath(chunk);
    const file = await open(path, 'r').catch((cause: unknown) => {
      throw new ClientError('outbox-damaged', `${path}: the chunk cannot be opened`, { cause });
    });
    try {
      return await readExactly(file, path, 0, chunk.bytes, buffer);
    } finally {
      await file.close();
    }
  }

  async chunks(epoch: number): Promise<SealedChunk[]> {
    return [...this.#chunks.values()]
      .filter((chunk) => chunk.epoch === epoch)
      .sort((a, b) => a.track - b.track || a.seq - b.seq);
  }

  async release(epoch: number, counts: ReadonlyMap<number, number>): Promise<void> {
    for (const [path, chunk] of this.#chunks) {
      if (chunk.epoch !== epoch || chunk.seq >= (counts.get(chunk.track) ?? 0)) continue;
      await unlink(path);
      this.#chunks.delete(path);
      this.#backlogBytes -= chunk.bytes;
    }
  }

  async close(): Promise<void> {
    await this.#lock.release();
  }

  #add(chunk: SealedChunk): void {
    this.#chunks.set(this.#chunkPath(chunk), chunk);
    this.#backlogBytes += chunk.bytes;
  }

  #epochPath(epoch: number): string {
    return join(this.#directory, 'epochs', String(epoch));
  }

  #headsPath(epoch: number): string {
    return join(this.#epochPath(epoch), 'heads.json');
  }

  #chunkPath({ epoch, track, seq }: SealedChunk): string {
    return join(this.#epochPath(epoch), String(track), `${seq}.zrch`);
  }

  /** Whole, durable, or not there at all; a full disk is `outbox-full`. */
  async #write(path: string, parts: readonly Bytes[]): Promise<void> {
    const temporary = `${path}.tmp`;
    try {
      await makeDurableDirectory(dirname(path));
      const file = await open(temporary, 'w', 0o600);
      try {
        for (const part of parts) await file.writeFile(part);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      await syncDirectory(dirname(path));
    } catch (error) {
      await unlink(temporary).catch(() => undefined);
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG') throw full('the disk is full', error);
      throw error;
    }
  }
}

/** Continues `base` by the candidates that chain after it: under one number the one that counts most, then its successor. */
async function continueTails(base: readonly Bytes[], candidates: readonly Bytes[]): Promise<Bytes[]> {
  const total = (head: HeadRecord) => head.tracks.reduce((sum, { count }) => sum + count, 0);
  const order = (a: HeadRecord, b: HeadRecord) => a.headSeq - b.headSeq || total(a) - total(b);
  const tails = base.map(parseHead);
  for (const head of candidates.map(parseHead).sort(order)) {
    const last = tails.at(-1);
    if (!last) break;
    const isSamePlace = head.headSeq === last.headSeq && equal(head.prev, last.prev);
    if (isSamePlace && total(head) > total(last)) tails.splice(-1, 1, head);
    else if (head.headSeq === last.headSeq + 1 && equal(head.prev, await headHash(last))) tails.push(head);
  }
  return tails.map(({ body, signature }) => concat(body, signature));
}

async function makeDurableDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  // Every directory that was made must have its name synced in its parent, or a crash loses the files inside.
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function readExactly(
  file: FileHandle,
  path: string,
  from: number,
  length: number,
  buffer?: Bytes,
): Promise<Bytes> {
  if (from < 0) throw damaged(path, 'it is cut off');
  const bytes = buffer && buffer.length >= length ? buffer.subarray(0, length) : new Uint8Array(length);
  for (let at = 0; at < length;) {
    const { bytesRead } = await file.read(bytes, at, length - at, from + at);
    if (bytesRead === 0) throw damaged(path, `expected ${from + length} bytes, found ${from + at}`);
    at += bytesRead;
  }
  return bytes;
}

async function namesIn(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() ? (await readdir(path)).sort() : [];
}

async function readText(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      return fromUtf8(await file.readFile());
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function encodeJson(value: object): Bytes {
  return utf8(
    JSON.stringify(value, (_name, member: unknown) => (member instanceof Uint8Array ? toBase64Url(member) : member)),
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function damaged(path: string, what: string): ClientError {
  return new ClientError('outbox-damaged', `${path}: ${what}`, { hint: 'keep the folder and ask who runs the exam' });
}

function full(what: string, cause?: unknown): ClientError {
  return new ClientError('outbox-full', `${what}; nothing was lost and nothing more is taken`, {
    cause,
    hint: 'free space on this disk or wait for the upload; recording goes on where it stopped',
  });
}
