/**
 * The whole server as one value: five ports in, one fetch handler out. What it can reach is `crypto/format`, `crypto/log`
 * and `schema`, none of which can decrypt; a test reads the imports and enforces that.
 */
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { ProtocolError } from '../../crypto/format/errors.ts';
import type { serviceSchema } from '../../schema/api.ts';
import type { Config } from './config.ts';
import { type ErrorCode, problemOf, ServerError } from './errors.ts';
import { examRoutes } from './http/exams.ts';
import { healthRoutes, type Surroundings } from './http/health.ts';
import { limited, type Limiter } from './http/limits.ts';
import { logRoutes, proofRoutes } from './http/log.ts';
import { ltiRoutes } from './http/lti.ts';
import { oidcRoutes } from './http/oidc.ts';
import { PlatformKeys } from './http/platform-keys.ts';
import { platformRoutes } from './http/platforms.ts';
import { deprecate } from './http/deprecation.ts';
import type { Quotas } from './core/quota.ts';
import { recordingRoutes } from './http/recordings.ts';
import { referenceRoutes } from './http/reference.ts';
import { reviewRoutes } from './http/review.ts';
import { sessionRoutes } from './http/sessions.ts';
import { staffRoutes } from './http/staff.ts';
import { BucketError, type Ports } from './ports.ts';
import { vkeyOf } from './signing.ts';
import { StoreError } from './store.ts';

/** Every method that some route has. */
const METHODS = ['GET', 'POST', 'DELETE'] as const;

export interface AppOptions {
  /** Told of every failure that is not the client's, and of which request it ended. */
  report?: (error: unknown, request?: string) => void;
  /** The id under which a request is known to whoever keeps the log. */
  requestIdOf?: (c: Context) => string | undefined;
  /** What health and readiness ask of the machine; by default it serves and has room. */
  surroundings?: Surroundings;
  /** The pages, as bytes; an edge that serves them itself gives none. */
  pages?: Hono | undefined;
  /** The origin under which people reach the service; without one only pages of its own machine can sign in by identity. */
  publicUrl?: string | undefined;
  /** Whether a recording is opened only in a bucket that was lately found fit: where no start could refuse an unfit one. */
  isAttestedFirst?: boolean;
  /** Who answers for the data: told to whoever asks, for notices and records of processing. */
  operator?: Config['operator'];
  /** How large and how long recordings may become; without it, what their policies say alone. */
  quotas?: Quotas | undefined;
  /** The institution's OpenID provider, by which staff may sign in. */
  oidc?: Config['oidc'] | undefined;
  /** Where a call comes from, if that is known. */
  addressOf?: (c: Context) => string | undefined;
  /** Counts calls; without it nothing is limited here. */
  limiter?: Limiter | undefined;
}

const WELL: Surroundings = { state: () => 'serving', hasRoom: async () => true };
const NOBODY_NAMED: Config['operator'] = { controller: null, privacyContact: null };

export function createApp(
  ports: Ports,
  {
    report = () => undefined,
    requestIdOf = () => undefined,
    surroundings = WELL,
    pages,
    publicUrl,
    isAttestedFirst = false,
    operator = NOBODY_NAMED,
    quotas,
    addressOf = () => undefined,
    limiter,
    oidc,
  }: AppOptions = {},
): Hono {
  const { vault, clock, signer } = ports;
  const app = new Hono();

  deprecate(app);
  if (limiter) for (const path of ['/v1/*', '/lti/*']) app.use(path, limited(limiter, addressOf));
  app.route('/v1', examRoutes(ports));
  app.route('/v1', recordingRoutes(ports, { isAttestedFirst, limiter, addressOf, quotas }));
  app.route('/v1', reviewRoutes(ports));
  app.route('/v1', staffRoutes(ports, report));
  app.route('/v1', sessionRoutes(ports, publicUrl));
  const platformKeys = new PlatformKeys(clock);
  app.route('/', ltiRoutes(ports, { publicUrl, keys: platformKeys }));
  app.route('/v1/lti', platformRoutes(ports, { publicUrl, keys: platformKeys }));
  app.route('/v1/oidc', oidcRoutes(ports, { settings: oidc, publicUrl, report }));
  app.route('/v1', proofRoutes(ports));
  app.route('/v1', referenceRoutes());
  app.route('/log', logRoutes(ports));
  app.route('/', healthRoutes(ports, surroundings));
  if (pages) app.route('/', pages);

  app.get('/v1/service', (c) => {
    const answer: z.infer<typeof serviceSchema> = {
      name: 'zeroreel',
      log: { origin: signer.origin, vkey: vkeyOf(signer) },
      now_ms: clock.now(),
      retention_days: { maximum: 30 },
      vault_horizon_hours: vault.horizonMs / 3_600_000,
      operator: { controller: operator.controller, privacy_contact: operator.privacyContact },
      sign_in: { oidc: oidc !== undefined },
    };
    return c.json(answer, 200, { 'cache-control': 'no-store' });
  });

  app.notFound((c) => {
    const allowed = METHODS.filter((method) => app.router.match(method, c.req.path)[0].length > 0);
    if (allowed.length === 0) return respond(new ServerError('not-found', 'there is no such route'));
    const error = new ServerError('method-unknown', `expected ${allowed.join(' or ')}`);
    // RFC 9110 section 15.5.6: a 405 says what would be allowed; HEAD is answered wherever GET is.
    const allow = [...allowed, ...(allowed.includes('GET') ? ['HEAD'] : [])].join(', ');
    return respond(error, { allow });
  });

  app.onError((thrown, c) =>
    respond(
      serverErrorOf(thrown, (failure) => {
        report(failure, requestIdOf(c));
      }),
    ),
  );

  return app;
}

export function respond(error: ServerError, more: Record<string, string> = {}): Response {
  const headers: Record<string, string> = {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    ...error.headers,
    ...more,
  };
  if (error.status === 503) headers['retry-after'] = error.code === 'share-unsettled' ? '30' : '1';
  return new Response(JSON.stringify(problemOf(error)), { status: error.status, headers });
}

/** A hostile record is the client's fault, a silent store is nobody's, and everything else is ours and says nothing of its inside. */
function serverErrorOf(thrown: unknown, report: (error: unknown) => void): ServerError {
  if (thrown instanceof ServerError) return thrown;
  if (thrown instanceof ProtocolError) return refusedRecord(thrown);
  report(thrown);
  if (thrown instanceof BucketError)
    return new ServerError('storage-unavailable', 'the object store does not answer', { cause: thrown });
  if (thrown instanceof StoreError && thrown.code === 'full') {
    return new ServerError('storage-full', 'the disk is full; nothing was written', { cause: thrown });
  }
  if (thrown instanceof StoreError && thrown.code === 'busy') {
    return new ServerError('busy', 'the database is busy; nothing was written', { cause: thrown });
  }
  if (thrown instanceof StoreError && thrown.code === 'unavailable') {
    return new ServerError('database-unavailable', 'the database does not answer; nothing was acknowledged', {
      cause: thrown,
    });
  }
  return new ServerError('internal', 'something failed here; nothing was acknowledged', { cause: thrown });
}

const REFUSALS: Partial<Record<ProtocolError['code'], ErrorCode>> = {
  policy: 'policy-refused',
  attestation: 'ticket-refused',
  grant: 'grant-refused',
};

function refusedRecord(error: ProtocolError): ServerError {
  const code = REFUSALS[error.code] ?? 'record-refused';
  return new ServerError(code, error.message, { extra: { reason: error.code }, cause: error });
}
