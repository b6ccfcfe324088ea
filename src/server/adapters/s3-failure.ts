/** What the SDK throws, in the words of the Bucket port. */
import { S3ServiceException } from '@aws-sdk/client-s3';
import { BucketError } from '../ports.ts';

/** Whether the store itself answered with one of these codes. */
export function isCode(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof BucketError && error.cause instanceof S3ServiceException && names.includes(error.cause.name);
}

export function isNotImplemented(error: unknown): boolean {
  return (
    error instanceof BucketError &&
    error.cause instanceof S3ServiceException &&
    (error.cause.name === 'NotImplemented' || error.cause.$metadata.httpStatusCode === 501)
  );
}

/** Runs one request and turns what the SDK throws into the port's error. The message never holds a URL: its query is a credential. */
export async function call<T>(what: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof BucketError) throw error;
    throw new BucketError(codeOf(error), `${what}: ${reasonOf(error)}`, { cause: error });
  }
}

function codeOf(error: unknown): BucketError['code'] {
  if (!(error instanceof S3ServiceException)) return 'unavailable';
  if (error.name === 'NoSuchBucket') return 'missing-bucket';
  const status = error.$metadata.httpStatusCode;
  if (status === 403 || status === 401) return 'refused';
  return status === undefined || status >= 500 || status === 429 || status === 408 ? 'unavailable' : 'invalid';
}

function reasonOf(error: unknown): string {
  if (error instanceof S3ServiceException) return `${error.name} (${error.$metadata.httpStatusCode ?? 'no status'})`;
  const { code, name } = error as { code?: unknown; name?: unknown };
  return typeof code === 'string' ? code : typeof name === 'string' ? name : 'no answer';
}
