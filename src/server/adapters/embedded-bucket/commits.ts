import type { Catalogue } from './catalogue.ts';
import type { FilePlace, Folder } from './folder.ts';

interface Waiting {
  work: () => unknown;
  place: FilePlace | undefined;
  resolve: (value: never) => void;
  reject: (error: unknown) => void;
}

/** Enough to spread an fsync over many requests, few enough that one transaction does not hold up the event loop. */
const GROUP = 256;

/**
 * Group commit: what arrives while one group is being made durable forms the next. Two fsyncs (the folder of incoming names,
 * the index's log) are shared by the whole group. See [Note: Order of effects].
 */
export class CommitQueue {
  readonly #catalogue: Catalogue;
  readonly #folder: Folder;
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  constructor(catalogue: Catalogue, folder: Folder) {
    this.#catalogue = catalogue;
    this.#folder = folder;
  }

  /**
   * Resolves once `work`, synchronous statements on the catalogue, is durable. It rejects with what `work` throws, which then has had
   * no effect. A file that was received for it is given as `place` and moves to where it belongs in the same step.
   */
  add<T>(work: () => T, place?: FilePlace): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ work, place, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    // Requests that end in this turn of the event loop join the first group.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, GROUP);
      try {
        if (group.some(({ place }) => place)) await this.#folder.syncIncoming();
        this.#commit(group);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#running = undefined;
  }

  #commit(group: readonly Waiting[]): void {
    const outcomes = this.#catalogue.transaction(() =>
      group.map(({ work }): { value: unknown } | { error: unknown } => {
        try {
          return { value: this.#catalogue.transaction(work) };
        } catch (error) {
          // SQLite may undo the whole transaction by itself, on a full disk for one: then nothing of this group stands.
          if (!this.#catalogue.isInTransaction()) throw error;
          return { error };
        }
      }),
    );
    group.forEach(({ place, resolve, reject }, at) => {
      const outcome = outcomes[at]!;
      if ('error' in outcome) {
        reject(outcome.error);
        return;
      }
      try {
        if (place) this.#folder.settle(place);
        resolve(outcome.value as never);
      } catch (error) {
        reject(error);
      }
    });
  }
}
