import type { Clock } from '../../ports.ts';
import type { BodyLimits } from './body.ts';
import { type BucketRow, type Catalogue, openCatalogue } from './catalogue.ts';
import { CommitQueue } from './commits.ts';
import { S3Error } from './errors.ts';
import { Folder } from './folder.ts';

/** What a handler answers; the endpoint turns it into HTTP. A streamed body has its `content-length` in the headers. */
export interface Answer {
  status: number;
  headers: Record<string, string>;
  body?: string | AsyncIterable<Buffer>;
}

/** How long after the last delete the index's log is emptied of what was deleted, in ms. */
const CHECKPOINT_DELAY = 1_000;

/** Everything under one folder: files, their index, and the queue through which both change. */
export class Shelf {
  readonly folder: Folder;
  readonly catalogue: Catalogue;
  readonly commits: CommitQueue;
  readonly clock: Clock;
  readonly limits: BodyLimits;
  readonly #unlock: () => void;
  #unlinking: Promise<void> = Promise.resolve();
  #checkpoint: NodeJS.Timeout | undefined;

  private constructor(folder: Folder, clock: Clock, limits: BodyLimits) {
    this.folder = folder;
    this.#unlock = folder.lock();
    this.catalogue = openCatalogue(folder.cataloguePath);
    this.commits = new CommitQueue(this.catalogue, folder);
    this.clock = clock;
    this.limits = limits;
  }

  /** Opens the folder, made where it is missing, and repairs what a crash left. */
  static async open(dir: string, clock: Clock, limits: BodyLimits): Promise<Shelf> {
    const folder = new Folder(dir);
    const shelf = new Shelf(folder, clock, limits);
    await folder.sweep(shelf.catalogue);
    return shelf;
  }

  requireBucket(name: string): BucketRow {
    const found = this.catalogue.bucket.get(name);
    if (!found) throw new S3Error('NoSuchBucket', 'the bucket does not exist');
    return found;
  }

  /** Resolves when the bytes of everything deleted so far are gone from the folder. */
  async unlinkDoomed(): Promise<void> {
    const mine = this.#unlinking.then(() => this.folder.unlinkDoomed(this.catalogue));
    this.#unlinking = mine.catch(() => undefined);
    this.#checkpoint ??= setTimeout(() => {
      this.#checkpoint = undefined;
      this.catalogue.checkpoint();
    }, CHECKPOINT_DELAY).unref();
    await mine;
  }

  /** Waits for what is under way, empties the index's log and closes. */
  async close(): Promise<void> {
    await this.commits.idle();
    await this.#unlinking;
    clearTimeout(this.#checkpoint);
    this.catalogue.checkpoint();
    this.catalogue.close();
    this.#unlock();
  }
}
