/** Calls between a page and its worker: numbered requests, their answers, and news in between. */
import { ApiError, ClientError } from '../../client/errors.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import type { Failure, RecorderCalls, RecorderNews } from './messages.ts';

interface Request {
  call: number;
  name: string;
  given: unknown[];
}
type Answer =
  { call: number; value: unknown } | { call: number; failure: Failure } | { call: null; news: RecorderNews };

type Method = (...given: unknown[]) => Promise<unknown>;

/** A call that failed on the other side. */
export class RemoteError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor({ code, message, hint }: Failure) {
    super(message);
    this.name = 'RemoteError';
    this.code = code;
    this.hint = hint;
  }
}

export function failureOf(error: unknown): Failure {
  if (error instanceof ClientError || error instanceof ApiError || error instanceof RemoteError) {
    return { code: error.code, message: error.message, hint: error.hint };
  }
  if (error instanceof ProtocolError) return { code: error.code, message: error.message };
  return { code: 'fault', message: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
}

/** In the worker: answers the page's calls. */
export function serve(api: RecorderCalls): (news: RecorderNews) => void {
  const port = self as unknown as { postMessage(message: Answer): void; onmessage: unknown };
  port.onmessage = ({ data: { call, name, given } }: MessageEvent<Request>) => {
    const method = (api as unknown as Record<string, Method>)[name]!;
    method.apply(api, given).then(
      (value) => {
        port.postMessage({ call, value });
      },
      (error: unknown) => {
        port.postMessage({ call, failure: failureOf(error) });
      },
    );
  };
  return (news) => {
    port.postMessage({ call: null, news });
  };
}

/** In the page. Streams and buffers among a call's arguments are handed over, not copied. */
export function connect(worker: Worker, onNews: (news: RecorderNews) => void): RecorderCalls {
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let calls = 0;
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    if (data.call === null) {
      onNews(data.news);
      return;
    }
    const caller = waiting.get(data.call);
    waiting.delete(data.call);
    if ('failure' in data) caller?.reject(new RemoteError(data.failure));
    else caller?.resolve(data.value);
  };
  worker.onerror = ({ message }) => {
    const failure = new RemoteError({ code: 'fault', message: message || 'the recorder stopped' });
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  };
  const call = (name: string, given: unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const request: Request = { call: calls++, name, given };
      waiting.set(request.call, { resolve, reject });
      worker.postMessage(request, given.filter(isTransferable));
    });
  return new Proxy({} as RecorderCalls, {
    get:
      (_target, name) =>
      (...given: unknown[]) =>
        call(String(name), given),
  });
}

function isTransferable(value: unknown): value is Transferable {
  return value instanceof ReadableStream;
}
