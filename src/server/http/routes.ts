/**
 * Every route of the API in one table: who may call it, what it takes, what it answers. `access.ts` admits the staff by it, the
 * OpenAPI document and its page are made from it, and the tests hold every answer of every test against it.
 */
import type { z } from 'zod';
import * as api from '../../../schema/api.ts';
import type { ErrorCode } from '../errors.ts';
import type { Role } from '../store.ts';

export interface Route {
  /** One line. */
  summary: string;
  /**
   * Anybody; the recorder, by the upload token of its epoch; or these roles of the staff. Instructors and compliance staff reach the
   * exams that they are bound to, an administrator everything.
   */
  access: 'anybody' | 'recorder' | readonly Exclude<Role, 'admin'>[];
  /** Whether a session that a learning platform or an identity provider vouched for is not enough. */
  byKey?: true;
  /** Schema of the JSON body. */
  request?: z.ZodType;
  /** Parameters of the query. */
  query?: readonly QueryParameter[];
  /** By status: the schema of a JSON answer, or the media type of another. */
  answers: Readonly<Record<number, z.ZodType | MediaType>>;
  /** Refusals of its own; `refusalsOf` adds what every route of its kind may refuse. */
  errors: readonly ErrorCode[];
  /** What the same call again does. */
  again: Again;
  /** Whether it answers `304` to a caller that has the newest state already. */
  isTagged?: true;
  /** Dates (RFC 9745, RFC 8594) and what to call instead. */
  deprecated?: { since: string; sunset: string; instead: string };
}

type MediaType = 'text/plain' | 'application/x-ndjson' | 'application/octet-stream' | 'text/html';

export type Again =
  | 'safe' // reads only
  | 'same' // the same request gets the same answer and changes nothing more
  | 'once' // the second call is refused, and says why
  | 'key' // with an Idempotency-Key the same answer, without one another thing is made
  | 'anew'; // does its work again

export interface QueryParameter {
  name: string;
  pattern: string;
  description: string;
}

const PAGE: readonly QueryParameter[] = [
  { name: 'limit', pattern: '^[1-9][0-9]{0,3}$', description: 'at most so many rows: 1 to 1,000, else 100' },
  { name: 'cursor', pattern: '^[A-Za-z0-9_-]{21}[AQgw]$', description: 'the `cursor` of the page before' },
];
const GONE = ['recording-unknown', 'recording-deleted'] as const;
const HEAD = [
  'record-refused',
  'head-refused',
  'head-conflict',
  'chunk-refused',
  'chunks-missing',
  'recording-ended',
  'storage-unavailable',
  ...GONE,
  'not-found',
] as const;

export const ROUTES = {
  // ---- the service ---------------------------------------------------------------------------------------------------------
  'GET /v1/service': {
    summary: 'What this service is: its log, its clock, its limits',
    access: 'anybody',
    answers: { 200: api.serviceSchema },
    errors: [],
    again: 'safe',
  },
  'GET /health': {
    summary: 'Whether each part works now: store, vault, bucket, clock, log key, room on the disk',
    access: 'anybody',
    answers: { 200: api.healthSchema, 503: api.healthSchema },
    errors: [],
    again: 'safe',
  },
  'GET /ready': {
    summary: 'Whether this server should be sent requests: every part works, and it is neither starting nor stopping',
    access: 'anybody',
    answers: { 200: api.readySchema, 503: api.readySchema },
    errors: [],
    again: 'safe',
  },

  // ---- exams ---------------------------------------------------------------------------------------------------------------
  'POST /v1/exams': {
    summary: 'Publish a policy: a new exam, or the next version of one',
    access: ['instructor'],
    byKey: true,
    request: api.publishPolicyRequest,
    answers: { 200: api.publishPolicyResponse, 201: api.publishPolicyResponse },
    errors: ['policy-refused', 'policy-conflict', 'key-revoked', 'record-refused'],
    again: 'same',
  },
  'GET /v1/exams': {
    summary: 'The newest policy of each exam within reach',
    access: ['instructor', 'compliance'],
    query: PAGE,
    answers: { 200: api.examsResponse },
    errors: [],
    again: 'safe',
  },
  'GET /v1/exams/:exam/policy': {
    summary: 'The newest policy of an exam, or the one with a hash',
    access: 'anybody',
    query: [{ name: 'hash', pattern: '^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$', description: 'hash of an older one' }],
    answers: { 200: api.policyResponse },
    errors: ['exam-unknown', 'not-found'],
    again: 'safe',
  },

  // ---- the life of a recording ---------------------------------------------------------------------------------------------
  'POST /v1/exams/:exam/recordings': {
    summary: 'Open a recording or its next epoch: the obligation to delete it is in the log when this answers',
    access: 'anybody',
    request: api.openRequest,
    answers: { 200: api.openResponse, 201: api.openResponse },
    errors: [
      'exam-unknown',
      'exam-closed',
      'policy-outdated',
      'policy-refused',
      'open-refused',
      'open-conflict',
      'record-refused',
      'ticket-refused',
      'ticket-used',
      'epoch-conflict',
      'storage-unattested',
      'uploads-over',
      'quota-reached',
      'recording-ended',
      ...GONE,
      'unauthenticated',
      'not-found',
    ],
    again: 'same',
  },
  'POST /v1/recordings/:id/uploads': {
    summary: 'Ask for upload URLs, each for exactly one object; may carry the newest head',
    access: 'recorder',
    request: api.uploadsRequest,
    answers: { 200: api.uploadsResponse },
    errors: ['chunk-refused', 'chunk-conflict', 'window-full', 'quota-reached', 'uploads-over', ...HEAD],
    again: 'same',
  },
  'POST /v1/recordings/:id/heads': {
    summary: 'Send a head: it is countersigned once the bucket’s listing confirms it',
    access: 'recorder',
    request: api.headRequest,
    answers: { 200: api.receiptResponse },
    errors: HEAD,
    again: 'same',
  },
  'GET /v1/recordings/:id/epochs/:epoch': {
    summary: 'What the server knows of an epoch: where a recorder goes on after a crash',
    access: 'recorder',
    answers: { 200: api.statusResponse },
    errors: [...GONE, 'not-found'],
    again: 'safe',
  },

  // ---- review --------------------------------------------------------------------------------------------------------------
  'GET /v1/exams/:exam/recordings': {
    summary: 'The recordings of an exam',
    access: ['instructor', 'compliance'],
    query: PAGE,
    answers: { 200: api.recordingsResponse },
    errors: ['not-found'],
    again: 'safe',
    isTagged: true,
  },
  'GET /v1/recordings/:id': {
    summary: 'One recording',
    access: ['instructor', 'compliance'],
    answers: { 200: api.recordingSchema },
    errors: ['recording-unknown', 'not-found'],
    again: 'safe',
    isTagged: true,
  },
  'POST /v1/recordings/:id/release': {
    summary: 'Release wraps and shred shares to a reader; the log says so first',
    access: ['instructor'],
    byKey: true,
    request: api.releaseRequest,
    answers: { 200: api.releaseResponse },
    errors: ['reader-unknown', 'key-revoked', 'storage-unavailable', 'share-unsettled', ...GONE, 'not-found'],
    again: 'anew',
  },
  'POST /v1/recordings/:id/downloads': {
    summary: 'Sign download URLs',
    access: ['instructor'],
    byKey: true,
    request: api.downloadsRequest,
    answers: { 200: api.downloadsResponse },
    errors: [...GONE, 'not-found'],
    again: 'anew',
  },
  'POST /v1/recordings/:id/grants': {
    summary: 'Add a reader whom a newer policy names, by a wrap that an instructor made',
    access: ['instructor'],
    byKey: true,
    request: api.grantRequest,
    answers: { 200: api.positionResponse, 201: api.positionResponse },
    errors: ['grant-refused', 'key-revoked', 'record-refused', ...GONE, 'not-found'],
    again: 'same',
  },
  'GET /v1/recordings/:id/notes': {
    summary: 'Reviewers’ notes, as they were sealed; the server reads none',
    access: ['instructor'],
    byKey: true,
    answers: { 200: api.notesResponse },
    errors: [...GONE, 'not-found'],
    again: 'safe',
  },
  'POST /v1/recordings/:id/notes': {
    summary: 'Keep a sealed note; it is destroyed with the recording’s keys',
    access: ['instructor'],
    byKey: true,
    request: api.noteRequest,
    answers: { 200: api.positionResponse, 201: api.positionResponse },
    errors: ['note-refused', 'record-refused', 'notes-full', ...GONE, 'not-found'],
    again: 'same',
  },
  'POST /v1/recordings/:id/exports': {
    summary: 'Declare an export; the log keeps it',
    access: ['instructor'],
    byKey: true,
    request: api.exportRequest,
    answers: { 201: api.positionResponse },
    errors: ['reader-unknown', ...GONE, 'not-found'],
    again: 'anew',
  },
  'POST /v1/recordings/:id/erasure': {
    summary: 'Destroy a recording now',
    access: ['instructor'],
    byKey: true,
    request: api.erasureRequest,
    answers: { 202: api.erasureResponse },
    errors: ['storage-unavailable', ...GONE, 'not-found'],
    again: 'once',
  },

  // ---- receipts and the log ------------------------------------------------------------------------------------------------
  'GET /v1/receipts/:id': {
    summary: 'All that the log says of one recording, with proofs: what a student checks, without an account',
    access: 'anybody',
    answers: { 200: api.receiptStatusResponse },
    errors: ['recording-unknown', 'not-found'],
    again: 'safe',
    isTagged: true,
  },
  'GET /v1/log/proofs/:index': {
    summary: 'C2SP tlog-proof of an entry against the newest checkpoint',
    access: 'anybody',
    answers: { 200: 'text/plain' },
    errors: ['not-published', 'not-found'],
    again: 'safe',
  },
  'GET /log/checkpoint': {
    summary: 'The newest checkpoint, a signed note (C2SP tlog-checkpoint)',
    access: 'anybody',
    answers: { 200: 'text/plain' },
    errors: ['not-published'],
    again: 'safe',
    isTagged: true,
  },
  'GET /log/checkpoints/:size': {
    summary: 'The checkpoint that was published with this size',
    access: 'anybody',
    answers: { 200: 'text/plain' },
    errors: ['not-found'],
    again: 'safe',
  },
  'GET /log/vkey': {
    summary: 'Verifier key of the log',
    access: 'anybody',
    answers: { 200: 'text/plain' },
    errors: [],
    again: 'safe',
  },
  'GET /log/tile/*': {
    summary: 'A tile or a bundle of entries, by its C2SP path such as `tile/0/x001/234.p/7`',
    access: 'anybody',
    answers: { 200: 'application/octet-stream' },
    errors: ['not-published', 'not-found'],
    again: 'safe',
  },

  // ---- keys and tokens -----------------------------------------------------------------------------------------------------
  'POST /v1/keys': {
    summary: 'Enrol, rotate or revoke a reader’s key by a document that its identity signed',
    access: ['instructor'],
    request: api.enrolKeyRequest,
    answers: { 200: api.positionResponse, 201: api.positionResponse },
    errors: ['key-refused', 'key-revoked', 'record-refused'],
    again: 'same',
  },
  'GET /v1/keys/:identity': {
    summary: 'The key documents of an identity',
    access: ['instructor', 'compliance'],
    answers: { 200: api.keysResponse },
    errors: ['malformed'],
    again: 'safe',
  },
  'POST /v1/tokens': {
    summary: 'Make a token; it is shown once',
    access: [],
    request: api.tokenRequest,
    answers: { 201: api.tokenResponse },
    errors: ['malformed', 'token-conflict'],
    again: 'key',
  },
  'GET /v1/tokens': {
    summary: 'The tokens, by their beginnings',
    access: [],
    answers: { 200: api.tokensResponse },
    errors: [],
    again: 'safe',
  },
  'DELETE /v1/tokens/:prefix': {
    summary: 'Revoke a token, and the sessions that began with it',
    access: [],
    answers: { 200: api.positionResponse },
    errors: ['not-found'],
    again: 'once',
  },

  // ---- signing in ----------------------------------------------------------------------------------------------------------
  'POST /v1/setup': {
    summary: 'Trade the setup link of a first start for the first administrator’s token',
    access: 'anybody',
    request: api.setupRequest,
    answers: { 201: api.tokenResponse },
    errors: ['sign-in-refused'],
    again: 'once',
  },
  'POST /v1/sessions/challenges': {
    summary: 'Ask for a challenge to sign',
    access: 'anybody',
    answers: { 201: api.challengeResponse },
    errors: [],
    again: 'anew',
  },
  'POST /v1/sessions': {
    summary: 'Sign in at the pages: by an identity’s signature over a challenge, or with a token',
    access: 'anybody',
    request: api.sessionRequest,
    answers: { 201: api.sessionResponse },
    errors: ['sign-in-refused', 'origin-refused', 'reader-unknown'],
    again: 'anew',
  },
  'GET /v1/sessions/current': {
    summary: 'Who is asking, by session or by token',
    access: ['instructor', 'compliance'],
    answers: { 200: api.sessionResponse },
    errors: [],
    again: 'safe',
  },
  'DELETE /v1/sessions/current': {
    summary: 'Sign out',
    access: ['instructor', 'compliance'],
    answers: { 200: api.positionResponse },
    errors: ['not-found'],
    again: 'once',
  },

  'GET /v1/oidc/login': {
    summary: 'Sign in with the institution’s OpenID provider, where one is configured',
    access: 'anybody',
    answers: { 303: 'text/html' },
    errors: ['not-found', 'platform-unreachable'],
    again: 'anew',
  },
  'GET /v1/oidc/callback': {
    summary: 'The provider’s answer: a session with the role that its claims make, or why not',
    access: 'anybody',
    answers: { 303: 'text/html', 403: 'text/html' },
    errors: ['not-found', 'platform-unreachable'],
    again: 'once',
  },

  // ---- learning platforms: LTI 1.3 -------------------------------------------------------------------------------------------
  'GET /lti/login': {
    summary: 'OIDC login that a platform initiates; leads to the launch page',
    access: 'anybody',
    answers: { 303: 'text/html' },
    errors: [],
    again: 'safe',
  },
  'POST /lti/login': {
    summary: 'The same, as a form',
    access: 'anybody',
    answers: { 303: 'text/html' },
    errors: ['malformed', 'too-large'],
    again: 'same',
  },
  'POST /v1/lti/logins': {
    summary: 'Begin a login with the key of a launch: where the browser goes now',
    access: 'anybody',
    request: api.loginRequest,
    answers: { 201: api.loginResponse },
    errors: ['launch-refused', 'origin-refused', 'record-refused'],
    again: 'anew',
  },
  'POST /lti/launch': {
    summary: 'A platform’s message (form with `id_token` and `state`); hands it to the launch page, or says why not',
    access: 'anybody',
    answers: { 200: 'text/html', 403: 'text/html', 502: 'text/html' },
    errors: ['malformed', 'too-large'],
    again: 'once',
  },
  'POST /lti/select': {
    summary: 'The exam that was chosen for a course (form); sends it to the platform, signed',
    access: 'anybody',
    answers: { 200: 'text/html' },
    errors: ['malformed', 'too-large', 'launch-refused', 'sign-in-refused'],
    again: 'once',
  },
  'GET /lti/jwks': {
    summary: 'Public keys of this tool (RFC 7517)',
    access: 'anybody',
    answers: { 200: api.jwksSchema },
    errors: [],
    again: 'safe',
  },
  'GET /lti/register': {
    summary: 'Where an invited platform begins dynamic registration; leads to the launch page',
    access: 'anybody',
    answers: { 303: 'text/html' },
    errors: [],
    again: 'safe',
  },
  'POST /v1/lti/registrations': {
    summary: 'Register this tool at a platform, by its invitation',
    access: 'anybody',
    request: api.registrationRequest,
    answers: { 201: api.registrationResponse },
    errors: ['launch-refused', 'origin-refused', 'platform-unreachable'],
    again: 'once',
  },
  'POST /v1/lti/invitations': {
    summary: 'A link with which a platform’s administrator registers this tool, once and within a day',
    access: [],
    answers: { 201: api.invitationResponse },
    errors: [],
    again: 'anew',
  },
  'GET /v1/lti/platforms': {
    summary: 'The platforms that may launch, with the keys that they sign with now',
    access: ['instructor'],
    answers: { 200: api.platformsResponse },
    errors: [],
    again: 'safe',
  },
  'POST /v1/lti/platforms': {
    summary: 'Register a platform, or change what is known of it',
    access: [],
    request: api.platformRequest,
    answers: { 201: api.platformResponse },
    errors: [],
    again: 'same',
  },
  'DELETE /v1/lti/platforms/:platform': {
    summary: 'Forget a platform, and its launches',
    access: [],
    answers: { 200: api.positionResponse },
    errors: ['not-found'],
    again: 'once',
  },
  'POST /v1/lti/keys': {
    summary: 'Make this tool’s next signing key; the ones before stay published for a month',
    access: [],
    answers: { 201: api.platformKeyResponse },
    errors: [],
    again: 'anew',
  },

  // ---- jobs ----------------------------------------------------------------------------------------------------------------
  'POST /v1/jobs/purge': {
    summary: 'The purge that runs every minute anyway, now',
    access: [],
    answers: { 200: api.purgeResponse },
    errors: [],
    again: 'same',
  },
  'POST /v1/jobs/scrub': {
    summary: 'The blind audit of the bucket, now; a line of progress at a time',
    access: [],
    request: api.scrubRequest,
    answers: { 200: 'application/x-ndjson' },
    errors: [],
    again: 'same',
  },

  // ---- this document -------------------------------------------------------------------------------------------------------
  'GET /v1/openapi.json': {
    summary: 'This table as OpenAPI 3.1',
    access: 'anybody',
    answers: { 200: api.openapiResponse },
    errors: [],
    again: 'safe',
    isTagged: true,
  },
  'GET /v1/reference': {
    summary: 'This table to read',
    access: 'anybody',
    answers: { 200: 'text/html' },
    errors: [],
    again: 'safe',
    isTagged: true,
  },
} as const satisfies Record<`${'GET' | 'POST' | 'DELETE'} /${string}`, Route>;

export type RouteName = keyof typeof ROUTES;

/** The table as its rows, with the shape that all of them have. */
export const routeRows: readonly (readonly [name: RouteName, row: Route])[] = Object.entries(ROUTES) as [
  RouteName,
  Route,
][];

/** Answered from memory, or by saying what fails. */
const NOTHING_FAILS: ReadonlySet<RouteName> = new Set([
  'GET /health',
  'GET /ready',
  'GET /log/vkey',
  'GET /v1/openapi.json',
  'GET /v1/reference',
  // These lead the browser on; nothing is remembered of them.
  'GET /v1/oidc/login',
  'GET /lti/login',
  'POST /lti/login',
  'GET /lti/register',
]);

/** Everything that a route may refuse with: its own codes, and those of every route of its kind. */
export function refusalsOf(name: RouteName): ReadonlySet<ErrorCode> {
  const { access, request, query, errors }: Route = ROUTES[name];
  const isSafe = name.startsWith('GET ');
  // Whom no role keeps out, an exam may that is not theirs.
  const isForbidding = typeof access !== 'string' && (access.length < 2 || /:(?:exam|id)\b/.test(name));
  return new Set<ErrorCode>([
    ...errors,
    ...(['busy'] as const),
    ...(NOTHING_FAILS.has(name) ? [] : (['internal', 'database-unavailable'] as const)),
    ...(/ \/(?:v1|lti)\//.test(name) ? (['rate-limited'] as const) : []),
    ...(isSafe || NOTHING_FAILS.has(name) ? [] : (['storage-full'] as const)),
    ...(request ? (['malformed', 'not-json', 'too-large'] as const) : []),
    ...(query ? (['malformed'] as const) : []),
    ...(access === 'anybody' ? [] : (['unauthenticated'] as const)),
    ...(isForbidding ? (['forbidden'] as const) : []),
    ...(typeof access === 'string' || isSafe ? [] : (['origin-refused'] as const)),
  ]);
}
