/** Everything that is left to chance in a simulation comes from one of these, so that a seed is a whole history. */
export class Random {
  #state: number;

  constructor(seed: number) {
    // Neighbouring seeds must not begin alike: splitmix's finaliser spreads them.
    this.#state = Math.imul(seed ^ (seed >>> 16), 0x45d9f3b) >>> 0;
  }

  /** 0 up to, not including, 1: mulberry32 (T. Ettinger, public domain). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** A whole number from `from` to `to`, both included. */
  between(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  /** As `between`, but small numbers are as likely as large ones: for times, where a second matters as much as a day. */
  magnitude(from: number, to: number): number {
    const low = Math.log(Math.max(from, 1));
    return Math.round(Math.exp(low + this.next() * (Math.log(to) - low)));
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.between(0, choices.length - 1)]!;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.between(0, 255);
  }
}
