/**
 * The browser's part of an LTI 1.3 launch (PROTOCOL.md section 6.2): a key is made, the platform signs in, and what it signed comes back.
 *
 * [Note: frames in a course] A browser that blocks third-party cookies lends a frame no storage at all, and no camera. So everything
 * but choosing an exam moves to a tab of its own first, where the key waits in the tab's storage. While an exam is chosen, it waits in the frame's
 * name: the platform could read it there, and could choose for its own course anyway.
 */
import { z } from 'zod';
import { fromBase64Url, toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { randomBytes } from '../../../crypto/format/random.ts';
import { sessionHash } from '../../../crypto/format/session.ts';
import { signerFromSeed } from '../../../crypto/seal/identity.ts';
import { Api } from '../../client/api.ts';
import { formatExamLink } from '../../client/link.ts';

const HANDOFF = 'zeroreel handoff';
const keyName = (state: string) => `zeroreel launch ${state}`;
const isFramed = window.top !== window.self;
/** The frame's name meanwhile: the seed, and the name that it had. */
const FRAME_NAME = /^zeroreel ([A-Za-z0-9_-]{43}) ([^]*)$/;

const launched = { state: z.string(), id_token: z.string() };
const handoffSchema = z.discriminatedUnion('to', [
  z.object({
    to: z.literal('record'),
    ...launched,
    pins: z.object({ examId: z.string(), ownerHash: z.string(), minSeq: z.number() }),
    jwk: z.record(z.string(), z.unknown()),
  }),
  z.object({ to: z.literal('review'), ...launched, exam_id: z.string().nullable() }),
  z.object({
    to: z.literal('select'),
    ...launched,
    exams: z.array(z.object({ exam_id: z.string(), title: z.string() })),
  }),
  z.object({ to: z.literal('refused'), reason: z.string(), detail: z.string(), hint: z.string().nullable() }),
]);
type Handoff = z.infer<typeof handoffSchema>;

export type Step =
  | { step: 'nothing' }
  /** In a frame: goes on in a tab of its own, by this link. */
  | { step: 'tab'; href: string }
  | { step: 'login'; parameters: URLSearchParams }
  | { step: 'register'; invitation: string; configuration: string; token: string | null }
  | { step: 'arrived'; handoff: Handoff };

/** What this page was opened for. */
export function stepOf({ hash, href }: Location): Step {
  const parameters = new URLSearchParams(hash.slice(1));
  const configuration = parameters.get('openid_configuration');
  const invitation = parameters.get('invitation');
  if (invitation !== null && configuration !== null) {
    return { step: 'register', invitation, configuration, token: parameters.get('registration_token') };
  }
  if (parameters.has('iss')) {
    const isSelection = /\/lti\/select$/.test(parameters.get('target_link_uri') ?? '');
    return isFramed && !isSelection ? { step: 'tab', href } : { step: 'login', parameters };
  }
  const handed = isFramed ? parameters.get('handoff') : sessionStorage.getItem(HANDOFF);
  if (handed === null) return { step: 'nothing' };
  if (isFramed) history.replaceState(null, '', '/launch');
  else sessionStorage.removeItem(HANDOFF);
  return { step: 'arrived', handoff: handoffSchema.parse(JSON.parse(handed)) };
}

/** Makes the launch's key, and answers where the browser goes to sign in. */
export async function begin(parameters: URLSearchParams): Promise<string> {
  const seed = randomBytes(32);
  const { publicKey } = await signerFromSeed(seed);
  const text = (name: string) => parameters.get(name) ?? undefined;
  const { redirect, state } = await new Api({ url: location.origin }).beginLaunch({
    iss: text('iss') ?? '',
    login_hint: text('login_hint') ?? '',
    target_link_uri: text('target_link_uri') ?? '',
    client_id: text('client_id'),
    lti_message_hint: text('lti_message_hint'),
    lti_deployment_id: text('lti_deployment_id'),
    launch_key: toBase64Url(publicKey),
  });
  if (isFramed) window.name = `zeroreel ${toBase64Url(seed)} ${window.name}`;
  else sessionStorage.setItem(keyName(state), toBase64Url(seed));
  return redirect;
}

/** The seed of the launch's key, if it was begun here: another's launch, slipped into this browser, has none. */
function seedOf({ state }: { state: string }): Uint8Array<ArrayBuffer> {
  const [, framed, name = ''] = FRAME_NAME.exec(window.name) ?? [];
  const seed = isFramed ? framed : sessionStorage.getItem(keyName(state));
  if (seed === null || seed === undefined) {
    throw new Error('this launch was begun in another browser or tab: open it from the course again');
  }
  if (isFramed) window.name = name;
  else sessionStorage.removeItem(keyName(state));
  return fromBase64Url(seed);
}

export function recordLink(handoff: Extract<Handoff, { to: 'record' }>): string {
  const { pins, id_token: idToken, jwk } = handoff;
  const { examId, minSeq } = pins;
  const launch = { idToken, jwk, seed: seedOf(handoff) };
  return formatExamLink({
    url: location.origin,
    examId,
    minSeq,
    ownerHash: fromBase64Url(pins.ownerHash),
    launch,
  });
}

export async function proofOf(handoff: { state: string; id_token: string }) {
  const signer = await signerFromSeed(seedOf(handoff));
  const { origin } = location;
  const digest = await sessionHash(await sha256(utf8(handoff.id_token)), origin);
  const signature = toBase64Url(await signer.sign('launch-session', digest));
  return { launch_key: toBase64Url(signer.publicKey), origin, signature };
}

/** Signs in, and answers the place in the review page. */
export async function reviewPlace(handoff: Extract<Handoff, { to: 'review' }>): Promise<string> {
  await new Api({ url: location.origin }).signInByLaunch(await proofOf(handoff));
  return handoff.exam_id === null ? '/review' : `/review#/exam/${handoff.exam_id}`;
}
