import { randomBytes, type RandomSource } from '../../crypto/format/random.ts';

export interface ClientClock {
  /** Wall time, ms since the Unix epoch. */
  now(): number;
  /** Ms since an arbitrary start; never steps back. */
  monotonic(): number;
}

/** Everything the SDK takes from its surroundings, so that a test can move time and choose randomness. */
export interface Environment {
  readonly fetch: typeof fetch;
  readonly clock: ClientClock;
  readonly randomBytes: RandomSource;
  /** Uniform in [0, 1): jitter, nothing secret. */
  readonly uniform: () => number;
  /** Resolves after `ms`, or at once when `signal` aborts: a sleeper looks at the signal afterwards. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal?.addEventListener('abort', finish);
  });
}

export const systemEnvironment: Environment = {
  fetch: (input, init) => globalThis.fetch(input, init),
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
  randomBytes,
  uniform: () => Math.random(),
  sleep,
};
