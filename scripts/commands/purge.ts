import { command, parseWords, SERVER_FLAGS } from '../shell/arguments.ts';
import { EXIT } from '../shell/exits.ts';
import { connect } from '../shell/server.ts';

const USAGE = `zeroreel purge [--server URL] [--token-file FILE] [--json]

Runs the purge that the server runs every minute anyway: what is due is destroyed, what was destroyed is looked for again. Exit
code 1 where a recording could not be finished; the next run takes it up again.

  $ zeroreel purge
  due 118, deleted 118, verified 97, objects 51204, failed 0`;

export const purge = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    { ...SERVER_FLAGS, json: { type: 'boolean', default: false } },
    { from: 0, to: 0, names: '' },
  );
  const answer = await (await connect(shell, values)).purge();
  const { due, deleted, verified, objects, failed } = answer;
  if (values.json) shell.printJson(answer);
  else shell.print(`due ${due}, deleted ${deleted}, verified ${verified}, objects ${objects}, failed ${failed.length}`);
  for (const { recording_id: id, reason } of failed) shell.say(`${id}: ${reason}`);
  return failed.length === 0 ? EXIT.well : EXIT.unwell;
});
