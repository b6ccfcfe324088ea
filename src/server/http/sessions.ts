/** Signing in at the pages: an identity signs a challenge, or a token is shown; a cookie stands for it from then on. */
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { fromBase64Url, toBase64Url } from '../../../crypto/format/bytes.ts';
import { verify } from '../../../crypto/format/ed25519.ts';
import { sessionHash } from '../../../crypto/format/session.ts';
import * as api from '../../../schema/api.ts';
import { enrolledUntil } from '../core/enrolment.ts';
import { ServerError } from '../errors.ts';
import type { Ports } from '../ports.ts';
import type { SessionRow, Store } from '../store.ts';
import { type Caller, requireOwnPage, requireStaff, SESSION_COOKIE, tokenHash } from './access.ts';
import { originOf, proveLaunch } from './lti.ts';
import { readJson, SECRET } from './request.ts';

/** A working day: nobody stays signed in on a computer that others use tomorrow. */
export const SESSION_MS = 12 * 3_600_000;
/** Long enough to type a passphrase. */
export const CHALLENGE_MS = 5 * 60_000;

const COOKIE_ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Strict';

/** What a session is opened for; it lasts `SESSION_MS`, and no longer than `expiresMs`. */
export type NewSession = Pick<SessionRow, 'role' | 'identity' | 'tokenHash' | 'examIds' | 'expiresMs'>;

/** Opens a session; answers it with the `Set-Cookie` that stands for it: it ends with the browser too. */
export async function openSession(store: Store, session: NewSession, now: number) {
  const secret = `zrs_${toBase64Url(crypto.getRandomValues(new Uint8Array(32)))}`;
  const row: SessionRow = {
    ...session,
    sessionHash: await tokenHash(secret),
    createdMs: now,
    expiresMs: Math.min(session.expiresMs, now + SESSION_MS),
    revokedMs: null,
    lastUsedMs: now,
  };
  await store.addSession(row);
  return { row, cookie: `${SESSION_COOKIE}=${secret}; ${COOKIE_ATTRIBUTES}` };
}

/** `publicUrl`: the service's own origin. Without one it is only ever used from its own machine, so only loopback is signed for. */
export function sessionRoutes(ports: Ports, publicUrl: string | undefined): Hono {
  const { store, clock } = ports;
  const routes = new Hono();

  routes.post('/sessions/challenges', async (c) => {
    const challenge = crypto.getRandomValues(new Uint8Array(32));
    const now = clock.now();
    const answer: z.infer<typeof api.challengeResponse> = {
      challenge: toBase64Url(challenge),
      expires_ms: now + CHALLENGE_MS,
    };
    await store.issue('challenge', await tokenHash(answer.challenge), answer.expires_ms, now);
    return c.json(answer, 201, SECRET);
  });

  routes.post('/sessions', async (c) => {
    const body = await readJson(c, api.sessionRequest);
    requireOwnPage(c);
    const now = clock.now();
    const session = await begin(c, body, now);
    const { row, cookie } = await openSession(store, session, now);
    return c.json(sessionAnswer(row), 201, { ...SECRET, 'set-cookie': cookie });
  });

  /** Who is asking, by session or by token. */
  routes.get('/sessions/current', async (c) => {
    const caller = await requireStaff(c, ports);
    return c.json(sessionAnswer({ ...caller, examIds: examIdsOf(caller) }), 200, SECRET);
  });

  routes.delete('/sessions/current', async (c) => {
    const { sessionHash } = await requireStaff(c, ports);
    if (sessionHash === undefined) throw new ServerError('not-found', 'a token is no session; revoke it instead');
    await store.revokeSession(sessionHash, clock.now());
    return c.json({ recorded: true }, 200, {
      ...SECRET,
      'set-cookie': `${SESSION_COOKIE}=; ${COOKIE_ATTRIBUTES}; Max-Age=0`,
    });
  });

  function begin(c: Context, body: z.infer<typeof api.sessionRequest>, now: number): Promise<NewSession> {
    if ('token' in body) return tokenSession(body.token, now);
    return 'launch_key' in body ? launchSession(c, body, now) : identitySession(body, now);
  }

  /** A launch begins one session. It enrols keys and lists; what opens, changes or destroys a recording takes the identity's key. */
  async function launchSession(c: Context, proof: z.infer<typeof api.launchProof>, now: number): Promise<NewSession> {
    const row = await proveLaunch(store, proof, originOf(c, publicUrl), now);
    if (row?.purpose !== 'review' || row.role === null || !(await store.endLaunch(row.nonce))) {
      throw new ServerError('sign-in-refused', 'the launch was used, or is too old', {
        hint: 'open it from the course again',
      });
    }
    const { role, examId } = row;
    return { role, identity: null, tokenHash: null, examIds: examId === null ? [] : [examId], expiresMs: Infinity };
  }

  async function tokenSession(secret: string, now: number): Promise<NewSession> {
    const token = await store.tokenByHash(await tokenHash(secret));
    if (!token || token.revokedMs !== null || token.expiresMs <= now) {
      throw new ServerError('sign-in-refused', 'the token is unknown, expired or revoked');
    }
    return { ...token, identity: null };
  }

  async function identitySession(proof: IdentityProof, now: number): Promise<NewSession> {
    requireOrigin(proof.origin);
    // Used up before anything else is looked at: no challenge is worth a second guess.
    const isFresh = await store.redeem('challenge', await tokenHash(proof.challenge), now);
    const digest = await sessionHash(fromBase64Url(proof.challenge), proof.origin);
    const isProven = await verify(fromBase64Url(proof.identity), 'session', digest, fromBase64Url(proof.signature));
    if (!isFresh || !isProven) {
      throw new ServerError(
        'sign-in-refused',
        'the challenge was used or is too old, or the signature is not the identity’s',
      );
    }
    const expiresMs = enrolledUntil(await store.keys(proof.identity), now);
    if (expiresMs === undefined) {
      throw new ServerError('reader-unknown', 'no live key of this identity is enrolled here', {
        hint: 'enrol one with `zeroreel key enrol`',
      });
    }
    return { role: 'instructor', identity: proof.identity, tokenHash: null, examIds: null, expiresMs };
  }

  function requireOrigin(origin: string): void {
    const isOwn = publicUrl === undefined ? isLoopback(origin) : origin === publicUrl;
    if (isOwn) return;
    throw new ServerError('origin-refused', 'the signature is for another address than this service has', {
      hint: 'ZEROREEL_PUBLIC_URL says under which address people reach it',
    });
  }

  return routes;
}

type IdentityProof = Extract<z.infer<typeof api.sessionRequest>, { identity: string }>;

function isLoopback(origin: string): boolean {
  return /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/.test(origin);
}

function examIdsOf({ reach }: Caller): readonly string[] | null {
  return reach && 'examIds' in reach ? reach.examIds : null;
}

function sessionAnswer(of: Pick<SessionRow, 'role' | 'identity' | 'examIds' | 'expiresMs'>) {
  const answer: z.infer<typeof api.sessionResponse> = {
    role: of.role,
    identity: of.identity,
    exam_ids: of.examIds && [...of.examIds],
    expires_ms: of.expiresMs,
  };
  return answer;
}
