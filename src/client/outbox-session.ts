/** What the next process reads out of an outbox before it does anything. */
import type { Bytes } from '../../crypto/format/bytes.ts';
import { headHash, parseHead } from '../../crypto/format/head.ts';
import type { Api } from './api.ts';
import { isRegistered, lastWords } from './dead-epoch.ts';
import { ClientError } from './errors.ts';
import type { Outbox, OutboxSession } from './outbox.ts';

/** Throws `outbox-used` where there is none. */
export async function requireSession(outbox: Outbox): Promise<OutboxSession> {
  const session = await outbox.session();
  if (!session || session.epochs.length === 0)
    throw new ClientError('outbox-used', 'the outbox holds no recording to resume');
  return session;
}

/** What the next epoch's OPEN names as prev_head. */
export async function hashOfLastWords(outbox: Outbox, epoch: number): Promise<Bytes> {
  const heads = await outbox.heads(epoch);
  if (!heads) throw new ClientError('outbox-damaged', `the outbox holds no head of epoch ${epoch}`);
  return headHash(parseHead(lastWords(heads)));
}

/** Whether the newest epoch's closing head may have been released: then nothing can be recorded any more. */
export async function isClosing(outbox: Outbox, session: OutboxSession): Promise<boolean> {
  const newest = session.epochs.at(-1);
  const heads = newest && (await outbox.heads(newest.epoch));
  return heads?.sent ? parseHead(heads.sent).isClose : false;
}

/** An OPEN of unknown fate either stands, and its epoch is drained like any other, or it never arrived and its number is free. */
export async function withoutUnregistered(api: Api, session: OutboxSession): Promise<OutboxSession> {
  const newest = session.epochs.at(-1);
  if (newest?.state !== 'opening') return session;
  const stands = await isRegistered(api, session.recordingId, newest);
  const others = session.epochs.slice(0, -1);
  return { ...session, epochs: stands ? [...others, { ...newest, state: 'open' }] : others };
}

/** Chunks of an epoch by its heads: those that its last words count, and those that a receipt covers. */
export async function countChunks(outbox: Outbox, epoch: number): Promise<{ sealed: number; stored: number }> {
  const heads = await outbox.heads(epoch);
  if (!heads) return { sealed: 0, stored: 0 };
  const total = (head: Bytes | null) => (head ? parseHead(head).tracks.reduce((sum, { count }) => sum + count, 0) : 0);
  return { sealed: total(lastWords(heads)), stored: heads.receipt ? total(heads.sent) : 0 };
}
