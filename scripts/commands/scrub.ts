import { command, parseCount, parseWords, SERVER_FLAGS } from '../shell/arguments.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { connect } from '../shell/server.ts';

const USAGE = `zeroreel scrub [--deep] [--sample N] [--server URL] [--token-file FILE] [--json]

Walks the whole bucket without any key and holds it against what is owed: the recorders' signatures and chains over every chunk's head,
missing objects, foreign ones, shred shares. Each finding is an anomaly in the log, and closed there by the walk that no longer sees it.
The server does the same every night for a sample. Nothing is deleted.

  --deep    reads whole objects and every segment's hash, not only the heads of 4 KiB
  --sample  looks at about N recordings, chosen at random

exit codes: 0 nothing wrong, 1 something found, a recording that could not be examined, or not at the end yet

  $ zeroreel scrub
  1204 recordings, 51204 objects
  object-damaged: 1`;

export const scrub = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    {
      ...SERVER_FLAGS,
      deep: { type: 'boolean', default: false },
      sample: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    { from: 0, to: 0, names: '' },
  );
  const sample =
    values.sample === undefined ? {} : { sample: parseCount(values.sample, '--sample', { from: 1, to: 100_000 }) };
  const api = await connect(shell, values);
  const answer = await api.scrub({ depth: values.deep ? 'whole' : 'heads', ...sample }, ({ recordings, objects }) => {
    shell.progress(`${recordings} recordings, ${objects} objects`);
  });
  shell.progress('');
  if (answer.state === 'busy') {
    throw new CommandError(
      'unwell',
      'busy',
      'another walk of this bucket is under way',
      'it logs what it finds; run this again later',
    );
  }
  const { recordings, objects, found, failed } = answer;
  if (values.json) shell.printJson({ recordings, objects, found, failed });
  else {
    shell.print(`${recordings} recordings, ${objects} objects`);
    for (const [kind, count] of Object.entries(found)) shell.print(`${kind}: ${count}`);
  }
  if (answer.state === 'paused') {
    shell.say(
      'the server may do only so much at a time: it goes on by itself and logs what it finds; run this again to see the rest',
    );
  }
  for (const { recording_id: id, reason } of failed) shell.say(`${id}: ${reason}`);
  const isWell = answer.state === 'finished' && Object.keys(found).length === 0 && failed.length === 0;
  return isWell ? EXIT.well : EXIT.unwell;
});
