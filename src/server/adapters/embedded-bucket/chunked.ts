/**
 * The content coding `aws-chunked`: a body in chunks that are signed one by one, with trailers, or unsigned with trailers, as
 * the SDKs send it. Source: "Signature calculations for the Authorization header: transferring payload in multiple chunks"
 * and "... including trailing headers", Amazon S3 API Reference.
 */
import { createHash, createHmac, type Hash } from 'node:crypto';
import { scopeText } from '../sigv4.ts';
import { type Authenticated, isSameText } from './authentication.ts';
import { S3Error } from './errors.ts';

const LITERAL = /^STREAMING-(AWS4-HMAC-SHA256|UNSIGNED)-PAYLOAD(-TRAILER)?$/;
/** A chunk's header or one trailer is never longer. */
const LONGEST_LINE = 1_024;
const MOST_TRAILERS = 8;
const EMPTY_SHA256 = createHash('sha256').digest('hex');
const LINE_FEED = 10;

/** Decodes one body as it arrives. What it hands out is verified only once `finish` has returned. */
export class ChunkDecoder {
  readonly trailers = new Map<string, string>();
  readonly #authenticated: Authenticated;
  readonly #isSigned: boolean;
  readonly #hasTrailers: boolean;
  #state: 'header' | 'data' | 'data-end' | 'trailer' | 'done' = 'header';
  #line: Buffer = Buffer.alloc(0);
  /** Bytes of the current chunk that are still to come. */
  #left = 0;
  #hash: Hash | undefined;
  #chunkSignature = '';
  #previousSignature: string;
  #trailerText = '';

  /** Undefined where the body is not in chunks. */
  static for(authenticated: Authenticated): ChunkDecoder | undefined {
    const match = LITERAL.exec(authenticated.payloadHash);
    if (!match) return undefined;
    return new ChunkDecoder(authenticated, match[1] !== 'UNSIGNED', match[2] !== undefined);
  }

  private constructor(authenticated: Authenticated, isSigned: boolean, hasTrailers: boolean) {
    this.#authenticated = authenticated;
    this.#isSigned = isSigned;
    this.#hasTrailers = hasTrailers;
    this.#previousSignature = authenticated.signature;
  }

  /** The decoded bytes in `piece`, as views of it. */
  push(piece: Buffer): Buffer[] {
    const decoded: Buffer[] = [];
    let rest = piece;
    while (rest.length > 0) {
      if (this.#state === 'data') {
        const data = rest.subarray(0, this.#left);
        rest = rest.subarray(data.length);
        this.#left -= data.length;
        this.#hash?.update(data);
        decoded.push(data);
        if (this.#left === 0) this.#state = 'data-end';
        continue;
      }
      const at = rest.indexOf(LINE_FEED);
      const part = rest.subarray(0, at < 0 ? rest.length : at);
      if (this.#line.length + part.length > LONGEST_LINE) throw malformed('a line is too long');
      this.#line = Buffer.concat([this.#line, part]);
      rest = rest.subarray(part.length + (at < 0 ? 0 : 1));
      if (at < 0) break;
      const line = this.#line.toString('latin1').replace(/\r$/, '');
      this.#line = Buffer.alloc(0);
      this.#takeLine(line);
    }
    return decoded;
  }

  /** Throws unless the last chunk, and the trailers where they were announced, have come. */
  finish(): void {
    if (this.#state !== 'done') throw new S3Error('IncompleteBody', 'the last chunk is missing');
  }

  #takeLine(line: string): void {
    switch (this.#state) {
      case 'header':
        this.#takeHeader(line);
        break;
      case 'data-end':
        if (line !== '') throw malformed('a chunk is longer than its header says');
        this.#verifyChunk(this.#hash?.digest('hex') ?? EMPTY_SHA256);
        this.#state = 'header';
        break;
      case 'trailer':
        this.#takeTrailer(line);
        break;
      case 'done':
        if (line !== '') throw malformed('bytes follow the last chunk');
        break;
      case 'data':
        throw malformed('data is no line');
    }
  }

  #takeHeader(line: string): void {
    const match = (
      this.#isSigned ? /^([0-9a-fA-F]{1,10});chunk-signature=([0-9a-f]{64})$/ : /^([0-9a-fA-F]{1,10})$/
    ).exec(line);
    if (!match) throw malformed('expected the header of a chunk');
    this.#left = Number.parseInt(match[1]!, 16);
    this.#chunkSignature = match[2] ?? '';
    if (this.#left > 0) {
      this.#hash = this.#isSigned ? createHash('sha256') : undefined;
      this.#state = 'data';
      return;
    }
    this.#verifyChunk(EMPTY_SHA256);
    this.#state = 'trailer';
  }

  #takeTrailer(line: string): void {
    const isSignatureDue = this.#isSigned && this.#hasTrailers;
    if (line === '') {
      // The reference puts one empty line more before the trailer's signature; most clients do not.
      if (!isSignatureDue) this.#state = 'done';
      return;
    }
    if (!this.#hasTrailers || this.trailers.size >= MOST_TRAILERS) throw malformed('a trailer was not announced');
    const at = line.indexOf(':');
    if (at < 0) throw malformed('expected a trailer');
    const [name, value] = [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
    if (name === 'x-amz-trailer-signature') {
      this.#verify(`AWS4-HMAC-SHA256-TRAILER`, value, [createHash('sha256').update(this.#trailerText).digest('hex')]);
      this.#state = 'done';
      return;
    }
    this.trailers.set(name, value);
    this.#trailerText += `${name}:${value}\n`;
  }

  #verifyChunk(dataSha256: string): void {
    if (this.#isSigned) this.#verify('AWS4-HMAC-SHA256-PAYLOAD', this.#chunkSignature, [EMPTY_SHA256, dataSha256]);
  }

  /** Each signature covers the one before it, which fixes the order of the chunks. */
  #verify(algorithm: string, signature: string, digests: readonly string[]): void {
    const { date, scope, signingKey } = this.#authenticated;
    const text = [algorithm, date, scopeText(scope), this.#previousSignature, ...digests].join('\n');
    const expected = createHmac('sha256', signingKey).update(text).digest('hex');
    if (!isSameText(expected, signature))
      throw new S3Error('SignatureDoesNotMatch', "a chunk's signature does not match");
    this.#previousSignature = expected;
  }
}

function malformed(found: string): S3Error {
  return new S3Error('IncompleteBody', `the body is no aws-chunked one: ${found}`);
}
