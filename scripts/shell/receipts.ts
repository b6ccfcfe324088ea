import { readFile } from 'node:fs/promises';
import { ProtocolError } from '../../crypto/format/errors.ts';
import { readReceipt } from '../../src/client/kept-receipt.ts';
import { CommandError } from './exits.ts';

/** Reads a kept receipt, from a file or, since it opens nothing, from a link in the arguments: what is no receipt at all is the command line's fault, what does not verify is a violation. */
export async function readReceiptFile(path: string): ReturnType<typeof readReceipt> {
  const text = /^https?:\/\//.test(path) ? path : await readFile(path, 'utf8');
  try {
    return await readReceipt(text);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    if (error.code === 'signature') throw new CommandError('violation', 'signature', `${path}: ${error.message}`);
    throw new CommandError(
      'usage',
      'receipt',
      `${path}: not a receipt: ${error.message}`,
      'expected the text that `zeroreel record` kept, whole',
    );
  }
}
