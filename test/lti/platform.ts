/**
 * A learning platform for tests, by the specifications' own words: LTI Core 1.3 (message of appendix C's shape), LTI Security Framework 1.0
 * (section 5: login, authentication request and response, JWK Set), Deep Linking 2.0 (sections 4.4 and 4.5), Dynamic Registration 1.0. It is strict
 * with what a tool sends, has real sockets, pages and a cookie of its own, and every claim can be bent by a test.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  calculateJwkThumbprint,
  createRemoteJWKSet,
  exportJWK,
  generateKeyPair,
  type JWK,
  jwtVerify,
  type JWTPayload,
  SignJWT,
} from 'jose';

export const CLAIM = 'https://purl.imsglobal.org/spec/lti/claim/';
export const DEEP_LINKING = 'https://purl.imsglobal.org/spec/lti-dl/claim/';
export const MEMBERSHIP = 'http://purl.imsglobal.org/vocab/lis/v2/membership';
export const PERSON = 'http://purl.imsglobal.org/vocab/lis/v2/institution/person';
const TOOL = 'https://purl.imsglobal.org/spec/lti-tool-configuration';

/** What the platform's person is called: a tool that keeps or logs any of it has failed. */
export const NAMES = ['Jane', 'Marie', 'Doe', 'jane@platform.example.edu', 'example.edu:71ee7e42'] as const;

/** What a link in a course launches with. */
export interface CourseLink {
  targetLinkUri: string;
  messageType?: 'LtiResourceLinkRequest' | 'LtiDeepLinkingRequest';
  roles?: readonly string[];
  custom?: Record<string, string>;
  /** A person's id at the platform. */
  subject?: string;
  /** Laid over the claims; undefined takes one out. */
  bend?: (claims: Record<string, unknown>) => Record<string, unknown>;
  /** Signs in place of the platform's key. */
  signer?: CryptoKey;
}

export interface PlatformOptions {
  /** The machine's clock otherwise. */
  now?: () => number;
  clientId?: string;
  deploymentId?: string;
  /** One for all its institutions, as that of hosted Canvas; default: its own address. */
  issuer?: string;
  host?: string;
}

interface SigningKey {
  privateKey: CryptoKey;
  jwk: JWK;
}

export class TestPlatform {
  readonly url: string;
  readonly clientId: string;
  readonly deploymentId: string;
  readonly issuer: string;
  /** Requests for the key set. */
  keyRequests = 0;
  /** Verified answers to deep linking requests. */
  readonly selections: JWTPayload[] = [];
  /** What tools said of themselves. */
  readonly registrations: Record<string, unknown>[] = [];
  /** What the authorization endpoint refused, in words. */
  readonly refused: string[] = [];
  readonly #server: Server;
  readonly #now: () => number;
  #keys: SigningKey[];
  #links = new Map<string, CourseLink>();

  private constructor(server: Server, url: string, key: SigningKey, options: PlatformOptions) {
    this.#server = server;
    this.url = url;
    this.#keys = [key];
    this.#now = options.now ?? Date.now;
    this.issuer = options.issuer ?? url;
    this.clientId = options.clientId ?? 'zeroreel-client';
    this.deploymentId = options.deploymentId ?? '07940580-b309-415e-a37c-914d387c1150';
  }

  static async start(options: PlatformOptions = {}): Promise<TestPlatform> {
    let answer: (request: IncomingMessage, response: ServerResponse) => Promise<void> = () => Promise.resolve();
    const server = createServer((request, response) => {
      answer(request, response).catch((error: unknown) => {
        response.writeHead(500).end(String(error));
      });
    });
    const host = options.host ?? '127.0.0.1';
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const url = `http://${host}:${(server.address() as AddressInfo).port}`;
    const platform = new TestPlatform(server, url, await makeKey(), options);
    answer = (request, response) => platform.#answer(request, response);
    return platform;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }

  /** As an administrator of the tool registers it. */
  get registration() {
    return {
      ...{ label: 'Test platform', issuer: this.issuer, client_id: this.clientId, deployments: [this.deploymentId] },
      ...{ auth_url: `${this.url}/auth`, jwks_url: `${this.url}/jwks` },
    };
  }

  /** What a policy pins. */
  async pinned() {
    const keys = await Promise.all(this.#keys.map(({ jwk }) => calculateJwkThumbprint(jwk)));
    return { issuer: this.issuer, client_id: this.clientId, deployment_id: this.deploymentId, keys };
  }

  /** Signs with another key from now on; with `isSilent` the key set does not say so. */
  async rotate(): Promise<void> {
    this.#keys = [await makeKey()];
  }

  /** Places a link in the course; answers its id. */
  place(link: CourseLink): string {
    const id = `link-${this.#links.size}`;
    this.#links.set(id, link);
    return id;
  }

  /** Parameters of the login that the platform initiates (Security Framework, 5.1.1.1; Canvas's `lti_storage_target` beside). */
  loginParameters(linkId: string): URLSearchParams {
    const { targetLinkUri } = this.#links.get(linkId)!;
    return new URLSearchParams({
      iss: this.issuer,
      login_hint: 'user-7',
      target_link_uri: targetLinkUri,
      lti_message_hint: linkId,
      client_id: this.clientId,
      lti_deployment_id: this.deploymentId,
      lti_storage_target: '_parent',
      canvas_region: 'eu-west-1',
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const html = (body: string, headers: Record<string, string> = {}) => {
      response
        .writeHead(200, { 'content-type': 'text/html', ...headers })
        .end(`<!doctype html><title>Course</title><link rel="icon" href="data:,">${body}`);
    };
    const json = (body: unknown, status = 200) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    switch (url.pathname) {
      case '/jwks':
        this.keyRequests++;
        json({ keys: this.#keys.map(({ jwk }) => ({ ...jwk, use: 'sig', alg: 'RS256' })) });
        return;
      case '/auth':
        html(await this.#authenticate(url.searchParams));
        return;
      case '/course': {
        // `login`: the tool's login page; `how`: in a frame or in a tab, by a form as Canvas and Moodle send it.
        const [link, login, how] = ['link', 'login', 'how'].map((name) => url.searchParams.get(name)!);
        const fields = [...this.loginParameters(link!)].map(([name, value]) => hidden(name, value)).join('');
        const target = how === 'frame' ? 'target="tool"' : '';
        const frame = how === 'frame' ? '<iframe name="tool" width="1000" height="700" title="tool"></iframe>' : '';
        const form = `<form method="post" action="${attribute(login!)}" ${target}>${fields}<button>Open the exam</button></form>`;
        html(`<h1>Course</h1>${frame}${form}`, { 'set-cookie': 'platform=1; SameSite=Lax' });
        return;
      }
      case '/return': {
        const form = new URLSearchParams(await bodyOf(request));
        this.selections.push(await this.#readSelection(form.get('JWT') ?? ''));
        html('<h1>Placed</h1>');
        return;
      }
      case '/.well-known/openid-configuration':
        json({
          issuer: this.issuer,
          authorization_endpoint: `${this.url}/auth`,
          jwks_uri: `${this.url}/jwks`,
          registration_endpoint: `${this.url}/registrations`,
          id_token_signing_alg_values_supported: ['RS256'],
          'https://purl.imsglobal.org/spec/lti-platform-configuration': { product_family_code: 'test', version: '1' },
        });
        return;
      case '/registrations': {
        if (request.headers.authorization !== 'Bearer a-registration-token') {
          json({ error: 'invalid_token' }, 401);
          return;
        }
        const said = JSON.parse(await bodyOf(request)) as Record<string, unknown>;
        this.registrations.push(said);
        json({ ...said, client_id: this.clientId, [TOOL]: { deployment_id: this.deploymentId } });
        return;
      }
      default:
        response.writeHead(404).end();
    }
  }

  /** The authentication request, held against section 5.1.1.2; answers the page that posts the response. */
  async #authenticate(asked: URLSearchParams): Promise<string> {
    const expected = {
      ...{ scope: 'openid', response_type: 'id_token', response_mode: 'form_post', prompt: 'none' },
      ...{ client_id: this.clientId, login_hint: 'user-7' },
    };
    for (const [name, value] of Object.entries(expected)) {
      if (asked.get(name) === value) continue;
      this.refused.push(`${name}: expected ${value}, found ${asked.get(name) ?? 'none'}`);
      return '<h1>Refused</h1>';
    }
    const redirect = asked.get('redirect_uri') ?? '';
    const link = this.#links.get(asked.get('lti_message_hint') ?? '')!;
    const token = await this.idToken(link, asked.get('nonce') ?? '');
    const fields = hidden('id_token', token) + hidden('state', asked.get('state') ?? '');
    return `<form method="post" action="${attribute(redirect)}">${fields}</form><script>document.forms[0].submit()</script>`;
  }

  /** The message of LTI Core 1.3, as its appendix has it, with everything in it that a tool must ignore. */
  async idToken(link: CourseLink, nonce: string): Promise<string> {
    const seconds = Math.floor(this.#now() / 1000);
    const isSelection = link.messageType === 'LtiDeepLinkingRequest';
    const claims: Record<string, unknown> = {
      iss: this.issuer,
      sub: link.subject ?? 'a6d5c443-1f51-4783-ba1a-7686ffe3b54a',
      aud: [this.clientId],
      exp: seconds + 3600,
      iat: seconds,
      azp: this.clientId,
      nonce,
      name: 'Ms Jane Marie Doe',
      given_name: 'Jane',
      family_name: 'Doe',
      middle_name: 'Marie',
      picture: 'https://platform.example.edu/jane.jpg',
      email: 'jane@platform.example.edu',
      locale: 'en-US',
      [`${CLAIM}deployment_id`]: this.deploymentId,
      [`${CLAIM}message_type`]: link.messageType ?? 'LtiResourceLinkRequest',
      [`${CLAIM}version`]: '1.3.0',
      [`${CLAIM}roles`]: link.roles ?? [`${PERSON}#Student`, `${MEMBERSHIP}#Learner`],
      [`${CLAIM}role_scope_mentor`]: ['fad5fb29-a91c-770-3c110-1e687120efd9'],
      [`${CLAIM}context`]: {
        id: 'c1d887f0-a1a3-4bca-ae25-c375edcc131a',
        label: 'ECON 1010',
        title: 'Economics as a Social Science',
        type: ['http://purl.imsglobal.org/vocab/lis/v2/course#CourseOffering'],
      },
      [`${CLAIM}resource_link`]: { id: '200d101f-2c14-434a-a0f3-57c2a42369fd', title: 'Final exam' },
      [`${CLAIM}tool_platform`]: {
        guid: 'ex/48bbb541-ce55-456e-8b7d-ebc59a38d435',
        product_family_code: 'ExamplePlatformVendor',
      },
      [`${CLAIM}target_link_uri`]: link.targetLinkUri,
      [`${CLAIM}launch_presentation`]: {
        document_target: 'iframe',
        height: 320,
        width: 240,
        return_url: `${this.url}/course`,
      },
      [`${CLAIM}custom`]: link.custom ?? {},
      [`${CLAIM}lis`]: { person_sourcedid: 'example.edu:71ee7e42-f6d2-414a-80db-b69ac2defd4' },
      'http://www.ExamplePlatformVendor.com/session': { id: '89023sj890dju080' },
    };
    if (isSelection) {
      claims[`${CLAIM}resource_link`] = undefined;
      claims[`${DEEP_LINKING}deep_linking_settings`] = {
        deep_link_return_url: `${this.url}/return`,
        accept_types: ['link', 'ltiResourceLink'],
        accept_presentation_document_targets: ['iframe', 'window'],
        data: 'csrftoken:c7fbba78-7b75-46e3-9201-11e6d5f36f53',
      };
    }
    const bent = link.bend?.(claims) ?? claims;
    const { privateKey, jwk } = this.#keys[0]!;
    return new SignJWT(bent)
      .setProtectedHeader({ alg: 'RS256', kid: jwk.kid!, typ: 'JWT' })
      .sign(link.signer ?? privateKey);
  }

  /** Deep Linking 2.0, section 4.4: signed by the tool's key, from its client id, for this platform. */
  async #readSelection(token: string): Promise<JWTPayload> {
    const tool = new URL([...this.#links.values()][0]!.targetLinkUri).origin;
    const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(`${tool}/lti/jwks`)), {
      ...{ issuer: this.clientId, audience: this.issuer, algorithms: ['RS256'], currentDate: new Date(this.#now()) },
      requiredClaims: ['iat', 'exp', 'nonce'],
    });
    return payload;
  }
}

async function makeKey(): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
  const jwk = await exportJWK(publicKey);
  return { privateKey, jwk: { ...jwk, kid: await calculateJwkThumbprint(jwk) } };
}

function attribute(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
}

function hidden(name: string, value: string): string {
  return `<input type="hidden" name="${attribute(name)}" value="${attribute(value)}">`;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
