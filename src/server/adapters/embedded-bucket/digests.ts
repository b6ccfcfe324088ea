/** What a request promised about its body: hashes and checksums, in headers, or in trailers that come after the body. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { createCRC32, createCRC64 } from 'hash-wasm';
import type { Authenticated } from './authentication.ts';
import { S3Error, type S3ErrorCode } from './errors.ts';
import { header, type S3Request } from './request.ts';

interface RunningDigest {
  update: (piece: Uint8Array) => void;
  digest: () => Buffer;
}

interface Expectation {
  what: string;
  algorithm: string;
  digest: string;
  encoding: 'hex' | 'base64';
  code: S3ErrorCode;
}

/** The checksums of "Checking object integrity" (Amazon S3 User Guide), by the name that ends their header. */
const CHECKSUMS = ['crc32', 'crc32c', 'crc64nvme', 'sha1', 'sha256'];

function runningCrc32(): RunningDigest {
  let value = 0;
  return {
    update: (piece) => (value = crc32(piece, value)),
    digest: () => {
      const digest = Buffer.alloc(4);
      digest.writeUInt32BE(value);
      return digest;
    },
  };
}

async function startDigest(algorithm: string): Promise<RunningDigest> {
  if (algorithm === 'crc32') return runningCrc32();
  if (algorithm === 'crc32c' || algorithm === 'crc64nvme') {
    // Reflected polynomials: Castagnoli's (RFC 3720) and that of NVM Express.
    const running = algorithm === 'crc32c' ? await createCRC32(0x82f63b78) : await createCRC64('9a6c9329ac4bc9b5');
    running.init();
    return { update: (piece) => void running.update(piece), digest: () => Buffer.from(running.digest('binary')) };
  }
  return createHash(algorithm);
}

/** Hashes one body with whatever its request names and refuses it unless every digest is the promised one. */
export class BodyDigests {
  readonly #running = new Map<string, RunningDigest>();
  readonly #expected: Expectation[] = [];
  /** Checksums whose value comes in a trailer. */
  readonly #announced: string[] = [];

  static async for(request: S3Request, authenticated: Authenticated): Promise<BodyDigests> {
    const digests = new BodyDigests();
    if (/^[0-9a-f]{64}$/.test(authenticated.payloadHash)) {
      const code = 'XAmzContentSHA256Mismatch';
      digests.#expect({
        what: 'x-amz-content-sha256',
        algorithm: 'sha256',
        digest: authenticated.payloadHash,
        encoding: 'hex',
        code,
      });
    }
    const md5 = header(request, 'content-md5');
    if (md5 !== undefined) {
      if (!/^[\w+/]{22}==$/.test(md5)) throw new S3Error('InvalidDigest', 'expected 16 bytes in base64 in content-md5');
      digests.#expect({ what: 'content-md5', algorithm: 'md5', digest: md5, encoding: 'base64', code: 'BadDigest' });
    }
    for (const algorithm of CHECKSUMS) {
      const digest = header(request, `x-amz-checksum-${algorithm}`);
      if (digest !== undefined) digests.#expectChecksum(algorithm, digest);
    }
    const trailers = header(request, 'x-amz-trailer')?.toLowerCase().split(',') ?? [];
    for (const name of trailers.map((trailer) => trailer.trim())) {
      const algorithm = CHECKSUMS.find((known) => name === `x-amz-checksum-${known}`);
      if (algorithm === undefined) throw new S3Error('InvalidRequest', 'expected a checksum in x-amz-trailer');
      digests.#announced.push(algorithm);
    }
    const named = header(request, 'x-amz-sdk-checksum-algorithm');
    if (named !== undefined && !digests.#hasChecksum(named.toLowerCase())) {
      throw new S3Error('InvalidRequest', 'x-amz-sdk-checksum-algorithm names a checksum that is not there');
    }
    await digests.#start();
    return digests;
  }

  #hasChecksum(algorithm: string): boolean {
    return (
      this.#announced.includes(algorithm) || this.#expected.some(({ what }) => what === `x-amz-checksum-${algorithm}`)
    );
  }

  #expect(expectation: Expectation): void {
    this.#expected.push(expectation);
  }

  #expectChecksum(algorithm: string, digest: string): void {
    this.#expect({
      what: `x-amz-checksum-${algorithm}`,
      algorithm,
      digest,
      encoding: 'base64',
      code: 'XAmzContentChecksumMismatch',
    });
  }

  async #start(): Promise<void> {
    const wanted = new Set([...this.#expected.map(({ algorithm }) => algorithm), ...this.#announced]);
    // An entity tag needs some digest: MD5, which is S3's own, where there is no SHA-256 anyway.
    if (!wanted.has('sha256')) wanted.add('md5');
    for (const algorithm of wanted) this.#running.set(algorithm, await startDigest(algorithm));
  }

  update(piece: Uint8Array): void {
    for (const running of this.#running.values()) running.update(piece);
  }

  /** Throws unless every promise was kept, also those in `trailers`; answers the digests by algorithm. */
  finish(trailers: ReadonlyMap<string, string>): Map<string, Buffer> {
    for (const algorithm of this.#announced) {
      const digest = trailers.get(`x-amz-checksum-${algorithm}`);
      if (digest === undefined)
        throw new S3Error('InvalidRequest', `the trailer x-amz-checksum-${algorithm} is missing`);
      this.#expectChecksum(algorithm, digest);
    }
    const digests = new Map([...this.#running].map(([algorithm, running]) => [algorithm, running.digest()] as const));
    for (const { what, algorithm, digest, encoding, code } of this.#expected) {
      if (digests.get(algorithm)!.toString(encoding) !== digest)
        throw new S3Error(code, `the body is not the one named by ${what}`);
    }
    return digests;
  }
}
