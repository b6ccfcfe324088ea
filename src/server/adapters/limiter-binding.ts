/**
 * Limits by Cloudflare's rate limiting bindings (developers.cloudflare.com/workers/runtime-apis/bindings/rate-limit). An isolate lives for
 * as long as it likes and has many siblings, so nothing can be counted in its memory; and a row for each call would be the one write too
 * many for D1. The bindings count in each of Cloudflare's locations, without a request that leaves it, and cost nothing.
 *
 * A binding knows one limit, in 10 or 60 seconds, and counts every call as one. So what has a price in points has a binding for each price.
 */
import { toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { ConfigError } from '../config.ts';
import { type Limiter, LIMITS, POINTS } from '../http/limits.ts';

/** What this adapter uses of a binding. */
export interface RateLimitBinding {
  limit(call: { key: string }): Promise<{ success: boolean }>;
}

const PERIOD_SECONDS = 60;

const { address, token, ticket } = LIMITS;

/** The bindings by name, and the calls each of them lets through in `period` seconds; wrangler.toml says the same, which a test compares. */
export const RATE_LIMITS = {
  RATE_ADDRESS_KNOWN: { limit: address.calls / POINTS.known, period: PERIOD_SECONDS },
  RATE_ADDRESS_ANONYMOUS: { limit: address.calls / POINTS.anonymous, period: PERIOD_SECONDS },
  RATE_ADDRESS_SIGN_IN: { limit: address.calls / POINTS.signIn, period: PERIOD_SECONDS },
  RATE_TOKEN: { limit: token.calls, period: PERIOD_SECONDS },
  // Ten minutes are more than a binding can count: as many opens in each of them.
  RATE_TICKET: { limit: (ticket.calls * PERIOD_SECONDS) / ticket.seconds, period: PERIOD_SECONDS },
} as const;
type BindingName = keyof typeof RATE_LIMITS;

const BY_POINTS: Readonly<Record<number, BindingName>> = {
  [POINTS.known]: 'RATE_ADDRESS_KNOWN',
  [POINTS.anonymous]: 'RATE_ADDRESS_ANONYMOUS',
  [POINTS.signIn]: 'RATE_ADDRESS_SIGN_IN',
};

/** Throws `ConfigError` where one of the bindings is missing: who limits calls elsewhere says `ZEROREEL_RATE_LIMITS=off`. */
export function createBindingLimiter(env: Readonly<Record<string, unknown>>): Limiter {
  for (const name of Object.keys(RATE_LIMITS)) {
    if (env[name] === undefined) throw new ConfigError(`${name}: expected the rate limiting binding of wrangler.toml`);
  }
  const bindings = env as Record<BindingName, RateLimitBinding>;
  return {
    async take(kind, key, points) {
      const name = kind === 'address' ? BY_POINTS[points]! : kind === 'token' ? 'RATE_TOKEN' : 'RATE_TICKET';
      // Tokens are secrets, and the counter is somebody else's.
      const counted = toBase64Url(await sha256(utf8(key)));
      const { success } = await bindings[name].limit({ key: counted });
      // A binding does not say when it lets through again: at the end of its period at the latest.
      return success ? undefined : PERIOD_SECONDS * 1000;
    },
  };
}
