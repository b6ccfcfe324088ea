/** What went wrong on this side of the API. The server's own refusals are `ApiError`s. */
export type ClientErrorCode =
  | 'unreachable' // no answer within the patience that was asked for: everything is still in the outbox
  | 'answer' // an answer that this protocol does not have
  | 'storage' // the bucket refused what the server had signed
  | 'outbox-full' // nothing was stored and nothing was evicted
  | 'outbox-locked' // another process owns the outbox
  | 'outbox-damaged' // what the outbox gives back is not what was put
  | 'outbox-used' // the outbox holds a recording already, or holds none
  | 'link' // not an exam link, or one that lacks its ticket
  | 'track' // a track that was not declared, or was written to after its end
  | 'quota' // the recording is as large or as long as it may be
  | 'ended' // the recorder was closed, stopped or has failed
  | 'gap' // a chunk that was asked for is not there
  | 'no-key' // no wrap or grant for this key
  | 'public-line' // not the line that a reader of recordings hands around
  | 'not-owner' // the key is not the one of the exam's owner
  | 'not-reader' // the exam's owner has not made this key a reader
  | 'casefile'; // a case file whose layout is not the one that was specified

/** Messages name what was expected and what was found; they never hold a key, a token or a URL's query. */
export class ClientError extends Error {
  readonly code: ClientErrorCode;
  /** What a person can do about it. */
  readonly hint: string | undefined;

  constructor(code: ClientErrorCode, message: string, options: ErrorOptions & { hint?: string } = {}) {
    super(message, options);
    this.name = 'ClientError';
    this.code = code;
    this.hint = options.hint;
  }
}

/** A refusal by the server: RFC 9457, with the stable `code` that programs switch on. */
export class ApiError extends Error {
  readonly code: string;
  readonly status: number;
  readonly detail: string;
  readonly hint: string | undefined;
  /** Members beyond RFC 9457's own, e.g. `missing` of `chunks-missing`; parsed by whoever expects them. */
  readonly extensions: Readonly<Record<string, unknown>>;

  constructor(problem: {
    code: string;
    status: number;
    detail: string;
    hint?: string | undefined;
    extensions?: Record<string, unknown>;
  }) {
    super(`${problem.detail} (${problem.code}, ${problem.status})`);
    this.name = 'ApiError';
    this.code = problem.code;
    this.status = problem.status;
    this.detail = problem.detail;
    this.hint = problem.hint;
    this.extensions = problem.extensions ?? {};
  }
}
