import { writeFile } from 'node:fs/promises';
import { renderSVG, renderUnicodeCompact } from 'uqr';
import { RECEIPT_CLOSED } from '../../crypto/format/receipt.ts';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { receiptLink } from '../../src/client/kept-receipt.ts';
import { command, parseWords } from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { formatTime } from '../shell/figures.ts';
import { readReceiptFile } from '../shell/receipts.ts';

const USAGE = `zeroreel receipt [--qr] [--svg FILE] [--json] RECEIPT

Checks a receipt offline: that the log's key signed it, and that its words are what was signed. RECEIPT is the text that was kept, or
the link that its QR code holds. What became of the recording since is what \`zeroreel log prove\` tells.

  --qr   shows the receipt as a QR code, for a phone to keep: a link to the page that checks it, and all that the check needs
  --svg  writes the same as a picture

  $ zeroreel receipt receipt.txt
  recording pVnGJ0mYQ1e6d0aXwz2u7A, complete and closed, to be destroyed by 2026-12-23 09:05 UTC
  signed by university.example/zeroreel`;

export const receipt = command(USAGE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      qr: { type: 'boolean', default: false },
      svg: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    { from: 1, to: 1, names: 'one RECEIPT' },
  );
  const kept = await readReceiptFile(positionals[0]!);
  const { record, vkey, server } = kept;
  const link = receiptLink(kept);
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
      link,
    });
  } else {
    const state = isClosed ? 'complete and closed' : 'open: the recording was not closed when it was given';
    shell.print(`recording ${record.sessionId}, ${state}, to be destroyed by ${formatTime(record.deleteByMs)}`);
    shell.print(`signed by ${vkey.split('+', 1)[0]!}`);
    if (values.qr) {
      for (const line of qrLines(link, shell.isShown)) shell.print(line);
      shell.print(link);
    }
  }
  if (values.svg !== undefined) await writeFile(values.svg, renderSVG(link, QUIET));
  return isClosed ? EXIT.well : EXIT.unwell;
});

/** Low redundancy keeps the modules large; four of them around it are what ISO/IEC 18004 asks for. */
const QUIET = { ecc: 'L', border: 4 } as const;

/** Two rows of modules a line. On a terminal in black and white whatever its colours: many readers take no negative. */
function qrLines(text: string, isShown: boolean): string[] {
  const lines = renderUnicodeCompact(text, QUIET).split('\n');
  return isShown ? lines.map((line) => `\u001b[97;40m${line}\u001b[0m`) : lines;
}
