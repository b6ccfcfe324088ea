import type { z } from 'zod';
import {
  challengeResponse,
  downloadsResponse,
  erasureResponse,
  examsResponse,
  invitationResponse,
  keysResponse,
  loginResponse,
  notesResponse,
  openResponse,
  platformKeyResponse,
  platformResponse,
  platformsResponse,
  policyResponse,
  positionResponse,
  problemSchema,
  publishPolicyResponse,
  purgeResponse,
  receiptResponse,
  receiptStatusResponse,
  recordingSchema,
  recordingsResponse,
  registrationResponse,
  releaseResponse,
  scrubLine,
  serviceSchema,
  sessionResponse,
  statusResponse,
  tokenResponse,
  tokensResponse,
  uploadsResponse,
  type downloadsRequest,
  type erasureRequest,
  type exportRequest,
  type grantRequest,
  type launchProof,
  type loginRequest,
  type noteRequest,
  type openRequest,
  type platformRequest,
  type registrationRequest,
  type releaseRequest,
  type scrubRequest,
  type sessionRequest,
  type tokenRequest,
  type uploadsRequest,
} from '../../schema/api.ts';
import { fromBase64Url, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import type { Signer } from '../../crypto/format/ed25519.ts';
import { sessionHash } from '../../crypto/format/session.ts';
import { systemEnvironment, type Environment } from './environment.ts';
import { ApiError, ClientError } from './errors.ts';
import { DEFAULT_RETRY, exchange, type Exchange, type RetryPolicy } from './transport.ts';

export interface ApiOptions {
  /** Origin of the service, e.g. `https://zeroreel.example.edu`. */
  url: string;
  /**
   * Bearer token of staff. Recorders pass the epoch's upload token by call instead. Without a token a browser sends the cookie of the
   * session that `signIn` began, if the page is of this service (fetch's default credentials, `same-origin`).
   */
  token?: string | undefined;
  environment?: Environment;
  retry?: Partial<RetryPolicy>;
}

/** A purge lists whole buckets before it answers. */
const PURGE_TIMEOUT_MS = 15 * 60_000;
/** For what makes a secret: one whose answer was lost would stay behind, unknown and alive. */
const ONCE: Partial<RetryPolicy> = { attempts: 1 };
const decoder = new TextDecoder();

interface Call {
  body?: unknown;
  token?: string | undefined;
  headers?: Record<string, string>;
  retry?: Partial<RetryPolicy>;
  signal?: AbortSignal | undefined;
}

/**
 * The HTTP API, typed and checked: every answer is parsed by the schema that the server shares. Each method throws
 * `ApiError` for a refusal, and `ClientError` `unreachable` or `answer` for what is no answer of this service.
 */
export class Api {
  readonly url: string;
  readonly environment: Environment;
  readonly #token: string | undefined;
  readonly #retry: RetryPolicy;

  constructor(options: ApiOptions) {
    this.url = new URL(options.url).origin;
    this.environment = options.environment ?? systemEnvironment;
    this.#token = options.token;
    this.#retry = { ...DEFAULT_RETRY, ...options.retry };
  }

  // ---- the service and its log -----------------------------------------------------------------------------------------
  service() {
    return this.#json('GET', '/v1/service', serviceSchema);
  }

  /** The newest checkpoint, a signed note; undefined while the log has published none. */
  async checkpoint(): Promise<string | undefined> {
    const answer = await this.#call('GET', '/log/checkpoint');
    return answer.status === 404 ? undefined : decoder.decode(this.#accept(answer).body);
  }

  /** A tile by its C2SP path, e.g. `tile/0/x001/234.p/7`; undefined where it is not published. */
  async tile(path: string): Promise<Bytes | undefined> {
    const answer = await this.#call('GET', `/log/${path}`);
    return answer.status === 404 ? undefined : this.#accept(answer).body;
  }

  async vkey(): Promise<string> {
    return decoder.decode(this.#accept(await this.#call('GET', '/log/vkey')).body).trim();
  }

  /** A C2SP tlog-proof of one entry against the newest checkpoint. */
  async logProof(index: number): Promise<string> {
    return decoder.decode(this.#accept(await this.#call('GET', `/v1/log/proofs/${index}`)).body);
  }

  // ---- signing in: for the pages, where a browser keeps the session's cookie --------------------------------------------
  /** Proves that this identity's key is held here. `reader-unknown`: the identity has no live key enrolled. */
  async signIn(identity: Signer) {
    const path = '/v1/sessions/challenges';
    const { challenge } = await this.#json('POST', path, challengeResponse, { retry: ONCE });
    const digest = await sessionHash(fromBase64Url(challenge), this.url);
    return this.#openSession({
      identity: toBase64Url(identity.publicKey),
      challenge,
      origin: this.url,
      signature: toBase64Url(await identity.sign('session', digest)),
    });
  }

  signInWithToken(token: string) {
    return this.#openSession({ token });
  }

  /** By a teacher's launch from a learning platform. */
  signInByLaunch(proof: z.input<typeof launchProof>) {
    return this.#openSession(proof);
  }

  /** Where the browser goes to sign in at the platform, and the `state` that comes back. */
  beginLaunch(request: z.input<typeof loginRequest>) {
    return this.#json('POST', '/v1/lti/logins', loginResponse, { body: request, retry: ONCE });
  }

  #openSession(request: z.input<typeof sessionRequest>) {
    return this.#json('POST', '/v1/sessions', sessionResponse, { body: request, retry: ONCE });
  }

  /** Who is asking, by session or token; undefined for nobody. */
  async session() {
    const answer = await this.#call('GET', '/v1/sessions/current');
    return answer.status === 401
      ? undefined
      : this.#parse('GET /v1/sessions/current', sessionResponse, this.#accept(answer));
  }

  /** Trades the secret of a setup link for the first administrator's token. */
  redeemSetup(secret: string) {
    return this.#json('POST', '/v1/setup', tokenResponse, { body: { secret }, retry: ONCE });
  }

  async signOut(): Promise<void> {
    this.#accept(await this.#call('DELETE', '/v1/sessions/current'));
  }

  // ---- learning platforms ------------------------------------------------------------------------------------------------
  platforms() {
    return this.#json('GET', '/v1/lti/platforms', platformsResponse);
  }

  /** Adds a platform, or changes what is known of the one with this issuer and client id. */
  putPlatform(request: z.input<typeof platformRequest>) {
    return this.#json('POST', '/v1/lti/platforms', platformResponse, { body: request });
  }

  removePlatform(id: string) {
    return this.#json('DELETE', `/v1/lti/platforms/${id}`, positionResponse);
  }

  /** A link with which a platform's administrator registers this tool, once. */
  invitePlatform() {
    return this.#json('POST', '/v1/lti/invitations', invitationResponse, { retry: ONCE });
  }

  registerPlatform(request: z.input<typeof registrationRequest>) {
    return this.#json('POST', '/v1/lti/registrations', registrationResponse, { body: request, retry: ONCE });
  }

  rotatePlatformKey() {
    return this.#json('POST', '/v1/lti/keys', platformKeyResponse, { retry: ONCE });
  }

  // ---- exams -----------------------------------------------------------------------------------------------------------
  publishPolicy(policy: Bytes) {
    return this.#json('POST', '/v1/exams', publishPolicyResponse, { body: { policy: toBase64Url(policy) } });
  }

  exams(cursor?: string) {
    return this.#json('GET', `/v1/exams${query({ cursor })}`, examsResponse);
  }

  /** The exam's newest policy, or the one with that hash. Public. */
  policy(examId: string, hash?: string) {
    return this.#json('GET', `/v1/exams/${examId}/policy${query({ hash })}`, policyResponse);
  }

  recordings(examId: string, page: { limit?: number; cursor?: string | undefined } = {}) {
    return this.#json('GET', `/v1/exams/${examId}/recordings${query(page)}`, recordingsResponse);
  }

  // ---- recording -------------------------------------------------------------------------------------------------------
  /** Opens a recording or its next epoch. The same request again gets the same answer. */
  open(examId: string, request: z.input<typeof openRequest>, signal?: AbortSignal) {
    return this.#json('POST', `/v1/exams/${examId}/recordings`, openResponse, { body: request, signal });
  }

  /** `waitedMs`: for how long the oldest chunk has waited for its receipt. The service counts it, and notes nothing of who said it. */
  uploads(
    recordingId: string,
    token: string,
    request: z.input<typeof uploadsRequest>,
    signal?: AbortSignal,
    waitedMs?: number,
  ) {
    return this.#json('POST', `/v1/recordings/${recordingId}/uploads`, uploadsResponse, {
      body: request,
      token,
      signal,
      headers: outboxAge(waitedMs),
    });
  }

  /** The same head again gets its receipt again. `chunks-missing` names what the bucket's listing does not have. */
  head(recordingId: string, token: string, head: Bytes, signal?: AbortSignal, waitedMs?: number) {
    const body = { head: toBase64Url(head) };
    const headers = outboxAge(waitedMs);
    return this.#json('POST', `/v1/recordings/${recordingId}/heads`, receiptResponse, { body, token, signal, headers });
  }

  status(recordingId: string, epoch: number, token: string, signal?: AbortSignal) {
    return this.#json('GET', `/v1/recordings/${recordingId}/epochs/${epoch}`, statusResponse, { token, signal });
  }

  // ---- review ----------------------------------------------------------------------------------------------------------
  recording(recordingId: string) {
    return this.#json('GET', `/v1/recordings/${recordingId}`, recordingSchema);
  }

  /** Logged: the answer holds the shred shares. */
  release(recordingId: string, request: z.input<typeof releaseRequest>) {
    return this.#json('POST', `/v1/recordings/${recordingId}/release`, releaseResponse, { body: request });
  }

  downloads(recordingId: string, request: z.input<typeof downloadsRequest>) {
    return this.#json('POST', `/v1/recordings/${recordingId}/downloads`, downloadsResponse, { body: request });
  }

  grant(recordingId: string, request: z.input<typeof grantRequest>) {
    return this.#json('POST', `/v1/recordings/${recordingId}/grants`, positionResponse, { body: request });
  }

  /** Sealed notes, oldest first. */
  notes(recordingId: string) {
    return this.#json('GET', `/v1/recordings/${recordingId}/notes`, notesResponse);
  }

  addNote(recordingId: string, request: z.input<typeof noteRequest>) {
    return this.#json('POST', `/v1/recordings/${recordingId}/notes`, positionResponse, { body: request });
  }

  declareExport(recordingId: string, request: z.input<typeof exportRequest>) {
    return this.#json('POST', `/v1/recordings/${recordingId}/exports`, positionResponse, { body: request });
  }

  erase(recordingId: string, request: z.input<typeof erasureRequest>) {
    return this.#json('POST', `/v1/recordings/${recordingId}/erasure`, erasureResponse, { body: request });
  }

  /** State, deletion and the log's entries about one recording. Public: who holds a receipt may ask. */
  receipt(recordingId: string) {
    return this.#json('GET', `/v1/receipts/${recordingId}`, receiptStatusResponse);
  }

  // ---- keys, tokens, jobs ----------------------------------------------------------------------------------------------
  enrolKey(document: Bytes) {
    return this.#json('POST', '/v1/keys', positionResponse, { body: { document: toBase64Url(document) } });
  }

  /** Key documents of one identity (base64url of its 32 bytes). */
  keys(identity: string) {
    return this.#json('GET', `/v1/keys/${identity}`, keysResponse);
  }

  createToken(request: z.input<typeof tokenRequest>) {
    const key = toBase64Url(this.environment.randomBytes(16)); // an answer that was lost is given again
    return this.#json('POST', '/v1/tokens', tokenResponse, { body: request, headers: { 'idempotency-key': key } });
  }

  tokens() {
    return this.#json('GET', '/v1/tokens', tokensResponse);
  }

  async revokeToken(prefix: string): Promise<void> {
    this.#accept(await this.#call('DELETE', `/v1/tokens/${encodeURIComponent(prefix)}`));
  }

  purge() {
    return this.#json('POST', '/v1/jobs/purge', purgeResponse, { body: {}, retry: { timeoutMs: PURGE_TIMEOUT_MS } });
  }

  /**
   * The blind audit of the bucket; `onLine` is told of its progress, the last line is answered. Sent once. Throws `answer` where the
   * walk broke off or the connection did.
   */
  async scrub(
    request: z.input<typeof scrubRequest>,
    onLine: (line: z.infer<typeof scrubLine>) => void,
  ): Promise<z.infer<typeof scrubLine>> {
    const headers = { authorization: `Bearer ${this.#token ?? ''}`, 'content-type': 'application/json' };
    const url = `${this.url}/v1/jobs/scrub`;
    const answer = await this.environment
      .fetch(url, { method: 'POST', headers, body: JSON.stringify(request) })
      .catch((error: unknown) => {
        throw new ClientError('unreachable', `${this.url} does not answer`, { cause: error });
      });
    if (answer.status !== 200 || !answer.body) {
      const body = new Uint8Array(await answer.arrayBuffer());
      this.#accept({ status: answer.status, headers: answer.headers, body });
    }
    let last: z.infer<typeof scrubLine> | undefined;
    for await (const text of linesOf(answer.body!)) {
      const line = scrubLine.safeParse(parseJson(new TextEncoder().encode(text)));
      if (!line.success) throw new ClientError('answer', 'POST /v1/jobs/scrub: unexpected line');
      last = line.data;
      if (last.state === 'running') onLine(last);
    }
    if (!last || last.state === 'running' || last.state === 'failed')
      throw new ClientError('answer', 'the walk broke off before its end', {
        hint: 'what it found is in the log; run it again',
      });
    return last;
  }

  async isHealthy(): Promise<boolean> {
    return (await this.#call('GET', '/health', { retry: { attempts: 1 } })).status === 200;
  }

  // ---- one call ----------------------------------------------------------------------------------------------------------
  async #call(method: string, path: string, call: Call = {}): Promise<Exchange> {
    const headers: Record<string, string> = { accept: 'application/json, text/plain, application/octet-stream' };
    const token = call.token ?? this.#token;
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    else headers['zeroreel-csrf'] = '1'; // beside a cookie: that a page of this service asked (src/server/http/access.ts)
    if (call.body !== undefined) headers['content-type'] = 'application/json';
    Object.assign(headers, call.headers);
    const request = { method, headers, ...(call.body !== undefined && { body: JSON.stringify(call.body) }) };
    return exchange(this.environment, this.url + path, request, { ...this.#retry, ...call.retry }, call.signal);
  }

  async #json<Schema extends z.ZodType>(method: string, path: string, schema: Schema, call: Call = {}) {
    const answer = this.#accept(await this.#call(method, path, call));
    return this.#parse(`${method} ${path.replace(/\?.*/, '')}`, schema, answer);
  }

  #parse<Schema extends z.ZodType>(what: string, schema: Schema, { body }: Exchange) {
    const parsed = schema.safeParse(parseJson(body));
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw new ClientError('answer', `${what}: unexpected ${issue?.path.join('.') || 'answer'}`);
  }

  #accept(answer: Exchange): Exchange {
    if (answer.status >= 200 && answer.status < 300) return answer;
    const parsed = problemSchema.safeParse(parseJson(answer.body));
    if (!parsed.success) {
      throw new ApiError({
        code: `http-${answer.status}`,
        status: answer.status,
        detail: 'the server refused without a reason',
      });
    }
    const { code, detail, hint, type: _type, title: _title, status: _status, ...extensions } = parsed.data;
    throw new ApiError({ code, status: answer.status, detail, hint, extensions });
  }
}

async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const text = new TextDecoder();
  let rest = '';
  for await (const piece of body) {
    const lines = (rest + text.decode(piece, { stream: true })).split('\n');
    rest = lines.pop()!;
    yield* lines;
  }
}

function parseJson(body: Bytes): unknown {
  try {
    return JSON.parse(decoder.decode(body));
  } catch {
    return undefined;
  }
}

function outboxAge(waitedMs: number | undefined): Record<string, string> {
  return waitedMs === undefined ? {} : { 'zeroreel-outbox-age': String(Math.max(0, Math.floor(waitedMs / 1000))) };
}

function query(members: Record<string, string | number | undefined>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(members)) if (value !== undefined) parameters.set(name, String(value));
  return parameters.size > 0 ? `?${parameters.toString()}` : '';
}
