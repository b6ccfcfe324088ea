/**
 * Which blocks of `crypto/` ran, and how often, by V8's precise block coverage. Counts instead of clocks: what a parser does with
 * an input is the same number on every machine, however busy.
 */
import { Session, type Profiler } from 'node:inspector';

/** Offsets in a script; `to` is exclusive. */
interface Stretch {
  from: number;
  to: number;
}

/** What ran between two readings. */
export interface Reading {
  /** By function that was called, the stretches of it that were not reached. */
  unreached: ReadonlyMap<string, readonly Stretch[]>;
  /** Executions of blocks, all together. */
  work: number;
}

/** V8 counts in code that is compiled after `start`, so load what is to be observed after it. */
export class BlockCoverage {
  readonly #session = new Session();
  readonly #places: readonly string[];

  /** Observes scripts whose URL contains one of `places`. */
  constructor(...places: string[]) {
    this.#places = places;
    this.#session.connect();
  }

  /** The inspector answers on the spot where the session is the process's own. */
  #ask(method: 'Profiler.takePreciseCoverage'): Profiler.ScriptCoverage[] {
    let result: Profiler.ScriptCoverage[] | undefined;
    this.#session.post(method, (error, answer) => {
      if (error) throw error;
      result = answer.result;
    });
    if (!result) throw new Error('the inspector did not answer at once');
    return result;
  }

  start(): void {
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  stop(): void {
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }

  /** What ran since the last reading, or since the start. */
  read(): Reading {
    const unreached = new Map<string, Stretch[]>();
    let work = 0;
    for (const { url, functions } of this.#ask('Profiler.takePreciseCoverage')) {
      if (!this.#places.some((place) => url.includes(place))) continue;
      for (const { ranges } of functions) {
        const whole = ranges[0]!;
        if (whole.count === 0) continue;
        const missed: Stretch[] = [];
        for (const { startOffset, endOffset, count } of ranges) {
          work += count;
          if (count === 0) missed.push({ from: startOffset, to: endOffset });
        }
        unreached.set(`${url}:${whole.startOffset}`, missed);
      }
    }
    return { unreached, work };
  }
}

/** What no run has reached so far. */
export class Frontier {
  readonly #left = new Map<string, readonly Stretch[]>();

  /** Whether a reading went where none before it did. */
  isCrossedBy({ unreached }: Reading): boolean {
    for (const [name, missed] of unreached) {
      const left = this.#left.get(name);
      if (left === undefined || length(common(left, missed)) < length(left)) return true;
    }
    return false;
  }

  add({ unreached }: Reading): void {
    for (const [name, missed] of unreached) {
      const left = this.#left.get(name);
      this.#left.set(name, left ? common(left, missed) : missed);
    }
  }

  /** Functions that were called, and stretches in them that never ran. */
  get figures(): { functions: number; unreached: number } {
    const left = [...this.#left.values()];
    return { functions: left.length, unreached: left.reduce((sum, stretches) => sum + stretches.length, 0) };
  }
}

function length(stretches: readonly Stretch[]): number {
  return stretches.reduce((sum, { from, to }) => sum + to - from, 0);
}

/** What two lists of disjoint stretches share. */
function common(some: readonly Stretch[], others: readonly Stretch[]): Stretch[] {
  return some.flatMap((one) =>
    others.flatMap((other) => {
      const stretch = { from: Math.max(one.from, other.from), to: Math.min(one.to, other.to) };
      return stretch.from < stretch.to ? [stretch] : [];
    }),
  );
}
