/**
 * A recorder in a process of its own, to be killed. Arguments: link, outbox folder. Opens or resumes, writes endlessly a stream that
 * is known by epoch and track, and prints what receipts cover.
 */
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { Api } from '../../src/client/api.ts';
import { sleep } from '../../src/client/environment.ts';
import { parseExamLink } from '../../src/client/link.ts';
import { Recorder } from '../../src/client/recorder.ts';
import { knownStream, TRACKS } from './known-media.ts';

const [linkText = '', directory = ''] = process.argv.slice(2);
const link = parseExamLink(linkText);
const outbox = await openFolderOutbox({ directory });
const standing = await outbox.session();
const options = {
  api: new Api({ url: link.url }),
  link,
  outbox,
  tracks: TRACKS,
  onProgress: ({ stored }: { stored: number }) => {
    process.stdout.write(`stored ${stored}\n`);
  },
};
const recorder = standing && standing.epochs.length > 0 ? await Recorder.resume(options) : await Recorder.open(options);
process.stdout.write(`recording ${recorder.recordingId}\n`);
const epoch = (await outbox.session())!.epochs.at(-1)!.epoch;

await Promise.all(
  TRACKS.map(async ({ track }) => {
    for (let at = 0; ; at += 16_384) {
      await recorder.track(track).write(knownStream(epoch, track, at, 16_384));
      await sleep(8);
    }
  }),
);
