/** How a route says that it is going: half a year before, in every answer (RFC 9745, RFC 8594). */
import type { Hono } from 'hono';
import { type Route, routeRows } from './routes.ts';

/** Registers the headers of the routes that are deprecated; the others pay nothing for it. */
export function deprecate(app: Hono, rows: readonly (readonly [name: string, row: Route])[] = routeRows): void {
  for (const [name, { deprecated }] of rows) {
    if (!deprecated) continue;
    const [method, path] = name.split(' ') as [string, string];
    const { since, sunset, instead } = deprecated;
    app.on(method, path, async (c, next) => {
      c.header('deprecation', `@${Date.parse(since) / 1000}`);
      c.header('sunset', new Date(sunset).toUTCString());
      c.header('link', `<${instead}>; rel="successor-version"`);
      await next();
    });
  }
}
