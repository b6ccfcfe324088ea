/**
 * LTI 1.3 launches, in their order: the platform's login, which the launch page begins with a key of its own; the launch, whose id_token must
 * have been signed for that key; and deep linking, by which an exam gets into a course. No cookie is needed, because frames have none: what
 * ties login and launch together is the key, which never leaves its browser.
 */
import { type Context, Hono } from 'hono';
import { decodeJwt } from 'jose/jwt/decode';
import type { z } from 'zod';
import { fromBase64Url, toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { checkPublicKey, verify } from '../../../crypto/format/ed25519.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { decodeIdentity, parseId } from '../../../crypto/format/ids.ts';
import { launchNonce } from '../../../crypto/format/launch.ts';
import { participantHash } from '../../../crypto/format/open.ts';
import { ownerHash, parsePolicy, type Policy } from '../../../crypto/format/policy.ts';
import { sessionHash } from '../../../crypto/format/session.ts';
import * as api from '../../../schema/api.ts';
import { deepLinkingClaims, type ExamPins, type Launch, readLaunch, refuseLaunch, tenantName } from '../core/launch.ts';
import { ServerError } from '../errors.ts';
import type { Ports } from '../ports.ts';
import type { LaunchRow, PlatformRow, PolicyRow, Store } from '../store.ts';
import { requireOwnPage, tokenHash } from './access.ts';
import { handOver, submitTo } from './handoff.ts';
import type { PlatformKeys } from './platform-keys.ts';
import { signAsTool, toolKeys } from './platform-keys.ts';
import { parse, readForm, readJson, SECRET } from './request.ts';

/** From the login to the launch: a person may have to sign in at the platform. */
const LOGIN_MS = 10 * 60_000;
/** For how long a launch opens epochs: a student resumes within three days. */
export const LAUNCH_MS = 72 * 3_600_000;
/** For how long it begins a session or chooses an exam. */
const PAGE_MS = 10 * 60_000;
/** Exams that a selection offers. */
const MOST_EXAMS = 200;

const MAX_ID_TOKEN = 32 * 1024;

export interface LtiOptions {
  /** The service's own origin; without one, that of the request. */
  publicUrl: string | undefined;
  keys: PlatformKeys;
}

export const originOf = (c: Context, publicUrl: string | undefined) => publicUrl ?? new URL(c.req.url).origin;

export function ltiRoutes(ports: Ports, { publicUrl, keys }: LtiOptions): Hono {
  const { store, clock } = ports;
  const routes = new Hono();

  // ---- 1. login: the platform's page sends the browser here; parameters go on behind `#`, where no log sees them --------------
  const login = (parameters: URLSearchParams) =>
    new Response('', {
      status: 303,
      headers: {
        location: `/launch#${parameters.toString()}`,
        'cache-control': 'no-store',
        'content-type': 'text/html',
      },
    });
  routes.get('/lti/register', (c) => login(new URL(c.req.url).searchParams));
  routes.get('/lti/login', (c) => login(new URL(c.req.url).searchParams));
  routes.post('/lti/login', async (c) => login(await readForm(c)));

  routes.post('/v1/lti/logins', async (c) => {
    const hints = await readJson(c, api.loginRequest);
    requireOwnPage(c);
    const platform = await platformOf(hints.iss, hints.client_id);
    checkPublicKey(fromBase64Url(hints.launch_key));
    const nonce = await launchNonce(fromBase64Url(hints.launch_key));
    const target = await tokenHash(hints.target_link_uri);
    const state = `${toBase64Url(crypto.getRandomValues(new Uint8Array(32)))}.${target}`;
    const now = clock.now();
    await store.issue('login', await loginHash(state, nonce, platform.id), now + LOGIN_MS, now);
    const redirect = new URL(platform.authUrl);
    const parameters = {
      scope: 'openid',
      response_type: 'id_token',
      response_mode: 'form_post',
      prompt: 'none',
      client_id: platform.clientId,
      redirect_uri: `${originOf(c, publicUrl)}/lti/launch`,
      login_hint: hints.login_hint,
      ...(hints.lti_message_hint !== undefined && { lti_message_hint: hints.lti_message_hint }),
      state,
      nonce,
    };
    for (const [name, value] of Object.entries(parameters)) redirect.searchParams.set(name, value);
    const answer: z.infer<typeof api.loginResponse> = { redirect: redirect.href, state };
    return c.json(answer, 201, SECRET);
  });

  async function platformOf(issuer: string, clientId: string | undefined): Promise<PlatformRow> {
    const found = (await store.platforms()).filter(
      (row) => row.issuer === issuer && (clientId === undefined || row.clientId === clientId),
    );
    if (found.length === 1) return found[0]!;
    return refuseLaunch('platform', 'this learning platform is not registered here, or not as this client');
  }

  // ---- 2. launch ---------------------------------------------------------------------------------------------------------------
  routes.post('/lti/launch', async (c) => {
    try {
      return await handOver(await launch(await readForm(c)), 200);
    } catch (error) {
      if (!(error instanceof ServerError && (error.status === 403 || error.status === 502))) throw error;
      const reason = typeof error.extra['reason'] === 'string' ? error.extra['reason'] : error.code;
      const { message: detail, hint = null } = error;
      return handOver({ to: 'refused', reason, detail, hint }, error.status === 403 ? 403 : 502);
    }
  });

  async function launch(form: URLSearchParams) {
    const [token, state] = [form.get('id_token') ?? '', form.get('state') ?? ''];
    if (form.has('error'))
      refuseLaunch('error', 'the learning platform refused the login', 'sign in there and try again');
    if (token.length > MAX_ID_TOKEN) refuseLaunch('message', 'the message is too large');
    const platform = await platformOfToken(token);
    const { payload, jwk } = await keys.verify(token, platform);
    const now = clock.now();
    const message = readLaunch(payload, platform.clientId, now);
    // Used up before anything else is decided: a message is believed once, and only where its login was begun.
    if (!(await store.redeem('login', await loginHash(state, message.nonce, platform.id), now))) {
      refuseLaunch(
        'state',
        'this launch was not begun here, was used, or took too long',
        'open it again from the course',
      );
    }
    if (!platform.deployments.includes(message.deploymentId)) {
      refuseLaunch(
        'platform',
        `deployment ${JSON.stringify(message.deploymentId.slice(0, 100))} of this platform is not registered here`,
        'whoever runs this service adds it to the platform: `zeroreel lti add --deployment`',
      );
    }
    if (message.targetLinkUri !== undefined && (await tokenHash(message.targetLinkUri)) !== state.split('.')[1]) {
      refuseLaunch('state', 'the launch leads elsewhere than its login did');
    }
    return accept(message, { platform, token, state, jwk, now });
  }

  async function platformOfToken(token: string): Promise<PlatformRow> {
    const claims = (() => {
      try {
        return decodeJwt(token);
      } catch {
        return refuseLaunch('signature', 'expected a signed message of the platform');
      }
    })();
    const audience = [claims.aud ?? []].flat();
    const known = (await store.platforms()).find(
      ({ issuer, clientId }) => issuer === claims.iss && audience.includes(clientId),
    );
    return known ?? refuseLaunch('platform', 'this learning platform is not registered here, or not as this client');
  }

  async function accept(
    message: Launch,
    {
      platform,
      token,
      state,
      jwk,
      now,
    }: { platform: PlatformRow; token: string; state: string; jwk: object; now: number },
  ) {
    const { does, deploymentId, nonce } = message;
    const tenant = tenantName({ ...platform, deploymentId });
    const base = {
      nonce,
      platformId: platform.id,
      deploymentId,
      tokenHash: toBase64Url(await sha256(utf8(token))),
      ...{ role: null, examId: null, person: null, returnUrl: null, returnData: null },
    };
    const keep = async (row: LaunchRow) => {
      if (!(await store.addLaunch(row, now))) refuseLaunch('state', 'a launch with this key was made before');
    };
    switch (does.purpose) {
      case 'record': {
        const { policy } = await examOf(store, does.pins, tenant);
        if (does.isTest && !policy.practice) {
          refuseLaunch('role', 'the platform’s test student records practice exams only');
        }
        const { examId } = does.pins;
        const person = `launch ${toBase64Url(await participantHash(parseId(examId), platform.issuer, message.subject))}`;
        await keep({ ...base, purpose: 'record', examId, person, expiresMs: now + LAUNCH_MS });
        return { to: 'record', state, pins: does.pins, id_token: token, jwk } as const;
      }
      case 'review': {
        const examId = does.pins ? (await examOf(store, does.pins, tenant)).row.examId : null;
        const { role } = does;
        await keep({ ...base, purpose: 'review', role, examId, expiresMs: now + PAGE_MS });
        return { to: 'review', state, id_token: token, exam_id: examId, role } as const;
      }
      case 'select': {
        if (!URL.canParse(does.returnUrl) || !/^https?:$/.test(new URL(does.returnUrl).protocol)) {
          refuseLaunch('message', 'expected a URL to return to');
        }
        const rows = await store.exams(MOST_EXAMS, undefined, { identity: tenant });
        const exams = await Promise.all(
          rows.map(async ({ examId, bytes }) => ({ exam_id: examId, title: (await parsePolicy(bytes)).policy.title })),
        );
        const { returnUrl, data: returnData = null } = does;
        await keep({ ...base, purpose: 'select', returnUrl, returnData, expiresMs: now + PAGE_MS });
        return { to: 'select', state, id_token: token, exams } as const;
      }
    }
  }

  // No page of another site could make this form: it has the signature of the launch's key in it.
  // ---- 3. deep linking -----------------------------------------------------------------------------------------------------------
  routes.post('/lti/select', async (c) => {
    const form = Object.fromEntries(await readForm(c));
    const { exam_id: examId, ...proof } = parse(api.selectionForm, form);
    const row = await proveLaunch(store, proof, originOf(c, publicUrl), clock.now());
    const platform = (await store.platforms()).find(({ id }) => id === row?.platformId);
    if (row?.purpose !== 'select' || !platform || !(await store.endLaunch(row.nonce))) {
      return refuseLaunch('state', 'this selection was made, or took too long', 'begin again in the course');
    }
    const { deploymentId, returnData } = row;
    const item = examId === undefined ? undefined : await itemOf(examId, tenantName({ ...platform, deploymentId }));
    const url = `${originOf(c, publicUrl)}/lti/launch`;
    const claims = deepLinkingClaims({ deploymentId, data: returnData ?? undefined }, item && { ...item, url });
    return submitTo(row.returnUrl!, await signAsTool(ports, platform, claims));
  });

  async function itemOf(examId: string, tenant: string) {
    const row = await store.latestPolicy(examId);
    const { policy } = row ? await parsePolicy(row.bytes) : refuseLaunch('exam', 'there is no such exam');
    const pins = { examId, ownerHash: toBase64Url(await ownerHash(decodeIdentity(policy.owner))), minSeq: policy.seq };
    await examOf(store, pins, tenant);
    return { title: policy.title, pins };
  }

  routes.get('/lti/jwks', async (c) => {
    const keysNow = await toolKeys(ports);
    return c.json({ keys: keysNow }, 200, { 'cache-control': 'public, max-age=300' });
  });

  return routes;
}

/** One login, by all that its launch must agree on. */
function loginHash(state: string, nonce: string, platformId: string): Promise<string> {
  return tokenHash(JSON.stringify([state, nonce, platformId]));
}

/** The exam that a link names, if its owner lets this tenant launch it; throws `launch-refused`. */
async function examOf(
  store: Store,
  { examId, ownerHash: pinned, minSeq }: ExamPins,
  tenant: string,
): Promise<{ row: PolicyRow; policy: Policy }> {
  const row = await store.latestPolicy(examId);
  if (!row || row.ownerHash !== pinned || row.seq < minSeq || !(await store.isNamed(examId, tenant))) {
    return refuseLaunch(
      'exam',
      'the exam is not one that this platform launches',
      'its owner names the platform in the policy',
    );
  }
  return { row, policy: (await parsePolicy(row.bytes)).policy };
}

/**
 * The launch whose key signed for this origin; undefined where there is none, or it has expired. Throws `sign-in-refused` for another's
 * signature: who holds the id_token alone, as its platform does, gets no further.
 */
export async function proveLaunch(
  store: Store,
  { launch_key: key, origin, signature }: z.infer<typeof api.launchProof>,
  ownOrigin: string,
  now: number,
): Promise<LaunchRow | undefined> {
  const row = await store.launch(await launchNonce(fromBase64Url(key)), now);
  if (!row) return undefined;
  const digest = await sessionHash(fromBase64Url(row.tokenHash), origin);
  if (origin !== ownOrigin || !(await verify(fromBase64Url(key), 'launch-session', digest, fromBase64Url(signature)))) {
    throw new ServerError('sign-in-refused', 'the signature is not that of the launch’s key');
  }
  return row;
}
