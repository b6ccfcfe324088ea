import { createCipheriv, createHash } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { Bucket, ObjectPromise, PresignedPut } from '../../../../src/server/ports.ts';

export interface WireAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export interface WireRequest {
  method: string;
  headers?: Record<string, string>;
  body?: Uint8Array;
}

/**
 * Sends one request exactly as given, on a connection of its own: fetch would correct a content-length that lies. A connection that
 * the server cuts without an answer is status 0.
 */
export function send(url: string, { method, headers = {}, body }: WireRequest): Promise<WireAnswer> {
  return new Promise((resolve) => {
    const request = httpRequest(url, { method, headers, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      const done = (): void => {
        const found = Object.entries(response.headers).map(([name, value]) => [name, String(value)] as const);
        resolve({ status: response.statusCode ?? 0, headers: Object.fromEntries(found), body: Buffer.concat(pieces) });
      };
      response.on('end', done);
      response.on('error', done);
    });
    request.on('error', () => {
      resolve({ status: 0, headers: {}, body: Buffer.alloc(0) });
    });
    if (body) request.write(body);
    request.end();
  });
}

/** The code of S3's XML error, or its absence. */
export function errorCode(answer: WireAnswer): string | undefined {
  return /<Code>(\w+)<\/Code>/.exec(answer.body.toString())?.[1];
}

export function sha256(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest();
}

export function promiseOf(key: string, body: Uint8Array): ObjectPromise {
  return { key, bytes: body.length, sha256: sha256(body) };
}

/** Uses a presigned PUT as a recorder does. */
export function put({ url, headers }: PresignedPut, body: Uint8Array): Promise<WireAnswer> {
  return send(url, { method: 'PUT', headers: { ...headers, 'content-length': String(body.length) }, body });
}

/** Stores an object by way of a presigned PUT; throws unless it was stored. */
export async function store(bucket: Bucket, key: string, body: Uint8Array, now = Date.now()): Promise<void> {
  const { status } = await put(bucket.presignPut(promiseOf(key, body), now, 300), body);
  if (status !== 200) throw new Error(`expected 200 for ${key}, found ${status}`);
}

export async function keysOf(listing: AsyncIterable<{ key: string }>): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of listing) keys.push(key);
  return keys;
}

/** Bytes without a pattern that differ for every seed, the same in every run: AES-CTR over zeros. */
export function sample(bytes: number, seed = 'sample'): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
}
