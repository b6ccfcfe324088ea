/**
 * What one run may still do. A Worker's invocation has limits (schema/WORKERS.md) that end it wherever it is; so jobs ask before each
 * step, stop where stopping is clean, and the next trigger goes on. A Node process has no budget, and is never asked to stop.
 */
import type { Clock } from './ports.ts';

export interface Budget {
  /** Whether what is left is only enough to stop cleanly. */
  isSpent(): boolean;
  /** One call more to something outside, by who does not go through a port. */
  count(): void;
}

/** `fetch`, each call of which counts. */
export function countedFetch(budget: Budget | undefined): typeof fetch {
  return (...request) => {
    budget?.count();
    return fetch(...request);
  };
}

export interface Limits {
  /** Calls to anything outside the invocation: store, vault and bucket together. */
  subrequests: number;
  /** SQL statements, each of a batch counted. */
  statements: number;
  /** From the first call to the last, ms. */
  wallMs: number;
}

/**
 * What is kept back for the end: the steps that four recordings at once are in the middle of, the run's last entry, and a publication.
 * Measured by `test/workerd/slices.test.ts`.
 */
const RESERVE = { subrequests: 100, statements: 150 } as const;

/** Counts what one invocation does. */
export class Meter implements Budget {
  subrequests = 0;
  statements = 0;
  readonly #limits: Limits;
  readonly #clock: Clock;
  readonly #beganMs: number;

  constructor(limits: Limits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#beganMs = clock.now();
  }

  /** One call, of so many statements where it goes to a database. */
  count(statements = 0): void {
    this.subrequests += 1;
    this.statements += statements;
  }

  isSpent(): boolean {
    return (
      this.subrequests >= this.#limits.subrequests - RESERVE.subrequests ||
      this.statements >= this.#limits.statements - RESERVE.statements ||
      Math.abs(this.#clock.now() - this.#beganMs) >= this.#limits.wallMs
    );
  }
}
