/** Lets one caller in at a time, in the order of their coming. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  run<Result>(critical: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(critical);
    this.#last = turn.catch(() => undefined); // its failure belongs to its caller, not to the next one
    return turn;
  }
}

/** Wakes everybody who waits for something to have changed; they look for themselves whether it is what they wait for. */
export class Changes {
  #wake: () => void = () => undefined;
  #next: Promise<void>;

  constructor() {
    this.#next = this.#arm();
  }

  #arm(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  notify(): void {
    const wake = this.#wake;
    this.#next = this.#arm();
    wake();
  }

  /** Resolves at the next `notify`. */
  next(): Promise<void> {
    return this.#next;
  }
}
