/**
 * One half of a long track's life in a process of its own: `record` pipes a stream through a recorder, `read` fetches and opens
 * it. What to do comes as JSON in MEMORY_TASK; prints the most memory that it took.
 */
import { fromBase64Url, toBase64Url } from '../../crypto/format/bytes.ts';
import { decryptionKeyFromSeed } from '../../crypto/seal/identity.ts';
import { Api } from '../../src/client/api.ts';
import { parseExamLink } from '../../src/client/link.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { Recorder } from '../../src/client/recorder.ts';
import { ApiSource } from '../../src/client/source.ts';
import { knownStream } from './known-media.ts';

export interface RecordTask {
  do: 'record';
  link: string;
  directory: string;
  mebibytes: number;
}

export interface ReadTask {
  do: 'read';
  url: string;
  token: string;
  recordingId: string;
  seedB64: string;
  ownerHashB64: string;
}

const PIECE = knownStream(0, 1, 0, 65_536);

/** The program itself: Node, the loader, every import. */
const loadedBytes = process.memoryUsage().rss;
let peakBytes = loadedBytes;
const measure = setInterval(() => {
  peakBytes = Math.max(peakBytes, process.memoryUsage().rss);
}, 50);
const startedMs = performance.now();
const task = JSON.parse(process.env['MEMORY_TASK']!) as RecordTask | ReadTask;
const outcome = task.do === 'record' ? await record(task) : await read(task);
clearInterval(measure);
const seconds = (performance.now() - startedMs) / 1000;
process.stdout.write(
  `${JSON.stringify({ ...outcome, peakMiB: peakBytes / 2 ** 20, grownMiB: (peakBytes - loadedBytes) / 2 ** 20, seconds })}\n`,
);

async function record({ link: linkText, directory, mebibytes }: RecordTask) {
  const link = parseExamLink(linkText);
  const outbox = await openFolderOutbox({ directory, maximumBytes: 256 * 2 ** 20 });
  const tracks = [{ track: 1, kind: 1, codec: 'video/webm' }] as const;
  const recorder = await Recorder.open({ api: new Api({ url: link.url }), link, outbox, tracks });
  for (let written = 0; written < mebibytes * 2 ** 20; written += PIECE.length) {
    await recorder.track(1).write(PIECE, { tMs: written / 4096, durMs: 16 });
  }
  await recorder.close(1);
  await outbox.close();
  return { recordingId: recorder.recordingId };
}

async function read({ url, token, recordingId, seedB64, ownerHashB64 }: ReadTask) {
  const key = await decryptionKeyFromSeed(2, fromBase64Url(seedB64));
  const source = new ApiSource({
    api: new Api({ url, token }),
    recordingId,
    keyIdB64: toBase64Url(key.keyId),
    purpose: 'review',
  });
  const pins = { ownerHash: fromBase64Url(ownerHashB64) };
  const reader = await RecordingReader.open({ source, pins, key, nowMs: Date.now() });
  let bytes = 0;
  let isSame = true;
  for await (const chunk of reader.readTrack(0, 1)) {
    for (let at = 0; at < chunk.bytes.length; at += PIECE.length) {
      isSame &&= Buffer.compare(chunk.bytes.subarray(at, at + PIECE.length), PIECE) === 0;
    }
    bytes += chunk.bytes.length;
  }
  return { bytes, isSame };
}
