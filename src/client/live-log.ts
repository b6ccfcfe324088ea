/** A log as a server serves it: C2SP tlog-tiles over HTTP. Nothing of it is believed before it leads to a signed root. */
import type { Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { encodeCertificate, makeCertificate } from '../../crypto/log/certificate.ts';
import { openCheckpoint } from '../../crypto/log/checkpoint.ts';
import { parseVkey } from '../../crypto/log/note.ts';
import { decodeBundle, hashesFromTiles, tileAt, tilePath, TILE_WIDTH, type Tile } from '../../crypto/log/tiles.ts';
import { fromBase64Url } from '../../crypto/format/bytes.ts';
import type { Api } from './api.ts';

export interface LiveLog {
  /** The newest checkpoint, a signed note. */
  checkpoint: string;
  vkey: string;
  size: number;
}

/** How often, and how far apart, a checkpoint is fetched that lacks a witness's line: those come a moment after publication. */
const LOOKS = 20;
const BETWEEN_LOOKS_MS = 250;

/**
 * The newest checkpoint; `vkey` where the caller has pinned one, else the server's own word. Waits some seconds for lines of the
 * given witnesses and goes on without. Throws `log` where there is no checkpoint.
 */
export async function openLiveLog(api: Api, pinned?: string, witnesses: readonly string[] = []): Promise<LiveLog> {
  const vkey = pinned ?? (await api.vkey());
  for (let look = 1; ; look++) {
    const checkpoint = await api.checkpoint();
    if (checkpoint === undefined) throw new ProtocolError('log', 'the log has published no checkpoint yet');
    const { size, cosignatures } = await openCheckpoint(checkpoint, vkey, parseVkey(vkey).name, witnesses);
    if (cosignatures.length === witnesses.length || look === LOOKS) return { checkpoint, vkey, size };
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_LOOKS_MS));
  }
}

/** Every entry's exact bytes, in order, a bundle of 256 at a time. */
export async function* liveEntries(api: Api, { size }: LiveLog): AsyncGenerator<Bytes> {
  for (let index = 0; index * TILE_WIDTH < size; index++) {
    const tile = tileAt('entries', index, size)!;
    yield* decodeBundle(await readTile(api, tile), tile.width);
  }
}

async function readTile(api: Api, tile: Tile): Promise<Bytes> {
  const bytes = await api.tile(tilePath(tile));
  if (!bytes) throw new ProtocolError('log', `the log does not serve ${tilePath(tile)}`);
  return bytes;
}

/**
 * The certificate of one recording: its published entries with their proofs, as a text that is checked offline. Throws `log` for
 * what does not verify under `vkey`.
 */
export async function certificateFromTiles(
  api: Api,
  recordingId: string,
  vkey: string,
  witnesses: readonly string[] = [],
): Promise<string> {
  const { entries } = await api.receipt(recordingId);
  const log = await openLiveLog(api, vkey, witnesses).catch((error: unknown) => {
    if (error instanceof ProtocolError && error.code === 'log') return error;
    throw error;
  });
  if (log instanceof ProtocolError) {
    // A key that was retired signs no more: the service's own proofs lead to the last checkpoint that it signed, and must hold under it.
    const proven = entries.flatMap(({ entry, proof }) =>
      proof === null ? [] : [{ bytes: fromBase64Url(entry), proof }],
    );
    return encodeCertificate(proven, vkey).catch(() => Promise.reject(log));
  }
  const published = entries
    .filter(({ index }) => index < log.size)
    .map(({ index, entry }) => ({ index, bytes: fromBase64Url(entry) }));
  const readTiles = (tiles: readonly Tile[]): Promise<Bytes[]> => Promise.all(tiles.map((tile) => readTile(api, tile)));
  return makeCertificate(published, log.checkpoint, vkey, hashesFromTiles(log.size, readTiles));
}
