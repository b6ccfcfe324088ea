/**
 * How often somebody may call: by address where nobody needs to be known, by token or session, and by seat ticket. What counts the
 * calls is the edge's choice; who is over is refused before anything is done, and told when to come again.
 */
import type { Context, MiddlewareHandler } from 'hono';
import { ServerError } from '../errors.ts';

/** What is limited, and how: so many calls in so many seconds. */
export const LIMITS = {
  /** All who share an address: a campus behind one may have thousands of recorders. */
  address: { calls: 60_000, seconds: 60 },
  /** A recorder asks every 10 s, a page lists every few seconds. */
  token: { calls: 600, seconds: 60 },
  /** Opens under one ticket: a recorder that crashes all the time opens an epoch each time. */
  ticket: { calls: 60, seconds: 600 },
} as const;
export type LimitKind = keyof typeof LIMITS;

/** What one call costs its address: with a token or session; without; and to sign in, which nobody does often. */
export const POINTS = { known: 1, anonymous: 10, signIn: 200 };
const SIGN_IN = /^\/v1\/(?:sessions|setup)/;

export interface Limiter {
  /** Counts `points` calls of `key`; answers in how many ms it may come again where that is too many, else undefined. */
  take(kind: LimitKind, key: string, points: number): Promise<number | undefined>;
}

export async function takeOrRefuse(limiter: Limiter, kind: LimitKind, key: string, points = 1): Promise<void> {
  const waitMs = await limiter.take(kind, key, points);
  if (waitMs === undefined) return;
  const { calls, seconds } = LIMITS[kind];
  const wait = Math.ceil(waitMs / 1000);
  throw new ServerError('rate-limited', `too many calls by one ${kind}; try again in ${wait} s`, {
    // draft-ietf-httpapi-ratelimit-headers-10, and RFC 9110 section 10.2.3 for those who do not know it.
    headers: {
      'ratelimit-policy': `"${kind}";q=${calls};w=${seconds}`,
      ratelimit: `"${kind}";r=0;t=${wait}`,
      'retry-after': String(wait),
    },
  });
}

/** Before every route: by where the caller is, if that is known, and by what it shows. What it shows may be invented: the address bounds that. */
export function limited(limiter: Limiter, addressOf: (c: Context) => string | undefined): MiddlewareHandler {
  return async (c, next) => {
    const shown = c.req.header('authorization') ?? c.req.header('cookie');
    const address = addressOf(c);
    if (address !== undefined) {
      const isSigningIn = c.req.method === 'POST' && SIGN_IN.test(c.req.path);
      const points = isSigningIn ? POINTS.signIn : shown === undefined ? POINTS.anonymous : POINTS.known;
      await takeOrRefuse(limiter, 'address', address, points);
    }
    if (shown !== undefined) await takeOrRefuse(limiter, 'token', shown);
    await next();
  };
}
