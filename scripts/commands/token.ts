import { roleSchema } from '../../schema/api.ts';
import {
  command,
  commandGroup,
  parseCount,
  parseWords,
  required,
  SERVER_FLAGS,
  usageError,
} from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { formatTable, formatTime } from '../shell/figures.ts';
import { writePrivateFile } from '../shell/secrets.ts';
import { connect, readExamLink } from '../shell/server.ts';

const USAGE_CREATE = `zeroreel token create --role admin|instructor|compliance --label TEXT [--days N] [--exam LINK]... [--out FILE] [--json]

Makes a token of the server for one person. A token lets its holder ask; only a key opens a recording, and a compliance token is
not even given the ciphertext's share. Printed once; with --out it goes to a file of mode 600 instead. With --exam
it is bound to these exams, and may ask about no others.

  $ zeroreel token create --role compliance --label 'registrar' --days 90 --out registrar.token
  zrc_4Wc0fH2a  compliance  until 2027-02-21 09:05 UTC`;

const create = command(USAGE_CREATE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      role: { type: 'string' },
      label: { type: 'string' },
      exam: { type: 'string', multiple: true, default: [] },
      days: { type: 'string', default: '180' },
      out: { type: 'string' },
      force: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const role = roleSchema.safeParse(required(values.role, 'role'));
  if (!role.success)
    throw usageError(`--role: expected ${roleSchema.options.join(', ')}, found ${JSON.stringify(values.role)}`);
  const label = required(values.label, 'label');
  const days = parseCount(values.days, '--days', { from: 1, to: 366 });
  const api = await connect(shell, values);
  const exams = await Promise.all(values.exam.map(async (link) => (await readExamLink(shell, link)).examId));
  const bound = exams.length > 0 && { exam_ids: exams };
  const created = await api.createToken({ role: role.data, label, days, ...bound });
  if (values.out !== undefined) await writePrivateFile(values.out, `${created.token}\n`, values.force);
  const { token, ...rest } = created;
  if (values.json) shell.printJson(values.out === undefined ? created : { ...rest, file: values.out });
  else if (values.out === undefined) shell.print(token);
  else shell.print(`${rest.prefix}  ${rest.role}  until ${formatTime(rest.expires_ms)}`);
  return EXIT.well;
});

const USAGE_LIST = `zeroreel token list [--json]

  $ zeroreel token list
  prefix        role        until                 label
  zra_9sJ1kQ0v  admin       2027-11-24 08:00 UTC  first administrator`;

const list = command(USAGE_LIST, async (words, shell) => {
  const { values } = parseWords(
    words,
    { ...SERVER_FLAGS, json: { type: 'boolean', default: false } },
    { from: 0, to: 0, names: '' },
  );
  const { tokens } = await (await connect(shell, values)).tokens();
  if (values.json) {
    shell.printJson(tokens);
    return EXIT.well;
  }
  const rows = tokens.map(({ prefix, role, expires_ms: until, revoked_ms: revoked, label }) => [
    prefix,
    role,
    revoked === null ? formatTime(until) : `revoked ${formatTime(revoked)}`,
    label,
  ]);
  for (const line of formatTable(['prefix', 'role', 'until', 'label'], rows)) shell.print(line);
  return EXIT.well;
});

const USAGE_REVOKE = `zeroreel token revoke PREFIX

  $ zeroreel token revoke zrc_4Wc0fH2a
  revoked zrc_4Wc0fH2a`;

const revoke = command(USAGE_REVOKE, async (words, shell) => {
  const { values, positionals } = parseWords(words, SERVER_FLAGS, { from: 1, to: 1, names: "the token's PREFIX" });
  await (await connect(shell, values)).revokeToken(positionals[0]!);
  shell.print(`revoked ${positionals[0]!}`);
  return EXIT.well;
});

export const token = commandGroup(
  'token',
  `zeroreel token create | list | revoke      who may ask the server

  $ export ZEROREEL_TOKEN_FILE=admin.token
  $ zeroreel token create --role instructor --label 'the first instructor' --out instructor.token`,
  { create, list, revoke },
);
