import { takeEnvironment } from '../src/server/config.ts';
import { commandGroup, type Command } from './shell/arguments.ts';
import { EXIT, EXIT_HELP, explain, type ExitCode } from './shell/exits.ts';
import { Shell } from './shell/shell.ts';

const USAGE = `zeroreel COMMAND: zero-knowledge storage for exam recordings

people and exams   keygen, key show | passphrase | enrol | rotate | regrant | revoke, exam create, exam show, exam tickets, exam copy
recording          record, receipt
review             list, fetch, export, verify, grant
operating          serve, setup, token, lti, purge, scrub, erase, doctor, backup, restore, bucket, capacity
evidence           log verify, log export, log prove, log rotate

Every command has --help. Results go to standard output, everything else to standard error.
${EXIT_HELP}

  $ zeroreel serve &
  $ zeroreel setup data/setup.link && export ZEROREEL_TOKEN_FILE=admin.token
  $ zeroreel keygen instructor.key
  $ zeroreel exam create --key instructor.key --title 'Physics 101, final' > physics.link
  $ zeroreel exam tickets --key instructor.key --exam physics.link --out seats 120
  $ zeroreel record --ticket seats/0001.link webcam.webm screen.webm events.ndjson
  $ zeroreel list --exam physics.link
  $ zeroreel fetch --key instructor.key --exam physics.link --out review pVnGJ0mYQ1e6d0aXwz2u7A`;

/** Loaded when it is asked for: `zeroreel --help` need not load the AWS SDK. */
const load = (from: () => Promise<Command>): Command => ({
  usage: '',
  run: async (words, shell) => (await from()).run(words, shell),
});

const main = commandGroup('', USAGE, {
  keygen: load(async () => (await import('./commands/keygen.ts')).keygen),
  key: load(async () => (await import('./commands/key.ts')).key),
  exam: load(async () => (await import('./commands/exam.ts')).exam),
  record: load(async () => (await import('./commands/record.ts')).record),
  receipt: load(async () => (await import('./commands/receipt.ts')).receipt),
  list: load(async () => (await import('./commands/list.ts')).list),
  fetch: load(async () => (await import('./commands/fetch.ts')).fetch),
  export: load(async () => (await import('./commands/casefile.ts')).exportCommand),
  verify: load(async () => (await import('./commands/casefile.ts')).verify),
  grant: load(async () => (await import('./commands/grant.ts')).grant),
  serve: load(async () => (await import('./commands/serve.ts')).serve),
  setup: load(async () => (await import('./commands/setup.ts')).setup),
  lti: load(async () => (await import('./commands/lti.ts')).lti),
  token: load(async () => (await import('./commands/token.ts')).token),
  purge: load(async () => (await import('./commands/purge.ts')).purge),
  scrub: load(async () => (await import('./commands/scrub.ts')).scrub),
  doctor: load(async () => (await import('./commands/doctor.ts')).doctor),
  backup: load(async () => (await import('./commands/backup.ts')).backup),
  restore: load(async () => (await import('./commands/backup.ts')).restore),
  bucket: load(async () => (await import('./commands/bucket.ts')).bucket),
  erase: load(async () => (await import('./commands/erase.ts')).erase),
  capacity: load(async () => (await import('./commands/capacity.ts')).capacity),
  log: load(async () => (await import('./commands/log.ts')).log),
});

async function run(words: readonly string[], shell: Shell): Promise<ExitCode> {
  try {
    return await main.run(words, shell);
  } catch (error) {
    const { exit, code, message, hint } = explain(error);
    shell.progress('');
    shell.say(`zeroreel: ${message} (${code})`);
    if (hint !== undefined) shell.say(`hint: ${hint}`);
    if (shell.environment['ZEROREEL_DEBUG'] === '1' && error instanceof Error) shell.say(error.stack ?? '');
    return EXIT[exit];
  }
}

// Whoever reads our results may have seen enough: `zeroreel list | head -1`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(EXIT.well);
});
// The SDK's version is pinned to one that supports this Node: its reminder is no news to whoever runs a command.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
const { stdin, stdout, stderr } = process;
const shell = new Shell({ env: takeEnvironment(process.env), stdin, stdout, stderr });
process.exitCode = await run(process.argv.slice(2), shell);
