import { readFile } from 'node:fs/promises';
import { Api } from '../../src/client/api.ts';
import { command, parseWords, usageError } from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { formatTime } from '../shell/figures.ts';
import { requireNew, writePrivateFile } from '../shell/secrets.ts';

const USAGE = `zeroreel setup FILE [--out FILE] [--force] [--json]

Trades the setup link of a server's first start, in FILE, for the first administrator's token, and writes that to a file of mode 600
(admin.token). The link holds once, and for a day; the server keeps it as setup.link in its data folder until then.

  $ zeroreel serve --data data &
  $ zeroreel setup data/setup.link
  zra_9sJ1kQ0v  admin  until 2027-11-24 08:00 UTC  admin.token
  $ export ZEROREEL_TOKEN_FILE=admin.token`;

export const setup = command(USAGE, async (words, shell) => {
  const { values, positionals } = parseWords(
    words,
    {
      out: { type: 'string', default: 'admin.token' },
      force: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 1, to: 1, names: "the setup link's FILE" },
  );
  const text = (await readFile(positionals[0]!, 'utf8')).trim();
  const [, url, secret] = /^(https?:\/\/[^/#]+)\/setup#(zrsetup_[\w-]+)$/.exec(text) ?? [];
  if (url === undefined || secret === undefined) throw usageError('expected a file with a setup link in it');
  await requireNew(values.out, values.force); // a token that could not be kept would be lost
  const { token, prefix, role, expires_ms: until } = await new Api({ url }).redeemSetup(secret);
  await writePrivateFile(values.out, `${token}\n`, values.force);
  if (values.json) shell.printJson({ prefix, role, expires_ms: until, file: values.out });
  else shell.print(`${prefix}  ${role}  until ${formatTime(until)}  ${values.out}`);
  return EXIT.well;
});
