/**
 * How much a recording may still become, as its service says: told at OPEN, and again with every call for upload URLs. A recorder ends by
 * itself while what it has sealed still fits, so that nothing is sealed that could not be stored.
 */
import type { z } from 'zod';
import type { openResponse } from '../../schema/api.ts';
import type { ClientClock } from './environment.ts';

/** What people are told, from when the end is near. */
export interface QuotaNews {
  /** Which limit is nearer. */
  quota: 'bytes' | 'time';
  /** Whether the recording ends now. */
  isReached: boolean;
  bytesLeft: number | null;
  secondsLeft: number | null;
}

/** The end is near with a tenth of the bytes left, and ten minutes before the time is up. */
const NEAR_SHARE = 0.1;
const NEAR_MS = 10 * 60_000;

export class QuotaWatch {
  readonly #clock: ClientClock;
  #bytes: number | null = null;
  #bytesLeft: number | null = null;
  #untilMs: number | null = null;
  #isRefused = false;

  constructor(clock: ClientClock) {
    this.#clock = clock;
  }

  /** From OPEN's answer. A service that says nothing limits nothing. */
  opened(quota: z.infer<typeof openResponse>['quota']): void {
    if (!quota) return;
    this.#bytes = quota.bytes;
    this.#bytesLeft = quota.bytes_left;
    this.#untilMs = quota.seconds_left === null ? null : this.#clock.monotonic() + quota.seconds_left * 1000;
  }

  /** From an answer to a call for upload URLs: what is left beyond what was signed. */
  told(bytesLeft: number | undefined): void {
    if (bytesLeft !== undefined) this.#bytesLeft = bytesLeft;
  }

  /** The service signs no more of what waits. */
  refused(): void {
    this.#isRefused = true;
  }

  /** `unsigned`: bytes that are sealed and not signed for. `reserve`: what the end itself may still need. Undefined where nothing is near. */
  look(unsigned: number, reserve: number): QuotaNews | undefined {
    const bytesLeft = this.#bytesLeft === null ? null : Math.max(0, this.#bytesLeft - unsigned);
    const leftMs = this.#untilMs === null ? null : Math.max(0, this.#untilMs - this.#clock.monotonic());
    const secondsLeft = leftMs === null ? null : Math.floor(leftMs / 1000);
    const isFull = this.#isRefused || (bytesLeft !== null && bytesLeft <= reserve);
    if (isFull || leftMs === 0) return { quota: isFull ? 'bytes' : 'time', isReached: true, bytesLeft, secondsLeft };
    if (leftMs !== null && leftMs <= NEAR_MS) return { quota: 'time', isReached: false, bytesLeft, secondsLeft };
    const isNear = bytesLeft !== null && this.#bytes !== null && bytesLeft <= reserve + this.#bytes * NEAR_SHARE;
    return isNear ? { quota: 'bytes', isReached: false, bytesLeft, secondsLeft } : undefined;
  }
}
