import { readFile } from 'node:fs/promises';
import { command, commandGroup, KEY_FLAGS, parseWords } from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { describeKey, formatPublicLine, parsePublicLine, type PublicKeyLine } from '../../src/client/public-line.ts';
import { openKey, readPublicLines } from '../shell/keys.ts';
import { enrol, revoke, rotate } from './key-documents.ts';
import { changePassphrase } from './passphrase.ts';
import { regrant } from './regrant.ts';

const USAGE_SHOW = `zeroreel key show [--label TEXT] [--passphrase-file FILE] [--json] FILE

Prints the public line of a key file, after its passphrase has opened it; or, of a FILE.pub, the fingerprints alone. Compare
fingerprints by voice before you make somebody a reader.

  $ zeroreel key show instructor.key.pub
  zrpq1qy5w...  zrid1f0x... Instructor, Physics
  identity     9QZX-40WM-7B1R-XF5T-E3KD-0M2P-HV6A-CN8G
  suite 2 key  2J7K-QF0V-8XWD-5T1M-R6ZB-3H9C-YE4N-GA70`;

const show = command(USAGE_SHOW, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      label: { type: 'string' },
      'passphrase-file': KEY_FLAGS['passphrase-file'],
      json: { type: 'boolean', default: false },
    },
    { from: 1, to: 1, names: 'one key file' },
  );
  const path = positionals[0]!;
  const isSecret = (await readFile(path, 'utf8')).includes('-----BEGIN ');
  const lines = isSecret ? [await ownLine(path)] : await readPublicLines(path);
  for (const line of lines) {
    const described = await describeKey(line);
    if (values.json) {
      shell.printJson({ public: formatPublicLine(line), ...described, label: line.label });
    } else {
      shell.print(formatPublicLine(line));
      shell.say(`identity     ${described.identity_fingerprint}`);
      shell.say(`suite ${line.suite} key  ${described.key_fingerprint}`);
    }
  }
  return EXIT.well;

  async function ownLine(key: string): Promise<PublicKeyLine> {
    const { identity, decryptionKey } = await openKey(shell, { key, 'passphrase-file': values['passphrase-file'] });
    const { suite, publicKey } = decryptionKey;
    return { identity: identity.publicKey, suite, publicKey, label: values.label ?? (await labelBeside(key)) };
  }
});

/** The label is kept in FILE.pub alone; one that somebody else wrote there is of no consequence for keys. */
async function labelBeside(path: string): Promise<string> {
  try {
    return parsePublicLine(await readFile(`${path}.pub`, 'utf8')).label;
  } catch {
    return '';
  }
}

export const key = commandGroup(
  'key',
  `zeroreel key show FILE               the public line and fingerprints of a key file or FILE.pub
zeroreel key passphrase FILE         another passphrase for the same keys
zeroreel key enrol --key FILE        tells the server that the key is yours
zeroreel key rotate --key FILE NEW   a fresh decryption key for the same identity
zeroreel key regrant --key OLD       gives the new key what the old one opens
zeroreel key revoke --key FILE       withdraws it

Each has --help; zeroreel keygen makes a key.

  $ zeroreel key show instructor.key > instructor.pub`,
  { show, passphrase: changePassphrase, enrol, rotate, regrant, revoke },
);
