/** A signed policy and a ticket, as a student reads them. */
import { decodeEncryptionKey, decodeIdentity, fingerprint, IDENTITY_SUITE } from '../../../crypto/format/ids.ts';
import { TRACK_KINDS } from '../../../crypto/format/open.ts';
import type { Policy } from '../../../crypto/format/policy.ts';
import { parseTicket } from '../../../crypto/format/ticket.ts';
import { parseAccommodations } from '../../../schema/events.ts';
import type { ExamLink } from '../../client/link.ts';
import type { ExamView, ReaderView } from './messages.ts';
import { pageRules } from './rules.ts';

const ROLES = { 1: 'instructor', 2: 'administrator', 3: 'recovery' } as const;

export async function viewExam(policy: Policy, { ticket }: ExamLink): Promise<ExamView> {
  const seat = ticket && parseTicket(ticket.ticket);
  const accommodations = parseAccommodations(seat?.accommodations ?? '');
  const readers: ReaderView[] = [];
  for (const { label, role, pk } of policy.recipients) {
    const { suite, publicKey } = decodeEncryptionKey(pk);
    readers.push({ label, role: ROLES[role], fingerprint: await fingerprint(suite, publicKey) });
  }
  return {
    title: policy.title,
    isPractice: policy.practice,
    retentionDays: policy.retention_days,
    notice: policy.notice.text,
    contact: policy.notice.contact,
    readers,
    ownerFingerprint: await fingerprint(IDENTITY_SUITE, decodeIdentity(policy.owner)),
    tracks: policy.tracks.map(({ id, kind, required }) => ({
      track: id,
      kind: TRACK_KINDS[kind],
      isRequired: required,
      isOff: accommodations.tracksOff.includes(TRACK_KINDS[kind]),
    })),
    ...pageRules(policy, accommodations),
    accommodations,
    seat: seat?.seat ?? null,
    notBeforeMs: policy.not_before,
    notAfterMs: policy.not_after,
  };
}
