import { start } from '../../src/node.ts';
import { StartRefusal } from '../../src/server/start-refusal.ts';
import { command, parseWords } from '../shell/arguments.ts';
import { CommandError, EXIT } from '../shell/exits.ts';
import { readSettings } from '../shell/settings.ts';

const USAGE = `zeroreel serve [--data DIR] [--host ADDRESS] [--port N] [--bucket-port N]

Runs the server until it is told to stop (Ctrl-C, SIGTERM): metadata in SQLite, objects in the embedded bucket under DIR, or in
the S3 store that ZEROREEL_S3_ENDPOINT names. The README lists every setting and who is trusted with it. The first line of
output is the server's URL. A first start prints one setup link, which "zeroreel setup" trades for the administrator's token.

  $ zeroreel serve --data /var/lib/zeroreel
  http://127.0.0.1:8600`;

export const serve = command(USAGE, async (words, shell) => {
  const { values } = parseWords(
    words,
    { data: { type: 'string' }, host: { type: 'string' }, port: { type: 'string' }, 'bucket-port': { type: 'string' } },
    { from: 0, to: 0, names: '' },
  );
  const readAgain = () =>
    readSettings({
      ...shell.environment,
      ...(values.data !== undefined && { ZEROREEL_DATA: values.data }),
      ...(values.host !== undefined && { ZEROREEL_HOST: values.host }),
      ...(values.port !== undefined && { ZEROREEL_PORT: values.port }),
      ...(values['bucket-port'] !== undefined && { ZEROREEL_BUCKET_PORT: values['bucket-port'] }),
    });
  const server = await start({ config: readAgain(), readAgain }).catch((error: unknown) => {
    if (!(error instanceof StartRefusal)) throw error;
    throw new CommandError('unwell', 'start-refused', error.message, error.hint, { cause: error });
  });
  shell.print(server.url);
  if (server.setupLink !== undefined) shell.say(`nobody has a token yet; to begin: ${server.setupLink}`);
  await new Promise<void>((stop) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.once(signal, () => {
        stop();
      });
  });
  shell.say('finishing what is under way');
  await server.close();
  return EXIT.well;
});
