import { base64 } from '@scure/base';
import { z } from 'zod';
import { fromUtf8, utf8 } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import type { AuditItem } from './audit.ts';
import { openCheckpoint, type OpenedCheckpoint } from './checkpoint.ts';
import { decodeEntry, deleteByOf, type LogEntryOf } from './entry.ts';
import { type Finding, instant } from './finding.ts';
import { parseVkey } from './note.ts';
import { isAboutRecording, Obligation, type ObligationState } from './obligation.ts';
import { encodeProof, parseProof, verifyProof } from './proof.ts';
import { proveInclusion, type ReadHashes } from './tree.ts';

const FORMAT = 'zeroreel-certificate/v1';
/** Openings, releases and the rest of one recording; a busier one is checked from the log itself. */
const MAX_ENTRIES = 256;
const MAX_CERTIFICATE_LENGTH = 4_194_304;

/** A file that a student keeps: the recording's entries as they are in the log, each with a C2SP tlog-proof against one checkpoint. */
const certificateSchema = z.strictObject({
  format: z.literal(FORMAT),
  vkey: z.string(),
  entries: z
    .array(z.strictObject({ entry: z.string(), proof: z.string() }))
    .min(1)
    .max(MAX_ENTRIES),
});

/** What a verified certificate says. Times in ms. */
export interface CertificateStatement {
  readonly recording: string;
  readonly exam: string;
  /** The log's name and the tree that all proofs lead to. */
  readonly checkpoint: OpenedCheckpoint;
  readonly state: ObligationState;
  readonly opened: number;
  readonly deleteBy: number;
  readonly deleted: number | null;
  readonly objects: number | null;
  readonly bytes: number | null;
  readonly verified: number | null;
  /** From here no backup of the vault can hold the share: the deletion is final. */
  readonly finalFrom: number | null;
  /** How many releases of its keys to readers the certificate shows. */
  readonly releases: number;
  /** What the entries themselves show to be wrong: a late deletion, one before its time, an access after it. */
  readonly findings: readonly Finding[];
  /** Sentences, each of which follows from the proofs. */
  readonly proven: readonly string[];
  /** Sentences that no certificate can prove; always shown with it. */
  readonly notProven: readonly string[];
}

/**
 * Makes the certificate (before deletion: the receipt) of one recording from its entries in log order; the
 * `policy.published` that it was opened under may be among them and lets the reader recompute `delete_by`. `read` gives the
 * node hashes of the tree that `checkpoint`, a signed note by `vkey`, describes.
 */
export async function makeCertificate(
  entries: readonly AuditItem[],
  checkpoint: string,
  vkey: string,
  read: ReadHashes,
): Promise<string> {
  const { size } = await openCheckpoint(checkpoint, vkey, parseVkey(vkey).name);
  const proven = await Promise.all(
    entries.map(async ({ index, bytes }) => ({
      entry: fromUtf8(bytes),
      proof: encodeProof({ index, hashes: await proveInclusion(index, size, read), checkpoint }),
    })),
  );
  const text = `${JSON.stringify({ format: FORMAT, vkey, entries: proven }, null, 1)}\n`;
  await verifyCertificate(text, vkey); // what cannot be verified is not handed out
  return text;
}

function parseCertificate(text: string): z.infer<typeof certificateSchema> {
  if (text.length > MAX_CERTIFICATE_LENGTH) throw new ProtocolError('log', 'the certificate is too long');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ProtocolError('log', 'expected a certificate in JSON');
  }
  const parsed = certificateSchema.safeParse(value);
  if (!parsed.success) throw new ProtocolError('log', `expected a certificate of format ${FORMAT}`);
  return parsed.data;
}

/**
 * Verifies a certificate offline: every entry's proof, one checkpoint under all of them, one recording, log order. Throws
 * `log` where any of that fails; a truthful certificate of a broken promise verifies, and its findings say what was broken.
 * `vkey` is the log's key from the receipt or the exam's policy. Without it the certificate's own key is believed, which
 * proves only that somebody made a consistent file.
 */
export async function verifyCertificate(text: string, vkey: string | undefined): Promise<CertificateStatement> {
  const certificate = parseCertificate(text);
  if (vkey !== undefined && certificate.vkey !== vkey) {
    throw new ProtocolError('log', 'the certificate is of another log, or of another key of this log');
  }
  const note = parseProof(certificate.entries[0]!.proof).checkpoint;
  const checkpoint = await openCheckpoint(note, certificate.vkey, parseVkey(certificate.vkey).name);
  let policy: LogEntryOf<'policy.published'> | undefined;
  let opening: LogEntryOf<'recording.opened'> | undefined;
  let obligation: Obligation | undefined;
  const findings: Finding[] = [];
  let newest = -1;
  for (const { entry: entryText, proof } of certificate.entries) {
    if (parseProof(proof).checkpoint !== note) throw new ProtocolError('log', 'the proofs lead to several checkpoints');
    const bytes = utf8(entryText);
    const { index } = await verifyProof(bytes, proof, certificate.vkey);
    if (index <= newest) throw new ProtocolError('log', 'the entries are not in the order of the log');
    newest = index;
    const entry = decodeEntry(bytes);
    if (entry.type === 'policy.published' && !policy && !obligation) {
      policy = entry;
    } else if (entry.type === 'recording.opened' && !obligation) {
      opening = entry;
      obligation = new Obligation(entry, index);
    } else if (isAboutRecording(entry) && obligation?.recording === entry.recording) {
      findings.push(...obligation.accept(entry, index));
    } else {
      throw new ProtocolError('log', `${entry.type} has no place in this certificate`);
    }
  }
  if (!obligation || !opening) throw new ProtocolError('log', 'expected recording.opened in the certificate');
  if (policy && policy.policy_hash !== opening.policy_hash) {
    throw new ProtocolError('log', 'the recording was opened under another policy than the certificate holds');
  }
  return state(obligation, opening, policy, checkpoint, findings, vkey !== undefined);
}

function state(
  obligation: Obligation,
  opening: LogEntryOf<'recording.opened'>,
  policy: LogEntryOf<'policy.published'> | undefined,
  checkpoint: OpenedCheckpoint,
  findings: readonly Finding[],
  isPinned: boolean,
): CertificateStatement {
  const { recording, exam, opened, deleteBy, completed, verified, releases } = obligation;
  const proven = [
    `The log ${checkpoint.origin}, at ${checkpoint.size} entries, holds all that follows; it cannot take any of it back.`,
    `Recording ${recording} of exam ${exam} was opened at ${instant(opened)}, to be destroyed by ${instant(deleteBy)}.`,
  ];
  const notProven: string[] = [];
  if (policy && deleteByOf(opened, policy) === opening.delete_by) {
    proven.push(
      policy.practice
        ? 'That is the 24 hours of a practice recording.'
        : `That is the ${policy.retention_days} days of the policy it was opened under${obligation.isErasure ? ', brought forward by an erasure' : ''}.`,
    );
  }
  if (completed) {
    proven.push(
      `The operator signed that at ${instant(completed.at)} ${completed.objects} objects of ${completed.bytes} bytes were destroyed, with ${completed.shares} shred shares and ${completed.wraps} wraps.`,
      `It named ${instant(completed.vault_horizon)} as the time from which no backup can hold a shred share: from then on no key opens what anybody may still have of it.`,
    );
  }
  if (verified !== undefined) {
    proven.push(
      `It signed that at ${instant(verified)}, when no upload could be under way any more, a listing was empty.`,
    );
  }
  if (!completed) notProven.push('That it was destroyed: the log of this size says nothing of it yet.');
  else if (verified === undefined) notProven.push('That nothing came back: the second look is not in the log yet.');
  notProven.push(
    'That no other copy exists outside the service: a reader to whom the keys were released could have kept one.',
    'That the operator’s machines did what it signed: the signature makes a false statement lasting evidence, not impossible.',
    'That the clocks were honest, beyond the times at which witnesses cosigned.',
    'That the log holds no other entry about this recording: auditing the whole log shows that.',
  );
  if (!isPinned) notProven.push('That this is the service’s log: its key was taken from the certificate itself.');
  return {
    recording,
    exam,
    checkpoint,
    state: obligation.state,
    opened,
    deleteBy,
    deleted: completed?.at ?? null,
    objects: completed?.objects ?? null,
    bytes: completed?.bytes ?? null,
    verified: verified ?? null,
    finalFrom: completed?.vault_horizon ?? null,
    releases,
    findings,
    proven,
    notProven,
  };
}

/** The statement as text for people, with what it does not prove. */
export function describeStatement(statement: CertificateStatement): string {
  const { proven, findings, notProven, checkpoint } = statement;
  return [
    'Proven:',
    ...proven.map((sentence) => `  ${sentence}`),
    ...(findings.length > 0
      ? ['Wrong, as the entries themselves show:', ...findings.map(({ message }) => `  ${message}`)]
      : []),
    'Not proven:',
    ...notProven.map((sentence) => `  ${sentence}`),
    `Checkpoint: ${checkpoint.size} entries, root ${base64.encode(checkpoint.root)}`,
    '',
  ].join('\n');
}
