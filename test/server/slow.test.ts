/** Who holds a socket and says next to nothing is cut off, with real sockets; everybody else is answered meanwhile. */
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type HttpServer, listen, SLOWEST } from '../../src/server/adapters/http-server.ts';
import { createApp } from '../../src/server/app.ts';
import { call, expectStatus, Stage } from './stage.ts';

let stage: Stage;
let http: HttpServer;
beforeAll(async () => {
  stage = await Stage.start();
  const slowest = { headersTimeout: 300, requestTimeout: 600, connectionsCheckingInterval: 50 };
  http = await listen({ host: '127.0.0.1', port: 0, slowest });
  http.serve(createApp(stage.server.ports));
});
afterAll(async () => {
  await http.close();
  await stage.stop();
});

/** Sends what comes next of `bytes` again and again, one byte at a time, until the other side has had enough; answers what it said. */
function dribble(begin: string, endless: string): Promise<string> {
  const { hostname, port } = new URL(http.url);
  const socket: Socket = connect(Number(port), hostname);
  let said = '';
  socket.setEncoding('utf8').on('data', (text: string) => (said += text));
  socket.write(begin);
  let at = 0;
  const drip = endless === '' ? undefined : setInterval(() => socket.write(endless[at++ % endless.length]!), 10);
  return new Promise((resolve) => {
    socket.on('error', () => undefined);
    socket.once('close', () => {
      clearInterval(drip);
      resolve(said);
    });
  });
}

const POST = 'POST /v1/sessions HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n';

describe('a client that', () => {
  test.each([
    ['connects and says nothing', '', ''],
    ['sends its headers a byte at a time, for ever', 'GET /v1/service HTTP/1.1\r\nHost: test\r\n', 'x-a: b\r\n'],
    ['stops in the middle of its headers', 'GET /v1/service HTTP/1.1\r\nHos', ''],
    ['announces a body and sends it a byte at a time', `${POST}Content-Length: 100000\r\n\r\n`, ' '],
    ['sends a body in chunks without an end', `${POST}Transfer-Encoding: chunked\r\n\r\n`, '1\r\n \r\n'],
  ])('%s is cut off, and nobody else notices', async (_, begin, endless) => {
    const many = Array.from({ length: 20 }, () => dribble(begin, endless));
    expectStatus(await call(http.url, 'GET', '/v1/service'), 200);
    for (const said of await Promise.all(many)) expect(said).toMatch(/^(?:$|HTTP\/1\.1 (?:408|413|400) )/);
    expectStatus(await call(http.url, 'GET', '/v1/service'), 200);
  });

  test('sends more than any legitimate body is told so while it sends', async () => {
    const kilobyte = ' '.repeat(1024);
    const { hostname, port } = new URL(http.url);
    const socket = connect(Number(port), hostname);
    let said = '';
    socket
      .setEncoding('utf8')
      .on('data', (text: string) => (said += text))
      .on('error', () => undefined);
    socket.write(`${POST}Transfer-Encoding: chunked\r\n\r\n`);
    // As fast as it is taken: what is refused is not read to its end.
    let sent = 0;
    const more = () => {
      while (!socket.destroyed && said === '' && sent < 64 * 1024) {
        sent++;
        if (!socket.write(`400\r\n${kilobyte}\r\n`)) return socket.once('drain', more);
      }
      return undefined;
    };
    more();
    await new Promise((closed) => socket.once('close', closed));
    expect(said).toMatch(/^HTTP\/1\.1 413 /);
    expect(sent).toBeLessThan(64 * 1024);
  });
});

test('the service itself waits 20 s for headers, and a minute for a request', () => {
  expect(SLOWEST).toMatchObject({ headersTimeout: 20_000, requestTimeout: 60_000 });
  expect(SLOWEST.connectionsCheckingInterval).toBeLessThanOrEqual(SLOWEST.headersTimeout / 4);
});
