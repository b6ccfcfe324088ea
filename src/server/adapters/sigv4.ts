/**
 * AWS Signature Version 4, as far as S3 needs it: canonical requests, presigned URLs, signatures of chunks. Pure and
 * synchronous, so that the same lines sign in Node and in a Worker (`nodejs_compat` has these two of `node:crypto`), and so that
 * the embedded bucket can verify with them. Source: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference.
 */
import { createHash, createHmac } from 'node:crypto';

export const ALGORITHM = 'AWS4-HMAC-SHA256';
/** What stands for the body's hash where the signer does not bind the body. */
export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';
/** Stores refuse presigned URLs that live longer: seven days. */
export const LONGEST_EXPIRY_SECONDS = 604_800;

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  /** Of temporary credentials: signed as `x-amz-security-token`. */
  sessionToken?: string;
}

export type Pair = readonly [name: string, value: string];

export interface SignedRequest {
  method: string;
  /** Decoded path from the root, as in `/bucket/some key`. S3 encodes it once and does not normalize it. */
  path: string;
  /** Decoded query without `X-Amz-Signature`. */
  query: readonly Pair[];
  /** Exactly the signed headers, names in lower case, any order. */
  headers: readonly Pair[];
  /** Hex SHA-256 of the body, or one of the literals that stand for it. */
  payloadHash: string;
}

/** Where and when a signing key is valid. */
export interface Scope {
  /** `YYYYMMDD`, UTC. */
  day: string;
  region: string;
  service: string;
}

export function scopeText(scope: Scope): string {
  return `${scope.day}/${scope.region}/${scope.service}/aws4_request`;
}

/** `20130524T000000Z` from milliseconds since the epoch. */
export function amzDate(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
}

/** The inverse of `amzDate`; undefined where the text is no such date. */
export function parseAmzDate(text: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!match) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const at = Date.UTC(year, month - 1, day, hour, minute, second);
  // Date.UTC rolls 31 June over to 1 July; such a text was never made by a signer.
  return amzDate(at) === text ? at : undefined;
}

/** Percent-encodes everything but the unreserved characters of RFC 3986; a slash too unless it is kept. */
export function uriEncode(text: string, keepSlash = false): string {
  if ((keepSlash ? /^[\w.~/-]*$/ : /^[\w.~-]*$/).test(text)) return text;
  const encoded = encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return keepSlash ? encoded.replaceAll('%2F', '/') : encoded;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The query in canonical form, which is also a form to send. */
export function canonicalQuery(query: readonly Pair[]): string {
  return query
    .map(([name, value]): Pair => [uriEncode(name), uriEncode(value)])
    .sort((a, b) => compareText(a[0], b[0]) || compareText(a[1], b[1]))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

export function canonicalRequest(request: SignedRequest): string {
  const headers = [...request.headers].sort((a, b) => compareText(a[0], b[0]));
  let lines = '';
  for (const [name, value] of headers) lines += `${name}:${value.trim().replaceAll(/ {2,}/g, ' ')}\n`;
  return [
    request.method,
    uriEncode(request.path, true),
    canonicalQuery(request.query),
    lines,
    headers.map(([name]) => name).join(';'),
    request.payloadHash,
  ].join('\n');
}

const hmac = (key: string | Uint8Array, text: string) => createHmac('sha256', key).update(text);

export function signingKey(secretAccessKey: string, scope: Scope): Uint8Array {
  let key: Uint8Array = hmac(`AWS4${secretAccessKey}`, scope.day).digest();
  for (const part of [scope.region, scope.service, 'aws4_request']) key = hmac(key, part).digest();
  return key;
}

/** The signature of a request, 64 hex digits; `date` in the form of `amzDate`. */
export function requestSignature(key: Uint8Array, date: string, scope: Scope, request: SignedRequest): string {
  const digest = createHash('sha256').update(canonicalRequest(request)).digest('hex');
  return hmac(key, `${ALGORITHM}\n${date}\n${scopeText(scope)}\n${digest}`).digest('hex');
}

/** Keeps the signing key of one day: four of a signature's five HMACs do not change before midnight UTC. */
export class SigningKeys {
  readonly #secretAccessKey: string;
  #text = '';
  #key = new Uint8Array();

  constructor(secretAccessKey: string) {
    this.#secretAccessKey = secretAccessKey;
  }

  for(scope: Scope): Uint8Array {
    const text = scopeText(scope);
    if (text !== this.#text) {
      this.#key = new Uint8Array(signingKey(this.#secretAccessKey, scope));
      this.#text = text;
    }
    return this.#key;
  }
}

export interface PresignerOptions {
  credentials: Credentials;
  region: string;
  /** Origin of the store, as in `https://s3.eu-central-1.amazonaws.com`. */
  endpoint: string;
  service?: string;
}

export interface Presignable {
  method: 'GET' | 'HEAD' | 'PUT' | 'DELETE' | 'POST';
  /** Decoded, from the root. */
  path: string;
  query?: readonly Pair[];
  /** Headers that the client must send exactly so; `host` is added. */
  headers?: readonly Pair[];
  /** Hex SHA-256 of the body; it binds only together with a signed header `x-amz-content-sha256`. */
  payloadHash?: string;
}

/** Makes a function that turns a request into a URL which carries its own authority for `expiresInSeconds` from `now` (ms). */
export function createPresigner(
  options: PresignerOptions,
): (request: Presignable, now: number, expiresInSeconds: number) => string {
  const { credentials, region, service = 's3' } = options;
  const origin = new URL(options.endpoint);
  const keys = new SigningKeys(credentials.secretAccessKey);
  return (request, now, expiresInSeconds) => {
    if (!Number.isInteger(expiresInSeconds) || expiresInSeconds < 1 || expiresInSeconds > LONGEST_EXPIRY_SECONDS) {
      throw new RangeError(`expected a life of 1 to ${LONGEST_EXPIRY_SECONDS} seconds, found ${expiresInSeconds}`);
    }
    const date = amzDate(now);
    const scope = { day: date.slice(0, 8), region, service };
    const headers: Pair[] = [['host', origin.host], ...(request.headers ?? [])];
    const names = headers.map(([name]) => name).sort(compareText);
    const query: Pair[] = [
      ...(request.query ?? []),
      ['X-Amz-Algorithm', ALGORITHM],
      ['X-Amz-Credential', `${credentials.accessKeyId}/${scopeText(scope)}`],
      ['X-Amz-Date', date],
      ['X-Amz-Expires', String(expiresInSeconds)],
      ['X-Amz-SignedHeaders', names.join(';')],
    ];
    if (credentials.sessionToken !== undefined) query.push(['X-Amz-Security-Token', credentials.sessionToken]);
    const signature = requestSignature(keys.for(scope), date, scope, {
      method: request.method,
      path: request.path,
      query,
      headers,
      payloadHash: request.payloadHash ?? UNSIGNED_PAYLOAD,
    });
    return `${origin.origin}${uriEncode(request.path, true)}?${canonicalQuery(query)}&X-Amz-Signature=${signature}`;
  };
}
