import type { Environment } from './environment.ts';
import { ClientError } from './errors.ts';

/** How often and how long one request is tried. */
export interface RetryPolicy {
  /** Requests in all, the first included. */
  attempts: number;
  /** The n-th wait is uniform in [0, min(base * 2^n, cap)]: "full jitter" spreads a herd best (AWS Architecture Blog, 2015). */
  baseMs: number;
  capMs: number;
  /** One attempt, from the connection to the last byte of the body. */
  timeoutMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = { attempts: 5, baseMs: 250, capMs: 15_000, timeoutMs: 30_000 };

/** The server said "later": too many requests, or something between us and it is down. Any other 4xx will not change. */
const TRANSIENT: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** A Retry-After beyond this is an outage and not a pause; the caller's own patience decides then. */
const LONGEST_RETRY_AFTER_MS = 120_000;

export interface ExchangeRequest {
  method: string;
  headers?: Record<string, string>;
  body?: Uint8Array<ArrayBuffer> | string;
}

export interface Exchange {
  status: number;
  headers: Headers;
  body: Uint8Array<ArrayBuffer>;
}

/** Full jitter; `attempt` counts from 0. */
export function backoff(environment: Environment, policy: RetryPolicy, attempt: number): number {
  return environment.uniform() * Math.min(policy.capMs, policy.baseMs * 2 ** attempt);
}

function retryAfter(headers: Headers, now: number): number {
  const text = headers.get('retry-after');
  if (text === null) return 0;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), LONGEST_RETRY_AFTER_MS) : 0;
}

/** Host and path: all of a URL that a message may hold. The query of a presigned URL is a grant. */
export function withoutQuery(url: string): string {
  const { host, pathname } = new URL(url);
  return host + pathname;
}

/** One request and its whole answer within `timeoutMs`; throws `unreachable` where none came, whatever the reason. */
export async function exchangeOnce(
  environment: Environment,
  url: string,
  request: ExchangeRequest,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Exchange> {
  const expiry = new AbortController();
  const timer = setTimeout(() => {
    expiry.abort();
  }, timeoutMs);
  const stop = signal ? AbortSignal.any([expiry.signal, signal]) : expiry.signal;
  try {
    const answer = await environment.fetch(url, { ...request, signal: stop, redirect: 'error' });
    return { status: answer.status, headers: answer.headers, body: await readBody(answer) };
  } catch (cause) {
    const reason = expiry.signal.aborted ? `no answer within ${timeoutMs} ms` : 'the connection failed';
    throw new ClientError('unreachable', `${request.method} ${withoutQuery(url)}: ${reason}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** The largest body that is right: a chunk of 8 MiB with its segments' tags, or a page of a long list. */
const MOST_BODY_BYTES = 16 * 2 ** 20;

/**
 * The whole body. Where its length is announced it goes into one buffer of that length: `arrayBuffer()` holds it twice, and
 * that is most of the memory that a reader of 4 MiB chunks would use.
 */
async function readBody(answer: Response): Promise<Uint8Array<ArrayBuffer>> {
  const announced = answer.headers.get('content-length');
  if (!answer.body || announced === null || answer.headers.has('content-encoding')) {
    return new Uint8Array(await answer.arrayBuffer());
  }
  const length = Number(announced);
  if (!(length <= MOST_BODY_BYTES)) {
    throw new RangeError(`expected a body of at most ${MOST_BODY_BYTES} bytes, found ${announced}`);
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    body.set(value, at); // a body longer than announced throws here
    at += value.length;
  }
  if (at < length) throw new RangeError(`expected a body of ${length} bytes, found ${at}`);
  return body;
}

/**
 * Exchanges with retries: transport errors and 429, 502, 503, 504 (honouring Retry-After), never another answer. Answers
 * the last transient answer when the attempts are used up. Throws `unreachable`.
 */
export async function exchange(
  environment: Environment,
  url: string,
  request: ExchangeRequest,
  policy: RetryPolicy,
  signal?: AbortSignal,
): Promise<Exchange> {
  for (let attempt = 0; ; attempt++) {
    const isLast = attempt + 1 >= policy.attempts || signal?.aborted === true;
    let wait = backoff(environment, policy, attempt);
    try {
      const answer = await exchangeOnce(environment, url, request, policy.timeoutMs, signal);
      if (isLast || !TRANSIENT.has(answer.status)) return answer;
      wait = Math.max(wait, retryAfter(answer.headers, environment.clock.now()));
    } catch (error) {
      if (isLast) throw error;
    }
    await environment.sleep(wait, signal);
  }
}
