/** What a student does with a receipt: asks what became of the recording, and checks the answer offline. */
import { fromBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { parseReceipt, verifyReceipt, type ReceiptRecord } from '../../crypto/format/receipt.ts';
import { encodeCertificate, verifyCertificate, type CertificateStatement } from '../../crypto/log/certificate.ts';
import { parseVkey } from '../../crypto/log/note.ts';
import type { Api } from './api.ts';
import { ClientError } from './errors.ts';

export interface ReceiptOutcome {
  /** A file to keep: it proves the statement without the service. */
  certificate: string;
  statement: CertificateStatement;
}

/**
 * Fetches the log's entries about a recording with their proofs and verifies them with the pinned `vkey` (of the receipt or
 * the exam's policy, never of the answer). Throws `log` for a proof that does not hold, `answer` while the log has published
 * nothing of the recording.
 */
export async function certificateFromProofs(api: Api, recordingId: string, vkey: string): Promise<ReceiptOutcome> {
  const { entries } = await api.receipt(recordingId);
  const proven = entries.flatMap(({ entry, proof }) =>
    proof === null ? [] : [{ bytes: fromBase64Url(entry), proof }],
  );
  if (proven.length === 0) {
    throw new ClientError('answer', 'the log has published nothing of this recording yet', {
      hint: 'entries are published within a second; ask again',
    });
  }
  const certificate = await encodeCertificate(proven, vkey);
  const statement = await verifyCertificate(certificate, vkey);
  if (statement.recording !== recordingId) {
    throw new ProtocolError('identity', 'the certificate is about another recording');
  }
  return { certificate, statement };
}

/** Parses a kept receipt (ZRRC) and verifies the log's signature; throws `format`, `length`, `key` or `signature`. */
export async function checkKeptReceipt(bytes: Bytes, vkey: string): Promise<ReceiptRecord> {
  const receipt = parseReceipt(bytes);
  await verifyReceipt(receipt, parseVkey(vkey).publicKey);
  return receipt;
}

/**
 * Holds what the server once signed against what the log proves now: the same recording, and a deletion date that was only
 * ever brought forward. Throws `equivocation` where the two cannot both be honest.
 */
export function compareReceipt(receipt: ReceiptRecord, statement: CertificateStatement): void {
  if (receipt.sessionId !== statement.recording) {
    throw new ProtocolError('identity', 'the receipt is about another recording than the certificate');
  }
  if (statement.deleteBy > receipt.deleteByMs) {
    throw new ProtocolError('equivocation', 'the log promises a later deletion than the receipt');
  }
}
