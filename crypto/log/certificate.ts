import { base64 } from '@scure/base';
import { z } from 'zod';
import { fromUtf8, utf8 } from '../format/bytes.ts';
import { ProtocolError } from '../format/errors.ts';
import type { AuditItem } from './audit.ts';
import { openCheckpoint, type OpenedCheckpoint } from './checkpoint.ts';
import { decodeEntry, deleteByOf, type LogEntry, type LogEntryOf } from './entry.ts';
import { type Finding, instant } from './finding.ts';
import { parseVkey } from './note.ts';
import { isAboutRecording, Obligation, type ObligationState } from './obligation.ts';
import { encodeProof, parseProof } from './proof.ts';
import { leafHash, proveInclusion, type ReadHashes, verifyInclusion } from './tree.ts';

const FORMAT = 'zeroreel-certificate/v1';
/** Far above any honest life, so that nobody can keep a student from a certificate by releasing the keys again and again. */
const MAX_ENTRIES = 4096;
const MAX_CERTIFICATE_LENGTH = 16_777_216;

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

/** An entry's exact bytes and its C2SP tlog-proof, as `GET /v1/receipts/...` gives them. */
export interface ProvenEntry {
  readonly bytes: Uint8Array;
  readonly proof: string;
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
  const proven = entries.map(async ({ index, bytes }) => {
    const hashes = await proveInclusion(index, size, read);
    return { bytes, proof: encodeProof({ index, hashes, checkpoint }) };
  });
  return encodeCertificate(await Promise.all(proven), vkey);
}

/** The certificate out of entries that come with their proofs, all against one checkpoint. Throws `log` where they do not verify. */
export async function encodeCertificate(entries: readonly ProvenEntry[], vkey: string): Promise<string> {
  const lines = entries.map(({ bytes, proof }) => ({ entry: fromUtf8(bytes), proof }));
  const text = `${JSON.stringify({ format: FORMAT, vkey, entries: lines }, null, 1)}\n`;
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
 * proves only that somebody made a consistent file. `witnesses`: vkeys (type 4) whose cosignatures are told, and must hold.
 */
export async function verifyCertificate(
  text: string,
  vkey: string | undefined,
  witnesses: readonly string[] = [],
): Promise<CertificateStatement> {
  const certificate = parseCertificate(text);
  if (vkey !== undefined && certificate.vkey !== vkey) {
    throw new ProtocolError('log', 'the certificate is of another log, or of another key of this log');
  }
  const note = parseProof(certificate.entries[0]!.proof).checkpoint;
  const checkpoint = await openCheckpoint(note, certificate.vkey, parseVkey(certificate.vkey).name, witnesses);
  const story = new Story();
  let newest = -1;
  for (const { entry: entryText, proof } of certificate.entries) {
    const { index, hashes, checkpoint: under } = parseProof(proof);
    // One checkpoint under all: its signature is verified once, and no two views of the log can be mixed.
    if (under !== note) throw new ProtocolError('log', 'the proofs lead to several checkpoints');
    const bytes = utf8(entryText);
    verifyInclusion(leafHash(bytes), index, checkpoint.size, hashes, checkpoint.root);
    if (index <= newest) throw new ProtocolError('log', 'the entries are not in the order of the log');
    newest = index;
    story.accept(decodeEntry(bytes), index);
  }
  return story.end(checkpoint, vkey !== undefined);
}

/** What the entries of a certificate tell, once their proofs hold. Throws `log` for an entry that does not belong. */
class Story {
  #policy: LogEntryOf<'policy.published'> | undefined;
  #opening: LogEntryOf<'recording.opened'> | undefined;
  #obligation: Obligation | undefined;
  readonly #anomalies = new Map<string, Finding>();
  readonly #findings: Finding[] = [];

  accept(entry: LogEntry, index: number): void {
    const obligation = this.#obligation;
    if (!obligation) {
      if (entry.type === 'policy.published' && !this.#policy) {
        this.#policy = entry;
        return;
      }
      if (entry.type === 'recording.opened') {
        this.#opening = entry;
        this.#obligation = new Obligation(entry, index);
        return;
      }
    } else if (isAboutRecording(entry) && entry.recording === obligation.recording) {
      this.#findings.push(...obligation.accept(entry, index));
      return;
    } else if (entry.type === 'anomaly.found' && entry.recording === obligation.recording) {
      const { at, anomaly, kind, count, recording } = entry;
      const message = `recording ${recording}: anomaly ${anomaly} was found (${kind}, ${count})`;
      this.#anomalies.set(anomaly, { severity: 'exception', code: 'anomaly-open', index, recording, at, message });
      return;
    } else if (entry.type === 'anomaly.closed' && this.#anomalies.delete(entry.anomaly)) {
      return;
    }
    throw new ProtocolError('log', `${entry.type} has no place in this certificate`);
  }

  end(checkpoint: OpenedCheckpoint, isPinned: boolean): CertificateStatement {
    const obligation = this.#obligation;
    const opening = this.#opening;
    if (!obligation || !opening) throw new ProtocolError('log', 'expected recording.opened in the certificate');
    if (this.#policy && this.#policy.policy_hash !== opening.policy_hash) {
      throw new ProtocolError('log', 'the recording was opened under another policy than the certificate holds');
    }
    const { recording, exam, opened, deleteBy, completed, verified, releases } = obligation;
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
      findings: [...this.#findings, ...this.#anomalies.values()],
      proven: provenBy(obligation, opening, this.#policy, checkpoint),
      notProven: notProvenBy(obligation, isPinned),
    };
  }
}

function provenBy(
  { recording, exam, opened, deleteBy, isErasure, completed, verified }: Obligation,
  opening: LogEntryOf<'recording.opened'>,
  policy: LogEntryOf<'policy.published'> | undefined,
  checkpoint: OpenedCheckpoint,
): string[] {
  const sentences = [
    `The log ${checkpoint.origin}, at ${checkpoint.size} entries, holds all that follows; it cannot take any of it back.`,
    `Recording ${recording} of exam ${exam} was opened at ${instant(opened)}, to be destroyed by ${instant(deleteBy)}.`,
  ];
  if (policy && deleteByOf(opened, policy) === opening.delete_by) {
    const term = policy.practice ? '24 hours of a practice recording' : `${policy.retention_days} days of its policy`;
    sentences.push(`That is the ${term}${isErasure ? ', brought forward by an erasure' : ''}.`);
  }
  if (completed) {
    const { at, objects, bytes, shares, wraps, vault_horizon } = completed;
    sentences.push(
      `The operator signed that at ${instant(at)} ${objects} objects of ${bytes} bytes were destroyed, with ${shares} shred shares and ${wraps} wraps.`,
      `It signed that from ${instant(vault_horizon)} no backup holds a shred share: then no key opens what anybody may still have of it.`,
    );
  }
  if (verified !== undefined) {
    sentences.push(
      `It signed that at ${instant(verified)}, when uploads could no longer be under way, a listing was empty.`,
    );
  }
  for (const { key, time } of checkpoint.cosignatures) {
    sentences.push(
      `Witness ${key.name} signed at ${instant((time ?? 0) * 1000)} that it had seen this log grow to that size.`,
    );
  }
  return sentences;
}

function notProvenBy({ completed, verified }: Obligation, isPinned: boolean): string[] {
  const sentences: string[] = [];
  if (!completed) sentences.push('That it was destroyed: the log of this size says nothing of it.');
  else if (verified === undefined) sentences.push('That nothing came back: a second look is not in the log yet.');
  sentences.push(
    'That no other copy exists outside the service: a reader to whom the keys were released could have kept one.',
    'That the machines did what the operator signed: a signature makes a false statement lasting evidence, not impossible.',
    'That the clocks were honest, beyond the times at which witnesses cosigned.',
    'That the log holds no other entry about this recording: auditing the whole log shows that.',
  );
  if (!isPinned) sentences.push('That this is the log of the service: its key was taken from the certificate itself.');
  return sentences;
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
