/** What the API refuses with: stable codes, one HTTP status each, answered as RFC 9457 problem details. */
import type { Problem } from '../../schema/api.ts';

/** By code: the status, and what it means to whoever meets it. `schema/API.md` and the reference page print this table. */
export const ERRORS = {
  // the request itself
  malformed: [400, 'The request is not what its schema says; the detail names the member, never its value.'],
  'too-large': [413, 'The body is larger than any legitimate one.'],
  'not-json': [415, 'A body must come as application/json.'],
  unauthenticated: [401, 'No token or session, or one that is unknown, expired or revoked.'],
  forbidden: [403, 'The role does not do this, or the exam is not one that the caller is bound to.'],
  'not-found': [404, 'There is no such route, or nothing of this name.'],
  'method-unknown': [405, 'The route has other methods; `Allow` lists them.'],
  'rate-limited': [429, 'Too many calls; `Retry-After` says when the next one is welcome. Nothing was done.'],
  'sign-in-refused': [401, 'A challenge, setup link, token or signature that lets nobody in.'],
  'origin-refused': [
    403,
    'The request comes from another site’s page, or a signature is for another address than this service has.',
  ],
  'launch-refused': [403, 'The learning platform’s message lets nobody in; `reason` says why.'],
  'platform-unreachable': [502, 'The learning platform does not answer, or answers what no platform does.'],
  'record-refused': [422, 'A signed record does not parse or verify; `reason` has the protocol’s own class.'],
  // exams and policies
  'exam-unknown': [404, 'There is no such exam.'],
  'policy-refused': [422, 'The policy does not verify, or pins another log.'],
  'policy-conflict': [
    409,
    'The policy does not follow the newest one of its exam and owner; `seq` and `policy_hash` say which that is.',
  ],
  'policy-outdated': [409, 'The recording was opened under another policy than the newest: load it and open again.'],
  'exam-closed': [403, 'The exam has not begun, or is over.'],
  // the life of a recording
  'recording-unknown': [404, 'There is no such recording.'],
  'open-refused': [422, 'OPEN does not fit the policy.'],
  'open-conflict': [409, 'Another OPEN stands for this recording and epoch.'],
  'ticket-refused': [403, 'The seat ticket or the launch does not verify, has expired, or is missing.'],
  'ticket-used': [409, 'The seat ticket, or the person who was launched, opened another recording.'],
  'epoch-conflict': [409, 'Another epoch is the next one.'],
  'recording-ended': [409, 'The recording is closed or abandoned.'],
  'recording-deleted': [410, 'The recording was destroyed, or its deletion is due.'],
  'uploads-over': [409, 'The time for uploads to this recording is over.'],
  'chunk-refused': [422, 'No chunk can be like this.'],
  'chunk-conflict': [409, 'Other bytes were promised under this chunk’s name.'],
  'quota-reached': [
    409,
    'The recording, or its exam, is as large or as long as it may be; `quota` says which, `bytes_left` how much is still taken. What was acknowledged stays.',
  ],
  'window-full': [409, 'Too far ahead of the newest head: send one.'],
  'head-refused': [422, 'The head does not fit its recording.'],
  'head-conflict': [409, 'The head does not follow the newest one.'],
  'chunks-missing': [
    409,
    'The bucket’s listing lacks chunks that the head counts; `missing` names them. Upload them again, then the head.',
  ],
  // review
  'reader-unknown': [403, 'The recording is not sealed for this key, or the identity has no live key.'],
  'key-revoked': [403, 'The key was revoked by its identity: it is released nothing, and nothing new may name it.'],
  'grant-refused': [422, 'The grant does not verify.'],
  'note-refused': [422, 'It is no sealed note of this recording.'],
  'notes-full': [409, 'The recording has as many notes as it takes.'],
  'key-refused': [422, 'The key document does not fit what is enrolled.'],
  'token-conflict': [409, 'This Idempotency-Key was used for another token.'],
  // the log
  'not-published': [404, 'The log has not published this yet: a second at most.'],
  // the machine
  'storage-unavailable': [503, 'The object store does not answer; nothing was acknowledged. Try again.'],
  'share-unsettled': [503, 'Written, but not seen everywhere yet: a vault that settles slowly. Try again.'],
  'storage-unattested': [
    503,
    'Nobody has found lately that the bucket can keep what is promised; no recording begins. Try again in a minute.',
  ],
  'storage-full': [507, 'The disk is full; nothing was written.'],
  busy: [503, 'The database is busy, or the server is only starting; nothing was written. Try again.'],
  'database-unavailable': [
    503,
    'The database broke off or does not answer; what was asked may have been done all the same. Try again.',
  ],
  internal: [500, 'Something failed here; nothing was acknowledged.'],
} as const satisfies Record<string, readonly [status: number, meaning: string]>;

export type ErrorCode = keyof typeof ERRORS;

/** Thrown anywhere in the server for a request that is refused; nothing was written unless the code says otherwise. */
export class ServerError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** Members added to the problem, for programs. */
  readonly extra: Record<string, unknown>;
  /** Headers of the answer, beside those of every refusal. */
  readonly headers: Record<string, string>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; extra?: Record<string, unknown>; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'ServerError';
    this.code = code;
    this.hint = options.hint;
    this.extra = options.extra ?? {};
    this.headers = options.headers ?? {};
  }

  get status(): number {
    return ERRORS[this.code][0];
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
  return Object.hasOwn(ERRORS, code);
}
