/**
 * Who is asking, and how far that reaches. Recorders show the upload token of their epoch, programs of the staff a bearer token, the
 * staff's pages a session's cookie; only the hashes of these are kept. A caller is a role, and perhaps bound to some exams.
 */
import type { Context } from 'hono';
import { routePath } from 'hono/route';
import { fromBase64Url, toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { encodeIdentity } from '../../../crypto/format/ids.ts';
import { ServerError } from '../errors.ts';
import type { Ports } from '../ports.ts';
import type { Reach, Role, SessionRow, TokenRow } from '../store.ts';
import { type Route, type RouteName, ROUTES } from './routes.ts';

/** The `__Host-` prefix: a browser takes it from this very host only, over TLS (or from loopback), for every path. */
export const SESSION_COOKIE = '__Host-zeroreel';

/** What the pages' requests carry. No other site's page can add it: a browser would ask for permission first, and get none. */
export const CSRF_HEADER = 'zeroreel-csrf';

/** Uses are noted this often at most: they need not cost a write each. */
const USE_NOTED_MS = 3_600_000;

export interface Caller {
  role: Role;
  /** 32 bytes, base64url: who signed in by an identity. */
  identity: string | null;
  /** The exams that the caller may ask about; undefined: all. */
  reach: Reach | undefined;
  expiresMs: number;
  /** Of a session; undefined for a bearer token. */
  sessionHash: string | undefined;
  /** Whether others vouch for the caller, a learning platform or an identity provider: neither a key nor a token was shown. */
  isVouchedFor: boolean;
}

/** SHA-256 of a token: all that the server ever compares or stores. */
export async function tokenHash(token: string): Promise<string> {
  return toBase64Url(await sha256(utf8(token)));
}

/** The request's bearer token; undefined without one. */
function bearerOf(c: Context): string | undefined {
  return /^Bearer ([A-Za-z0-9._~+/=-]{8,200})$/.exec(c.req.header('authorization') ?? '')?.[1];
}

/** `tokenHash` of the request's bearer token; `unauthenticated` without one. */
export async function bearerHash(c: Context): Promise<string> {
  const token = bearerOf(c);
  if (token === undefined)
    throw new ServerError('unauthenticated', 'expected a bearer token', { hint: 'send authorization: Bearer TOKEN' });
  return tokenHash(token);
}

/** The secret that an admitted caller showed. */
export function secretOf(c: Context): string {
  return bearerOf(c) ?? cookieOf(c)!;
}

/** The staff's member who asks, by bearer token or by session, if the row of this route admits the role. An admin may do what anybody may. */
export async function requireStaff(c: Context, ports: Ports): Promise<Caller> {
  const caller = await callerOf(c, ports);
  const { access, byKey } = ROUTES[
    `${c.req.method === 'HEAD' ? 'GET' : c.req.method} ${routePath(c)}` as RouteName
  ] as Route;
  if (byKey && caller.isVouchedFor && caller.role !== 'admin') {
    throw new ServerError('forbidden', 'this takes your identity key', { hint: 'sign in with your key' });
  }
  if (caller.role === 'admin' || (typeof access !== 'string' && access.includes(caller.role))) return caller;
  throw new ServerError('forbidden', `the role ${caller.role} cannot do this`);
}

/** Refuses an exam that the caller is not bound to. That it exists is no secret: its policy is public. */
export async function requireReach({ store }: Ports, { reach }: Caller, examId: string): Promise<void> {
  if (!reach) return;
  const isWithin = 'identity' in reach ? await store.isNamed(examId, reach.identity) : reach.examIds.includes(examId);
  if (!isWithin) throw new ServerError('forbidden', 'the exam is not one of yours');
}

async function callerOf(c: Context, { store, clock }: Ports): Promise<Caller> {
  const secret = c.req.header('authorization') === undefined ? cookieOf(c) : undefined;
  const now = clock.now();
  if (secret === undefined) {
    const token = await store.tokenByHash(await bearerHash(c));
    if (!isLive(token, now)) throw new ServerError('unauthenticated', 'the token is unknown, expired or revoked');
    if (isNoted(token, now)) await store.tokenUsed(token.tokenHash, now).catch(unnoted);
    const { role, examIds, expiresMs } = token;
    return {
      role,
      identity: null,
      reach: examIds ? { examIds } : undefined,
      expiresMs,
      sessionHash: undefined,
      isVouchedFor: false,
    };
  }
  const session = await store.sessionByHash(await tokenHash(secret));
  if (!isLive(session, now))
    throw new ServerError('unauthenticated', 'the session has ended', { hint: 'sign in again' });
  if (!['GET', 'HEAD'].includes(c.req.method)) requireOwnPage(c);
  if (isNoted(session, now)) await store.sessionUsed(session.sessionHash, now).catch(unnoted);
  const { role, identity, examIds, expiresMs, sessionHash } = session;
  const isVouchedFor = identity === null && session.tokenHash === null;
  const named = identity === null ? undefined : { identity: encodeIdentity(fromBase64Url(identity)) };
  return { role, identity, reach: named ?? (examIds ? { examIds } : undefined), expiresMs, sessionHash, isVouchedFor };
}

function isLive<Row extends TokenRow | SessionRow>(row: Row | undefined, now: number): row is Row {
  return row !== undefined && row.revokedMs === null && row.expiresMs > now;
}

/** A full disk keeps nobody from reading. */
const unnoted = (): void => undefined;

function isNoted({ lastUsedMs }: TokenRow | SessionRow, now: number): boolean {
  return lastUsedMs === null || now - lastUsedMs >= USE_NOTED_MS;
}

function cookieOf(c: Context): string | undefined {
  return /(?:^|;\s*)__Host-zeroreel=([A-Za-z0-9_-]{8,200})(?:;|$)/.exec(c.req.header('cookie') ?? '')?.[1];
}

/**
 * What a browser sends along by itself proves no intent: a request that changes something must come from a page of this service. Its
 * header is one that other sites cannot add; where the browser says where a page is from, that must hold too.
 */
export function requireOwnPage(c: Context): void {
  const site = c.req.header('sec-fetch-site');
  const origin = c.req.header('origin');
  const isOwn =
    c.req.header(CSRF_HEADER) !== undefined &&
    (site === undefined || site === 'same-origin') &&
    (origin === undefined || (URL.canParse(origin) && new URL(origin).host === c.req.header('host')));
  if (!isOwn)
    throw new ServerError('origin-refused', `expected a request of this service's own page, with ${CSRF_HEADER}`);
}
