/**
 * Who sent this, and is it what they signed? Verifies presigned URLs and Authorization headers.
 * Source: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference.
 */
import { timingSafeEqual } from 'node:crypto';
import {
  ALGORITHM,
  type Credentials,
  LONGEST_EXPIRY_SECONDS,
  type Pair,
  parseAmzDate,
  requestSignature,
  type Scope,
  SigningKeys,
  UNSIGNED_PAYLOAD,
} from '../sigv4.ts';
import { S3Error } from './errors.ts';
import { header, parameter, type S3Request } from './request.ts';

/** How far a client's clock may be off, in either direction, as S3 has it. */
const SKEW_MS = 15 * 60_000;

/** What a verified signature says about the body, and what signs the chunks of an aws-chunked one. */
export interface Authenticated {
  /** Hex SHA-256 of the body, UNSIGNED-PAYLOAD or one of the STREAMING literals. */
  payloadHash: string;
  signingKey: Uint8Array;
  date: string;
  scope: Scope;
  signature: string;
}

interface Claim {
  credential: string;
  date: string;
  signedHeaders: string;
  signature: string;
  payloadHash: string;
  query: readonly Pair[];
}

const PRESIGN_PARAMETERS = [
  'X-Amz-Algorithm',
  'X-Amz-Credential',
  'X-Amz-Date',
  'X-Amz-Expires',
  'X-Amz-SignedHeaders',
  'X-Amz-Signature',
];

/** Verifies requests against one pair of keys. The signing key of the day is kept. */
export class Authenticator {
  readonly #credentials: Credentials;
  readonly #region: string;
  readonly #keys: SigningKeys;

  constructor(credentials: Credentials, region: string) {
    this.#credentials = credentials;
    this.#region = region;
    this.#keys = new SigningKeys(credentials.secretAccessKey);
  }

  /** Throws `S3Error` unless the request carries a valid signature at `now` (ms). */
  authenticate(request: S3Request, now: number): Authenticated {
    const isPresigned =
      parameter(request, 'X-Amz-Algorithm') !== undefined || parameter(request, 'X-Amz-Signature') !== undefined;
    const authorization = header(request, 'authorization');
    if (isPresigned && authorization !== undefined) {
      throw new S3Error('InvalidArgument', 'expected one way of authentication, found two');
    }
    if (!isPresigned && authorization === undefined) throw new S3Error('AccessDenied', 'the request is not signed');
    const claim = isPresigned ? presignedClaim(request, now) : headerClaim(request, authorization!, now);

    const scope = this.#scopeOf(claim);
    const names = claim.signedHeaders.split(';');
    const headers = names.map((name): Pair => {
      const value = header(request, name);
      if (value === undefined) throw new S3Error('SignatureDoesNotMatch', `the signed header ${name} is missing`);
      return [name, value];
    });
    requireSigned(request, new Set(names));
    const signingKey = this.#keys.for(scope);
    const expected = requestSignature(signingKey, claim.date, scope, {
      method: request.method,
      path: request.path,
      query: claim.query,
      headers,
      payloadHash: claim.payloadHash,
    });
    if (!isSameText(expected, claim.signature)) {
      throw new S3Error('SignatureDoesNotMatch', 'the signature does not match the request');
    }
    return { payloadHash: claim.payloadHash, signingKey, date: claim.date, scope, signature: expected };
  }

  #scopeOf(claim: Claim): Scope {
    const parts = claim.credential.split('/');
    const [accessKeyId, day, region, service, terminator] = parts;
    if (parts.length !== 5 || service !== 's3' || terminator !== 'aws4_request' || day !== claim.date.slice(0, 8)) {
      throw new S3Error('AuthorizationHeaderMalformed', 'expected a credential of key/day/region/s3/aws4_request');
    }
    if (!isSameText(accessKeyId!, this.#credentials.accessKeyId)) {
      throw new S3Error('InvalidAccessKeyId', 'the access key is not known here');
    }
    if (region !== this.#region) {
      throw new S3Error('AuthorizationHeaderMalformed', `expected the region ${this.#region}`);
    }
    return { day, region, service };
  }
}

function presignedClaim(request: S3Request, now: number): Claim {
  const values = PRESIGN_PARAMETERS.map((name) => {
    const found = request.query.filter(([parameterName]) => parameterName === name);
    if (found.length !== 1) throw new S3Error('AuthorizationQueryParametersError', `expected ${name} exactly once`);
    return found[0]![1];
  });
  const [algorithm, credential, date, expires, signedHeaders, signature] = values as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const signedAt = parseAmzDate(date);
  if (algorithm !== ALGORITHM || signedAt === undefined || !/^\d{1,6}$/.test(expires)) {
    throw new S3Error('AuthorizationQueryParametersError', `expected ${ALGORITHM}, a date and a life in seconds`);
  }
  const life = Number(expires);
  if (life < 1 || life > LONGEST_EXPIRY_SECONDS) {
    throw new S3Error('AuthorizationQueryParametersError', `expected a life of 1 to ${LONGEST_EXPIRY_SECONDS} seconds`);
  }
  if (signedAt > now + SKEW_MS) throw new S3Error('AccessDenied', 'the URL is not valid yet');
  if (now > signedAt + life * 1_000) throw new S3Error('AccessDenied', 'the URL has expired');
  return {
    credential,
    date,
    signedHeaders,
    signature,
    payloadHash:
      header(request, 'x-amz-content-sha256') ?? parameter(request, 'X-Amz-Content-Sha256') ?? UNSIGNED_PAYLOAD,
    query: request.query.filter(([name]) => name !== 'X-Amz-Signature'),
  };
}

function headerClaim(request: S3Request, authorization: string, now: number): Claim {
  const match = /^AWS4-HMAC-SHA256 Credential=([^\s,]+), ?SignedHeaders=([^\s,]+), ?Signature=([0-9a-f]{64})$/.exec(
    authorization,
  );
  if (!match) throw new S3Error('AuthorizationHeaderMalformed', `expected an ${ALGORITHM} authorization`);
  const [, credential, signedHeaders, signature] = match as unknown as [string, string, string, string];
  const date = header(request, 'x-amz-date') ?? '';
  const signedAt = parseAmzDate(date);
  if (signedAt === undefined) throw new S3Error('AccessDenied', 'expected a header x-amz-date');
  if (Math.abs(now - signedAt) > SKEW_MS)
    throw new S3Error('RequestTimeTooSkewed', "the request's time is too far from the server's");
  const payloadHash = header(request, 'x-amz-content-sha256');
  if (payloadHash === undefined) throw new S3Error('InvalidRequest', 'expected a header x-amz-content-sha256');
  return { credential, date, signedHeaders, signature, payloadHash, query: request.query };
}

/** What decides the request's meaning must be under the signature: the host and every `x-amz-` header. */
function requireSigned(request: S3Request, names: ReadonlySet<string>): void {
  if (!names.has('host')) throw new S3Error('AccessDenied', 'expected a signed host');
  for (const name in request.http.headers) {
    if (name.startsWith('x-amz-') && !names.has(name)) {
      throw new S3Error('AccessDenied', `the header ${name} is not signed`);
    }
  }
}

/** Constant time for texts of equal length. */
export function isSameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
