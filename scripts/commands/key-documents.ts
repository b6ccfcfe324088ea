/** How a reader's key is made known to the server, replaced and withdrawn: by documents that its identity signs (ZRKD). */
import { stat, writeFile } from 'node:fs/promises';
import { equal, fromBase64Url, toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { keyId } from '../../crypto/format/ids.ts';
import {
  encodeKeyDocument,
  KEY_ADD,
  KEY_REVOKE,
  KEY_ROTATE,
  parseKeyDocument,
  verifyKeyDocument,
  type KeyOperation,
} from '../../crypto/format/keydoc.ts';
import { generateDecryptionKey, type DecryptionKey, type Identity } from '../../crypto/seal/identity.ts';
import { sealKeyFile } from '../../crypto/seal/keyfile.ts';
import type { Api } from '../../src/client/api.ts';
import { command, KEY_FLAGS, parseCount, parseWords, required, SERVER_FLAGS } from '../shell/arguments.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { formatPublicLine } from '../../src/client/public-line.ts';
import { openKey } from '../shell/keys.ts';
import { newPassphrase } from '../shell/new-passphrase.ts';
import { writePrivateFile } from '../shell/secrets.ts';
import { connect } from '../shell/server.ts';
import type { Shell } from '../shell/shell.ts';

const DAY_MS = 86_400_000;
const FLAGS = { ...SERVER_FLAGS, ...KEY_FLAGS, days: { type: 'string', default: '365' } } as const;

interface OwnKeys {
  identity: Identity;
  decryptionKey: DecryptionKey;
}

const USAGE_ENROL = `zeroreel key enrol --key FILE [--days N]

Tells the server, by a document that your identity signs, that this key is yours, for N days (default 365). The retention log keeps it.

  $ zeroreel key enrol --key instructor.key
  enrolled GmB1c0Yt8m5rUuVbN3qWgA until 2027-11-23`;

export const enrol = command(USAGE_ENROL, async (words, shell) => {
  const { values } = parseWords(words, FLAGS, { from: 0, to: 0, names: '' });
  const days = parseDays(values.days);
  const keys = await openKey(shell, values);
  const api = await connect(shell, values);
  if ((await standing(api, keys, keys.decryptionKey)) === 'enrolled') {
    shell.say(`${idOf(keys.decryptionKey)} is enrolled already`);
    return EXIT.well;
  }
  await publish(api, shell, keys, { operation: KEY_ADD, key: keys.decryptionKey, days });
  return EXIT.well;
});

const USAGE_ROTATE = `zeroreel key rotate --key FILE [--days N] [--new-passphrase-file FILE] [--generate] NEW

Makes NEW, a key file with the same identity and a fresh decryption key, and tells the server that it replaces the one in FILE. Recordings
that are sealed already open with FILE alone: keep it until their time is over. Add NEW.pub to exams with \`zeroreel exam update\`. Run again
after a failure, it goes on with the NEW that is there.

  $ zeroreel key rotate --key instructor.key instructor-2027.key
  rotated GmB1c0Yt8m5rUuVbN3qWgA to 5pVxN0c1m2QyTzq8bWk3Jg until 2027-11-23`;

export const rotate = command(USAGE_ROTATE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    { ...FLAGS, 'new-passphrase-file': { type: 'string' }, generate: { type: 'boolean', default: false } },
    { from: 1, to: 1, names: 'one name for the new key file' },
  );
  const days = parseDays(values.days);
  const path = positionals[0]!;
  const old = await openKey(shell, values);
  const api = await connect(shell, values);
  const next = (await exists(path)) ? await openNext() : await makeNext();
  await publish(api, shell, old, { operation: KEY_ROTATE, key: next, days, replaces: old.decryptionKey.keyId });
  shell.say(
    `keep ${required(values.key ?? shell.environment['ZEROREEL_KEY'], 'key')} until what it opens is destroyed`,
  );
  return EXIT.well;

  /** The file comes before the document: a key that is announced and lost would be worse than one that nobody knows of. */
  async function makeNext(): Promise<DecryptionKey> {
    const { suite } = old.decryptionKey;
    const decryptionKey = await generateDecryptionKey(suite);
    const passphrase = await newPassphrase(shell, {
      ...{ file: values['new-passphrase-file'], question: `passphrase of ${path}` },
      ...{ variable: 'ZEROREEL_NEW_PASSPHRASE', isDrawn: values.generate, related: ['zeroreel'] },
    });
    await writePrivateFile(path, await sealKeyFile({ identity: old.identity, decryptionKey, passphrase }), false);
    const line = { identity: old.identity.publicKey, suite, publicKey: decryptionKey.publicKey, label: '' };
    await writeFile(`${path}.pub`, `${formatPublicLine(line)}\n`);
    return decryptionKey;
  }

  async function openNext(): Promise<DecryptionKey> {
    const found = await openKey(shell, { key: path, 'passphrase-file': values['new-passphrase-file'] });
    if (equal(found.identity.publicKey, old.identity.publicKey)) return found.decryptionKey;
    throw new CommandError('key', 'key', `${path} holds another identity`, 'choose another name for the new key file');
  }
});

const USAGE_REVOKE = `zeroreel key revoke --key FILE

Tells the server that this key is withdrawn, for good: no recording is released to it any more, and no exam may name it. That cannot take
back what the key has opened. The owner of each exam that names it runs \`zeroreel exam update\`; recorders warn until then.

  $ zeroreel key revoke --key instructor.key
  revoked GmB1c0Yt8m5rUuVbN3qWgA`;

export const revoke = command(USAGE_REVOKE, async (words, shell) => {
  const { values } = parseWords(words, { ...SERVER_FLAGS, ...KEY_FLAGS }, { from: 0, to: 0, names: '' });
  const keys = await openKey(shell, values);
  const api = await connect(shell, values);
  if ((await standing(api, keys, keys.decryptionKey)) === 'revoked') {
    shell.say(`${idOf(keys.decryptionKey)} is revoked already`);
    return EXIT.well;
  }
  await publish(api, shell, keys, { operation: KEY_REVOKE, key: keys.decryptionKey, days: 365 });
  return EXIT.well;
});

function parseDays(text: string): number {
  return parseCount(text, '--days', { from: 1, to: 3650 });
}

const idOf = (key: DecryptionKey): string => toBase64Url(key.keyId);

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** What the documents about a key say, verified: the server's word is not enough. A revocation is final. */
async function standing(
  api: Api,
  { identity }: OwnKeys,
  key: DecryptionKey,
): Promise<'unknown' | 'enrolled' | 'revoked'> {
  let found: 'unknown' | 'enrolled' = 'unknown';
  for (const { document } of (await api.keys(toBase64Url(identity.publicKey))).keys) {
    const parsed = parseKeyDocument(fromBase64Url(document));
    await verifyKeyDocument(parsed, identity.publicKey);
    if (!equal(await keyId(parsed.suite, parsed.publicKey), key.keyId)) continue;
    if (parsed.operation === KEY_REVOKE) return 'revoked';
    found = 'enrolled';
  }
  return found;
}

interface Announcement {
  operation: KeyOperation;
  key: DecryptionKey;
  days: number;
  /** key_id of the key that is replaced. */
  replaces?: Bytes;
}

async function publish(
  api: Api,
  shell: Shell,
  { identity, decryptionKey }: OwnKeys,
  { operation, key, days, replaces }: Announcement,
): Promise<void> {
  const { now_ms: now } = await api.service();
  const fields = {
    identity: identity.publicKey,
    ...{ suite: key.suite, publicKey: key.publicKey },
    createdMs: now,
    expiresMs: now + days * DAY_MS,
    prevKeyId: replaces ?? new Uint8Array(16),
    operation,
  };
  // A rotation is signed by the identity that enrolled the replaced key as well, which here is the same one.
  const document = await encodeKeyDocument(fields, identity.signer, replaces && identity.signer);
  await api.enrolKey(document);
  const until = `until ${new Date(fields.expiresMs).toISOString().slice(0, 10)}`;
  const id = idOf(key);
  if (operation === KEY_ADD) shell.print(`enrolled ${id} ${until}`);
  else if (operation === KEY_ROTATE) shell.print(`rotated ${idOf(decryptionKey)} to ${id} ${until}`);
  else shell.print(`revoked ${id}`);
}
