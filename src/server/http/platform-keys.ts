/** Keys on both sides of a launch: the platforms' public ones, fetched and kept for a while, and this tool's own. */
import { exportJWK } from 'jose/key/export';
import { generateKeyPair } from 'jose/key/generate/keypair';
import { importJWK } from 'jose/key/import';
import { calculateJwkThumbprint } from 'jose/jwk/thumbprint';
import { createRemoteJWKSet } from 'jose/jwks/remote';
import { SignJWT } from 'jose/jwt/sign';
import { jwtVerify } from 'jose/jwt/verify';
import type { JWK, JWTPayload } from 'jose';
import { PLATFORM_ALGORITHMS } from '../../../crypto/format/launch.ts';
import { refuseLaunch } from '../core/launch.ts';
import { ServerError } from '../errors.ts';
import type { Clock, Store } from '../ports.ts';
import type { PlatformRow } from '../store.ts';

const TOOL_ALGORITHM = 'RS256';
/** A replaced key is published this long: platforms keep a tool's keys for hours, or a day. */
const RETIRED_MS = 30 * 86_400_000;

export interface VerifiedToken {
  payload: JWTPayload;
  /** The platform's key that signed it: its public members. */
  jwk: JWK;
}

/**
 * The platforms' keys by address. A key that is not known is asked for again, at most every half minute, so that a platform may change
 * its keys whenever it likes; those that are known are asked for again after ten minutes.
 */
export class PlatformKeys {
  readonly #sets = new Map<string, ReturnType<typeof createRemoteJWKSet>>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Checks signature, `iss`, `aud` and `exp`; throws `launch-refused` or `platform-unreachable`. */
  async verify(token: string, { issuer, clientId, jwksUrl }: PlatformRow): Promise<VerifiedToken> {
    const set = this.#setOf(jwksUrl);
    try {
      const { payload, protectedHeader } = await jwtVerify(token, set, {
        ...{
          issuer,
          audience: clientId,
          algorithms: PLATFORM_ALGORITHMS,
          requiredClaims: ['exp', 'iat', 'sub', 'nonce'],
        },
        currentDate: new Date(this.#clock.now()),
        clockTolerance: 60,
      });
      const keys = set.jwks()?.keys ?? [];
      const jwk = keys.find(({ kid }) => kid === protectedHeader.kid) ?? keys[0]!;
      return { payload, jwk: publicMembers(jwk) };
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if (code === 'ERR_JWT_EXPIRED')
        return refuseLaunch('stale', 'the launch has expired', 'open it again from the course');
      if (typeof code === 'string' && /^ERR_(?:JWT|JWS|JOSE_ALG|JWKS_(?:NO|MULTIPLE))/.test(code)) {
        return refuseLaunch('signature', 'the platform did not sign this for this service');
      }
      throw unreachable(error);
    }
  }

  /** Thumbprints of the keys that it signs with now; none where it does not answer. */
  async thumbprints(jwksUrl: string): Promise<string[]> {
    const set = this.#setOf(jwksUrl);
    try {
      if (!set.fresh) await set.reload();
    } catch {
      return [];
    }
    return Promise.all((set.jwks()?.keys ?? []).map((key) => calculateJwkThumbprint(key)));
  }

  #setOf(jwksUrl: string) {
    let set = this.#sets.get(jwksUrl);
    if (!set) {
      set = createRemoteJWKSet(new URL(jwksUrl), { timeoutDuration: 5_000 });
      this.#sets.set(jwksUrl, set);
    }
    return set;
  }
}

export function unreachable(cause: unknown): ServerError {
  return new ServerError('platform-unreachable', 'the learning platform does not answer as one should', { cause });
}

/** Members of a JWK that are no secret (RFC 7517 section 4, RFC 7518 section 6). */
function publicMembers({ kty, kid, alg, use, n, e, crv, x, y }: JWK): JWK {
  const members = { kty, kid, alg, use, n, e, crv, x, y };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** Makes a key that signs from now on; answers its id. The ones before stay published for a month. */
export async function rotateToolKey({ store, clock }: { store: Store; clock: Clock }): Promise<string> {
  const { privateKey } = await generateKeyPair(TOOL_ALGORITHM, { extractable: true, modulusLength: 2048 });
  const jwk = await exportJWK(privateKey);
  const kid = await calculateJwkThumbprint(jwk);
  const now = clock.now();
  await store.addPlatformKey({ kid, privateJwk: JSON.stringify(jwk), createdMs: now }, now - RETIRED_MS);
  return kid;
}

/** The tool's public keys; the first is made when somebody first asks. */
export async function toolKeys(ports: { store: Store; clock: Clock }): Promise<JWK[]> {
  if ((await ports.store.platformKeys()).length === 0) await rotateToolKey(ports);
  const rows = await ports.store.platformKeys();
  return rows.map(({ kid, privateJwk }) => {
    const jwk = publicMembers(JSON.parse(privateJwk) as JWK);
    return { ...jwk, kid, alg: TOOL_ALGORITHM, use: 'sig' };
  });
}

/** A message of this tool to a platform (LTI Security Framework 1.0, section 5.2). */
export async function signAsTool(
  ports: { store: Store; clock: Clock },
  { issuer, clientId }: PlatformRow,
  claims: Record<string, unknown>,
): Promise<string> {
  await toolKeys(ports);
  const [newest] = await ports.store.platformKeys();
  const key = await importJWK(JSON.parse(newest!.privateJwk) as JWK, TOOL_ALGORITHM);
  const seconds = Math.floor(ports.clock.now() / 1000);
  return new SignJWT({ ...claims, nonce: crypto.randomUUID() })
    .setProtectedHeader({ alg: TOOL_ALGORITHM, kid: newest!.kid, typ: 'JWT' })
    .setIssuer(clientId)
    .setAudience(issuer)
    .setIssuedAt(seconds)
    .setExpirationTime(seconds + 300)
    .sign(key);
}
