/** Keys as people handle them: a key file, and the public line that is handed around. */
import { readFile } from 'node:fs/promises';
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import {
  decodeEncryptionKey,
  decodeIdentity,
  encodeEncryptionKey,
  encodeIdentity,
  fingerprint,
  IDENTITY_SUITE,
  keyId,
  type Suite,
} from '../../crypto/format/ids.ts';
import type { DecryptionKey, Identity } from '../../crypto/seal/identity.ts';
import { openKeyFile } from '../../crypto/seal/keyfile.ts';
import { CommandError } from './exits.ts';
import { passphrase } from './secrets.ts';
import type { Shell } from './shell.ts';

/** What a reader of recordings hands out. */
export interface PublicKeyLine {
  /** Ed25519, 32 bytes. */
  identity: Bytes;
  suite: Suite;
  publicKey: Bytes;
  /** May be empty. */
  label: string;
}

/** `zrpq1... zrid1... label`: one line, so that mail, chat and files carry it; bech32m's checksums catch a torn one. */
export function formatPublicLine({ identity, suite, publicKey, label }: PublicKeyLine): string {
  return [encodeEncryptionKey(suite, publicKey), encodeIdentity(identity), ...(label === '' ? [] : [label])].join(' ');
}

/** Throws `public-line` for anything else than `formatPublicLine` makes. */
export function parsePublicLine(line: string): PublicKeyLine {
  const [key = '', identity = '', ...label] = line.trim().split(/\s+/);
  try {
    return { ...decodeEncryptionKey(key), identity: decodeIdentity(identity), label: label.join(' ') };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new CommandError(
      'usage',
      'public-line',
      `not a public line: ${error.message}`,
      'expected what `zeroreel key show` prints: zrpq1... zrid1... label',
    );
  }
}

/** A public line itself, or a file of them: one a line, `#` begins a comment. */
export async function readPublicLines(textOrPath: string): Promise<PublicKeyLine[]> {
  if (/^zr(pq|box)1/.test(textOrPath)) return [parsePublicLine(textOrPath)];
  const text = await readFile(textOrPath, 'utf8');
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  if (lines.length === 0)
    throw new CommandError('usage', 'public-line', `${textOrPath}: expected a public line, found none`);
  return lines.map(parsePublicLine);
}

/** Names of a key, as `--json` prints them. */
export async function describeKey({ identity, suite, publicKey }: Omit<PublicKeyLine, 'label'>) {
  return {
    suite,
    key_id: toBase64Url(await keyId(suite, publicKey)),
    key_fingerprint: await fingerprint(suite, publicKey),
    identity: encodeIdentity(identity),
    identity_fingerprint: await fingerprint(IDENTITY_SUITE, identity),
  };
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
