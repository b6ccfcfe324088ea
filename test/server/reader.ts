/** Plays a reader: takes a release apart, fetches, verifies and decrypts with one key, in the order of PROTOCOL.md section 13. */
import { equal, fromBase64Url, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { parseChunkHead, TrackChain } from '../../crypto/format/chunk.ts';
import { parseHead, verifyHead } from '../../crypto/format/head.ts';
import { openCoreHash, parseOpen, verifyOpen } from '../../crypto/format/open.ts';
import { wrapHash } from '../../crypto/format/wrap.ts';
import type { Release } from '../../schema/api.ts';
import { openWholeChunk } from '../../crypto/seal/chunk.ts';
import { openEpochKeys } from '../../crypto/seal/schedule.ts';
import { openWrap } from '../../crypto/seal/wrap.ts';
import type { TestReader } from './recorder.ts';
import { expectStatus, type Stage } from './stage.ts';

/** Everything that the reader sees of one track: plaintexts by seq. */
export type Opened = Map<string, Bytes[]>;

export async function release(stage: Stage, id: string, reader: TestReader, token = stage.admin): Promise<Release> {
  const body = { key_id: reader.keyIdB64, purpose: 'review' };
  return expectStatus<Release>(await stage.call('POST', `/v1/recordings/${id}/release`, { token, body }), 200);
}

/** One object as its presigned URL gives it; undefined where the store has none. */
export async function download(
  stage: Stage,
  id: string,
  name: { epoch: number; track: number; seq: number },
): Promise<Bytes | undefined> {
  const answer = await stage.call('POST', `/v1/recordings/${id}/downloads`, {
    token: stage.admin,
    body: { objects: [name] },
  });
  const { downloads } = expectStatus<{ downloads: { url: string }[] }>(answer, 200);
  const response = await fetch(downloads[0]!.url);
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (response.status === 404) return undefined;
  if (response.status !== 200) throw new Error(`expected the object, found ${response.status}`);
  return bytes;
}

/** Plaintexts by `epoch/track`; throws where anything is not as it was signed, or where fewer chunks are there than a head counts. */
export async function read(stage: Stage, id: string, reader: TestReader): Promise<Opened> {
  const released = await release(stage, id, reader);
  const opened: Opened = new Map();
  for (const part of released.epochs) {
    const open = parseOpen(fromBase64Url(part.open));
    const openHash = await verifyOpen(open);
    const wrapB64 = part.wraps.find(({ key_id }) => key_id === reader.keyIdB64)?.wrap;
    if (wrapB64 === undefined) throw new Error('expected a wrap for this reader');
    const wrap = fromBase64Url(wrapB64);
    const hash = await wrapHash(wrap);
    if (!open.wrapHashes.some((listed) => equal(listed, hash))) throw new Error('the wrap is not in the open record');
    const coreHash = await openCoreHash(open.core);
    const cek = await openWrap(wrap, reader.key, { coreHash, minSuite: open.minSuite });
    const keys = await openEpochKeys({ cek, shred: fromBase64Url(part.shred) }, open);
    const head = part.head === null ? undefined : parseHead(fromBase64Url(part.head));
    if (head) await verifyHead(head, open.recorderKey);
    for (const { track } of open.tracks) {
      const chain = new TrackChain(open, openHash, track);
      const plaintexts: Bytes[] = [];
      const end = part.tracks.find((listed) => listed.track === track)?.end ?? 0;
      for (let seq = 0; seq < end; seq++) {
        const object = await download(stage, id, { epoch: part.epoch, track, seq });
        if (!object) throw new Error(`chunk ${track}/${seq} is not there`);
        const chunk = parseChunkHead(object, object.length);
        await chain.accept(chunk);
        plaintexts.push(await openWholeChunk(await keys.trackKey(track), object, open.recorderKey, chunk));
      }
      const counted = head?.tracks.find((claimed) => claimed.track === track);
      if (counted && counted.count > chain.count) throw new Error(`expected ${counted.count} chunks of track ${track}`);
      if (counted?.count === chain.count && toBase64Url(counted.last) !== toBase64Url(chain.last)) {
        throw new Error(`track ${track} ends in another chunk than the head says`);
      }
      opened.set(`${part.epoch}/${track}`, plaintexts);
    }
  }
  return opened;
}
