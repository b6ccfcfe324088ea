/**
 * A long track in a process of its own: sealed, and opened as it arrives in pieces of 64 KiB, chunk after chunk, nothing
 * kept. Prints what it took. MEBIBYTES says how long.
 */
import { toHex } from '../../../crypto/format/bytes.ts';
import { TrackChain } from '../../../crypto/format/chunk.ts';
import { openHash } from '../../../crypto/format/open.ts';
import { sealChunk } from '../../../crypto/seal/chunk.ts';
import { openObject } from '../../../crypto/seal/stream.ts';
import { knownRecording } from '../knownanswers.ts';

const CHUNK = 4 * 2 ** 20;
const PIECE = 65_536;
const mebibytes = Number(process.env['MEBIBYTES']);
const known = await knownRecording();
const digest = await openHash(known.open);
const trackKey = await known.keys.trackKey(1);
const chain = new TrackChain(known.open, digest, 1);

let peakBytes = 0;
const startedMs = performance.now();
const media = new Uint8Array(CHUNK);
let prev = digest;
let opened = 0;
let isSame = true;
for (let seq = 0; seq < (mebibytes * 2 ** 20) / CHUNK; seq++) {
  new DataView(media.buffer).setUint32(0, seq); // no two chunks are alike
  const { sessionId, epoch } = known.open;
  const times = { startMs: seq * 10_000, durationMs: 10_000, gapMs: 0, wallMs: seq * 10_000 };
  const fields = { sessionId, epoch, track: 1, seq, prev, isFinal: false, isPadded: false, ...times };
  const { object, entryHash } = await sealChunk(trackKey, fields, media, known.recorder);
  prev = entryHash;
  let at = 0;
  for await (const part of openObject(trackKey, chain, inPieces(object))) {
    isSame &&= Buffer.compare(part, media.subarray(at, at + part.length)) === 0;
    at += part.length;
  }
  opened += at;
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
}
const seconds = (performance.now() - startedMs) / 1000;
const report = { opened, isSame, last: toHex(chain.last), peakMiB: peakBytes / 2 ** 20, seconds };
process.stdout.write(`${JSON.stringify(report)}\n`);

async function* inPieces(object: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < object.length; at += PIECE) yield object.subarray(at, at + PIECE);
}
