/** Pipes a long stream through a recorder, reads it back, and prints the most memory that each took. Arguments: link, outbox folder, MiB. */
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { Api } from '../../src/client/api.ts';
import { parseExamLink } from '../../src/client/link.ts';
import { Recorder } from '../../src/client/recorder.ts';
import { knownStream } from './known-media.ts';

const [linkText = '', directory = '', mebibytes = '64'] = process.argv.slice(2);
const link = parseExamLink(linkText);
const outbox = await openFolderOutbox({ directory, maximumBytes: 256 * 2 ** 20 });
const tracks = [{ track: 1, kind: 1, codec: 'video/webm' }] as const;
let peakBytes = 0;
const measure = setInterval(() => {
  peakBytes = Math.max(peakBytes, process.memoryUsage().rss);
}, 50);
const started = performance.now();
const recorder = await Recorder.open({ api: new Api({ url: link.url }), link, outbox, tracks });
const piece = knownStream(0, 1, 0, 65_536);
for (let written = 0; written < Number(mebibytes) * 2 ** 20; written += piece.length) {
  await recorder.track(1).write(piece, { tMs: written / 4096, durMs: 16 });
}
const sealed = performance.now();
await recorder.close(1);
const closed = performance.now();
clearInterval(measure);
await outbox.close();
process.stdout.write(
  `${JSON.stringify({ recordingId: recorder.recordingId, peakMiB: peakBytes / 2 ** 20, sealSeconds: (sealed - started) / 1000, seconds: (closed - started) / 1000 })}\n`,
);
