import { createHash, createHmac } from 'node:crypto';
import {
  amzDate,
  type Credentials,
  type Pair,
  requestSignature,
  scopeText,
  signingKey,
} from '../../../../src/server/adapters/sigv4.ts';

const EMPTY = createHash('sha256').digest('hex');

export interface ChunkedPut {
  url: URL;
  credentials: Credentials;
  now: number;
  chunks: Buffer[];
  trailer?: Pair;
}

/**
 * The headers and the chunks of a PUT that is signed chunk by chunk (STREAMING-AWS4-HMAC-SHA256-PAYLOAD), each chunk with its own framing,
 * so that a test can leave one out, change one or change their order.
 */
export function signChunks({ url, credentials, now, chunks, trailer }: ChunkedPut): {
  headers: Record<string, string>;
  framed: Buffer[];
} {
  const date = amzDate(now);
  const scope = { day: date.slice(0, 8), region: 'us-east-1', service: 's3' };
  const key = signingKey(credentials.secretAccessKey, scope);
  const payloadHash = `STREAMING-AWS4-HMAC-SHA256-PAYLOAD${trailer ? '-TRAILER' : ''}`;
  const headers: Record<string, string> = {
    host: url.host,
    'content-encoding': 'aws-chunked',
    'x-amz-content-sha256': payloadHash,
    'x-amz-date': date,
    'x-amz-decoded-content-length': String(chunks.reduce((sum, chunk) => sum + chunk.length, 0)),
    ...(trailer && { 'x-amz-trailer': trailer[0] }),
  };
  const signed = Object.entries(headers);
  let signature = requestSignature(key, date, scope, {
    method: 'PUT',
    path: decodeURIComponent(url.pathname),
    query: [],
    headers: signed,
    payloadHash,
  });
  const names = signed.map(([name]) => name).sort();
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scopeText(scope)},SignedHeaders=${names.join(';')},Signature=${signature}`;
  const next = (kind: string, ...digests: string[]): string => {
    const text = [`AWS4-HMAC-SHA256-${kind}`, date, scopeText(scope), signature, ...digests].join('\n');
    return (signature = createHmac('sha256', key).update(text).digest('hex'));
  };
  const framed = [...chunks, Buffer.alloc(0)].map((chunk) => {
    const chunkSignature = next('PAYLOAD', EMPTY, createHash('sha256').update(chunk).digest('hex'));
    const head = `${chunk.length.toString(16)};chunk-signature=${chunkSignature}\r\n`;
    return Buffer.concat([Buffer.from(head), chunk, Buffer.from(chunk.length === 0 && trailer ? '' : '\r\n')]);
  });
  if (trailer) {
    const line = `${trailer[0]}:${trailer[1]}\n`;
    const trailerSignature = next('TRAILER', createHash('sha256').update(line).digest('hex'));
    framed.push(Buffer.from(`${trailer[0]}:${trailer[1]}\r\nx-amz-trailer-signature:${trailerSignature}\r\n\r\n`));
  }
  headers['content-length'] = String(framed.reduce((sum, frame) => sum + frame.length, 0));
  return { headers, framed };
}
