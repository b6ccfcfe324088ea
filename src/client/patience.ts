import type { Api } from './api.ts';
import { ApiError, ClientError } from './errors.ts';
import { backoff, DEFAULT_RETRY } from './transport.ts';

/** Transport trouble, or a server that says "later": nothing is known, and the same request again is right. */
export function isTransient(error: unknown): boolean {
  if (error instanceof ApiError) return error.status >= 500 || error.status === 429 || error.status === 408;
  return error instanceof ClientError && error.code === 'unreachable';
}

/** Waits before attempt `attempt + 1`, counted from 0, of something that is never given up. */
export function pauseAfter({ environment }: Api, attempt: number, signal: AbortSignal): Promise<void> {
  return environment.sleep(backoff(environment, DEFAULT_RETRY, Math.min(attempt, 10)), signal);
}

/** Calls until an answer comes; throws the first refusal, and `ended` when the signal aborts. */
export async function persistently<Result>(
  api: Api,
  signal: AbortSignal,
  call: () => Promise<Result>,
): Promise<Result> {
  for (let attempt = 0; ; attempt++) {
    if (signal.aborted) throw new ClientError('ended', 'the recorder was stopped');
    try {
      return await call();
    } catch (error) {
      if (!isTransient(error)) throw error;
    }
    await pauseAfter(api, attempt, signal);
  }
}
