/** Stands between the server and its bucket and passes everything on, until a test tells it to misbehave. */
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Answers in the place of the store; `undefined` passes the request on. */
export type Mischief = (request: IncomingMessage, response: ServerResponse) => 'handled' | undefined;

export interface Proxy {
  endpoint: string;
  /** What happens to each request from now on. */
  mischief: Mischief;
  /** How far the store's clock seems to be ahead, ms. */
  clockMs: number;
  close(): Promise<void>;
}

/** The Host header stays as the client sent it, because signatures cover it. With several targets each request goes to the next. */
export async function startProxy(...targets: readonly [string, ...string[]]): Promise<Proxy> {
  let turn = 0;
  const server = createServer((request, response) => {
    if (proxy.mischief(request, response) === 'handled') return;
    const { method, url } = request;
    const { hostname, port } = new URL(targets[turn++ % targets.length]!);
    const asked = { hostname, port, method, path: url, headers: request.headers, agent: false };
    const onward = httpRequest(asked, (answer) => {
      const { date } = answer.headers;
      const told = new Date(Date.parse(date ?? '') + proxy.clockMs);
      const isDate = (name: string): boolean => name.toLowerCase() === 'date';
      const headers = answer.rawHeaders.map((text, index, all) =>
        index % 2 === 1 && isDate(all[index - 1]!) && proxy.clockMs !== 0 ? told.toUTCString() : text,
      );
      response.writeHead(answer.statusCode ?? 502, headers);
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
    clockMs: 0,
    close: async () => {
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
    },
  };
  return proxy;
}
