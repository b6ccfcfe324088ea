/** Receives request bodies: streamed, hashed on the way, and refused unless they are what was signed. */
import type { FileHandle } from 'node:fs/promises';
import type { Authenticated } from './authentication.ts';
import { ChunkDecoder } from './chunked.ts';
import { BodyDigests } from './digests.ts';
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
  /** Hex; at least one of the two is there. */
  md5?: string;
  sha256?: string;
}

/** S3's limit on one PUT, 5 GiB. */
const LARGEST_PUT = 5 * 1024 ** 3;
/** Bytes gathered before one write: fewer turns through the thread pool, at most two such batches in memory for one request. */
const BATCH = 512 * 1024;

/** The bytes that the body holds once decoded; a PUT that does not say is refused, as S3 does. */
function declaredLength(request: S3Request, isChunked: boolean): number {
  const name = isChunked ? 'x-amz-decoded-content-length' : 'content-length';
  const text = header(request, name);
  if (text === undefined || !/^\d{1,15}$/.test(text))
    throw new S3Error('MissingContentLength', `expected a header ${name}`);
  return Number(text);
}

/** One body on its way in: iterate it to the end, then `finish` says whether it is what was promised. */
class IncomingBody {
  bytes = 0;
  readonly #request: S3Request;
  readonly #limits: BodyLimits;
  readonly #digests: BodyDigests;
  readonly #decoder: ChunkDecoder | undefined;

  private constructor(request: S3Request, limits: BodyLimits, digests: BodyDigests, decoder: ChunkDecoder | undefined) {
    this.#request = request;
    this.#limits = limits;
    this.#digests = digests;
    this.#decoder = decoder;
  }

  static async of(request: S3Request, authenticated: Authenticated, limits: BodyLimits): Promise<IncomingBody> {
    const digests = await BodyDigests.for(request, authenticated);
    return new IncomingBody(request, limits, digests, ChunkDecoder.for(authenticated));
  }

  get declaredLength(): number {
    return declaredLength(this.#request, this.#decoder !== undefined);
  }

  /** Decoded pieces as they arrive; a stalled, an endless and an aborted body end in an error. */
  async *pieces(): AsyncGenerator<Buffer> {
    const { http, askForBody } = this.#request;
    askForBody();
    const cut = (): void => void http.destroy(new S3Error('RequestTimeout', 'the body did not arrive in time'));
    const stall = setTimeout(cut, this.#limits.stallMs);
    const deadline = setTimeout(cut, this.#limits.longestMs);
    try {
      // Not destroyed where a refusal ends the loop early: its answer still has to go out on this connection.
      for await (const piece of http.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        stall.refresh();
        if (!this.#decoder) {
          yield this.#take(piece);
          continue;
        }
        for (const decoded of this.#decoder.push(piece)) yield this.#take(decoded);
      }
    } catch (error) {
      if (error instanceof S3Error) throw error;
      throw new S3Error('IncompleteBody', 'the body ended early', { cause: error });
    } finally {
      clearTimeout(stall);
      clearTimeout(deadline);
    }
  }

  #take(piece: Buffer): Buffer {
    this.bytes += piece.length;
    this.#digests.update(piece);
    return piece;
  }

  finish(): Map<string, Buffer> {
    this.#decoder?.finish();
    return this.#digests.finish(this.#decoder?.trailers ?? new Map<string, string>());
  }
}

/** Streams the body into `handle` and makes it durable. Throws `S3Error`; what was written then has no meaning. */
export async function receiveFile(
  request: S3Request,
  authenticated: Authenticated,
  handle: FileHandle,
  limits: BodyLimits,
): Promise<ReceivedBody> {
  const body = await IncomingBody.of(request, authenticated, limits);
  const expected = body.declaredLength;
  if (expected > LARGEST_PUT) throw new S3Error('EntityTooLarge', `expected at most ${LARGEST_PUT} bytes`);
  let batch: Buffer[] = [];
  let batched = 0;
  let writing: Promise<void> = Promise.resolve();
  const flush = async (): Promise<void> => {
    const pieces = batch;
    batch = [];
    batched = 0;
    await writing;
    writing = writeWhole(handle, pieces);
    // A failure is thrown by the next flush; without this, Node would call it unhandled until then.
    writing.catch(() => undefined);
  };
  for await (const piece of body.pieces()) {
    if (body.bytes > expected) throw new S3Error('IncompleteBody', `expected ${expected} bytes, found more`);
    batch.push(piece);
    batched += piece.length;
    if (batched >= BATCH) await flush();
  }
  await flush();
  await writing;
  if (body.bytes !== expected) throw new S3Error('IncompleteBody', `expected ${expected} bytes, found ${body.bytes}`);
  const digests = body.finish();
  await handle.sync();
  const [md5, sha256] = [digests.get('md5')?.toString('hex'), digests.get('sha256')?.toString('hex')];
  return { bytes: body.bytes, ...(md5 !== undefined && { md5 }), ...(sha256 !== undefined && { sha256 }) };
}

/** A system call may write less than it was given, on a disk that is about to be full for one. */
async function writeWhole(handle: FileHandle, pieces: Buffer[]): Promise<void> {
  if (pieces.length === 0) return;
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const { bytesWritten } = await handle.writev(pieces);
  if (bytesWritten === length) return;
  const rest = Buffer.concat(pieces).subarray(bytesWritten);
  await handle.writeFile(rest);
}

/** A small body, an XML document for one, as text. */
export async function receiveText(
  request: S3Request,
  authenticated: Authenticated,
  limits: BodyLimits,
  most: number,
): Promise<string> {
  const body = await IncomingBody.of(request, authenticated, limits);
  const found: Buffer[] = [];
  for await (const piece of body.pieces()) {
    if (body.bytes > most) throw new S3Error('MalformedXML', `expected at most ${most} bytes`);
    found.push(piece);
  }
  body.finish();
  return Buffer.concat(found).toString('utf8');
}
