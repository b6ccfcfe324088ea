/** Posting one head until its receipt is here: the same bytes, as often as it takes. */
import { z } from 'zod';
import { equal, fromBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { headHash, parseHead, type HeadRecord } from '../../crypto/format/head.ts';
import { parseReceipt, RECEIPT_CLOSED, verifyReceipt, type ReceiptRecord } from '../../crypto/format/receipt.ts';
import { parseVkey } from '../../crypto/log/note.ts';
import type { Api } from './api.ts';
import { ApiError, ClientError } from './errors.ts';
import type { Outbox } from './outbox.ts';
import { isTransient, pauseAfter } from './patience.ts';
import type { Changes } from './turns.ts';
import type { Uploader } from './uploader.ts';

export interface HeadReleaseOptions {
  api: Api;
  /** Holds the day of deletion that was promised at OPEN. */
  outbox: Outbox;
  recordingId: string;
  uploadToken: string;
  /** The policy's vkey: who signs receipts. */
  vkey: string;
  uploader: Uploader;
  changes: Changes;
  signal: AbortSignal;
}

const missingSchema = z.array(z.object({ track: z.int(), seq: z.int() }));

export function countsOf(head: Pick<HeadRecord, 'tracks'>): Map<number, number> {
  return new Map(head.tracks.map(({ track, count }) => [track, count]));
}

/** Resolves when every chunk that `counts` counts is known to be stored; throws the uploader's failure, or `ended`. */
export async function untilStored(
  { uploader, changes, signal }: Pick<HeadReleaseOptions, 'uploader' | 'changes' | 'signal'>,
  counts: ReadonlyMap<number, number>,
): Promise<void> {
  for (;;) {
    const change = changes.next();
    if (uploader.failure) throw uploader.failure;
    if (uploader.isExhausted && !isStored(uploader, counts))
      throw new ClientError('quota', 'the service takes no more of this recording');
    if (signal.aborted) throw new ClientError('ended', 'the recorder was stopped');
    if (isStored(uploader, counts)) return;
    await change;
  }
}

function isStored(uploader: Uploader, counts: ReadonlyMap<number, number>): boolean {
  const stored = uploader.storedCounts();
  return [...counts].every(([track, count]) => (stored.get(track) ?? 0) >= count);
}

/**
 * Posts a head, which the outbox already holds as `sent`, and answers the verified receipt. What the server's listing does
 * not have is uploaded again first. Throws a refusal that repeating cannot change, `signature` for a receipt that the log's
 * key did not sign, `answer` for one that is about something else, `equivocation` for one that puts the deletion off.
 */
export async function releaseHead(
  options: HeadReleaseOptions,
  head: Bytes,
): Promise<{ bytes: Bytes; receipt: ReceiptRecord }> {
  const { api, recordingId, uploadToken, uploader, signal } = options;
  const record = parseHead(head);
  for (let attempt = 0; ; attempt++) {
    await untilStored(options, countsOf(record));
    try {
      const answer = await api.head(recordingId, uploadToken, head, signal, uploader.waitedMs);
      const bytes = fromBase64Url(answer.receipt);
      const receipt = await checkReceipt(bytes, record, options.vkey);
      requirePromiseKept((await options.outbox.session())?.deleteByMs ?? null, receipt.deleteByMs);
      return { bytes, receipt };
    } catch (error) {
      if (signal.aborted) throw new ClientError('ended', 'the recorder was stopped', { cause: error });
      const missing =
        error instanceof ApiError && error.code === 'chunks-missing' ? error.extensions['missing'] : undefined;
      const parsed = missingSchema.safeParse(missing);
      if (parsed.success) uploader.resend(parsed.data);
      else if (!isTransient(error)) throw error;
      options.changes.notify();
      await pauseAfter(api, attempt, signal);
    }
  }
}

async function checkReceipt(bytes: Bytes, head: HeadRecord, vkey: string): Promise<ReceiptRecord> {
  const receipt = parseReceipt(bytes);
  await verifyReceipt(receipt, parseVkey(vkey).publicKey);
  const isSame =
    receipt.sessionId === head.sessionId &&
    receipt.epoch === head.epoch &&
    receipt.headSeq === head.headSeq &&
    equal(receipt.headHash, await headHash(head));
  if (!isSame) throw new ClientError('answer', 'the receipt is for another head than the one that was sent');
  return receipt;
}

/**
 * Throws `equivocation` where the server now names a later day of deletion than it did at OPEN, where it was null before; both ms. An
 * earlier day is no broken promise: an erasure brings it forward.
 */
export function requirePromiseKept(promisedMs: number | null, toldMs: number): void {
  if (promisedMs === null || toldMs <= promisedMs) return;
  const [promised, told] = [promisedMs, toldMs].map((ms) => new Date(ms).toISOString());
  throw new ProtocolError('equivocation', `the server promised deletion by ${promised}, and now says ${told}`);
}

export function isClosed(receipt: Pick<ReceiptRecord, 'state'>): boolean {
  return receipt.state === RECEIPT_CLOSED;
}
