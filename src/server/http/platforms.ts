/** The platforms that may launch: registered by hand, or by the platform itself with an invitation (LTI Dynamic Registration 1.0). */
import { Hono } from 'hono';
import { z } from 'zod';
import { toBase64Url } from '../../../crypto/format/bytes.ts';
import { newId } from '../../../crypto/format/ids.ts';
import * as api from '../../../schema/api.ts';
import { CUSTOM_FIELDS, refuseLaunch } from '../core/launch.ts';
import { ServerError } from '../errors.ts';
import type { Ports } from '../ports.ts';
import { requireOwnPage, requireStaff, tokenHash } from './access.ts';
import { type LtiOptions, originOf } from './lti.ts';
import { rotateToolKey, unreachable } from './platform-keys.ts';
import { idParameter, readJson, SECRET } from './request.ts';

const INVITATION_MS = 86_400_000;
const PLATFORM_TIMEOUT_MS = 10_000;

const TOOL = 'https://purl.imsglobal.org/spec/lti-tool-configuration';

/** As much of OpenID Provider Metadata as a registration needs (LTI Dynamic Registration 1.0, section 3.5). */
const configurationSchema = z.object({
  issuer: z.string().min(1).max(2000),
  authorization_endpoint: api.platformUrl,
  jwks_uri: api.platformUrl,
  registration_endpoint: api.platformUrl,
});
const registeredSchema = z.object({
  client_id: z.string().min(1).max(255),
  [TOOL]: z.looseObject({ deployment_id: z.string().min(1).max(255).optional() }).optional(),
});

export function platformRoutes(ports: Ports, { publicUrl, keys }: LtiOptions): Hono {
  const { store, clock } = ports;
  const routes = new Hono();

  routes.get('/platforms', async (c) => {
    await requireStaff(c, ports);
    const platforms = await Promise.all(
      (await store.platforms()).map(async (row) => ({
        id: row.id,
        label: row.label,
        issuer: row.issuer,
        client_id: row.clientId,
        auth_url: row.authUrl,
        jwks_url: row.jwksUrl,
        deployments: [...row.deployments],
        keys: await keys.thumbprints(row.jwksUrl),
      })),
    );
    const answer: z.infer<typeof api.platformsResponse> = { platforms };
    return c.json(answer, 200, SECRET);
  });

  routes.post('/platforms', async (c) => {
    await requireStaff(c, ports);
    const body = await readJson(c, api.platformRequest);
    return c.json({ id: await put(body) }, 201);
  });

  routes.delete('/platforms/:platform', async (c) => {
    await requireStaff(c, ports);
    if (!(await store.removePlatform(idParameter(c, 'platform')))) {
      throw new ServerError('not-found', 'there is no such platform');
    }
    return c.json({ recorded: true });
  });

  routes.post('/keys', async (c) => {
    await requireStaff(c, ports);
    return c.json({ kid: await rotateToolKey(ports) }, 201);
  });

  routes.post('/invitations', async (c) => {
    await requireStaff(c, ports);
    const secret = `zrinvite_${toBase64Url(crypto.getRandomValues(new Uint8Array(32)))}`;
    const now = clock.now();
    await store.issue('invitation', await tokenHash(secret), now + INVITATION_MS, now);
    const url = `${originOf(c, publicUrl)}/lti/register?invitation=${secret}`;
    const answer: z.infer<typeof api.invitationResponse> = { url, expires_ms: now + INVITATION_MS };
    return c.json(answer, 201, SECRET);
  });

  /** Asked by the launch page, in the platform's own window: the platform's administrator saw there which platform it is. */
  routes.post('/registrations', async (c) => {
    const {
      invitation,
      openid_configuration: configurationUrl,
      registration_token: token,
    } = await readJson(c, api.registrationRequest);
    requireOwnPage(c);
    // Used up first: whoever finds the link later cannot make this service ask anybody anything.
    if (!(await store.redeem('invitation', await tokenHash(invitation), clock.now()))) {
      refuseLaunch('state', 'the invitation was used, or has expired', '`zeroreel lti invite` makes another one');
    }
    const configuration = await ask(configurationUrl, configurationSchema, {});
    const registered = await ask(configuration.registration_endpoint, registeredSchema, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(toolRegistration(originOf(c, publicUrl))),
    });
    const deployment = registered[TOOL]?.deployment_id;
    const id = await put({
      label: new URL(configurationUrl).host,
      issuer: configuration.issuer,
      client_id: registered.client_id,
      auth_url: configuration.authorization_endpoint,
      jwks_url: configuration.jwks_uri,
      deployments: deployment === undefined ? [] : [deployment],
    });
    return c.json({ id, issuer: configuration.issuer, client_id: registered.client_id }, 201, SECRET);
  });

  function put(body: z.infer<typeof api.platformRequest>): Promise<string> {
    return store.putPlatform({
      id: newId(),
      label: body.label,
      issuer: body.issuer,
      clientId: body.client_id,
      authUrl: body.auth_url,
      jwksUrl: body.jwks_url,
      deployments: body.deployments,
      createdMs: clock.now(),
    });
  }

  return routes;
}

async function ask<Schema extends z.ZodType>(url: string, schema: Schema, init: RequestInit): Promise<z.infer<Schema>> {
  try {
    const signal = AbortSignal.timeout(PLATFORM_TIMEOUT_MS);
    // A redirect is no answer: nobody but the address that was given is asked.
    const response = await fetch(url, { ...init, signal, redirect: 'manual' });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return schema.parse(await response.json());
  } catch (error) {
    throw unreachable(error);
  }
}

/** What this tool tells of itself (LTI Dynamic Registration 1.0, section 3.6). It asks for nobody's name. */
function toolRegistration(origin: string): Record<string, unknown> {
  return {
    application_type: 'web',
    response_types: ['id_token'],
    grant_types: ['implicit', 'client_credentials'],
    initiate_login_uri: `${origin}/lti/login`,
    redirect_uris: [`${origin}/lti/launch`],
    client_name: 'Zeroreel',
    jwks_uri: `${origin}/lti/jwks`,
    token_endpoint_auth_method: 'private_key_jwt',
    scope: '',
    [TOOL]: {
      domain: new URL(origin).host,
      target_link_uri: `${origin}/lti/launch`,
      description: 'Exam recordings that only instructors open',
      claims: ['iss', 'sub'],
      custom_parameters: CUSTOM_FIELDS,
      messages: [
        {
          type: 'LtiDeepLinkingRequest',
          target_link_uri: `${origin}/lti/select`,
          label: 'Zeroreel exam',
          placements: ['assignment_selection', 'link_selection'],
        },
        { type: 'LtiResourceLinkRequest', target_link_uri: `${origin}/lti/launch`, label: 'Zeroreel' },
      ],
      'https://canvas.instructure.com/lti/privacy_level': 'anonymous',
    },
  };
}
