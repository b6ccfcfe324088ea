import type { IncomingMessage } from 'node:http';
import type { Pair } from '../sigv4.ts';
import { AFTER_EVERYTHING } from './catalogue.ts';
import { S3Error } from './errors.ts';

/** An HTTP request in S3's terms: path style, `/bucket/key`. */
export interface S3Request {
  method: string;
  /** Decoded, from the root: what was signed. */
  path: string;
  /** Empty in a request to the service itself. */
  bucket: string;
  /** Empty in a request to a bucket. */
  key: string;
  query: readonly Pair[];
  http: IncomingMessage;
  /** Asks for the body where the client waits for leave to send it (`Expect: 100-continue`, RFC 9110 section 10.1.1). */
  askForBody: () => void;
}

/** S3's limit on a key, in bytes of UTF-8. */
const LONGEST_KEY = 1_024;

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new S3Error('InvalidURI', 'expected percent-encoded UTF-8');
  }
}

export function parseRequest(http: IncomingMessage, askForBody: () => void): S3Request {
  const target = http.url ?? '/';
  const mark = target.indexOf('?');
  const path = decode(mark < 0 ? target : target.slice(0, mark));
  if (!path.startsWith('/')) throw new S3Error('InvalidURI', 'expected an absolute path');
  const query: Pair[] = [];
  for (const part of mark < 0 ? [] : target.slice(mark + 1).split('&')) {
    if (part === '') continue;
    const at = part.indexOf('=');
    const [name, value] = at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
    query.push([decode(name.replaceAll('+', ' ')), decode(value.replaceAll('+', ' '))]);
  }
  const slash = path.indexOf('/', 1);
  const bucket = slash < 0 ? path.slice(1) : path.slice(1, slash);
  const key = slash < 0 ? '' : path.slice(slash + 1);
  if (Buffer.byteLength(key) > LONGEST_KEY) {
    throw new S3Error('KeyTooLongError', `expected a key of at most ${LONGEST_KEY} bytes`);
  }
  // The one noncharacter that this bucket's index uses to mark the end of a range of keys.
  if (key.includes(AFTER_EVERYTHING)) throw new S3Error('InvalidURI', 'the key holds the noncharacter U+10FFFF');
  return { method: http.method ?? 'GET', path, bucket, key, query, http, askForBody };
}

/** The value of a query parameter, undefined where it is absent. */
export function parameter(request: S3Request, name: string): string | undefined {
  return request.query.find(([found]) => found === name)?.[1];
}

export function header(request: S3Request, name: string): string | undefined {
  const value = request.http.headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}

/** A query parameter that is a whole number from 0 to `most`; larger values are cut to `most`, as S3 does. */
export function countParameter(request: S3Request, name: string, most: number): number {
  const text = parameter(request, name);
  if (text === undefined || text === '') return most;
  if (!/^\d{1,10}$/.test(text)) throw new S3Error('InvalidArgument', `expected a whole number in ${name}`);
  return Math.min(Number(text), most);
}
