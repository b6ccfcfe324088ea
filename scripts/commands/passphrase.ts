import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { sealKeyFile } from '../../crypto/seal/keyfile.ts';
import { command, KEY_FLAGS, parseWords } from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { openKey } from '../shell/keys.ts';
import { newPassphrase } from '../shell/new-passphrase.ts';
import { writePrivateFile } from '../shell/secrets.ts';

const USAGE = `zeroreel key passphrase [--passphrase-file OLD] [--new-passphrase-file NEW] [--generate] FILE

Seals the same keys under another passphrase, and replaces FILE whole or not at all. Copies of the old file still open with the old
passphrase: where it may be known to somebody, rotate the key (zeroreel key rotate) and delete them.

  --passphrase-file      the passphrase until now (or ZEROREEL_PASSPHRASE, or asked for)
  --new-passphrase-file  the next one (or ZEROREEL_NEW_PASSPHRASE, or asked for)
  --generate             draws six words and shows them once, or writes them to --new-passphrase-file

  $ zeroreel key passphrase --generate instructor.key
  passphrase of instructor.key:
  your passphrase, 6 words, shown this once; write it down:
      stage abroad groove rehab produce overbook
  instructor.key opens with the new passphrase`;

export const changePassphrase = command(USAGE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      'passphrase-file': KEY_FLAGS['passphrase-file'],
      'new-passphrase-file': { type: 'string' },
      generate: { type: 'boolean', default: false },
    },
    { from: 1, to: 1, names: 'one key file' },
  );
  const path = positionals[0]!;
  const keys = await openKey(shell, { key: path, 'passphrase-file': values['passphrase-file'] });
  const label = await readFile(`${path}.pub`, 'utf8').then(
    (line) => line.split(' ').slice(2).join(' '),
    () => '',
  );
  const passphrase = await newPassphrase(shell, {
    ...{ file: values['new-passphrase-file'], question: 'new passphrase', variable: 'ZEROREEL_NEW_PASSPHRASE' },
    isDrawn: values.generate,
    related: ['zeroreel', basename(path), label],
  });
  await writePrivateFile(path, await sealKeyFile({ ...keys, passphrase }), true);
  shell.say(`${path} opens with the new passphrase`);
  return EXIT.well;
});
