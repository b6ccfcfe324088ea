/** What the API refuses with: stable codes, one HTTP status each, answered as RFC 9457 problem details. */
import type { Problem } from '../../schema/api.ts';

const STATUS = {
  // the request itself
  malformed: 400,
  'too-large': 413,
  'not-json': 415,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  'method-unknown': 405,
  /** A challenge, setup link or signature that lets nobody in. */
  'sign-in-refused': 401,
  /** Another site's page, or another origin than the one that was signed for. */
  'origin-refused': 403,
  /** A signed record that does not parse or verify; the member `reason` has the protocol's own class. */
  'record-refused': 422,
  // exams and policies
  'exam-unknown': 404,
  'policy-refused': 422,
  'policy-conflict': 409,
  'policy-outdated': 409,
  'exam-closed': 403,
  // the life of a recording
  'recording-unknown': 404,
  'open-refused': 422,
  'open-conflict': 409,
  'ticket-refused': 403,
  'ticket-used': 409,
  'epoch-conflict': 409,
  'recording-ended': 409,
  'recording-deleted': 410,
  'uploads-over': 409,
  'chunk-refused': 422,
  'chunk-conflict': 409,
  'window-full': 409,
  'head-refused': 422,
  'head-conflict': 409,
  'chunks-missing': 409,
  // review
  'reader-unknown': 403,
  'grant-refused': 422,
  'key-refused': 422,
  // the log
  'not-published': 404,
  // the machine
  'storage-unavailable': 503,
  /** Written, but not seen everywhere yet: a vault that settles slowly. */
  'share-unsettled': 503,
  'storage-full': 507,
  busy: 503,
  internal: 500,
} as const;

export type ErrorCode = keyof typeof STATUS;

/** Thrown anywhere in the server for a request that is refused; nothing was written unless the code says otherwise. */
export class ServerError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** Members added to the problem, for programs. */
  readonly extra: Record<string, unknown>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; extra?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'ServerError';
    this.code = code;
    this.hint = options.hint;
    this.extra = options.extra ?? {};
  }

  get status(): number {
    return STATUS[this.code];
  }
}

export function problemOf(error: ServerError): Problem {
  return {
    ...error.extra,
    type: `urn:zeroreel:error:${error.code}`,
    title: error.code.replaceAll('-', ' '),
    status: error.status,
    code: error.code,
    detail: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(STATUS, code);
}
