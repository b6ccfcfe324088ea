/**
 * The life of a recording, top to bottom: open, upload, head and close, review. Its death is `jobs/purge.ts`.
 *
 * The server sees ciphertext sizes, hashes and signatures. Every step checks what can be checked without a key, writes
 * rows and log entry in one atomic commit, and only then answers; a repeated call gets the same answer.
 */
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { equal, fromBase64Url, toBase64Url } from '../../../crypto/format/bytes.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import { parseGrant, verifyGrant } from '../../../crypto/format/grant.ts';
import { hash } from '../../../crypto/format/hash.ts';
import {
  checkSuccessor,
  headHash,
  type HeadRecord,
  parseHead,
  REASONS,
  verifyHead,
} from '../../../crypto/format/head.ts';
import { newId } from '../../../crypto/format/ids.ts';
import { openCoreHash, parseOpen } from '../../../crypto/format/open.ts';
import { parsePolicy } from '../../../crypto/format/policy.ts';
import { encodeReceipt, RECEIPT_CLOSED, RECEIPT_OPEN } from '../../../crypto/format/receipt.ts';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import * as api from '../../../schema/api.ts';
import { objectKey, recordingPrefix, trackPrefix } from '../core/names.ts';
import { openEpoch, openRecording, verifyOpening } from '../core/opening.ts';
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
import { eraseNow } from '../jobs/purge.ts';
import type { Ports } from '../ports.ts';
import { logSigner } from '../signing.ts';
import type { EpochRow, IndexedEntry, RecordingRow, TrackRow } from '../store.ts';
import { bearerHash, idParameter, limitParameter, readJson, requireStaff } from './request.ts';

interface EpochView {
  recording: RecordingRow;
  epoch: EpochRow;
  tracks: TrackRow[];
}

export function recordingRoutes(ports: Ports): Hono {
  const { store, vault, bucket, clock } = ports;
  const routes = new Hono();

  // ---- 1. open: the obligation to delete is in the log before the first byte can be uploaded ------------------------------
  routes.post('/exams/:exam/recordings', async (c) => {
    const examId = idParameter(c, 'exam');
    const body = await readJson(c, api.openRequest);
    const now = clock.now();
    const newest = await store.latestPolicy(examId);
    if (!newest) throw new ServerError('exam-unknown', 'there is no such exam');
    const sent = parseOpen(fromBase64Url(body.open));

    const existing = await store.epoch(sent.sessionId, sent.epoch);
    if (existing) return c.json(await answerAgain(existing, body));

    const { policy } = await parsePolicy(newest.bytes);
    const opening = await verifyOpening(body, { policy, policyHash: newest.policyHash }, now);
    const { sessionId, epoch } = opening.record;

    if (epoch === 0) {
      const { recording, ...rows } = openRecording(opening, now);
      // The share first: a crash here leaves an orphan, which the sweep destroys; the other way round a recording could never be opened.
      await vault.put(sessionId, 0, opening.shred, now);
      if (!(await store.openRecording(recording, rows.epoch, rows.tracks, rows.wraps, rows.entry))) {
        return c.json(await answerAgain(await store.epoch(sessionId, 0), body));
      }
    } else {
      const recording = await store.recording(sessionId);
      if (!recording) throw new ServerError('recording-unknown', 'there is no such recording');
      requireUploading(recording, now);
      const before = await store.epoch(sessionId, recording.lastEpoch);
      const rows = openEpoch(opening, recording, before!.epoch, now);
      await vault.put(sessionId, epoch, opening.shred, now);
      if (!(await store.openEpoch(rows.epoch, rows.tracks, rows.wraps, rows.entry))) {
        return c.json(await answerAgain(await store.epoch(sessionId, epoch), body));
      }
    }
    const opened = await store.recording(sessionId);
    return c.json(openAnswer(opened!, epoch), 201);
  });

  /** An open that came before: the same answer to the same record, `open-conflict` to any other. */
  async function answerAgain(existing: EpochView | undefined, body: z.infer<typeof api.openRequest>) {
    if (!existing) {
      throw new ServerError('ticket-used', 'this seat ticket was used for another recording', {
        hint: 'resume on the device that began; or ask for a new ticket',
      });
    }
    const { recording, epoch } = existing;
    if (!equal(epoch.open, fromBase64Url(body.open)) || epoch.tokenHash !== body.token_hash) {
      await reportEquivocation(recording.id, parseOpen(fromBase64Url(body.open)).recorderKey, epoch);
      throw new ServerError('open-conflict', 'another open record stands for this recording and epoch');
    }
    requireExisting(recording);
    return openAnswer(recording, epoch.epoch);
  }

  /** Two records signed by one key that cannot both be honest are worth an anomaly; a stranger's record is only refused. */
  async function reportEquivocation(recordingId: string, signedBy: Uint8Array, epoch: EpochRow): Promise<void> {
    if (toBase64Url(signedBy) !== epoch.recorderPk) return;
    const at = clock.now();
    await store.append([
      { v: 1, type: 'anomaly.found', at, anomaly: newId(), kind: 'equivocation', recording: recordingId, count: 1 },
    ]);
  }

  function openAnswer(recording: RecordingRow, epoch: number): z.infer<typeof api.openResponse> {
    return {
      recording_id: recording.id,
      epoch,
      opened_ms: recording.openedMs,
      delete_by_ms: recording.deleteByMs,
      uploads_until_ms: recording.uploadsUntilMs,
      opened_position: recording.openedPosition,
    };
  }

  /** The epoch that this upload token was chosen for. */
  async function requireRecorder(c: Context, number: number): Promise<EpochView> {
    const tokenHash = await bearerHash(c);
    const view = await store.epoch(idParameter(c, 'id'), number);
    if (!view) {
      const recording = await store.recording(idParameter(c, 'id'));
      if (recording) requireExisting(recording);
    }
    if (view?.epoch.tokenHash !== tokenHash)
      throw new ServerError('unauthenticated', 'the upload token fits no epoch of this recording');
    return view;
  }

  // ---- 2. upload: remember the promise, then sign it; the bytes never pass through here ------------------------------------
  routes.post('/recordings/:id/uploads', async (c) => {
    const body = await readJson(c, api.uploadsRequest);
    let view = await requireRecorder(c, body.epoch);
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
    if (wanted.length > 0) {
      if (!(await store.rememberUploads(id, body.epoch, wanted, expiresMs, now))) {
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
    };
    return c.json(answer);
  });

  // ---- 3. head: believed when the bucket's listing confirms it, then countersigned -----------------------------------------
  routes.post('/recordings/:id/heads', async (c) => {
    const body = await readJson(c, api.headRequest);
    const { epoch } = parseHead(fromBase64Url(body.head));
    return c.json(await acceptHead(await requireRecorder(c, epoch), body.head));
  });

  routes.get('/recordings/:id/epochs/:epoch', async (c) => {
    const { recording, epoch, tracks } = await requireRecorder(c, Number(c.req.param('epoch')));
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
    requireExisting(recording);
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
      throw new ServerError('chunks-missing', `${missing.length} chunks that the head counts are not in the bucket`, {
        hint: 'upload them again, then send the head again',
        extra: { missing },
      });
    }
    const now = clock.now();
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
      throw new ServerError('head-conflict', 'another head was accepted meanwhile', {
        hint: 'ask for the state, then send the next head',
      });
    }
    return countersign(ending ? { ...recording, state: 'closed' } : recording, head);
  }

  async function requireSuccessor(epoch: EpochRow, head: HeadRecord): Promise<void> {
    const previous = epoch.head
      ? parseHead(epoch.head)
      : { sessionId: epoch.recordingId, epoch: epoch.epoch, openHash: fromBase64Url(epoch.openHash) };
    try {
      await checkSuccessor(previous, head);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (error.code === 'equivocation')
        await reportEquivocation(epoch.recordingId, fromBase64Url(epoch.recorderPk), epoch);
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
      logSigner(ports.signer),
    );
    return { receipt: toBase64Url(receipt), state: isOpen ? 'open' : 'closed' };
  }

  // ---- 4. review: whoever holds an enrolled key is given wraps and shred shares, and the log says so ------------------------
  routes.get('/exams/:exam/recordings', async (c) => {
    await requireStaff(c, ports, 'instructor', 'compliance');
    const limit = limitParameter(c, 100, 1000);
    const rows = await store.recordings(idParameter(c, 'exam'), limit, c.req.query('cursor'));
    const answer: z.infer<typeof api.recordingsResponse> = {
      recordings: rows.map(summary),
      ...(rows.length === limit && { cursor: rows.at(-1)!.id }),
    };
    return c.json(answer);
  });

  routes.get('/recordings/:id', async (c) => {
    await requireStaff(c, ports, 'instructor', 'compliance');
    return c.json(summary(await requireRecording(c)));
  });

  routes.post('/recordings/:id/release', async (c) => {
    await requireStaff(c, ports, 'instructor');
    const { key_id: keyId, purpose } = await readJson(c, api.releaseRequest);
    const recording = await requireRecording(c);
    requireExisting(recording);
    const { id } = recording;
    const now = clock.now();
    const [epochs, wraps, allGrants] = await Promise.all([store.epochs(id), store.wraps(id), store.grants(id)]);
    const grants = allGrants.filter((row) => parseGrant(row.grant).expiresMs > now);
    const role =
      wraps.find((row) => row.keyId === keyId)?.role ?? (grants.some((row) => row.toKeyId === keyId) ? 1 : undefined);
    if (role === undefined) throw new ServerError('reader-unknown', 'the recording is sealed for other keys than this');

    const shares = await vault.get(id);
    if (epochs.some(({ epoch }) => !shares.has(epoch))) {
      throw new ServerError('recording-deleted', 'the shred share is gone, so nobody can open the recording');
    }
    const entry = {
      v: 1,
      type: 'access.released',
      at: now,
      recording: id,
      key_id: keyId,
      role: role as 1 | 2 | 3,
      purpose,
    } as const;
    if (!(await store.release(id, [entry]))) requireExisting((await store.recording(id))!);

    const { tracks } = await tally(bucket.list(recordingPrefix(id)));
    const hashes = new Set([
      ...epochs.map(({ policyHash }) => policyHash),
      ...grants.map((row) => toBase64Url(parseGrant(row.grant).policyHash)),
    ]);
    const policies = await Promise.all(
      [...hashes].map((policyHash) => store.policyByHash(recording.examId, policyHash)),
    );
    const entries = openings(await store.entriesOf(id));
    const answer: api.Release = {
      recording: summary({ ...recording, releases: recording.releases + 1 }),
      policies: policies
        .filter((row) => row !== undefined)
        .map((row) => ({ policy_hash: row.policyHash, policy: toBase64Url(row.bytes) })),
      epochs: epochs.map((row) => ({
        epoch: row.epoch,
        open: toBase64Url(row.open),
        opened_position: entries.get(row.openHash) ?? recording.openedPosition,
        shred: toBase64Url(shares.get(row.epoch)!),
        wraps: wraps
          .filter(({ epoch }) => epoch === row.epoch)
          .map((wrap) => ({ key_id: wrap.keyId, wrap: toBase64Url(wrap.wrap) })),
        grants: grants
          .filter(({ epoch }) => epoch === row.epoch)
          .map((grant) => ({
            to_key_id: grant.toKeyId,
            grant: toBase64Url(grant.grant),
            wrap: toBase64Url(grant.wrap),
          })),
        head: row.head && toBase64Url(row.head),
        tracks: tracks
          .filter(({ epoch }) => epoch === row.epoch)
          .map(({ track, end, bytes, missing }) => ({ track, end, bytes, missing })),
      })),
    };
    return c.json(answer);
  });

  routes.post('/recordings/:id/downloads', async (c) => {
    await requireStaff(c, ports, 'instructor');
    const { objects } = await readJson(c, api.downloadsRequest);
    const recording = await requireRecording(c);
    requireExisting(recording);
    const now = clock.now();
    const answer: z.infer<typeof api.downloadsResponse> = {
      downloads: objects.map((name) => ({
        ...name,
        url: bucket.presignGet(objectKey(recording.id, name), now, URL_LIFE_SECONDS),
      })),
      expires_ms: now + URL_LIFE_SECONDS * 1000,
    };
    return c.json(answer);
  });

  routes.post('/recordings/:id/grants', async (c) => {
    await requireStaff(c, ports, 'instructor');
    const body = await readJson(c, api.grantRequest);
    const recording = await requireRecording(c);
    requireExisting(recording);
    const now = clock.now();
    const bytes = fromBase64Url(body.grant);
    const wrap = fromBase64Url(body.wrap);
    const grant = parseGrant(bytes);
    const view = await store.epoch(recording.id, grant.epoch);
    const policyRow = await store.policyByHash(recording.examId, toBase64Url(grant.policyHash));
    if (!view || !policyRow)
      throw new ServerError('grant-refused', 'the grant names an epoch or a policy that is not here');
    const open = parseOpen(view.epoch.open);
    await verifyGrant(grant, wrap, {
      sessionId: recording.id,
      epoch: view.epoch.epoch,
      coreHash: await openCoreHash(open.core),
      minSuite: open.minSuite,
      policy: await parsePolicy(policyRow.bytes),
      nowMs: now,
    });
    const grantHash = toBase64Url(await hash('grant', grant.body));
    const toKeyId = toBase64Url(grant.toKeyId);
    const row = { recordingId: recording.id, epoch: grant.epoch, grantHash, toKeyId, grant: bytes, wrap };
    const entry = {
      v: 1,
      type: 'grant.added',
      at: now,
      recording: recording.id,
      epoch: grant.epoch,
      grant_hash: grantHash,
      to_key_id: toKeyId,
    } as const;
    if (!(await store.addGrant(row, entry))) {
      requireExisting((await store.recording(recording.id))!);
      return c.json({ recorded: true }); // this very grant is there already
    }
    return c.json({ recorded: true }, 201);
  });

  routes.post('/recordings/:id/exports', async (c) => {
    await requireStaff(c, ports, 'instructor');
    const { key_id: keyId, kind } = await readJson(c, api.exportRequest);
    const recording = await requireRecording(c);
    requireExisting(recording);
    await store.append([
      { v: 1, type: 'export.declared', at: clock.now(), recording: recording.id, key_id: keyId, kind },
    ]);
    return c.json({ recorded: true }, 201);
  });

  // ---- 5. erasure on request: the same death, earlier -------------------------------------------------------------------------
  routes.post('/recordings/:id/erasure', async (c) => {
    await requireStaff(c, ports, 'instructor');
    const { reason } = await readJson(c, api.erasureRequest);
    const recording = await requireRecording(c);
    requireExisting(recording);
    const now = clock.now();
    const entry = {
      v: 1,
      type: 'erasure.requested',
      at: now,
      recording: recording.id,
      delete_by: now,
      reason,
    } as const;
    if (!(await store.bringForward(recording.id, now, entry))) requireExisting((await store.recording(recording.id))!);
    await eraseNow(ports, recording.id);
    const answer: z.infer<typeof api.erasureResponse> = { recording_id: recording.id, delete_by_ms: now };
    return c.json(answer, 202);
  });

  async function requireRecording(c: Context): Promise<RecordingRow> {
    const recording = await store.recording(idParameter(c, 'id'));
    if (!recording) throw new ServerError('recording-unknown', 'there is no such recording');
    return recording;
  }

  return routes;
}

function summary(row: RecordingRow): api.RecordingSummary {
  return {
    recording_id: row.id,
    exam_id: row.examId,
    state: row.state,
    practice: row.practice,
    opened_ms: row.openedMs,
    delete_by_ms: row.deleteByMs,
    ended_ms: row.endedMs,
    epochs: row.lastEpoch + 1,
    objects: row.objects,
    bytes: row.bytes,
    releases: row.releases,
  };
}

/** Log index of each epoch's opening, by open_hash. */
function openings(indexed: readonly IndexedEntry[]): Map<string, number> {
  const positions = new Map<string, number>();
  for (const { index, bytes } of indexed) {
    const entry = decodeEntry(bytes);
    if (entry.type === 'recording.opened' || entry.type === 'recording.reopened') positions.set(entry.open_hash, index);
  }
  return positions;
}
