/** A server and a bucket that lie: the real ones, whose answers are changed on their way to a client. */
import type { Bytes } from '../../crypto/format/bytes.ts';
import { systemEnvironment, type Environment } from '../../src/client/environment.ts';
import type { ChunkName } from '../../src/client/source.ts';
import { objectKey, parseObjectKey } from '../../src/server/core/names.ts';
import type { TestService } from './service.ts';

export interface Lies {
  /** What the server says instead of its JSON under a path. */
  answer?: (path: string, honest: unknown) => unknown;
  /** Bytes that the server answers with under a path; undefined: its own. */
  body?: (path: string) => string | Bytes | undefined;
  /** Which object the bucket takes out instead of the one that was asked for; null: it has none. */
  object?: (asked: ChunkName) => ChunkName | null;
  /** What the bucket makes of an object before it is sent. */
  content?: (asked: ChunkName, honest: Bytes) => Bytes;
}

export function lying({ server }: TestService, lies: Lies): Environment {
  const { bucket, clock } = server.ports;

  async function fromServer(url: URL, init?: RequestInit): Promise<Response> {
    const body = lies.body?.(url.pathname);
    if (body !== undefined) return new Response(body);
    const response = await fetch(url, init);
    const isJson = response.headers.get('content-type')?.startsWith('application/json') ?? false;
    if (!lies.answer || !response.ok || !isJson) return response;
    return Response.json(lies.answer(url.pathname, await response.json()), { status: response.status });
  }

  async function fromBucket(url: URL, init?: RequestInit): Promise<Response> {
    const asked = parseObjectKey(url.pathname.split('/').slice(-4).join('/'));
    if (!asked) throw new Error(`not an object of a recording: ${url.pathname}`);
    const given = lies.object ? lies.object(asked) : asked;
    if (!given) return new Response(null, { status: 404 });
    const honest = bucket.presignGet(objectKey(asked.recordingId, given), clock.now(), 60);
    if (!lies.content) return fetch(honest, init);
    const range = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get('range') ?? '');
    const whole = lies.content(asked, new Uint8Array(await (await fetch(honest)).arrayBuffer()));
    if (!range) return new Response(whole);
    const [from, to] = [Number(range[1]), Math.min(Number(range[2]) + 1, whole.length)];
    const headers = { 'content-range': `bytes ${from}-${to - 1}/${whole.length}` };
    return new Response(whole.subarray(from, to), { status: 206, headers });
  }

  const isOfServer = (url: URL): boolean => url.origin === new URL(server.url).origin;
  return {
    ...systemEnvironment,
    fetch: (input, init) => {
      const url = new URL(input as string);
      return isOfServer(url) ? fromServer(url, init) : fromBucket(url, init);
    },
  };
}
