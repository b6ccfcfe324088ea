/** A browser without pages: walks through login and launch as the launch page does, step by step, so that a test may leave the path. */
import { toBase64Url, utf8, type Bytes } from '../../crypto/format/bytes.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { attestWithLaunch } from '../../crypto/format/launch.ts';
import type { Attestation } from '../../crypto/format/open.ts';
import { sessionHash } from '../../crypto/format/session.ts';
import { randomBytes } from '../../crypto/format/random.ts';
import { signerFromSeed } from '../../crypto/seal/identity.ts';
import type { Handoff } from '../../src/server/http/handoff.ts';
import { type Answer, call, expectStatus } from '../server/stage.ts';
import type { CourseLink, TestPlatform } from './platform.ts';

const OWN_PAGE = { 'zeroreel-csrf': '1' };
const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

export class Visitor {
  readonly tool: string;
  readonly seed: Bytes = randomBytes(32);
  #token = '';

  constructor(tool: string) {
    this.tool = tool;
  }

  async key(): Promise<string> {
    return toBase64Url((await signerFromSeed(this.seed)).publicKey);
  }

  async login(platform: TestPlatform, linkId: string): Promise<Answer> {
    const parameters = platform.loginParameters(linkId);
    const moved = await fetch(`${this.tool}/lti/login`, {
      method: 'POST',
      redirect: 'manual',
      headers: FORM,
      body: parameters,
    });
    const hash = new URL(moved.headers.get('location') ?? '', this.tool).hash.slice(1);
    const {
      lti_storage_target: _target,
      canvas_region: _region,
      ...hints
    } = Object.fromEntries(new URLSearchParams(hash)) as Record<string, string>;
    const body = { ...hints, launch_key: await this.key() };
    return call(this.tool, 'POST', '/v1/lti/logins', { headers: OWN_PAGE, body });
  }

  /** The form that the platform makes the browser post. */
  async authenticate(answer: Answer): Promise<URLSearchParams> {
    const { redirect } = expectStatus<{ redirect: string }>(answer, 201);
    const page = await (await fetch(redirect)).text();
    const fields = [...page.matchAll(/name="([^"]*)" value="([^"]*)"/g)].map(
      ([, name, value]) => [name!, value!.replaceAll('&quot;', '"').replaceAll('&amp;', '&')] as [string, string],
    );
    return new URLSearchParams(fields);
  }

  async post(form: URLSearchParams): Promise<{ status: number; handoff: Handoff }> {
    this.#token = form.get('id_token') ?? '';
    const answer = await call(this.tool, 'POST', '/lti/launch', { headers: FORM, body: form.toString() });
    const [, json] = /id="handoff">([^<]*)</.exec(String(answer.body)) ?? [];
    if (json === undefined)
      throw new Error(`expected a handoff, found ${answer.status} ${JSON.stringify(answer.body)}`);
    return { status: answer.status, handoff: JSON.parse(json) as Handoff };
  }

  /** From the click on a link in the course to what the launch page is handed. */
  async launch(platform: TestPlatform, link: CourseLink): Promise<Handoff> {
    const form = await this.authenticate(await this.login(platform, platform.place(link)));
    return (await this.post(form)).handoff;
  }

  /** What OPEN carries of this launch. */
  async attest(coreHash: Bytes): Promise<Attestation> {
    return attestWithLaunch(await sha256(utf8(this.#token)), coreHash, await signerFromSeed(this.seed));
  }

  async proof(origin = this.tool) {
    const signer = await signerFromSeed(this.seed);
    const digest = await sessionHash(await sha256(utf8(this.#token)), origin);
    const signature = toBase64Url(await signer.sign('launch-session', digest));
    return { launch_key: await this.key(), origin, signature };
  }

  /** The cookie of the session that a teacher's launch begins. */
  async signIn(): Promise<{ answer: Answer; headers: Record<string, string> }> {
    const answer = await call(this.tool, 'POST', '/v1/sessions', { headers: OWN_PAGE, body: await this.proof() });
    const cookie = answer.headers.get('set-cookie')?.split(';')[0] ?? '';
    return { answer, headers: { cookie, ...OWN_PAGE } };
  }
}
