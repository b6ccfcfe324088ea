/** The public line that a reader of recordings hands around. */
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
import { ClientError } from './errors.ts';

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
    throw new ClientError('public-line', `not a public line: ${error.message}`, {
      hint: 'expected what `zeroreel key show` prints: zrpq1... zrid1... label',
    });
  }
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
