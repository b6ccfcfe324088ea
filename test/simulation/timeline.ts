import { setImmediate } from 'node:timers/promises';

interface Event {
  at: number;
  /** Breaks ties: what was scheduled first happens first. */
  order: number;
  run: () => void;
}

/**
 * Simulated time: a heap of events, run one by one. After each, all that follows from it without waiting has happened
 * (promise jobs; nothing in a simulation waits for a thread or a socket), so the order of everything is the heap's.
 */
export class Timeline {
  readonly #heap: Event[] = [];
  #order = 0;
  #steps = 0;
  /** True time, ms. Servers and stores have clocks of their own that differ from it. */
  now: number;

  constructor(startMs: number) {
    this.now = startMs;
  }

  get steps(): number {
    return this.#steps;
  }

  at(time: number, run: () => void): void {
    const heap = this.#heap;
    const event = { at: Math.max(time, this.now), order: this.#order++, run };
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = event;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.at(this.now + ms, resolve);
    });
  }

  /** Runs until nothing is left, `until` (ms) is reached, or `isOver`. */
  async run(until: number, isOver: () => boolean): Promise<void> {
    await setImmediate();
    while (!isOver()) {
      const next = this.#heap[0];
      if (!next || next.at > until) {
        this.now = Math.max(this.now, Math.min(until, Number.MAX_SAFE_INTEGER));
        return;
      }
      this.#pop();
      this.now = next.at;
      this.#steps++;
      next.run();
      await setImmediate();
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
