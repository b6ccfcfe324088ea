/** Receives request bodies: streamed, hashed on the way, and refused unless they are what was signed. */
import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Authenticated } from './authentication.ts';
import { S3Error } from './errors.ts';
import { header, type S3Request } from './request.ts';

export interface BodyLimits {
  /** A body of which nothing arrives for so long, in ms, is cut. */
  stallMs: number;
  /** A body that is not complete by then, in ms, is cut: the bound on how long a PUT can outlive its URL. */
  longestMs: number;
}

export interface ReceivedBody {
  bytes: number;
  /** Hex; absent where nobody asked for it. */
  md5?: string;
  sha256?: string;
}

/** S3's limit on one PUT, 5 GiB. */
export const LARGEST_PUT = 5 * 1024 ** 3;
/** Bytes gathered before one write: fewer turns through the thread pool, at most two such batches in memory for one request. */
const BATCH = 512 * 1024;

/** Checks one body against everything that its request promised about it. */
class Promises {
  readonly #hashes = new Map<string, Hash>();
  readonly #expected: {
    what: string;
    algorithm: string;
    digest: string;
    encoding: 'hex' | 'base64';
    code: S3Error['code'];
  }[] = [];

  constructor(request: S3Request, authenticated: Authenticated) {
    if (/^[0-9a-f]{64}$/.test(authenticated.payloadHash)) {
      this.#expect('x-amz-content-sha256', 'sha256', authenticated.payloadHash, 'hex', 'XAmzContentSHA256Mismatch');
    }
    const md5 = header(request, 'content-md5');
    if (md5 !== undefined) {
      if (!/^[\w+/]{22}==$/.test(md5)) throw new S3Error('InvalidDigest', 'expected 16 bytes in base64 in content-md5');
      this.#expect('content-md5', 'md5', md5, 'base64', 'BadDigest');
    }
    for (const algorithm of ['sha256', 'sha1']) {
      const digest = header(request, `x-amz-checksum-${algorithm}`);
      if (digest !== undefined)
        this.#expect(`x-amz-checksum-${algorithm}`, algorithm, digest, 'base64', 'XAmzContentChecksumMismatch');
    }
    // An entity tag needs some digest: MD5, S3's own, where no SHA-256 is there already.
    if (!this.#hashes.has('sha256')) this.#hash('md5');
  }

  #hash(algorithm: string): void {
    if (!this.#hashes.has(algorithm)) this.#hashes.set(algorithm, createHash(algorithm));
  }

  #expect(what: string, algorithm: string, digest: string, encoding: 'hex' | 'base64', code: S3Error['code']): void {
    this.#hash(algorithm);
    this.#expected.push({ what, algorithm, digest, encoding, code });
  }

  update(piece: Buffer): void {
    for (const hash of this.#hashes.values()) hash.update(piece);
  }

  /** Throws unless every promise was kept; answers the digests by algorithm. */
  finish(): Map<string, Buffer> {
    const digests = new Map([...this.#hashes].map(([algorithm, hash]) => [algorithm, hash.digest()] as const));
    for (const { what, algorithm, digest, encoding, code } of this.#expected) {
      if (digests.get(algorithm)!.toString(encoding) !== digest)
        throw new S3Error(code, `the body is not the one named by ${what}`);
    }
    return digests;
  }
}

/** The declared length of the body; a PUT without one is refused as S3 does. */
export function declaredLength(request: S3Request): number {
  const text = header(request, 'content-length');
  if (text === undefined || !/^\d{1,15}$/.test(text))
    throw new S3Error('MissingContentLength', 'expected a content-length');
  return Number(text);
}

/** Streams the body into `handle` and makes it durable. Throws `S3Error`; what was written then has no meaning. */
export async function receiveFile(
  request: S3Request,
  authenticated: Authenticated,
  handle: FileHandle,
  limits: BodyLimits,
): Promise<ReceivedBody> {
  const promises = new Promises(request, authenticated);
  const expected = declaredLength(request);
  if (expected > LARGEST_PUT) throw new S3Error('EntityTooLarge', `expected at most ${LARGEST_PUT} bytes`);
  let batch: Buffer[] = [];
  let batched = 0;
  let bytes = 0;
  let writing: Promise<unknown> = Promise.resolve();
  const flush = async (): Promise<void> => {
    const pieces = batch;
    batch = [];
    batched = 0;
    await writing;
    writing = pieces.length === 0 ? Promise.resolve() : handle.writev(pieces);
    // A failure is awaited by the next flush; without this, Node would call it unhandled until then.
    writing.catch(() => undefined);
  };
  for await (const piece of pieces(request, limits)) {
    bytes += piece.length;
    promises.update(piece);
    batch.push(piece);
    batched += piece.length;
    if (batched >= BATCH) await flush();
  }
  await flush();
  await writing;
  if (bytes !== expected) throw new S3Error('IncompleteBody', `expected ${expected} bytes, found ${bytes}`);
  const digests = promises.finish();
  await handle.sync();
  const [md5, sha256] = [digests.get('md5')?.toString('hex'), digests.get('sha256')?.toString('hex')];
  return { bytes, ...(md5 !== undefined && { md5 }), ...(sha256 !== undefined && { sha256 }) };
}

/** A small body, an XML document for one, as text. */
export async function receiveText(
  request: S3Request,
  authenticated: Authenticated,
  limits: BodyLimits,
  most: number,
): Promise<string> {
  const promises = new Promises(request, authenticated);
  const found: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces(request, limits)) {
    bytes += piece.length;
    if (bytes > most) throw new S3Error('MalformedXML', `expected at most ${most} bytes`);
    promises.update(piece);
    found.push(piece);
  }
  promises.finish();
  return Buffer.concat(found).toString('utf8');
}

/** The body's pieces as they arrive; a stalled, an endless and an aborted one end in an error. */
async function* pieces(request: S3Request, limits: BodyLimits): AsyncGenerator<Buffer> {
  const { http } = request;
  const cut = (): void => void http.destroy(new S3Error('RequestTimeout', 'the body did not arrive in time'));
  const stall = setTimeout(cut, limits.stallMs);
  const deadline = setTimeout(cut, limits.longestMs);
  try {
    for await (const piece of http) {
      stall.refresh();
      yield piece as Buffer;
    }
  } catch (error) {
    if (error instanceof S3Error) throw error;
    throw new S3Error('IncompleteBody', 'the body ended early', { cause: error });
  } finally {
    clearTimeout(stall);
    clearTimeout(deadline);
  }
}
