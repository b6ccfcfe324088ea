/**
 * Review: who may read a recording. Staff see that it exists; whoever holds an enrolled key is given wraps and shred shares, and
 * the log says so before they leave. Erasure on request stands here too: it is the readers' act, done by `jobs/purge.ts`.
 */
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { equal, fromBase64Url, toBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import { parseGrant, verifyGrant } from '../../../crypto/format/grant.ts';
import { hash, sha256 } from '../../../crypto/format/hash.ts';
import { parseId } from '../../../crypto/format/ids.ts';
import { openCoreHash, parseOpen } from '../../../crypto/format/open.ts';
import { parsePolicy } from '../../../crypto/format/policy.ts';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import * as api from '../../../schema/api.ts';
import { objectKey, recordingPrefix } from '../core/names.ts';
import { shredCommitments } from '../core/opening.ts';
import { URL_LIFE_SECONDS } from '../core/retention.ts';
import { tally } from '../core/tally.ts';
import { requireExisting } from '../core/uploading.ts';
import { ServerError } from '../errors.ts';
import { eraseNow } from '../jobs/purge.ts';
import type { Ports } from '../ports.ts';
import type { GrantRow, IndexedEntry, PolicyRow, RecordingRow, WrapRow } from '../store.ts';
import { type Caller, requireReach, requireStaff } from './access.ts';
import { readersOf, requireStanding, type HeldKey } from './revocation.ts';
import { idParameter, pageParameters, readJson, SECRET, taggedJson } from './request.ts';

export function reviewRoutes(ports: Ports): Hono {
  const { store, vault, bucket, clock } = ports;
  const routes = new Hono();

  routes.get('/exams/:exam/recordings', async (c) => {
    const caller = await requireStaff(c, ports);
    const { limit, cursor } = pageParameters(c);
    const examId = idParameter(c, 'exam');
    await requireReach(ports, caller, examId);
    const rows = await store.recordings(examId, limit, cursor);
    const answer: z.infer<typeof api.recordingsResponse> = {
      recordings: rows.map(summary),
      ...(rows.length === limit && { cursor: rows.at(-1)!.id }),
    };
    return taggedJson(c, answer, 'private');
  });

  routes.get('/recordings/:id', async (c) => {
    const caller = await requireStaff(c, ports);
    return taggedJson(c, summary(await requireRecording(c, caller)), 'private');
  });

  routes.post('/recordings/:id/release', async (c) => {
    const caller = await requireStaff(c, ports);
    const { key_id: keyId, purpose } = await readJson(c, api.releaseRequest);
    const now = clock.now();
    const recording = await requireReadable(c, caller, now);
    const { id } = recording;
    const [epochs, wraps, grants] = await Promise.all([store.epochs(id), store.wraps(id), liveGrants(id, now)]);
    const role = readerRole(keyId, wraps, grants);
    const hashes = new Set([
      ...epochs.map(({ policyHash }) => policyHash),
      ...grants.map((row) => toBase64Url(parseGrant(row.grant).policyHash)),
    ]);
    const found = await Promise.all([...hashes].map((policyHash) => store.policyByHash(recording.examId, policyHash)));
    const policies = found.filter((row) => row !== undefined);
    await requireStanding(store, holdersOf(keyId, policies));
    const shares = await vault.get(id, shredCommitments(epochs));
    const missing = epochs.filter(({ epoch }) => !shares.has(epoch));
    if (missing.length > 0) {
      // A purge took them since the row was read; without one it would be a vault that lost a share, or has not shown it yet.
      requireExisting((await store.recording(id))!, now);
      if (missing.every(({ openedMs }) => openedMs > now - vault.settlesMs)) {
        throw new ServerError('share-unsettled', 'the shred share was written a moment ago and is not seen here yet', {
          hint: 'try again in a minute',
        });
      }
      throw new Error(`the vault lacks a share of recording ${id}`);
    }
    // All that can fail comes before the log says that keys were released.
    const { tracks } = await tally(bucket.list(recordingPrefix(id)));
    const entry = { v: 1, type: 'access.released', at: now, recording: id, key_id: keyId, role, purpose } as const;
    if (!(await store.release(id, [entry]))) throw await tooLate(id, now);
    // Revoked meanwhile: the log tells of one release more than there was, and nothing leaves.
    await requireStanding(store, holdersOf(keyId, policies));

    const entries = openings(await store.entriesOf(id));
    const answer: api.Release = {
      recording: summary({ ...recording, releases: recording.releases + 1 }),
      policies: policies.map((row) => ({ policy_hash: row.policyHash, policy: toBase64Url(row.bytes) })),
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
    return c.json(answer, 200, SECRET);
  });

  routes.post('/recordings/:id/downloads', async (c) => {
    const caller = await requireStaff(c, ports);
    const { objects } = await readJson(c, api.downloadsRequest);
    const now = clock.now();
    const recording = await requireReadable(c, caller, now);
    const sign = async (key: string) => ((await bucket.holder?.(key)) ?? bucket).presignGet(key, now, URL_LIFE_SECONDS);
    const answer: z.infer<typeof api.downloadsResponse> = {
      downloads: await Promise.all(
        objects.map(async (name) => ({ ...name, url: await sign(objectKey(recording.id, name)) })),
      ),
      expires_ms: now + URL_LIFE_SECONDS * 1000,
    };
    return c.json(answer, 200, SECRET);
  });

  routes.post('/recordings/:id/grants', async (c) => {
    const caller = await requireStaff(c, ports);
    const body = await readJson(c, api.grantRequest);
    const now = clock.now();
    const recording = await requireReadable(c, caller, now);
    const bytes = fromBase64Url(body.grant);
    const wrap = fromBase64Url(body.wrap);
    const grant = parseGrant(bytes);
    const view = await store.epoch(recording.id, grant.epoch);
    const policyRow = await store.policyByHash(recording.examId, toBase64Url(grant.policyHash));
    if (!view || !policyRow)
      throw new ServerError('grant-refused', 'the grant names an epoch or a policy that is not here');
    const open = parseOpen(view.epoch.open);
    await verifyGrant(grant, wrap, {
      examId: recording.examId,
      sessionId: recording.id,
      epoch: view.epoch.epoch,
      coreHash: await openCoreHash(open.core),
      minSuite: open.minSuite,
      policy: await parsePolicy(policyRow.bytes),
      nowMs: now,
    });
    const toKeyId = toBase64Url(grant.toKeyId);
    await requireStanding(store, [{ identity: toBase64Url(grant.toIdentity), keyId: toKeyId }]);
    const grantHash = toBase64Url(await hash('grant', grant.body));
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
      requireExisting((await store.recording(recording.id))!, now);
      return c.json({ recorded: true }); // this very grant is there already
    }
    return c.json({ recorded: true }, 201);
  });

  /** Sealed under the recording's metadata key, which the server never had: it keeps the bytes, and destroys them with the keys. */
  routes.get('/recordings/:id/notes', async (c) => {
    const caller = await requireStaff(c, ports);
    const { id } = await requireReadable(c, caller, clock.now());
    const answer: z.infer<typeof api.notesResponse> = {
      notes: (await store.notes(id)).map(({ createdMs, note }) => ({ created_ms: createdMs, note: toBase64Url(note) })),
    };
    return c.json(answer, 200, SECRET);
  });

  routes.post('/recordings/:id/notes', async (c) => {
    const caller = await requireStaff(c, ports);
    const note = fromBase64Url((await readJson(c, api.noteRequest)).note);
    const now = clock.now();
    const { id } = await requireReadable(c, caller, now);
    // ZRNT, and of this recording: what else it holds is for its readers to judge.
    const isNote = equal(note.subarray(0, 4), utf8('ZRNT')) && equal(note.subarray(8, 24), parseId(id));
    if (!isNote) throw new ServerError('note-refused', 'expected a sealed note of this recording');
    const row = { recordingId: id, noteHash: toBase64Url(await sha256(note)), createdMs: now, note };
    if (await store.addNote(row, api.NOTES_PER_RECORDING)) return c.json({ recorded: true }, 201);
    requireExisting((await store.recording(id))!, now);
    if ((await store.notes(id)).some(({ noteHash }) => noteHash === row.noteHash)) return c.json({ recorded: true });
    throw new ServerError('notes-full', `the recording has ${api.NOTES_PER_RECORDING} notes already`);
  });

  routes.post('/recordings/:id/exports', async (c) => {
    const caller = await requireStaff(c, ports);
    const { key_id: keyId, kind } = await readJson(c, api.exportRequest);
    const now = clock.now();
    const { id } = await requireReadable(c, caller, now);
    readerRole(keyId, await store.wraps(id), await liveGrants(id, now));
    const entry = { v: 1, type: 'export.declared', at: now, recording: id, key_id: keyId, kind } as const;
    if (!(await store.declareExport(id, entry))) throw await tooLate(id, now);
    return c.json({ recorded: true }, 201);
  });

  /** Erasure on request: the same death, earlier. Asked again after a crash, or while the purge is late, it goes on. */
  routes.post('/recordings/:id/erasure', async (c) => {
    const caller = await requireStaff(c, ports);
    const { reason } = await readJson(c, api.erasureRequest);
    const recording = await requireRecording(c, caller);
    const { id, state } = recording;
    const now = clock.now();
    if (state === 'deleted' || state === 'verified') requireExisting(recording, now);
    const entry = { v: 1, type: 'erasure.requested', at: now, recording: id, delete_by: now, reason } as const;
    // Not held: its deletion was begun or is due already, and goes on here.
    const isFirst = await store.bringForward(id, now, entry);
    await eraseNow(ports, id);
    const deleteByMs = isFirst ? now : (await store.recording(id))!.deleteByMs;
    const answer: z.infer<typeof api.erasureResponse> = { recording_id: id, delete_by_ms: deleteByMs };
    return c.json(answer, 202);
  });

  async function requireRecording(c: Context, caller: Caller): Promise<RecordingRow> {
    const recording = await store.recording(idParameter(c, 'id'));
    if (!recording) throw new ServerError('recording-unknown', 'there is no such recording');
    await requireReach(ports, caller, recording.examId);
    return recording;
  }

  async function requireReadable(c: Context, caller: Caller, now: number): Promise<RecordingRow> {
    const recording = await requireRecording(c, caller);
    requireExisting(recording, now);
    return recording;
  }

  async function liveGrants(id: string, now: number): Promise<GrantRow[]> {
    return (await store.grants(id)).filter(({ grant }) => parseGrant(grant).expiresMs > now);
  }

  /** For a write that only a deletion can have refused. */
  async function tooLate(id: string, now: number): Promise<Error> {
    requireExisting((await store.recording(id))!, now);
    return new Error(`recording ${id} refused a write that only a deletion refuses`);
  }

  return routes;
}

/** The role in which this key reads the recording; throws `reader-unknown` for a key that it is not sealed for. */
function readerRole(keyId: string, wraps: readonly WrapRow[], grants: readonly GrantRow[]): 1 | 2 | 3 {
  const role =
    wraps.find((row) => row.keyId === keyId)?.role ?? (grants.some((row) => row.toKeyId === keyId) ? 1 : undefined);
  if (role === undefined) throw new ServerError('reader-unknown', 'the recording is sealed for other keys than this');
  return role as 1 | 2 | 3;
}

/** Whose key this is, by each of the policies that name it. */
function holdersOf(keyId: string, policies: readonly PolicyRow[]): HeldKey[] {
  return policies.flatMap(readersOf).filter((held) => held.keyId === keyId);
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
    quota_reached: row.quotaReached,
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
