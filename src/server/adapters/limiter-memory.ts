/** Limits of one process: N processes behind a balancer let through N times as much, which is still bounded. */
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible';
import { type Limiter, type LimitKind, LIMITS } from '../http/limits.ts';

export function createMemoryLimiter(limits: Record<LimitKind, { calls: number; seconds: number }> = LIMITS): Limiter {
  const of = ({ calls, seconds }: { calls: number; seconds: number }) =>
    new RateLimiterMemory({ points: calls, duration: seconds });
  const limiters = { address: of(limits.address), token: of(limits.token), ticket: of(limits.ticket) };
  return {
    async take(kind, key, points) {
      try {
        await limiters[kind].consume(key, points);
        return undefined;
      } catch (refused) {
        if (refused instanceof RateLimiterRes) return refused.msBeforeNext;
        throw refused;
      }
    },
  };
}
