/** What a server costs that does nothing: answers every body with itself. `hono` or `http` chooses which. Prints its port. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';

function honoEcho(): Server {
  const app = new Hono();
  app.post('*', async (c) => c.body(await c.req.text(), 200, { 'content-type': 'application/json' }));
  return createAdaptorServer({ fetch: app.fetch }) as Server;
}

function bareEcho(): Server {
  return createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(Buffer.concat(pieces));
    });
  });
}

const server = process.argv[2] === 'hono' ? honoEcho() : bareEcho();
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`);
});
