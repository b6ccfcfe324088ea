/**
 * Requests and responses without streams: what Hono and this server ask of them and nothing else, as the Node adapter does
 * it too. A fetch through undici's classes costs several times what the server does for it.
 */
import { utf8 } from '../../crypto/format/bytes.ts';

/** A request with a JSON body. */
export function plainRequest(method: string, path: string, token: string, body?: unknown): Request {
  const headers: Record<string, string> = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const request = {
    method,
    url: `https://zeroreel.invalid/v1${path}`,
    headers: { get: (name: string) => headers[name.toLowerCase()] ?? null },
    body: body === undefined ? null : [utf8(JSON.stringify(body))],
  };
  return request as unknown as Request;
}

/** A response whose body is text and is read once, by whoever sent the request. */
class PlainResponse {
  readonly status: number;
  readonly text: string;
  readonly #init: ResponseInit;
  #headers: Headers | undefined;

  constructor(body: unknown, init: ResponseInit = {}) {
    if (typeof body !== 'string') throw new Error('expected an answer in JSON');
    this.text = body;
    this.status = init.status ?? 200;
    this.#init = init;
  }

  get headers(): Headers {
    return (this.#headers ??= new Headers(this.#init.headers));
  }
}

/** The server's answer; made while `usePlainResponses` is in force. */
export function plainAnswer(response: Response): { status: number; json: unknown } {
  const { status, text } = response as unknown as PlainResponse;
  return { status, json: JSON.parse(text) as unknown };
}

/** Replaces `globalThis.Response` until the answered function is called. */
export function usePlainResponses(): () => void {
  const replaced = globalThis.Response;
  globalThis.Response = PlainResponse as unknown as typeof Response;
  return () => {
    globalThis.Response = replaced;
  };
}
