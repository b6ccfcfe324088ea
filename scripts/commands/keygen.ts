import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { SUITE_BOX, SUITE_HYBRID, type Suite } from '../../crypto/format/ids.ts';
import { generateDecryptionKey, generateIdentity } from '../../crypto/seal/identity.ts';
import { sealKeyFile } from '../../crypto/seal/keyfile.ts';
import { command, parseWords, usageError } from '../shell/arguments.ts';
import { describeKey, formatPublicLine } from '../../src/client/public-line.ts';
import { EXIT } from '../shell/exits.ts';
import { newPassphrase } from '../shell/new-passphrase.ts';
import { requireNew, writePrivateFile } from '../shell/secrets.ts';

const USAGE = `zeroreel keygen [--suite 1|2] [--label TEXT] [--generate] [--passphrase-file FILE] [--force] [--json] FILE

Makes an identity key (Ed25519, signs policies and grants) and a decryption key, writes both to FILE, sealed with a passphrase
(Argon2id), and the public line to FILE.pub. The public line is what an exam's owner needs to make you a reader.

  --suite 2   MLKEM768-X25519, safe against a quantum computer (the default)
  --suite 1   X25519 alone, for exams whose policy allows it
  --label     how colleagues see you in a policy; the server sees it too
  --generate  draws a passphrase of six words and shows it once, or writes it to --passphrase-file

A passphrase of your own must take at least 10^10 guesses, by an estimate that knows dictionaries, names, dates and keyboards.

  $ zeroreel keygen --label 'Instructor, Physics' instructor.key
  passphrase:
  once more:
  strength     about 10^19 guesses (10^10 is the least)
  identity     9QZX-40WM-7B1R-XF5T-E3KD-0M2P-HV6A-CN8G
  suite 2 key  2J7K-QF0V-8XWD-5T1M-R6ZB-3H9C-YE4N-GA70
  wrote instructor.key (keep it) and instructor.key.pub (hand it out)`;

export const keygen = command(USAGE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      suite: { type: 'string', default: '2' },
      label: { type: 'string' },
      'passphrase-file': { type: 'string' },
      generate: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 1, to: 1, names: 'one FILE for the key' },
  );
  const path = positionals[0]!;
  const suite = parseSuiteOption(values.suite);
  await requireNew(path, values.force);
  const secret = await newPassphrase(shell, {
    ...{ file: values['passphrase-file'], question: 'passphrase', isDrawn: values.generate },
    related: ['zeroreel', basename(path), values.label ?? ''],
  });
  const identity = await generateIdentity();
  const decryptionKey = await generateDecryptionKey(suite);
  await writePrivateFile(path, await sealKeyFile({ decryptionKey, identity, passphrase: secret }), values.force);
  const publicKey = {
    identity: identity.publicKey,
    suite,
    publicKey: decryptionKey.publicKey,
    label: values.label ?? '',
  };
  const line = formatPublicLine(publicKey);
  await writeFile(`${path}.pub`, `${line}\n`);
  const described = await describeKey(publicKey);
  if (values.json) {
    shell.printJson({ file: path, public: line, ...described });
  } else {
    shell.print(`identity     ${described.identity_fingerprint}`);
    shell.print(`suite ${suite} key  ${described.key_fingerprint}`);
    shell.say(`wrote ${path} (keep it) and ${path}.pub (hand it out)`);
  }
  return EXIT.well;
});

export function parseSuiteOption(text: string): Suite {
  if (text === '1') return SUITE_BOX;
  if (text === '2') return SUITE_HYBRID;
  throw usageError(`--suite: expected 1 or 2, found ${JSON.stringify(text)}`);
}
