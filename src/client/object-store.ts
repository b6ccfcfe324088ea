import type { Bytes } from '../../crypto/format/bytes.ts';
import type { Environment } from './environment.ts';
import { ClientError } from './errors.ts';
import { exchangeOnce, withoutQuery } from './transport.ts';

/**
 * What a presigned PUT came to. `stored` holds for 412 too: the key takes exactly one body, and only the holder of the
 * upload token could have had it signed. `expired` (403): ask for another URL. `later`: the store or the way to it failed.
 * `refused` (400): the body is not the one that was signed.
 */
export type PutOutcome = 'stored' | 'expired' | 'later' | 'refused';

export async function putObject(
  environment: Environment,
  grant: { url: string; headers: Record<string, string> },
  body: Bytes,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<PutOutcome> {
  const request = { method: 'PUT', headers: grant.headers, body };
  const { status } = await exchangeOnce(environment, grant.url, request, timeoutMs, signal);
  if (status === 200 || status === 201 || status === 204 || status === 412) return 'stored';
  if (status === 403) return 'expired';
  // S3 answers 409 to a conditional PUT that races another operation on the key, and 408 to a body that came too slowly.
  if (status === 408 || status === 409 || status === 429 || status >= 500) return 'later';
  return 'refused';
}

/** An inclusive range of bytes. */
export interface ByteRange {
  from: number;
  to: number;
}

export type GetOutcome = { state: 'found'; bytes: Bytes } | { state: 'absent' | 'expired' | 'later' };

/** Throws `storage` for an answer that is none of these, and for a store that ignores the range. */
export async function getObject(
  environment: Environment,
  url: string,
  timeoutMs: number,
  range?: ByteRange,
): Promise<GetOutcome> {
  const headers: Record<string, string> = range ? { range: `bytes=${range.from}-${range.to}` } : {};
  const { status, body } = await exchangeOnce(environment, url, { method: 'GET', headers }, timeoutMs);
  if (range && status === 200) {
    if (range.from > 0) throw new ClientError('storage', `GET ${withoutQuery(url)}: the store ignored the range`);
    return { state: 'found', bytes: body.subarray(0, range.to + 1) };
  }
  if (status === (range ? 206 : 200)) return { state: 'found', bytes: body };
  if (status === 404) return { state: 'absent' };
  if (status === 403) return { state: 'expired' };
  if (status === 408 || status === 429 || status >= 500) return { state: 'later' };
  throw new ClientError('storage', `GET ${withoutQuery(url)}: the store answered ${status}`);
}
