/**
 * The embedded bucket: an S3 endpoint over a folder, so that one machine needs nothing else and still runs the same adapter and the
 * same presigned URLs as with a real store. It verifies whatever it is promised: signature, expiry, length, hash, create-only.
 *
 * A PUT whose URL expires while its body is under way is finished, as S3 does. It cannot outlive its URL by more than
 * `longestMs`; whoever deletes defends against it by listing again after that time.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Clock } from '../../ports.ts';
import type { Credentials } from '../sigv4.ts';
import { Authenticator, type Authenticated } from './authentication.ts';
import type { BodyLimits } from './body.ts';
import { corsHeaders, OPEN_CORS, preflight } from './cors.ts';
import { S3Error, toS3Error } from './errors.ts';
import { listObjects, listObjectsV2, listObjectVersions } from './listing.ts';
import * as multipart from './multipart.ts';
import { deleteObject, deleteObjects, getObject, putObject } from './objects.ts';
import { parameter, parseRequest, type S3Request } from './request.ts';
import * as settings from './settings.ts';
import { type Answer, Shelf } from './shelf.ts';
import { renderError } from './xml.ts';

export interface EmbeddedBucketOptions {
  /** Where everything is kept; made where it is missing. One process at a time. */
  dir: string;
  credentials: Credentials;
  /** Default `us-east-1`. */
  region?: string;
  /** Buckets that are made at the start where they are missing, open to pages of every origin. */
  buckets?: readonly string[];
  clock?: Clock;
  /** Default: a body is cut after 30 s of silence and after one hour. */
  limits?: Partial<BodyLimits>;
  /** Told of failures that are no client's fault. The default writes nothing. */
  onError?: (error: S3Error) => void;
}

export interface EmbeddedBucket {
  /** For node:http, as `request` and `checkContinue` listener. */
  handler: (request: IncomingMessage, response: ServerResponse) => void;
  /** Waits for what is under way and closes the folder. Requests after it are refused. */
  close: () => Promise<void>;
}

export interface RunningBucket {
  /** `http://127.0.0.1:PORT` */
  endpoint: string;
  credentials: Credentials;
  close: () => Promise<void>;
}

/** `longestMs` is also how long after a URL's expiry an object can still appear: a purge lists again after that. */
export const DEFAULT_LIMITS: BodyLimits = { stallMs: 30_000, longestMs: 3_600_000 };

type Operation = (shelf: Shelf, request: S3Request, authenticated: Authenticated) => Answer | Promise<Answer>;

/** By method and by the parameter that names the sub-resource; an empty one is the bucket or the object itself. */
const BUCKET_OPERATIONS: Record<string, Record<string, Operation>> = {
  GET: {
    location: settings.getLocation,
    versioning: settings.getVersioning,
    'object-lock': settings.getObjectLock,
    cors: settings.getCors,
    lifecycle: settings.getLifecycle,
    versions: listObjectVersions,
    uploads: multipart.listUploads,
    '': (shelf, request) =>
      parameter(request, 'list-type') === '2' ? listObjectsV2(shelf, request) : listObjects(shelf, request),
  },
  HEAD: { '': () => ({ status: 200, headers: {} }) },
  PUT: {
    versioning: settings.putVersioning,
    cors: settings.putCors,
    lifecycle: settings.putLifecycle,
    '': settings.createBucket,
  },
  POST: { delete: deleteObjects },
  DELETE: { cors: settings.deleteCors, lifecycle: settings.deleteLifecycle, '': settings.deleteBucket },
};

const OBJECT_OPERATIONS: Record<string, Record<string, Operation>> = {
  GET: { '': getObject, uploadId: multipart.listParts },
  HEAD: { '': getObject },
  PUT: { '': putObject, 'partNumber uploadId': multipart.uploadPart },
  POST: { uploads: multipart.createUpload, uploadId: multipart.completeUpload },
  DELETE: { '': deleteObject, uploadId: multipart.abortUpload },
};

/** Parameters that turn a request into another operation. One that is not known here must not fall through to the plain one. */
const SUB_RESOURCES = new Set(
  `accelerate acl analytics attributes cors delete encryption intelligent-tiering inventory legal-hold lifecycle location logging
   metrics notification object-lock ownershipControls partNumber policy policyStatus publicAccessBlock renameObject replication
   requestPayment restore retention select session tagging torrent uploadId uploads versioning versions website`.split(
    /\s+/,
  ),
);

function operationFor(request: S3Request): Operation {
  if (request.bucket === '') {
    if (request.method === 'GET') return settings.listBuckets;
    throw new S3Error('MethodNotAllowed', 'expected a bucket');
  }
  const named = request.query.map(([name]) => name).filter((name) => SUB_RESOURCES.has(name));
  const operations = (request.key === '' ? BUCKET_OPERATIONS : OBJECT_OPERATIONS)[request.method];
  if (!operations) throw new S3Error('MethodNotAllowed', `the method ${request.method} is not known here`);
  const operation = operations[named.sort().join(' ')];
  if (!operation) throw new S3Error('NotImplemented', `not implemented: ${request.method} ${named.join(' ')}`);
  return operation;
}

export async function createEmbeddedBucket(options: EmbeddedBucketOptions): Promise<EmbeddedBucket> {
  const clock = options.clock ?? { now: () => Date.now() };
  const authenticator = new Authenticator(options.credentials, options.region ?? 'us-east-1');
  const shelf = await Shelf.open(options.dir, clock, { ...DEFAULT_LIMITS, ...options.limits });
  for (const name of options.buckets ?? []) {
    settings.requireBucketName(name);
    await shelf.commits.add(() => {
      if (shelf.catalogue.addBucket.run(name, clock.now()).changes > 0) shelf.catalogue.setCors.run(OPEN_CORS, name);
    });
  }
  const underWay = new Set<Promise<void>>();
  let isClosed = false;
  let count = 0;

  async function answerTo(http: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = (++count).toString(16).padStart(16, '0').toUpperCase();
    let request: S3Request | undefined;
    let cors: Record<string, string> = {};
    let answer: Answer;
    try {
      if (isClosed) throw new S3Error('ServiceUnavailable', 'the bucket is closed');
      request = parseRequest(http, () => {
        if (isWaiting(http)) response.writeContinue();
      });
      const bucket = request.bucket === '' ? undefined : shelf.catalogue.bucket.get(request.bucket);
      if (request.method === 'OPTIONS') {
        answer = { status: 200, headers: preflight(request, bucket) };
      } else {
        cors = corsHeaders(request, bucket);
        const authenticated = authenticator.authenticate(request, clock.now());
        const operation = operationFor(request);
        if (request.bucket !== '' && operation !== settings.createBucket) shelf.requireBucket(request.bucket);
        answer = await operation(shelf, request, authenticated);
      }
    } catch (thrown) {
      const error = toS3Error(thrown);
      if (error.status >= 500) options.onError?.(error);
      answer = errorAnswer(error, request, requestId);
    }
    await send(http, response, { ...answer, headers: { ...answer.headers, ...cors, 'x-amz-request-id': requestId } });
  }

  return {
    handler: (http, response) => {
      const done = answerTo(http, response).catch(() => {
        // The client is gone, or an answer that had begun cannot be finished: only breaking the connection tells.
        response.destroy();
      });
      underWay.add(done);
      void done.finally(() => underWay.delete(done));
    },
    close: async () => {
      isClosed = true;
      await Promise.all(underWay);
      await shelf.close();
    },
  };
}

function errorAnswer(error: S3Error, request: S3Request | undefined, requestId: string): Answer {
  const document = renderError({
    Code: error.code,
    Message: error.message,
    Resource: request?.path,
    RequestId: requestId,
  });
  return { status: error.status, headers: { 'content-type': 'application/xml' }, body: document };
}

/**
 * What is drained of a refused body, in bytes and ms, before the connection is given up: to close at once would destroy the
 * answer on its way.
 */
const DRAIN = 16 * 1024 * 1024;
const DRAIN_MS = 10_000;

function isWaiting(http: IncomingMessage): boolean {
  return http.headers.expect?.toLowerCase() === '100-continue';
}

async function send(http: IncomingMessage, response: ServerResponse, answer: Answer): Promise<void> {
  const { status, headers, body } = answer;
  const isText = typeof body === 'string';
  if (isText) headers['content-length'] = String(Buffer.byteLength(body));
  else if (body === undefined && http.method !== 'HEAD' && status !== 204 && status !== 304)
    headers['content-length'] = '0';
  if (!http.complete && !http.destroyed) {
    // A client that was refused while it waited may send its body or its next request: nobody can tell which.
    if (isWaiting(http) || Number(http.headers['content-length'] ?? Infinity) > DRAIN) headers['connection'] = 'close';
    let drained = 0;
    const deadline = setTimeout(() => void http.destroy(), DRAIN_MS);
    http.once('close', () => {
      clearTimeout(deadline);
    });
    http.on('data', (piece: Buffer) => {
      drained += piece.length;
      if (drained > DRAIN) http.destroy();
    });
  }
  response.writeHead(status, headers);
  if (body === undefined || http.method === 'HEAD') response.end();
  else if (isText) response.end(body);
  else await pipeline(body, response);
}

/** Runs the endpoint on a port of 127.0.0.1, by default a free one. */
export async function startEmbeddedBucket(
  options: EmbeddedBucketOptions & { port?: number; host?: string },
): Promise<RunningBucket> {
  const bucket = await createEmbeddedBucket(options);
  const { stallMs, longestMs } = { ...DEFAULT_LIMITS, ...options.limits };
  // A body has limits of its own, which come first; node's default would cut a slow but steady upload after five minutes.
  const requestTimeout = longestMs + 60_000;
  const server = createServer({ requestTimeout, headersTimeout: 20_000, keepAliveTimeout: 30_000 }, bucket.handler);
  // Ends a connection on which nothing moves: also a reader who does not take the answer.
  server.setTimeout(2 * stallMs);
  server.on('checkContinue', bucket.handler);
  const host = options.host ?? '127.0.0.1';
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://${host}:${port}`,
    credentials: options.credentials,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      await bucket.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
