/** Node's HTTP server around the app: what every answer has, who is cut off, and what is answered before and after it serves. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';
import { respond } from '../app.ts';
import { ServerError } from '../errors.ts';
import { answerHeaders } from '../http/answer-headers.ts';
import type { Logger } from './log.ts';
import type { Metrics } from './metrics.ts';
import { metricsRoutes } from './metrics-routes.ts';
import { watchRequests } from './requests.ts';
import type { Tracing } from './tracing.ts';

/** A client that takes longer for its headers, or for a whole request of at most half a megabyte, holds a socket for nothing. */
export const SLOWEST = { headersTimeout: 20_000, requestTimeout: 60_000, connectionsCheckingInterval: 5_000 };

/** What is under way at a stop may take this long; then its connections are cut. Process managers wait 30 s or more. */
const GRACE_MS = 20_000;

export interface Watchers {
  log: Logger;
  metrics: Metrics | undefined;
  tracing: Tracing | undefined;
}

export interface HttpServer {
  /** `http://HOST:PORT` */
  url: string;
  /** From here on the app answers. */
  serve(app: Hono, watchers?: Watchers): void;
  /** Answers what is under way, accepts nothing new. */
  close(): Promise<void>;
}

export interface ListenOptions {
  host: string;
  port: number;
  publicUrl?: string | undefined;
  /** Default: `SLOWEST`. */
  slowest?: typeof SLOWEST;
}

/** Listens at once; whoever comes before `serve` is told that the server is starting. */
export async function listen({ port, host, publicUrl, slowest = SLOWEST }: ListenOptions): Promise<HttpServer> {
  const headers = answerHeaders(publicUrl);
  let handle: Hono['fetch'] = startingApp().fetch;
  const server = createAdaptorServer({
    fetch: (request, env) => handle(request, env),
    createServer,
    serverOptions: slowest,
  }) as Server;
  // Before the app answers: what every answer has, unless it says otherwise (pages do). A Hono middleware for it costs half of the speed.
  server.prependListener('request', (_, response) => {
    for (const [name, value] of headers) response.setHeader(name, value);
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    server.listen(port, host, listening);
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    serve: (app, watchers) => {
      const tracing = watchers?.tracing;
      if (watchers) server.prependListener('request', watchRequests(watchers.log, watchers.metrics));
      handle = tracing ? (request, env) => tracing.request(request, async () => app.fetch(request, env)) : app.fetch;
    },
    close: async () => {
      const cut = setTimeout(() => {
        server.closeAllConnections();
      }, GRACE_MS);
      await new Promise((closed) => server.close(closed));
      clearTimeout(cut);
    },
  };
}

function startingApp(): Hono {
  const starting = new Hono();
  starting.get('/ready', (c) => {
    const parts = { store: false, vault: false, bucket: false, clock: false, log_key: false, room: false };
    return c.json({ ready: false, state: 'starting', ...parts }, 503, { 'cache-control': 'no-store' });
  });
  starting.all('*', () => respond(new ServerError('busy', 'the server is starting')));
  return starting;
}

/** The metrics on a port of their own, to which no proxy for the public leads. */
export async function listenForMetrics(
  metrics: Metrics,
  where: { host: string; port: number },
  token: string | undefined,
): Promise<HttpServer> {
  const http = await listen(where);
  const app = new Hono();
  app.route('/', metricsRoutes(metrics, token));
  app.notFound(() => respond(new ServerError('not-found', 'expected /metrics')));
  app.onError((error) =>
    respond(error instanceof ServerError ? error : new ServerError('internal', 'the metrics could not be read')),
  );
  http.serve(app);
  return http;
}
