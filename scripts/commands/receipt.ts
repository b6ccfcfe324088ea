import { RECEIPT_CLOSED } from '../../crypto/format/receipt.ts';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { command, parseWords } from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { formatTime } from '../shell/figures.ts';
import { readReceiptFile } from '../shell/receipts.ts';

const USAGE = `zeroreel receipt [--json] RECEIPT

Checks a receipt offline: that the log's key signed it, and that its words are what was signed. What became of the recording since is
what \`zeroreel log prove\` tells.

  $ zeroreel receipt receipt.txt
  recording pVnGJ0mYQ1e6d0aXwz2u7A, complete and closed, to be destroyed by 2026-12-23 09:05 UTC
  signed by university.example/zeroreel`;

export const receipt = command(USAGE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    { json: { type: 'boolean', default: false } },
    { from: 1, to: 1, names: 'one RECEIPT' },
  );
  const { record, vkey, server } = await readReceiptFile(positionals[0]!);
  const isClosed = record.state === RECEIPT_CLOSED;
  if (values.json) {
    const { sessionId, epoch, headSeq, serverMs, deleteByMs, openedPosition } = record;
    shell.printJson({
      recording_id: sessionId,
      state: isClosed ? 'closed' : 'open',
      epoch,
      head_seq: headSeq,
      head_hash: toBase64Url(record.headHash),
      given_ms: serverMs,
      delete_by_ms: deleteByMs,
      opened_position: openedPosition,
      server,
      vkey,
    });
  } else {
    const state = isClosed ? 'complete and closed' : 'open: the recording was not closed when it was given';
    shell.print(`recording ${record.sessionId}, ${state}, to be destroyed by ${formatTime(record.deleteByMs)}`);
    shell.print(`signed by ${vkey.split('+', 1)[0]!}`);
  }
  return isClosed ? EXIT.well : EXIT.unwell;
});
