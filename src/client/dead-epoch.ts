/** An epoch whose recorder is gone: what it left in the outbox is uploaded and its last words are released, without any key. */
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { headHash, parseHead } from '../../crypto/format/head.ts';
import type { Api } from './api.ts';
import { ApiError, ClientError } from './errors.ts';
import type { Outbox, OutboxEpoch, OutboxHeads } from './outbox.ts';
import { persistently } from './patience.ts';
import type { QuotaWatch } from './quota.ts';
import { countsOf, releaseHead } from './release-head.ts';
import type { Changes } from './turns.ts';
import { Uploader } from './uploader.ts';

export interface DeadEpochOptions {
  api: Api;
  outbox: Outbox;
  recordingId: string;
  epoch: OutboxEpoch;
  vkey: string;
  changes: Changes;
  quota: QuotaWatch;
  signal: AbortSignal;
  concurrency?: number | undefined;
}

/** The head that the next epoch continues from: the last that this one will ever release. */
export function lastWords(heads: OutboxHeads): Bytes {
  const last = heads.tails.at(-1) ?? heads.sent;
  if (!last) throw new ClientError('outbox-damaged', 'the outbox holds no head of an epoch that was opened');
  return last;
}

/** Whether OPEN reached the server, which the crashed process never learnt. Throws `unreachable` where nobody answers. */
export async function isRegistered(
  api: Api,
  recordingId: string,
  { epoch, uploadToken }: OutboxEpoch,
): Promise<boolean> {
  try {
    await api.status(recordingId, epoch, uploadToken);
    return true;
  } catch (error) {
    if (error instanceof ApiError && (error.status === 401 || error.status === 404)) return false;
    throw error;
  }
}

/**
 * Uploads the epoch's chunks and releases its heads in order, as [Note: one head per number] allows: `sent` again, then each
 * tail, made `sent` before it goes. A crash at any point leaves a state from which this function goes on. Answers the last
 * receipt. `onUploader` is handed the uploader, for progress.
 */
export async function drainEpoch(options: DeadEpochOptions, onUploader: (uploader: Uploader) => void): Promise<Bytes> {
  const { api, outbox, recordingId, signal } = options;
  const { epoch, uploadToken } = options.epoch;
  const status = await persistently(api, signal, () => api.status(recordingId, epoch, uploadToken, signal));
  const heads = await outbox.heads(epoch);
  if (!heads) throw new ClientError('outbox-damaged', `the outbox holds no head of epoch ${epoch}`);
  const pending = await unreleased(heads, status.head?.head_hash);

  const covered = new Map(status.tracks.map(({ track, count }) => [track, count]));
  await outbox.release(epoch, covered);
  const uploader = new Uploader({ ...options, epoch, uploadToken, covered });
  onUploader(uploader);
  for (const chunk of await outbox.chunks(epoch)) uploader.add(chunk);

  let receipt: Bytes | undefined;
  for (const [index, head] of pending.entries()) {
    const tails = pending.slice(index + 1);
    await outbox.saveHeads(epoch, { sent: head, receipt: null, tails });
    ({ bytes: receipt } = await releaseHead({ ...options, uploadToken, uploader }, head));
    await outbox.saveHeads(epoch, { sent: head, receipt, tails });
    const counts = countsOf(parseHead(head));
    await outbox.release(epoch, counts);
    uploader.cover(counts);
    options.changes.notify();
  }
  return receipt!;
}

/** What is still to be posted, in order; the head that the server has is posted again for its receipt, which may be lost. */
async function unreleased({ sent, tails }: OutboxHeads, serverHash: string | undefined): Promise<Bytes[]> {
  const line = sent ? [sent, ...tails] : tails;
  if (serverHash === undefined) return line;
  // `sent` was made durable and never arrived: then the server holds the one before it.
  const [first] = line;
  if (first && toBase64Url(parseHead(first).prev) === serverHash) return line;
  for (const [index, head] of line.entries()) {
    if (toBase64Url(await headHash(parseHead(head))) === serverHash) return line.slice(index);
  }
  throw new ClientError('outbox-damaged', 'the server holds a head of this epoch that the outbox does not know', {
    hint: 'was this folder copied, or restored from a backup? two recorders must never share one recording',
  });
}
