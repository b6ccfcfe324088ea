/** Every request of the Node server: its id, and what metrics and log are told of its answer. */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import { methodOf, routeOf } from './routes-of.ts';

export const REQUEST_ID = 'x-request-id';

/**
 * A listener for a server's `request` event. Each answer carries an id of ours, by which its line in the log is found; what a client or a
 * proxy sends as one is not believed, because it would be written down. A listener costs a microsecond, a middleware half of the speed.
 */
export function watchRequests(log: Logger, metrics: Metrics | undefined) {
  const run = randomBytes(6).toString('base64url');
  const isTold = log.isLevelEnabled('debug');
  let count = 0;
  return (request: IncomingMessage, response: ServerResponse): void => {
    const id = `${run}-${(count++).toString(36)}`;
    response.setHeader(REQUEST_ID, id);
    if (!metrics && !isTold) return;
    const began = performance.now();
    response.once('close', () => {
      const seconds = (performance.now() - began) / 1000;
      const status = response.writableFinished ? response.statusCode : 0;
      metrics?.answered(request, status, seconds);
      if (!isTold) return;
      const method = methodOf(request.method);
      const route = routeOf(method, request.url ?? '');
      log.debug({ request: id, method, route, status, ms: Math.round(seconds * 1e4) / 10 }, 'answered');
    });
  };
}

/** The id of the request that this answer is of. */
export function requestIdOf({ outgoing }: { outgoing?: ServerResponse }): string | undefined {
  const id = outgoing?.getHeader(REQUEST_ID);
  return typeof id === 'string' ? id : undefined;
}
