/**
 * What a verified LTI 1.3 message asks for, and what its sender may do here (LTI core 1.3, sections 5 and A.2; Deep Linking 2.0). Pure:
 * claims in, a decision out. A platform can forge any launch, so none opens a recording: that takes the key of a reader.
 */
import { z } from 'zod';
import { LTI_CLAIM } from '../../../crypto/format/launch.ts';
import { idSchema, hashSchema } from '../../../schema/api.ts';
import { ServerError } from '../errors.ts';

const DEEP_LINKING = 'https://purl.imsglobal.org/spec/lti-dl/claim/';
const MEMBERSHIP = 'http://purl.imsglobal.org/vocab/lis/v2/membership';
const ADMINISTRATOR = 'http://purl.imsglobal.org/vocab/lis/v2/institution/person#Administrator';
const TEST_USER = 'http://purl.imsglobal.org/vocab/lti/system/person#TestUser';

/** Ages of `iat` that are accepted: a platform signs when it launches. `exp` may be an hour off. */
export const FRESH_MS = 5 * 60_000;
export const CLOCK_MS = 60_000;

const text = z.string().min(1).max(2000);

/** Only what is looked at is read, so that no name comes further than this. */
const claimsSchema = z.object({
  iss: text,
  sub: z.string().min(1).max(255),
  aud: z.union([text, z.array(text).min(1).max(16)]),
  azp: text.optional(),
  nonce: text,
  iat: z.number(),
  [`${LTI_CLAIM}message_type`]: text,
  [`${LTI_CLAIM}version`]: text,
  [`${LTI_CLAIM}deployment_id`]: z.string().min(1).max(255),
  [`${LTI_CLAIM}target_link_uri`]: text.optional(),
  [`${LTI_CLAIM}roles`]: z.array(z.string().max(255)).max(100).default([]),
  [`${LTI_CLAIM}resource_link`]: z.object({ id: z.string() }).optional(),
  [`${LTI_CLAIM}custom`]: z.record(z.string(), z.unknown()).default({}),
  [`${DEEP_LINKING}deep_linking_settings`]: z
    .object({
      deep_link_return_url: text,
      accept_types: z.array(z.string()),
      data: z.string().max(10_000).optional(),
    })
    .optional(),
});

/** The tenant that a policy's `platform` must name: one `iss` may be shared by many institutions, as that of hosted Canvas is. */
export interface Tenant {
  issuer: string;
  clientId: string;
  deploymentId: string;
}

export interface Launch {
  deploymentId: string;
  subject: string;
  nonce: string;
  targetLinkUri: string | undefined;
  does: LaunchPurpose;
}

export type LaunchPurpose =
  /** A student begins, or goes on with, a recording. */
  | { purpose: 'record'; pins: ExamPins; isTest: boolean }
  /** Staff; with the session's role, and the exam where the link names one. */
  | { purpose: 'review'; role: 'instructor' | 'compliance'; pins: ExamPins | undefined }
  /** Deep linking: an exam is to be chosen. */
  | { purpose: 'select'; returnUrl: string; data: string | undefined };

/** The fragment of an exam link without its ticket: what the page pins. */
export interface ExamPins {
  examId: string;
  ownerHash: string;
  minSeq: number;
}

export function refuseLaunch(reason: LaunchRefusal, message: string, hint?: string): never {
  throw new ServerError('launch-refused', message, { extra: { reason }, ...(hint !== undefined && { hint }) });
}

export type LaunchRefusal =
  | 'platform' // nobody registered it, or this deployment of it
  | 'signature' // not signed by the platform, not for this client, or malformed
  | 'stale' // too old, or from the future
  | 'state' // not the answer to a login that was begun here, or the second one
  | 'message' // a version or type that is not spoken here
  | 'role' // the course gives no role that has business here
  | 'exam' // the link names no exam, or one that this platform may not launch
  | 'masquerade' // somebody acts as somebody else
  | 'error'; // the platform itself said no

/** Throws `launch-refused`. The signature, issuer, audience and expiry were checked before. */
export function readLaunch(payload: unknown, clientId: string, now: number): Launch {
  const parsed = claimsSchema.safeParse(payload);
  if (!parsed.success) {
    // The name of a claim only: its value may be somebody's.
    return refuseLaunch('message', `the message has no proper ${String(parsed.error.issues[0]?.path[0] ?? 'claims')}`);
  }
  const claims = parsed.data;
  const audience = [claims.aud].flat();
  // OpenID Connect Core, 3.1.3.7, steps 3 to 5.
  if (!audience.includes(clientId) || (audience.length > 1 && claims.azp === undefined)) {
    refuseLaunch('signature', 'the message is for somebody else');
  }
  if (claims.azp !== undefined && claims.azp !== clientId)
    refuseLaunch('signature', 'the message is for another party');
  const age = now - claims.iat * 1000;
  if (age > FRESH_MS || age < -CLOCK_MS) {
    refuseLaunch('stale', 'the launch is not of the last minutes', 'open it again from the course');
  }
  if (claims[`${LTI_CLAIM}version`] !== '1.3.0') refuseLaunch('message', 'expected LTI 1.3.0');
  const deploymentId = claims[`${LTI_CLAIM}deployment_id`];
  const { sub: subject, nonce } = claims;
  const targetLinkUri = claims[`${LTI_CLAIM}target_link_uri`];
  return { deploymentId, subject, nonce, targetLinkUri, does: purposeOf(claims) };
}

type Claims = z.infer<typeof claimsSchema>;

function purposeOf(claims: Claims): LaunchPurpose {
  const custom = customOf(claims[`${LTI_CLAIM}custom`]);
  const standing = standingOf(claims[`${LTI_CLAIM}roles`], custom);
  const isMasquerade = custom['masq'] !== undefined;
  switch (claims[`${LTI_CLAIM}message_type`]) {
    case 'LtiResourceLinkRequest':
      break;
    case 'LtiDeepLinkingRequest':
      return selection(claims, standing);
    default:
      return refuseLaunch('message', 'expected a resource link or a deep linking request');
  }
  if (claims[`${LTI_CLAIM}target_link_uri`] === undefined || !claims[`${LTI_CLAIM}resource_link`]) {
    refuseLaunch('message', 'expected target_link_uri and resource_link');
  }
  const pins = pinsOf(custom['exam']);
  if (standing === 'learner') {
    // What would be recorded is somebody else's than whom it names.
    if (isMasquerade) refuseLaunch('masquerade', 'acting as somebody else, nobody records');
    if (pins) return { purpose: 'record', pins, isTest: claims[`${LTI_CLAIM}roles`].includes(TEST_USER) };
    refuseLaunch('exam', 'the link names no exam', 'whoever placed it in the course chooses the exam again');
  }
  if (standing === 'teacher') return { purpose: 'review', role: isMasquerade ? 'compliance' : 'instructor', pins };
  if (standing === 'reader') return { purpose: 'review', role: 'compliance', pins };
  return refuseLaunch('role', 'the course gives you no role that records or reviews', 'ask the teacher of the course');
}

function selection(claims: Claims, standing: Standing): LaunchPurpose {
  const settings = claims[`${DEEP_LINKING}deep_linking_settings`];
  if (!settings?.accept_types.includes('ltiResourceLink')) {
    return refuseLaunch('message', 'expected deep linking settings that accept a resource link');
  }
  const isDesigner = claims[`${LTI_CLAIM}roles`].includes(`${MEMBERSHIP}#ContentDeveloper`);
  if (standing !== 'teacher' && standing !== 'reader' && !isDesigner) {
    return refuseLaunch('role', 'the course does not let you place links');
  }
  return { purpose: 'select', returnUrl: settings.deep_link_return_url, data: settings.data };
}

/** Custom fields; one that the platform did not resolve comes back as it was asked for, `$Canvas.course.id`, or empty. */
function customOf(custom: Record<string, unknown>): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(custom).map(([name, value]) => {
      const isResolved = (typeof value === 'string' || typeof value === 'number') && !/^(?:\$.*)?$/.test(String(value));
      return [name, isResolved ? String(value) : undefined];
    }),
  );
}

type Standing = 'teacher' | 'reader' | 'learner' | 'none';

/**
 * Decides on roles of the course (`membership#...`) alone: roles of the institution and of the system come with every launch into every
 * course. A teaching assistant carries the instructor's role as well, and an administrator counts only where the account is theirs.
 */
function standingOf(roles: readonly string[], custom: Record<string, string | undefined>): Standing {
  const has = (role: string) => roles.includes(`${MEMBERSHIP}#${role}`);
  const isAssistant = roles.some((role) => role.startsWith(`${MEMBERSHIP}/Instructor#TeachingAssistant`));
  if (has('Instructor') && !isAssistant) return 'teacher';
  if (isAssistant) return 'reader';
  if (has('Learner')) return 'learner';
  const { canvas_account_id: account, adminable = '' } = custom;
  const isHere = custom['root_admin'] === 'true' || (account !== undefined && adminable.split(',').includes(account));
  if (roles.includes(ADMINISTRATOR) && isHere) return 'reader';
  // A teacher of a course that is over has no role in it any more, while its recordings are still there.
  const wasTeacher = (custom['concluded'] ?? '').split(',').some((role) => /(?:^|[/#])Instructor$/.test(role.trim()));
  return wasTeacher ? 'reader' : 'none';
}

const PINS = /^v1\.([^.]{22})\.([^.]{43})\.(0|[1-9]\d{0,9})$/;

/** `resource_link.id` is no exam: from a course's navigation it is the course's. */
function pinsOf(exam: string | undefined): ExamPins | undefined {
  const [, examId, ownerHash, minSeq] = PINS.exec(exam ?? '') ?? [];
  if (!idSchema.safeParse(examId).success || !hashSchema.safeParse(ownerHash).success) return undefined;
  return { examId: examId!, ownerHash: ownerHash!, minSeq: Number(minSeq) };
}

export function formatPins({ examId, ownerHash, minSeq }: ExamPins): string {
  return `v1.${examId}.${ownerHash}.${minSeq}`;
}

/** By which an exam's people include a platform's tenant (`Store.publishPolicy`): no identity begins like this. */
export function tenantName({ issuer, clientId, deploymentId }: Tenant): string {
  return `lti ${JSON.stringify([issuer, clientId, deploymentId])}`;
}

/** The content item that stands for an exam in a course, in the platform's hands (Deep Linking 2.0, sections 3 and 4.4). */
export function deepLinkingClaims(
  { deploymentId, data }: { deploymentId: string; data: string | undefined },
  item: { title: string; pins: ExamPins; url: string } | undefined,
): Record<string, unknown> {
  const link = item && {
    type: 'ltiResourceLink',
    title: item.title,
    url: item.url,
    // A frame may use no camera.
    window: { targetName: '_blank' },
    custom: { exam: formatPins(item.pins), ...CUSTOM_FIELDS },
  };
  return {
    [`${LTI_CLAIM}message_type`]: 'LtiDeepLinkingResponse',
    [`${LTI_CLAIM}version`]: '1.3.0',
    [`${LTI_CLAIM}deployment_id`]: deploymentId,
    [`${DEEP_LINKING}content_items`]: link ? [link] : [],
    ...(data !== undefined && { [`${DEEP_LINKING}data`]: data }),
  };
}

/** What a platform is asked to tell with every launch; one that does not know a variable leaves it as it is. */
export const CUSTOM_FIELDS = {
  canvas_account_id: '$Canvas.account.id',
  root_admin: '$Canvas.user.isRootAccountAdmin',
  adminable: '$Canvas.user.adminableAccounts',
  concluded: '$Canvas.membership.concludedRoles',
  masq: '$Canvas.masqueradingUser.id',
} as const;
