/** Tells sleep and a changed clock from two clocks, looked at about once a second. Pure. */
import type { PageEvent } from './messages.ts';

const SLEPT_MS = 5_000;
const JUMP_MS = 2_000;

export class ClockWatch {
  #monotonicMs: number | undefined;
  #wallMs = 0;

  /** On systems whose monotonic clock stops in sleep, sleep looks like a clock that was put forward: both are told as they look. */
  look(monotonicMs: number, wallMs: number): PageEvent[] {
    const told: PageEvent[] = [];
    if (this.#monotonicMs !== undefined) {
      const passed = monotonicMs - this.#monotonicMs;
      const jump = wallMs - this.#wallMs - passed;
      if (passed >= SLEPT_MS) told.push({ type: 'slept', for_ms: Math.round(passed) });
      if (Math.abs(jump) >= JUMP_MS) told.push({ type: 'clock_jumped', by_ms: Math.round(jump) });
    }
    this.#monotonicMs = monotonicMs;
    this.#wallMs = wallMs;
    return told;
  }
}
