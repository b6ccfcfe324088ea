/** An exam out of plain options: what an instructor types becomes a policy and tickets, without any hand-made JSON. */
import { equal, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import type { Signer } from '../../crypto/format/ed25519.ts';
import { encodeEncryptionKey, encodeIdentity, newId, SUITE_BOX, type Suite } from '../../crypto/format/ids.ts';
import { TRACK_KINDS, type TrackKind } from '../../crypto/format/open.ts';
import {
  encodePolicy,
  ownerHash,
  policyRecipient,
  type ParsedPolicy,
  type Policy,
} from '../../crypto/format/policy.ts';
import { randomBytes, type RandomSource } from '../../crypto/format/random.ts';
import { encodeTicket } from '../../crypto/format/ticket.ts';
import { ROLE_ADMINISTRATOR, ROLE_INSTRUCTOR, ROLE_RECOVERY } from '../../crypto/format/wrap.ts';
import { signerFromSeed } from '../../crypto/seal/identity.ts';
import { ClientError } from './errors.ts';
import type { ExamLink, TicketSecret } from './link.ts';
import type { PublicKeyLine } from './public-line.ts';

const ROLES = { instructor: ROLE_INSTRUCTOR, administrator: ROLE_ADMINISTRATOR, recovery: ROLE_RECOVERY } as const;
export type RecipientRole = keyof typeof ROLES;
export const ROLE_NAMES = { 1: 'instructor', 2: 'administrator', 3: 'recovery' } as const;
export type TrackKindName = (typeof TRACK_KINDS)[TrackKind];

export interface ExamRecipient {
  role: RecipientRole;
  /** `zrbox1...` or `zrpq1...` */
  key: string;
  /** `zrid1...` */
  identity: string;
  /** What readers call this recipient. */
  label: string;
}

export interface ExamPlan {
  title: string;
  recipients: readonly ExamRecipient[];
  /** Kinds in the order of their ids, from 1; id 0 is the `about` track. */
  tracks: readonly { kind: TrackKindName; required?: boolean }[];
  notBeforeMs: number;
  notAfterMs: number;
  /** Of the service: origin and vkey. */
  log: Policy['log'];
  /** 1 to 30; default 30. */
  retentionDays?: number;
  /** Deleted after 24 hours. */
  practice?: boolean;
  /** Default: the weakest suite among the recipients. */
  minSuite?: Suite;
  /** Default `ticket`. */
  admission?: Policy['admission'];
  /** Whose launches are admitted; with admission `launch`. */
  platform?: Policy['platform'];
  capture?: Policy['capture'];
  /** Default: a text that says what is captured, who reads it, until when. */
  notice?: string;
  /** Whom a student asks: an office's address, shown with the notice. */
  contact?: string;
}

/** A policy ready to be published, with what goes into the exam's link. */
export interface SignedExam {
  bytes: Bytes;
  policy: Policy;
  /** Without a ticket and without the service's address. */
  pins: Pick<ExamLink, 'examId' | 'ownerHash' | 'minSeq'>;
}

/**
 * Builds and signs a policy. With `previous`, the next version of that exam; its owner must be the same. Throws `policy` for
 * options that no reader would accept, `format` for a key that is none.
 */
export async function signExam(
  plan: ExamPlan,
  owner: Signer,
  previous?: ParsedPolicy,
  random: RandomSource = randomBytes,
): Promise<SignedExam> {
  const recipients: Policy['recipients'] = [];
  for (const { role, key, identity, label } of plan.recipients) {
    recipients.push(await policyRecipient({ role: ROLES[role], pk: key, identity, label }));
  }
  const policy: Policy = {
    v: 1,
    exam_id: previous?.policy.exam_id ?? newId(random),
    title: plan.title,
    seq: previous ? previous.policy.seq + 1 : 0,
    prev_policy_hash: previous ? toBase64Url(previous.policyHash) : null,
    owner: encodeIdentity(owner.publicKey),
    not_before: plan.notBeforeMs,
    not_after: plan.notAfterMs,
    admission: plan.admission ?? 'ticket',
    ...(plan.platform && { platform: plan.platform }),
    min_suite: plan.minSuite ?? weakest(recipients),
    tracks: [{ id: 0, kind: 7, required: false }, ...plan.tracks.map(numberTrack)],
    recipients,
    retention_days: plan.retentionDays ?? 30,
    practice: plan.practice ?? false,
    capture: plan.capture ?? {},
    notice: { text: plan.notice ?? defaultNotice(plan), contact: plan.contact ?? '' },
    log: plan.log,
  };
  const bytes = await encodePolicy(policy, [owner]);
  const pins = { examId: policy.exam_id, ownerHash: await ownerHash(owner.publicKey), minSeq: policy.seq };
  return { bytes, policy, pins };
}

function weakest(recipients: Policy['recipients']): Suite {
  return recipients.reduce<Suite>(
    (floor, { suite }) => (suite < floor ? suite : floor),
    recipients[0]?.suite ?? SUITE_BOX,
  );
}

function numberTrack({ kind, required = true }: ExamPlan['tracks'][number], index: number): Policy['tracks'][number] {
  return { id: index + 1, kind: trackKind(kind), required };
}

/** The number of a kind by its name; throws `track`. */
export function trackKind(name: string): TrackKind {
  const found = Object.entries(TRACK_KINDS).find(([, kindName]) => kindName === name);
  if (!found) throw new ClientError('track', `expected one of ${Object.values(TRACK_KINDS).join(', ')}, found ${name}`);
  return Number(found[0]) as TrackKind;
}

const CAPTURED: Readonly<Record<TrackKindName, string>> = {
  webcam: 'your webcam',
  screen: 'your screen',
  microphone: 'your microphone',
  events: 'events of the exam page, such as leaving the window',
  mixed: 'picture and sound together',
  photo: 'photographs',
  about: 'your name and device',
};

function defaultNotice({ title, tracks, recipients, retentionDays = 30, practice }: ExamPlan): string {
  const captured = tracks.map(({ kind }) => CAPTURED[kind]).join(', ');
  const readers = recipients.map(({ label }) => label).join(', ');
  const life = practice ? '24 hours' : `${retentionDays} days`;
  return [
    `${title}: this exam is recorded.`,
    `What is recorded: ${captured}.`,
    `Who can open it: ${readers}. It is encrypted on this device for them; whoever runs the storage cannot open it.`,
    `How long it is kept: ${life} after it begins. Then it is destroyed, and you can check that it was with your receipt.`,
    practice ? 'This is a practice run: nothing in it counts.' : 'Pressing Start acknowledges that you have read this.',
  ].join('\n');
}

/** A reader as a plan names it, out of the line that the reader handed over. */
export function examRecipient(
  role: RecipientRole,
  { identity, suite, publicKey, label }: PublicKeyLine,
): ExamRecipient {
  return { role, key: encodeEncryptionKey(suite, publicKey), identity: encodeIdentity(identity), label: label || role };
}

/** A reader of a policy, to be put into its next version. */
export function recipientOf({ role, pk, identity, label }: Policy['recipients'][number]): ExamRecipient {
  return { role: ROLE_NAMES[role], key: pk, identity, label };
}

/** What another key signs, no recorder accepts: better told here than to 120 students. Throws `not-owner`. */
export async function requireOwner(identityKey: Bytes, pins: Pick<ExamLink, 'ownerHash'>): Promise<void> {
  if (equal(await ownerHash(identityKey), pins.ownerHash)) return;
  throw new ClientError('not-owner', 'this key is not the one of the exam’s owner', {
    hint: 'use the key that the exam was made with',
  });
}

/** The plan that the newest policy came from, to be signed again with a change. */
export function planOf({ policy }: ParsedPolicy): Omit<ExamPlan, 'recipients'> {
  return {
    title: policy.title,
    tracks: policy.tracks
      .filter(({ id }) => id !== 0)
      .map(({ kind, required: isRequired }) => ({ kind: TRACK_KINDS[kind], required: isRequired })),
    notBeforeMs: policy.not_before,
    notAfterMs: policy.not_after,
    log: policy.log,
    retentionDays: policy.retention_days,
    practice: policy.practice,
    minSuite: policy.min_suite,
    admission: policy.admission,
    platform: policy.platform,
    capture: policy.capture,
    notice: policy.notice.text,
    contact: policy.notice.contact,
  };
}

export interface TicketPlan {
  examId: string;
  /** Opaque: a number or a pseudonym, never a name, because the server sees it. */
  seat: string;
  expiresMs: number;
  /** Plain members, e.g. `{ extra_minutes: 30 }`. */
  accommodations?: Readonly<Record<string, boolean | number | string>>;
}

/** One seat ticket, to be put into one student's link. */
export async function issueTicket(
  plan: TicketPlan,
  owner: Signer,
  random: RandomSource = randomBytes,
): Promise<TicketSecret> {
  const seed = random(32);
  const { publicKey: ticketKey } = await signerFromSeed(seed);
  const { examId, seat, expiresMs, accommodations } = plan;
  const fields = {
    examId,
    seat,
    ticketKey,
    expiresMs,
    accommodations: accommodations ? JSON.stringify(accommodations) : '',
  };
  return { ticket: await encodeTicket(fields, owner), seed };
}
