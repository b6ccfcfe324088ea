/**
 * Signing in with the institution's OpenID provider: Authorization Code with PKCE (OpenID Connect Core 1.0, RFC 7636). Its word makes a session with a
 * role and nothing more: no account, no name, no subject is kept, and a recording still opens with a reader's key only.
 */
import { type Context, Hono } from 'hono';
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  type Configuration,
  discovery,
  fetchUserInfo,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';
import type { OidcSettings } from '../config.ts';
import { ServerError } from '../errors.ts';
import type { Ports } from '../ports.ts';
import type { Role } from '../store.ts';
import { handOver } from './handoff.ts';
import { originOf } from './lti.ts';
import { openSession } from './sessions.ts';

/** Lax, because the provider's redirect comes from another site; it holds what only this browser may bring back, for ten minutes. */
const COOKIE = '__Host-zeroreel-oidc';
const COOKIE_ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Lax';
const LOGIN_SECONDS = 600;
const SHOWN = /(?:^|;\s*)__Host-zeroreel-oidc=([A-Za-z0-9_-]{43,128})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})(?:;|$)/;

/** From the one that may do most. */
const ROLES: readonly Role[] = ['admin', 'instructor', 'compliance'];

interface OidcOptions {
  settings: OidcSettings | undefined;
  publicUrl: string | undefined;
  report: (error: unknown) => void;
}

export function oidcRoutes({ store, clock }: Ports, { settings, publicUrl, report }: OidcOptions): Hono {
  const routes = new Hono();
  let discovered: Promise<Configuration> | undefined;

  async function provider(): Promise<{ settings: OidcSettings; configuration: Configuration }> {
    if (!settings) throw new ServerError('not-found', 'no OpenID provider is configured here');
    const { issuer, clientId, clientSecret } = settings;
    const isLocal = new URL(issuer).protocol === 'http:';
    discovered ??= discovery(new URL(issuer), clientId, clientSecret, undefined, {
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so that it stands out: settings allow http on this machine only
      execute: isLocal ? [allowInsecureRequests] : [],
      timeout: 10,
    });
    try {
      return { settings, configuration: await discovered };
    } catch (error) {
      discovered = undefined; // asked again by the next who signs in
      throw new ServerError('platform-unreachable', 'the OpenID provider does not answer as one should', {
        cause: error,
      });
    }
  }

  routes.get('/login', async (c) => {
    const { settings: of, configuration } = await provider();
    const [verifier, state, nonce] = [randomPKCECodeVerifier(), randomState(), randomNonce()];
    const url = buildAuthorizationUrl(configuration, {
      redirect_uri: `${originOf(c, publicUrl)}/v1/oidc/callback`,
      scope: of.scope,
      code_challenge: await calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    });
    const cookie = `${COOKIE}=${verifier}.${state}.${nonce}; ${COOKIE_ATTRIBUTES}; Max-Age=${LOGIN_SECONDS}`;
    return redirect(url.href, [cookie]);
  });

  routes.get('/callback', async (c) => {
    const { settings: of, configuration } = await provider();
    const role = await roleOf(c, of, configuration);
    if (typeof role === 'object') {
      return handOver({ to: 'refused', reason: 'sign-in-refused', ...role }, 403);
    }
    const { cookie } = await openSession(
      store,
      // An instructor reaches no exam by this: it enrols a key, and then signs in with it.
      { role, identity: null, tokenHash: null, examIds: role === 'instructor' ? [] : null, expiresMs: Infinity },
      clock.now(),
    );
    const target = role === 'compliance' ? '/compliance' : '/review';
    return redirect(target, [cookie, `${COOKIE}=; ${COOKIE_ATTRIBUTES}; Max-Age=0`]);
  });

  async function roleOf(
    c: Context,
    of: OidcSettings,
    configuration: Configuration,
  ): Promise<Role | { detail: string; hint: string }> {
    const [, verifier, state, nonce] = SHOWN.exec(c.req.header('cookie') ?? '') ?? [];
    if (verifier === undefined || state === undefined || nonce === undefined) {
      return { detail: 'this login was not begun in this browser, or took too long', hint: 'sign in again' };
    }
    const { pathname, search } = new URL(c.req.url);
    const here = new URL(pathname + search, originOf(c, publicUrl));
    let claims: Record<string, unknown>;
    try {
      const tokens = await authorizationCodeGrant(configuration, here, {
        ...{ pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce },
        idTokenExpected: true,
      });
      const told = tokens.claims()!;
      claims = told;
      // Many providers tell groups only when they are asked.
      if (roleBy(of, told) === undefined && configuration.serverMetadata().userinfo_endpoint !== undefined) {
        claims = { ...told, ...(await fetchUserInfo(configuration, tokens.access_token, told.sub)) };
      }
    } catch (error) {
      // Without what the provider said, which may name somebody.
      const { code } = error as { code?: unknown };
      report(new Error(`an OpenID sign-in failed: ${typeof code === 'string' ? code : 'unknown'}`));
      return { detail: 'the OpenID provider’s answer lets nobody in', hint: 'sign in again' };
    }
    return (
      roleBy(of, claims) ?? {
        detail: 'the OpenID provider gives you no role that this service knows',
        hint: 'ask whoever runs it: `ZEROREEL_OIDC_ROLES` says which claims make a role',
      }
    );
  }

  return routes;
}

/** The role that may do most among those whose claim has the value, alone or in a list. */
export function roleBy({ roles }: Pick<OidcSettings, 'roles'>, claims: Record<string, unknown>): Role | undefined {
  const held = roles.filter(({ claim, value }) => [claims[claim]].flat().includes(value)).map(({ role }) => role);
  return ROLES.find((role) => held.includes(role));
}

function redirect(location: string, cookies: readonly string[]): Response {
  const headers = new Headers({ location, 'cache-control': 'no-store', 'content-type': 'text/html' });
  for (const cookie of cookies) headers.append('set-cookie', cookie);
  return new Response('', { status: 303, headers });
}
