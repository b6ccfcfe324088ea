/** Keys as people handle them: a key file, and files of public lines. */
import { readFile } from 'node:fs/promises';
import { ProtocolError } from '../../crypto/format/errors.ts';
import type { DecryptionKey, Identity } from '../../crypto/seal/identity.ts';
import { openKeyFile } from '../../crypto/seal/keyfile.ts';
import { parsePublicLine, type PublicKeyLine } from '../../src/client/public-line.ts';
import { CommandError } from './exits.ts';
import { passphrase } from './secrets.ts';
import type { Shell } from './shell.ts';

/** A public line itself, or a file of them: one a line, `#` begins a comment. */
export async function readPublicLines(textOrPath: string): Promise<PublicKeyLine[]> {
  if (/^zr(pq|box)1/.test(textOrPath)) return [parsePublicLine(textOrPath)];
  const text = await readFile(textOrPath, 'utf8');
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  if (lines.length === 0)
    throw new CommandError('usage', 'public-line', `${textOrPath}: expected a public line, found none`);
  return lines.map(parsePublicLine);
}

/** Opens the key file of --key, asking for its passphrase where nobody gave it. */
export async function openKey(
  shell: Shell,
  flags: { key?: string | undefined; 'passphrase-file'?: string | undefined },
): Promise<{ identity: Identity; decryptionKey: DecryptionKey }> {
  const path = flags.key ?? shell.environment['ZEROREEL_KEY'];
  if (path === undefined)
    throw new CommandError('usage', 'usage', 'expected --key FILE', 'zeroreel keygen makes a key file');
  const armored = await readFile(path, 'utf8');
  const secret = await passphrase(shell, { file: flags['passphrase-file'], question: `passphrase of ${path}` });
  try {
    return await openKeyFile(armored, secret);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const hint = error.code === 'passphrase' ? undefined : 'expected a file that `zeroreel keygen` made';
    throw new CommandError('key', error.code, `${path}: ${error.message}`, hint, { cause: error });
  }
}
