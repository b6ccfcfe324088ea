/**
 * The life of a recording, top to bottom: open, upload, head and close. Who may then read it is `review.ts`; its death is
 * `jobs/purge.ts`.
 *
 * The server sees ciphertext sizes, hashes and signatures. Every step checks what can be checked without a key, writes
 * rows and log entry in one atomic commit, and only then answers; a repeated call gets the same answer.
 */
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { equal, fromBase64Url, toBase64Url } from '../../../crypto/format/bytes.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import {
  checkSuccessor,
  headHash,
  type HeadRecord,
  parseHead,
  REASONS,
  verifyHead,
} from '../../../crypto/format/head.ts';
import { parseOpen, verifyOpen } from '../../../crypto/format/open.ts';
import { parsePolicy } from '../../../crypto/format/policy.ts';
import { encodeReceipt, RECEIPT_CLOSED, RECEIPT_OPEN } from '../../../crypto/format/receipt.ts';
import * as api from '../../../schema/api.ts';
import { objectKey, recordingPrefix, trackPrefix } from '../core/names.ts';
import { openEpoch, type Opening, openRecording, verifyOpening } from '../core/opening.ts';
import { freshBytes, limitNear, quotaReached, type Quotas } from '../core/quota.ts';
import { URL_LIFE_SECONDS } from '../core/retention.ts';
import { tally } from '../core/tally.ts';
import {
  type Claim,
  claimsOf,
  confirm,
  planUploads,
  requireExisting,
  requireSameContent,
  requireUploading,
} from '../core/uploading.ts';
import { ServerError } from '../errors.ts';
import { createBodyCheck, requireAttested } from '../jobs/attest.ts';
import { reportAnomaly } from '../jobs/anomaly.ts';
import type { Ports } from '../ports.ts';
import { logSigner } from '../signing.ts';
import { type EpochRow, type PendingRow, type RecordingRow, StoreError, type TrackRow } from '../store.ts';
import { bearerHash, tokenHash } from './access.ts';
import { type Limiter, takeOrRefuse } from './limits.ts';
import { createLogKeys } from './log-keys.ts';
import { idParameter, numberParameter, outboxAgeOf, readJson, SECRET } from './request.ts';
import { createRoom } from './room.ts';

interface EpochView {
  recording: RecordingRow;
  epoch: EpochRow;
  tracks: TrackRow[];
}

interface RecordingOptions {
  /** As `AppOptions` has it. */
  isAttestedFirst?: boolean;
  /** Counts the openings under each seat ticket. */
  limiter?: Limiter | undefined;
  /** As `AppOptions` has it. */
  quotas?: Quotas | undefined;
  /** As `AppOptions` has it. */
  addressOf?: (c: Context) => string | undefined;
}

export function recordingRoutes(
  ports: Ports,
  { isAttestedFirst = false, limiter, quotas, addressOf = () => undefined }: RecordingOptions = {},
): Hono {
  const { store, vault, bucket, clock, telemetry } = ports;
  const findAltered = createBodyCheck(ports);
  const keys = createLogKeys(ports);
  const room = createRoom(store);
  const routes = new Hono();

  // ---- 1. open: the obligation to delete is in the log before the first byte can be uploaded ------------------------------
  routes.post('/exams/:exam/recordings', async (c) => {
    const examId = idParameter(c, 'exam');
    const body = await readJson(c, api.openRequest);
    const now = clock.now();
    const newest = await store.latestPolicy(examId);
    if (!newest) throw new ServerError('exam-unknown', 'there is no such exam');
    const sent = parseOpen(fromBase64Url(body.open));
    if (sent.examId !== examId) throw new ProtocolError('identity', 'the open record is for another exam');
    const { sessionId, epoch } = sent;

    const before = await store.recording(sessionId);
    // Before anything else: an open that is replayed after the deletion must not bring its shred share back.
    if (before) requireExisting(before, now);
    const existing = await store.epoch(sessionId, epoch);
    if (existing) return c.json(await answerAgain(c, existing, body, now));

    if (isAttestedFirst) await requireAttested(ports);
    const { policy } = await parsePolicy(newest.bytes);
    const opening = await verifyOpening(body, { policy, policyHash: newest.policyHash }, now, (nonce) =>
      store.launch(nonce, now),
    );
    if (limiter && opening.ticket !== null) await takeOrRefuse(limiter, 'ticket', opening.ticket);

    // The share first: a crash here leaves an orphan, which the sweep destroys; the other way round a recording could never be opened.
    if (epoch === 0) {
      const { recording, ...rows } = openRecording(opening, now, quotas);
      if ((await room.ofNew(recording, now))?.bytesLeft === 0) throw quotaReached('exam-bytes');
      await keepShare(opening, now);
      if (!(await store.openRecording(recording, rows.epoch, rows.tracks, rows.wraps, rows.entry))) {
        const winner = await store.epoch(sessionId, 0);
        if (winner) return c.json(await answerAgain(c, winner, body, now));
        throw new ServerError('ticket-used', 'this seat ticket was used for another recording', {
          hint: 'resume on the device that began; or ask for a new ticket',
        });
      }
    } else {
      if (!before) throw new ServerError('recording-unknown', 'there is no such recording');
      requireUploading(before, now);
      const previous = await store.epoch(sessionId, before.lastEpoch);
      const rows = openEpoch(opening, before, previous!.epoch, now);
      if ((await tokenHash(body.previous_token ?? '')) !== previous!.epoch.tokenHash) {
        throw new ServerError('unauthenticated', 'a further epoch is opened with the upload token of the one before', {
          hint: 'resume on the device that began',
        });
      }
      await keepShare(opening, now);
      if (!(await store.openEpoch(rows.epoch, rows.tracks, rows.wraps, rows.entry))) {
        const winner = await store.epoch(sessionId, epoch);
        if (winner) return c.json(await answerAgain(c, winner, body, now));
        requireUploading((await store.recording(sessionId))!, now);
        throw new ServerError('epoch-conflict', 'another epoch was opened meanwhile');
      }
    }
    const opened = await store.recording(sessionId);
    return c.json(await openAnswer(c, opened!, epoch, now), 201);
  });

  /** Of two opens that race for an epoch one is refused: here, by a vault that keeps the first share, or by the commit. */
  async function keepShare({ record, shred }: Opening, now: number): Promise<void> {
    try {
      await vault.put(record.sessionId, record.epoch, shred, now);
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'refused')) throw error;
      throw new ServerError('open-conflict', 'another shred share stands for this recording and epoch', {
        cause: error,
      });
    }
  }

  /** An open that came before: the same answer to the same record, `open-conflict` to any other. */
  async function answerAgain(
    c: Context,
    { recording, epoch }: EpochView,
    body: z.infer<typeof api.openRequest>,
    now: number,
  ) {
    requireExisting(recording, now);
    const sent = fromBase64Url(body.open);
    if (!equal(epoch.open, sent) || epoch.tokenHash !== body.token_hash) {
      const other = parseOpen(sent);
      const isOther = toBase64Url(await verifyOpen(other)) !== epoch.openHash;
      if (isOther && toBase64Url(other.recorderKey) === epoch.recorderPk) await reportEquivocation(recording.id);
      throw new ServerError('open-conflict', 'another open record stands for this recording and epoch');
    }
    return openAnswer(c, recording, epoch.epoch, now);
  }

  /**
   * Two records signed by one key that cannot both be honest are worth an anomaly. Both signatures must have been verified: the
   * log accuses nobody on a stranger's word. One is enough for a recording, so that nobody fills the log with them.
   */
  async function reportEquivocation(recordingId: string): Promise<void> {
    await reportAnomaly(ports, recordingId, 'equivocation', 1);
  }

  async function openAnswer(
    c: Context,
    recording: RecordingRow,
    epoch: number,
    now: number,
  ): Promise<z.infer<typeof api.openResponse>> {
    const { quotaBytes, quotaUntilMs } = recording;
    // An IPv4 client of an IPv6 socket; and whatever a header holds that is no address is nobody's.
    const address = addressOf(c)?.replace(/^::ffff:(?=[\d.]+$)/i, '');
    const known = api.openResponse.shape.client_address.safeParse(address);
    return {
      recording_id: recording.id,
      epoch,
      opened_ms: recording.openedMs,
      delete_by_ms: recording.deleteByMs,
      uploads_until_ms: recording.uploadsUntilMs,
      opened_position: recording.openedPosition,
      quota: {
        bytes: quotaBytes,
        bytes_left: (await room.of(recording, now))?.bytesLeft ?? null,
        seconds_left: quotaUntilMs === null ? null : Math.max(0, Math.floor((quotaUntilMs - now) / 1000)),
      },
      client_address: known.data ?? null,
    };
  }

  /** The epoch that this upload token was chosen for. */
  async function requireRecorder(c: Context, number: number): Promise<EpochView> {
    const presented = await bearerHash(c);
    const view = await store.epoch(idParameter(c, 'id'), number);
    if (!view) {
      // What is left of a deleted recording is its tombstone: its recorder is told so, whatever token it has.
      const recording = await store.recording(idParameter(c, 'id'));
      if (recording) requireExisting(recording, clock.now());
    }
    if (view?.epoch.tokenHash !== presented)
      throw new ServerError('unauthenticated', 'the upload token fits no epoch of this recording');
    return view;
  }

  function tellOutboxAge(c: Context): void {
    if (!telemetry) return;
    const ageMs = outboxAgeOf(c);
    if (ageMs !== undefined) telemetry.waited(ageMs);
  }

  // ---- 2. upload: remember the promise, then sign it; the bytes never pass through here ------------------------------------
  routes.post('/recordings/:id/uploads', async (c) => {
    const body = await readJson(c, api.uploadsRequest);
    let view = await requireRecorder(c, body.epoch);
    tellOutboxAge(c);
    let receipt: z.infer<typeof api.receiptResponse> | undefined;
    if (body.head !== undefined) {
      receipt = await acceptHead(view, body.head);
      view = await requireRecorder(c, body.epoch);
    }
    const now = clock.now();
    requireUploading(view.recording, now);
    const { stored, wanted } = planUploads(body.chunks, view.tracks);
    const { id } = view.recording;
    const expiresMs = now + URL_LIFE_SECONDS * 1000;
    let bytesLeft: number | undefined;
    if (wanted.length > 0) {
      // Asked twice: first so that a refused call remembers nothing, then because another call may have come between.
      const promised = await store.pending(id, body.epoch);
      requireSameContent(wanted, promised);
      bytesLeft = await room.take(view.recording, freshBytes(wanted, promised), now);
      if (!(await store.rememberUploads(id, body.epoch, wanted, expiresMs, now))) {
        requireUploading((await store.recording(id))!, now);
        throw new ServerError('recording-ended', 'the recording ended meanwhile');
      }
      requireSameContent(wanted, await store.pending(id, body.epoch));
    }
    const answer: z.infer<typeof api.uploadsResponse> = {
      uploads: [
        ...stored.map(({ track, seq }) => ({ state: 'stored' as const, track, seq })),
        ...wanted.map(({ track, seq, bytes, sha256 }) => {
          const key = objectKey(id, { epoch: body.epoch, track, seq });
          const { url, headers } = bucket.presignPut(
            { key, bytes, sha256: fromBase64Url(sha256) },
            now,
            URL_LIFE_SECONDS,
          );
          return { state: 'signed' as const, track, seq, url, headers, expires_ms: expiresMs };
        }),
      ],
      ...(receipt && { receipt }),
      ...(bytesLeft !== undefined && { bytes_left: bytesLeft }),
    };
    return c.json(answer, 200, SECRET);
  });

  // ---- 3. head: believed when the bucket's listing confirms it, then countersigned -----------------------------------------
  routes.post('/recordings/:id/heads', async (c) => {
    const body = await readJson(c, api.headRequest);
    const { epoch } = parseHead(fromBase64Url(body.head));
    const view = await requireRecorder(c, epoch);
    tellOutboxAge(c);
    return c.json(await acceptHead(view, body.head));
  });

  routes.get('/recordings/:id/epochs/:epoch', async (c) => {
    const { recording, epoch, tracks } = await requireRecorder(c, numberParameter(c, 'epoch'));
    const answer: z.infer<typeof api.statusResponse> = {
      state: recording.state,
      epoch: epoch.epoch,
      last_epoch: recording.lastEpoch,
      delete_by_ms: recording.deleteByMs,
      uploads_until_ms: recording.uploadsUntilMs,
      head: epoch.headHash === null ? null : { head_hash: epoch.headHash, head_seq: epoch.headSeq! },
      tracks: tracks.map(({ track, count, bytes }) => ({ track, count, bytes })),
      pending: await store.pending(recording.id, epoch.epoch),
    };
    return c.json(answer);
  });

  async function acceptHead(view: EpochView, headB64: string): Promise<z.infer<typeof api.receiptResponse>> {
    const { recording, epoch, tracks } = view;
    const head = parseHead(fromBase64Url(headB64));
    const digest = toBase64Url(await verifyHead(head, fromBase64Url(epoch.recorderPk)));
    if (digest === epoch.headHash) return countersign(recording, head);
    const now = clock.now();
    requireExisting(recording, now);
    if (recording.state !== 'open') throw new ServerError('recording-ended', `the recording is ${recording.state}`);
    await requireSuccessor(epoch, head);

    const pending = await store.pending(recording.id, epoch.epoch);
    const confirmed = await Promise.all(
      claimsOf(head, tracks).map(async (claim) =>
        confirm(claim, pending, await listClaim(recording.id, epoch.epoch, claim)),
      ),
    );
    const missing = confirmed.flatMap((track) => track.missing);
    if (missing.length > 0) {
      // The promises are dropped with the head that covers them: perhaps another call has just accepted this one.
      const winner = await store.epoch(recording.id, epoch.epoch);
      if (winner?.epoch.headHash !== epoch.headHash) return answerLoser(winner, head, digest, now);
      throw new ServerError('chunks-missing', `${missing.length} chunks that the head counts are not in the bucket`, {
        hint: 'upload them again, then send the head again',
        extra: { missing },
      });
    }
    await requirePromisedBodies(recording.id, epoch.epoch, confirmed, pending);
    const isEnd = head.isClose && epoch.epoch === recording.lastEpoch;
    const row = {
      recordingId: recording.id,
      epoch: epoch.epoch,
      head: fromBase64Url(headB64),
      headHash: digest,
      headSeq: head.headSeq,
    };
    const ending = isEnd ? await endingOf(recording, head, digest, now) : undefined;
    if (!(await store.acceptHead(row, epoch.headHash, confirmed, now, ending))) {
      return answerLoser(await store.epoch(recording.id, epoch.epoch), head, digest, now);
    }
    if (telemetry) {
      const grown = (of: 'count' | 'bytes') => sumOf(confirmed, of) - sumOf(tracks, of);
      telemetry.stored(grown('count'), grown('bytes'));
    }
    // Its recorder ended it before it was refused anything: whoever reads the list is to know why it is short.
    if (ending?.entry.reason === 'policy-end') await store.reachQuota(recording.id, limitNear(recording, now));
    return countersign(ending ? { ...recording, state: 'closed' } : recording, head);
  }

  /** Another call was quicker: with this very head, which is as good, or with another one. */
  async function answerLoser(winner: EpochView | undefined, head: HeadRecord, digest: string, now: number) {
    if (winner?.epoch.headHash === digest) return countersign(winner.recording, head);
    requireExisting((await store.recording(head.sessionId))!, now);
    throw new ServerError('head-conflict', 'another head was accepted meanwhile', {
      hint: 'ask for the state, then send the next head',
    });
  }

  async function requireSuccessor(epoch: EpochRow, head: HeadRecord): Promise<void> {
    const previous = epoch.head
      ? parseHead(epoch.head)
      : { sessionId: epoch.recordingId, epoch: epoch.epoch, openHash: fromBase64Url(epoch.openHash) };
    try {
      await checkSuccessor(previous, head);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (error.code === 'equivocation') await reportEquivocation(epoch.recordingId);
      const current = epoch.headHash === null ? null : { head_hash: epoch.headHash, head_seq: epoch.headSeq };
      throw new ServerError('head-conflict', error.message, { extra: { reason: error.code, current }, cause: error });
    }
  }

  /** What the bucket holds of one claim: seq -> bytes. A listing, because a recorder's word and a PUT's reply are both hearsay. */
  async function listClaim(
    recordingId: string,
    epoch: number,
    { track, from, to }: Claim,
  ): Promise<Map<number, number>> {
    const listed = new Map<number, number>();
    if (from === to) return listed;
    const prefix = trackPrefix(recordingId, epoch, track);
    const startAfter = from === 0 ? undefined : objectKey(recordingId, { epoch, track, seq: from - 1 });
    for await (const object of bucket.list(prefix, startAfter)) {
      const seq = Number(object.key.slice(prefix.length));
      if (seq >= to) break;
      listed.set(seq, object.bytes);
    }
    return listed;
  }

  /** For a store that takes other bytes than were signed (jobs/attest.ts): nothing is counted that is not what was promised. */
  async function requirePromisedBodies(
    recordingId: string,
    epoch: number,
    confirmed: readonly { track: number; count: number }[],
    pending: readonly PendingRow[],
  ): Promise<void> {
    const counts = new Map(confirmed.map(({ track, count }) => [track, count]));
    const counted = pending.filter(({ track, seq }) => seq < (counts.get(track) ?? 0));
    const altered = await findAltered(
      counted.map(({ track, seq, sha256 }) => ({
        track,
        seq,
        sha256,
        key: objectKey(recordingId, { epoch, track, seq }),
      })),
    );
    if (altered.length === 0) return;
    throw new ServerError('chunk-refused', `${altered.length} chunks in the bucket are not what was promised`, {
      extra: { altered: altered.map(({ track, seq }) => ({ track, seq })) },
    });
  }

  async function endingOf(recording: RecordingRow, head: HeadRecord, headHashB64: string, now: number) {
    const { objects, bytes } = await tally(bucket.list(recordingPrefix(recording.id)));
    const { epoch, headSeq, reason } = head;
    return {
      objects,
      bytes,
      entry: {
        v: 1,
        type: 'recording.closed',
        at: now,
        recording: recording.id,
        epoch,
        head_hash: headHashB64,
        head_seq: headSeq,
        objects,
        bytes,
        missing: 0, // every head was confirmed by a listing before it was accepted
        reason: REASONS[reason] as 'normal' | 'abort' | 'policy-end' | 'error',
      } as const,
    };
  }

  /** The receipt: what the head counts was seen in the bucket, and it will be gone by `delete_by`. */
  async function countersign(recording: RecordingRow, head: HeadRecord): Promise<z.infer<typeof api.receiptResponse>> {
    const isOpen = recording.state === 'open';
    const receipt = await encodeReceipt(
      {
        state: isOpen ? RECEIPT_OPEN : RECEIPT_CLOSED,
        sessionId: recording.id,
        epoch: head.epoch,
        headSeq: head.headSeq,
        headHash: await headHash(head),
        serverMs: clock.now(),
        deleteByMs: recording.deleteByMs,
        openedPosition: recording.openedPosition,
      },
      logSigner(await keys.signerFor(recording.examId)),
    );
    return { receipt: toBase64Url(receipt), state: isOpen ? 'open' : 'closed' };
  }

  return routes;
}

function sumOf(tracks: readonly { count: number; bytes: number }[], of: 'count' | 'bytes'): number {
  return tracks.reduce((sum, track) => sum + track[of], 0);
}
