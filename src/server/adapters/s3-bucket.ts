/**
 * The Bucket port over any S3: AWS, R2, Ceph, MinIO, Garage, and the embedded bucket, all by this one adapter.
 *
 * [Note: What binds a presigned PUT] Stores check a body against a *signed header* `x-amz-content-sha256`. A checksum that
 * was hoisted into the query binds nothing, and some stores ignore a signed `x-amz-checksum-sha256` too. So the URL signs all of
 * `content-length`, `if-none-match: *`, `x-amz-content-sha256`, `x-amz-checksum-sha256` and `x-amz-sdk-checksum-algorithm`
 * as headers. The SDK's own presigner forces UNSIGNED-PAYLOAD, therefore `sigv4.ts`.
 */
import {
  AbortMultipartUploadCommand,
  DeleteObjectsCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  S3Client,
  type S3ServiceException,
} from '@aws-sdk/client-s3';
import { type Bytes, toHex } from '../../../crypto/format/bytes.ts';
import {
  type Bucket,
  BucketError,
  type BucketSettings,
  type Clock,
  type ListedObject,
  type ListedVersion,
  type ObjectPromise,
  type ObjectVersion,
  type PresignedPut,
} from '../ports.ts';
import { call, isCode, isNotImplemented } from './s3-failure.ts';
import { createPresigner, type Credentials, type Pair } from './sigv4.ts';

export interface S3BucketOptions {
  /** Origin of the store; recorders and readers reach it under the same one, unless `publicEndpoint` says otherwise. */
  endpoint: string;
  /** Origin that presigned URLs name, where the server itself reaches the store by another one. */
  publicEndpoint?: string;
  region: string;
  bucket: string;
  credentials: Credentials;
  /** `http://host/bucket/key` instead of `http://bucket.host/key`. Default true: every S3 but some regions of AWS takes it. */
  pathStyle?: boolean;
  /** The clock that dates the adapter's own requests. Default: the system's. */
  clock?: Clock;
  /** A request that has no answer by then, in ms, counts as `unavailable`. Default 30,000. */
  timeoutMs?: number;
  /** Attempts for each request, the first one included. Default 3. */
  attempts?: number;
  /** Told of every request before it is sent, repeated ones too; what it answers is called at the end, with the status if one came. */
  watch?: (operation: string) => ((status: number | undefined) => void) | undefined;
}

/** As many keys as S3 puts into one page and takes in one DeleteObjects. */
const PAGE = 1_000;

type Sdk = S3Client['send'];

/** Milliseconds that the SDK adds to the system's time when it signs. */
interface SkewedConfig {
  systemClockOffset: number;
}

/** Where presigned URLs point: what a page must be allowed to speak to. */
export function publicOriginOf(
  options: Pick<S3BucketOptions, 'endpoint' | 'publicEndpoint' | 'bucket' | 'pathStyle'>,
): string {
  const url = new URL(options.publicEndpoint ?? options.endpoint);
  if (options.pathStyle === false) url.hostname = `${options.bucket}.${url.hostname}`;
  return url.origin;
}

/** A multipart upload that was neither completed nor aborted: bytes that no listing of objects shows. */
export interface UnfinishedUpload {
  key: string;
  uploadId: string;
}

export interface S3Bucket extends Bucket {
  /** Every unfinished multipart upload under `prefix`. */
  listMultiparts(prefix: string): AsyncIterable<UnfinishedUpload>;
}

export function createS3Bucket(options: S3BucketOptions): S3Bucket {
  const { bucket, region, credentials, clock, pathStyle = true, timeoutMs = 30_000 } = options;
  const client = new S3Client({
    endpoint: options.endpoint,
    region,
    credentials,
    forcePathStyle: pathStyle,
    maxAttempts: options.attempts ?? 3,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Without `throwOnRequestTimeout` the SDK only warns and goes on waiting.
    requestHandler: {
      connectionTimeout: Math.min(timeoutMs, 5_000),
      requestTimeout: timeoutMs,
      throwOnRequestTimeout: true,
      socketTimeout: timeoutMs,
    },
  });
  const { watch } = options;
  if (watch) {
    client.middlewareStack.add(
      (next, { commandName }) =>
        async (sent) => {
          const end = watch(operationOf(commandName));
          try {
            const answer = await next(sent);
            end?.((answer.response as { statusCode?: number }).statusCode);
            return answer;
          } catch (error) {
            end?.((error as Partial<S3ServiceException>).$metadata?.httpStatusCode);
            throw error;
          }
        },
      { step: 'deserialize', name: 'watch' },
    );
  }
  const presign = createPresigner({ credentials, region, endpoint: publicOriginOf(options) });
  const pathOf = (key: string): string => (pathStyle ? `/${bucket}/${key}` : `/${key}`);

  const send: Sdk = ((command: Parameters<Sdk>[0]) => {
    // A clock that a test or a simulation moves must date these requests too, or the store refuses them as skewed.
    if (clock) (client.config as unknown as SkewedConfig).systemClockOffset = clock.now() - Date.now();
    return client.send(command);
  }) as Sdk;

  async function* list(prefix: string, startAfter?: string): AsyncIterable<ListedObject> {
    let after = startAfter;
    let token: string | undefined;
    do {
      const page = await call('list', () =>
        send(
          new ListObjectsV2Command({
            Bucket: bucket,
            Prefix: prefix,
            MaxKeys: PAGE,
            ...(token === undefined ? { StartAfter: after } : { ContinuationToken: token }),
          }),
        ),
      );
      for (const { Key: key, Size: bytes } of page.Contents ?? []) {
        if (key === undefined || bytes === undefined)
          throw new BucketError('invalid', 'a listed object lacks key or size');
        requireOrder(prefix, after, key);
        after = key;
        yield { key, bytes };
      }
      token = nextToken('list', page.IsTruncated, page.NextContinuationToken, token);
    } while (token !== undefined);
  }

  async function* listVersions(prefix: string): AsyncIterable<ListedVersion> {
    let keyMarker: string | undefined;
    let versionMarker: string | undefined;
    let isFirst = true;
    do {
      const page = await call('list versions', () =>
        send(
          new ListObjectVersionsCommand({
            Bucket: bucket,
            Prefix: prefix,
            MaxKeys: PAGE,
            KeyMarker: keyMarker,
            VersionIdMarker: versionMarker,
          }),
        ),
      ).catch((error: unknown) => {
        // R2 has neither versions nor this call: there, what `list` shows is all there is.
        if (isFirst && isNotImplemented(error)) return undefined;
        throw error;
      });
      if (!page) {
        for await (const { key, bytes } of list(prefix)) yield { key, bytes, kind: 'current' };
        return;
      }
      isFirst = false;
      const versions = (page.Versions ?? []).map(({ Key, VersionId, Size = 0, IsLatest }) => {
        return {
          Key,
          VersionId,
          bytes: Size,
          kind: IsLatest === false ? ('noncurrent' as const) : ('current' as const),
        };
      });
      const markers = (page.DeleteMarkers ?? []).map((one) => ({ ...one, bytes: 0, kind: 'marker' as const }));
      for (const { Key: key, VersionId: versionId, bytes, kind } of [...versions, ...markers]) {
        if (key?.startsWith(prefix) !== true)
          throw new BucketError('invalid', 'a listed version lies outside the prefix');
        yield { key, ...(versionId !== undefined && { versionId }), bytes, kind };
      }
      const before = keyMarker;
      keyMarker = nextToken('list versions', page.IsTruncated, page.NextKeyMarker, undefined);
      if (keyMarker !== undefined && keyMarker === before && page.NextVersionIdMarker === versionMarker) {
        throw new BucketError('invalid', 'a listing of versions does not advance');
      }
      versionMarker = page.NextVersionIdMarker;
    } while (keyMarker !== undefined);
  }

  async function* listMultiparts(prefix: string): AsyncIterable<UnfinishedUpload> {
    let keyMarker: string | undefined;
    let uploadMarker: string | undefined;
    do {
      const page = await call('list multiparts', () =>
        send(
          new ListMultipartUploadsCommand({
            Bucket: bucket,
            Prefix: prefix,
            KeyMarker: keyMarker,
            UploadIdMarker: uploadMarker,
          }),
        ),
      );
      for (const { Key: key, UploadId: uploadId } of page.Uploads ?? []) {
        // A store that ignores the prefix must not make us abort a stranger's upload.
        if (key?.startsWith(prefix) !== true || uploadId === undefined) {
          throw new BucketError('invalid', 'a listed multipart upload lies outside the prefix');
        }
        yield { key, uploadId };
      }
      const before: string | undefined = keyMarker;
      keyMarker = nextToken('list multiparts', page.IsTruncated, page.NextKeyMarker, undefined);
      if (keyMarker !== undefined && keyMarker === before && page.NextUploadIdMarker === uploadMarker) {
        throw new BucketError('invalid', 'a listing of multipart uploads does not advance');
      }
      uploadMarker = page.NextUploadIdMarker;
    } while (keyMarker !== undefined);
  }

  return {
    presignPut(promise: ObjectPromise, now: number, expiresInSeconds: number): PresignedPut {
      const payloadHash = toHex(promise.sha256);
      const headers = {
        'if-none-match': '*',
        'x-amz-checksum-sha256': toBase64(promise.sha256),
        'x-amz-content-sha256': payloadHash,
        'x-amz-sdk-checksum-algorithm': 'SHA256',
      };
      const signed: Pair[] = [['content-length', String(promise.bytes)], ...Object.entries(headers)];
      const url = presign(
        { method: 'PUT', path: pathOf(promise.key), headers: signed, payloadHash },
        now,
        expiresInSeconds,
      );
      return { url, headers };
    },

    presignGet(key: string, now: number, expiresInSeconds: number): string {
      return presign({ method: 'GET', path: pathOf(key) }, now, expiresInSeconds);
    },

    list,
    listVersions,

    async deleteVersions(versions: readonly ObjectVersion[]): Promise<{ key: string; code: string }[]> {
      if (versions.length === 0) return [];
      if (versions.length > PAGE) throw new RangeError(`expected at most ${PAGE} versions, found ${versions.length}`);
      const Objects = versions.map(({ key, versionId }) => ({ Key: key, VersionId: versionId }));
      const answer = await call('delete', () =>
        send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } })),
      );
      return (answer.Errors ?? []).map((error) => ({ key: error.Key ?? '', code: error.Code ?? 'unknown' }));
    },

    listMultiparts,

    async abortMultiparts(prefix: string): Promise<number> {
      let aborted = 0;
      for await (const { key: Key, uploadId: UploadId } of listMultiparts(prefix)) {
        await call('abort multipart', () =>
          send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId })),
        ).catch((error: unknown) => {
          // Somebody else completed or aborted it between the listing and now.
          if (!isCode(error, 'NoSuchUpload')) throw error;
        });
        aborted += 1;
      }
      return aborted;
    },

    async get(key: string, range?: { from: number; to: number }): Promise<Bytes | undefined> {
      try {
        return await call('get', async () => {
          const answer = await send(
            new GetObjectCommand({
              Bucket: bucket,
              Key: key,
              ...(range && { Range: `bytes=${range.from}-${range.to}` }),
            }),
          );
          if (!answer.Body) throw new BucketError('invalid', 'an object came without a body');
          const bytes = new Uint8Array(await answer.Body.transformToByteArray());
          if (answer.ContentLength !== undefined && bytes.length !== answer.ContentLength) {
            throw new BucketError('unavailable', `expected ${answer.ContentLength} bytes, found ${bytes.length}`);
          }
          return bytes;
        });
      } catch (error) {
        if (isCode(error, 'NoSuchKey')) return undefined;
        if (isCode(error, 'InvalidRange')) return new Uint8Array();
        throw error;
      }
    },

    async settings(): Promise<BucketSettings> {
      const [versioning, objectLock, lifecycle] = await Promise.all([
        readVersioning(send, bucket),
        readObjectLock(send, bucket),
        readLifecycle(send, bucket),
      ]);
      return { versioning, objectLock, lifecycle };
    },
  };
}

/** The SDK's `ListObjectsV2Command` as S3 names it: `ListObjectsV2`. */
function operationOf(commandName: unknown): string {
  return typeof commandName === 'string' ? commandName.replace(/Command$/, '') : 'unknown';
}

/** Standard base64, as checksum headers carry it (crypto/format knows base64url only). */
function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/** S3 lists in the order of UTF-8 bytes; a listing that jumps back or leaves the prefix would hide objects from a purge. */
function requireOrder(prefix: string, after: string | undefined, key: string): void {
  if (!key.startsWith(prefix)) throw new BucketError('invalid', 'a listed object lies outside the prefix');
  if (after !== undefined && compareUtf8(after, key) >= 0) {
    throw new BucketError('invalid', 'a listing is not in key order');
  }
}

const encoder = new TextEncoder();

function compareUtf8(a: string, b: string): number {
  // eslint-disable-next-line no-control-regex -- ASCII is meant: there UTF-16 and UTF-8 order agree, which spares the encoding
  if (/^[\x00-\x7f]*$/.test(a + b)) return a < b ? -1 : a > b ? 1 : 0;
  const [left, right] = [encoder.encode(a), encoder.encode(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = left[i]! - right[i]!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/** The token of the next page, undefined at the end. A truncated page without one, or with the same again, would loop or lose. */
function nextToken(
  what: string,
  isTruncated: boolean | undefined,
  next: string | undefined,
  current: string | undefined,
): string | undefined {
  if (isTruncated !== true) return undefined;
  if (next === undefined || next === current) throw new BucketError('invalid', `${what}: truncated, but no next page`);
  return next;
}

async function readVersioning(send: Sdk, bucket: string): Promise<BucketSettings['versioning']> {
  const answer = await setting(() => send(new GetBucketVersioningCommand({ Bucket: bucket })));
  if (answer === 'unknown' || answer === 'none') return 'unknown';
  if (answer.Status === undefined) return 'off';
  return answer.Status === 'Enabled' ? 'enabled' : 'suspended';
}

async function readObjectLock(send: Sdk, bucket: string): Promise<BucketSettings['objectLock']> {
  const answer = await setting(() => send(new GetObjectLockConfigurationCommand({ Bucket: bucket })));
  if (answer === 'unknown') return 'unknown';
  return answer !== 'none' && answer.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled';
}

async function readLifecycle(send: Sdk, bucket: string): Promise<BucketSettings['lifecycle']> {
  const answer = await setting(() => send(new GetBucketLifecycleConfigurationCommand({ Bucket: bucket })));
  if (answer === 'unknown' || answer === 'none') return answer;
  const rules = (answer.Rules ?? []).flatMap((rule) => {
    const days = rule.Expiration?.Days;
    if (rule.Status !== 'Enabled' || days === undefined) return [];
    return [{ id: rule.ID ?? '', prefix: rule.Filter?.Prefix ?? rule.Filter?.And?.Prefix ?? '', days }];
  });
  return rules.length === 0 ? 'none' : rules;
}

/** `none` where the store says that nothing is configured, `unknown` where it cannot or will not say. */
async function setting<T>(read: () => Promise<T>): Promise<T | 'none' | 'unknown'> {
  try {
    return await call('settings', read);
  } catch (error) {
    if (isCode(error, 'NoSuchLifecycleConfiguration', 'ObjectLockConfigurationNotFoundError')) return 'none';
    if (isNotImplemented(error) || (error instanceof BucketError && error.code === 'refused')) return 'unknown';
    throw error;
  }
}
