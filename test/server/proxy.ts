/** Stands between the server and its bucket and passes everything on, until a test tells it to misbehave. */
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Answers in the place of the store; `undefined` passes the request on. */
export type Mischief = (request: IncomingMessage, response: ServerResponse) => 'handled' | undefined;

export interface Proxy {
  endpoint: string;
  /** What happens to each request from now on. */
  mischief: Mischief;
  close(): Promise<void>;
}

/** The Host header stays as the client sent it, because signatures cover it. With several targets each request goes to the next. */
export async function startProxy(...targets: readonly [string, ...string[]]): Promise<Proxy> {
  let turn = 0;
  const server = createServer((request, response) => {
    if (proxy.mischief(request, response) === 'handled') return;
    const { method, url, headers } = request;
    const { hostname, port } = new URL(targets[turn++ % targets.length]!);
    const onward = httpRequest({ hostname, port, method, path: url, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(response);
    });
    onward.on('error', () => {
      response.destroy();
    });
    request.pipe(onward);
  });
  // A test that is busy for seconds would otherwise send on a connection that is being closed.
  server.keepAliveTimeout = 0;
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const proxy: Proxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    mischief: () => undefined,
    close: async () => {
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
    },
  };
  return proxy;
}
