/** `GET /metrics`: for whoever shows the token where there is one, and for this machine alone where there is none (config.ts). */
import { createHash, timingSafeEqual } from 'node:crypto';
import { Hono } from 'hono';
import { ServerError } from '../errors.ts';
import type { Metrics } from './metrics.ts';

export function metricsRoutes(metrics: Metrics, token: string | undefined): Hono {
  const expected = token === undefined ? undefined : digest(`Bearer ${token}`);
  const routes = new Hono();
  routes.get('/metrics', async (c) => {
    const shown = c.req.header('authorization') ?? '';
    if (expected && !timingSafeEqual(digest(shown), expected)) {
      throw new ServerError('unauthenticated', 'expected the token of the metrics', {
        hint: 'send authorization: Bearer TOKEN',
        headers: { 'www-authenticate': 'Bearer' },
      });
    }
    return c.body(await metrics.text(), 200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' });
  });
  return routes;
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
