import { open, readFile, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { parseHead } from '../../crypto/format/head.ts';
import { sleep } from '../../src/client/environment.ts';
import { ClientError } from '../../src/client/errors.ts';
import type { SealedMedia } from '../../src/client/live-epoch.ts';
import type { Outbox, SealedChunk } from '../../src/client/outbox.ts';
import { CommandError } from '../shell/exits.ts';

const ROOM_ATTEMPTS = 20;
const ROOM_WAIT_MS = 500;

/**
 * Where a file's next epoch goes on. A recorder that was killed leaves no key and no position; what it leaves is the tail,
 * which counts the chunks that are durable. This journal says how much of the file each chunk held, so that
 * position = sum over the counted chunks, exact to the byte.
 *
 * A line is durable *before* its chunk is put: a crash between the two leaves a line that no tail counts, and the next
 * process ignores it. A line holds numbers only: `<epoch> <track> <seq> <media bytes>`.
 */
export class SourceJournal {
  readonly #file: FileHandle;
  readonly #lengths: Map<string, number>;

  /** Bytes of the file: all of them whole lines. */
  #size: number;

  private constructor(file: FileHandle, lengths: Map<string, number>, size: number) {
    this.#file = file;
    this.#lengths = lengths;
    this.#size = size;
  }

  static async open(path: string): Promise<SourceJournal> {
    const lengths = new Map<string, number>();
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw error;
    });
    // A torn last line was never durable, so its chunk was never put: it goes.
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    for (const line of whole.split('\n')) {
      const [, key, length] = /^(\d+ \d+ \d+) (\d+)$/.exec(line) ?? [];
      if (key !== undefined) lengths.set(key, Number(length));
    }
    const file = await open(path, 'a', 0o600);
    await file.truncate(whole.length);
    const directory = await open(dirname(path), 'r');
    await directory.sync();
    await directory.close();
    return new SourceJournal(file, lengths, whole.length);
  }

  /**
   * Durable when it returns; the recorder calls it before it puts the chunk. Waits a while for room on a full disk, which
   * comes as uploads leave the outbox; throws `outbox-full` where none comes.
   */
  async remember({ epoch, track, seq, mediaBytes }: SealedMedia): Promise<void> {
    const key = `${epoch} ${track} ${seq}`;
    const line = `${key} ${mediaBytes}\n`;
    for (let attempt = 1; !(await this.#append(line)); attempt++) {
      if (attempt === ROOM_ATTEMPTS) {
        throw new ClientError('outbox-full', 'the disk is full; nothing was lost and nothing more is taken', {
          hint: 'free space on this disk, and the same command goes on',
        });
      }
      await sleep(ROOM_WAIT_MS);
    }
    this.#size += line.length;
    this.#lengths.set(key, mediaBytes);
  }

  /** False on a full disk, with nothing of the line left behind. */
  async #append(line: string): Promise<boolean> {
    try {
      await this.#file.write(line);
      await this.#file.datasync();
      return true;
    } catch (error) {
      await this.#file.truncate(this.#size);
      if (!['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Bytes of these tracks' sources that are sealed and durable, over all epochs. */
  async positions(outbox: Outbox, tracks: Iterable<number>): Promise<Map<number, number>> {
    const positions = new Map([...tracks].map((track) => [track, 0]));
    for (const { epoch } of (await outbox.session())?.epochs ?? []) {
      const heads = await outbox.heads(epoch);
      const newest = heads?.tails.at(-1) ?? heads?.sent;
      if (!newest) continue;
      for (const { track, count } of parseHead(newest).tracks) {
        const before = positions.get(track);
        if (before === undefined) continue;
        let length = 0;
        for (let seq = 0; seq < count; seq++) length += this.#lengthOf({ epoch, track, seq });
        positions.set(track, before + length);
      }
    }
    return positions;
  }

  #lengthOf({ epoch, track, seq }: Pick<SealedChunk, 'epoch' | 'track' | 'seq'>): number {
    const length = this.#lengths.get(`${epoch} ${track} ${seq}`);
    if (length !== undefined) return length;
    throw new CommandError(
      'storage',
      'journal',
      `the outbox does not say how much of track ${track} was recorded`,
      '--finish closes this recording; record the rest anew, with another --outbox',
    );
  }
}
