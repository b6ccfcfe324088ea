/** The retention log, public: C2SP tlog-tiles under `/log`, proofs and receipts under `/v1`. Nobody needs an account to check it. */
import { Hono } from 'hono';
import type { z } from 'zod';
import { toBase64Url } from '../../../crypto/format/bytes.ts';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import { encodeProof } from '../../../crypto/log/proof.ts';
import { encodeBundle, parseTilePath, TILE_WIDTH } from '../../../crypto/log/tiles.ts';
import { HASH_BYTES, proveInclusion } from '../../../crypto/log/tree.ts';
import type * as api from '../../../schema/api.ts';
import { ServerError } from '../errors.ts';
import { publishedHashes } from '../jobs/publish.ts';
import type { Ports } from '../ports.ts';
import { vkeyOf } from '../signing.ts';
import type { CheckpointRow, IndexedEntry } from '../store.ts';
import { createLogKeys } from './log-keys.ts';
import { idParameter, numberParameter, tagged, taggedJson } from './request.ts';

/** What a full tile holds never changes; a partial one at its own path neither. */
const FOREVER = 'public, max-age=31536000, immutable';

/** `/log/checkpoint`, `/log/vkey`, `/log/checkpoints?from`, `/log/tile/...` */
export function logRoutes({ store, signer }: Ports): Hono {
  const routes = new Hono();

  routes.get('/checkpoint', async (c) => {
    const newest = await store.newestCheckpoint();
    if (!newest) throw notPublished();
    return tagged(c, newest.note, 'text/plain; charset=utf-8', 'public');
  });

  routes.get('/vkey', (c) => c.text(`${vkeyOf(signer)}\n`));

  /** The checkpoint that was published with this size: what an auditor compares with the ones kept. */
  routes.get('/checkpoints/:size', async (c) => {
    const size = numberParameter(c, 'size');
    const row = await store.checkpointAt(size);
    if (row?.size !== size) throw new ServerError('not-found', 'no checkpoint was published with this size');
    return c.text(row.note);
  });

  routes.get('/tile/*', async (c) => {
    const tile = parseTilePath(new URL(c.req.url).pathname.slice('/log/'.length));
    if (!tile) throw new ServerError('not-found', 'expected a tile path of C2SP tlog-tiles');
    const size = (await store.newestCheckpoint())?.size ?? 0;
    const { level, index, width } = tile;
    const bytes = level === 'entries' ? await bundle(index, width, size) : await hashes(level, index, width);
    if (!bytes) throw notPublished();
    return c.body(bytes, 200, { 'content-type': 'application/octet-stream', 'cache-control': FOREVER });
  });

  async function hashes(level: number, index: number, width: number) {
    const row = await store.tile(level, index);
    return row && row.hashes.length >= width * HASH_BYTES ? row.hashes.slice(0, width * HASH_BYTES) : undefined;
  }

  async function bundle(index: number, width: number, size: number) {
    const from = index * TILE_WIDTH;
    if (from + width > size) return undefined;
    return encodeBundle((await store.entries(from, width)).map(({ bytes }) => bytes));
  }

  return routes;
}

/** `/v1/log/proofs/:index` and `/v1/receipts/:id` */
export function proofRoutes(ports: Ports): Hono {
  const { store } = ports;
  const keys = createLogKeys(ports);
  const routes = new Hono();

  routes.get('/log/proofs/:index', async (c) => {
    const index = numberParameter(c, 'index');
    const newest = await store.newestCheckpoint();
    const proof = newest ? await prove(index, newest) : null;
    if (proof === null) throw notPublished();
    return c.text(proof);
  });

  /** Everything that the log says of one recording, with proofs: what a student checks, and keeps, without an account. */
  routes.get('/receipts/:id', async (c) => {
    const recording = await store.recording(idParameter(c, 'id'));
    if (!recording) throw new ServerError('recording-unknown', 'there is no such recording');
    const newest = await keys.checkpointFor(recording.examId);
    const entries = await Promise.all(
      (await storyOf(recording.id)).map(async ({ index, bytes }) => ({
        index,
        entry: toBase64Url(bytes),
        proof: newest ? await prove(index, newest) : null,
      })),
    );
    const answer: z.infer<typeof api.receiptStatusResponse> = {
      recording_id: recording.id,
      state: recording.state,
      opened_ms: recording.openedMs,
      delete_by_ms: recording.deleteByMs,
      deleted_ms: recording.deletedMs,
      releases: recording.releases,
      entries,
      vkey: await keys.pinnedBy(recording.examId),
    };
    return taggedJson(c, answer, 'public');
  });

  /** The recording's entries, behind the policy that it was opened under: with that, anybody recomputes its `delete_by`. */
  async function storyOf(recordingId: string): Promise<IndexedEntry[]> {
    const entries = await store.entriesOf(recordingId);
    const opening = entries[0] && decodeEntry(entries[0].bytes);
    return opening?.type === 'recording.opened'
      ? [...(await store.entriesOf(opening.policy_hash)).slice(0, 1), ...entries]
      : entries;
  }

  /** A C2SP tlog-proof against `checkpoint`; null for an entry that is not published yet: a second at most. */
  async function prove(index: number, checkpoint: CheckpointRow): Promise<string | null> {
    if (index >= checkpoint.size) return null;
    const hashes = await proveInclusion(index, checkpoint.size, publishedHashes(store, checkpoint.size));
    return encodeProof({ index, hashes, checkpoint: checkpoint.note });
  }

  return routes;
}

function notPublished(): ServerError {
  return new ServerError('not-published', 'the log has not published this yet', {
    hint: 'entries are published within a second',
  });
}
