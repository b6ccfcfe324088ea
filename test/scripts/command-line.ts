/** The real command line, as child processes, against a real server in this one. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { start, type RunningServer } from '../../src/node.ts';
import { readConfig } from '../../src/server/config.ts';

const TSX = import.meta.resolve('tsx');
const ENTRY = new URL('../../scripts/zeroreel.ts', import.meta.url).pathname;
export const MEDIA = new URL('../media/', import.meta.url).pathname;
export const PASSPHRASE = 'slow river under the old mill';

export interface Ended {
  exit: number | null;
  signal: NodeJS.Signals | null;
  output: string;
  error: string;
}

export interface RunOptions {
  environment?: Record<string, string>;
  input?: string | Uint8Array;
  /** Called with each line of standard output; answers a signal to send. */
  onLine?: (line: string) => NodeJS.Signals | undefined;
}

/** A folder of its own, in which the command line runs with nothing but what is given in its environment. */
export class CommandLine {
  readonly folder = mkdtempSync(join(tmpdir(), 'zeroreel-cli-'));
  readonly environment: Record<string, string> = { ZEROREEL_PASSPHRASE: PASSPHRASE, HOME: this.folder };

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** The command as words for another program to run it in. */
  get program(): string[] {
    return [process.execPath, '--import', TSX, ENTRY];
  }

  run(words: readonly string[], { environment = {}, input, onLine }: RunOptions = {}): Promise<Ended> {
    const [node, ...prefix] = this.program;
    const child = spawn(node!, [...prefix, ...words], {
      cwd: this.folder,
      env: { PATH: process.env['PATH'] ?? '', ...this.environment, ...environment },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    let output = '';
    let error = '';
    let told = 0;
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      for (let end = output.indexOf('\n', told); end >= 0; end = output.indexOf('\n', told)) {
        const signal = onLine?.(output.slice(told, end));
        if (signal) child.kill(signal);
        told = end + 1;
      }
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (error += text));
    if (input !== undefined) child.stdin!.on('error', () => undefined).end(input);
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exit, signal) => {
        resolve({ exit, signal, output, error });
      });
    });
  }

  /** A run that must end well; answers its standard output. */
  async must(words: readonly string[], options: RunOptions = {}): Promise<string> {
    const { exit, output, error } = await this.run(words, options);
    if (exit !== 0) throw new Error(`zeroreel ${words.join(' ')} ended with ${exit}: ${error}`);
    return output.trimEnd();
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A server in `cli`'s folder, and the administrator's token in its environment. */
export async function startService(cli: CommandLine): Promise<RunningServer> {
  const config = readConfig({
    ZEROREEL_DATA: cli.path('server'),
    ZEROREEL_ADMIN_TOKEN_FILE: cli.path('admin.token'),
    ZEROREEL_PORT: '0',
    ZEROREEL_BUCKET_PORT: '0',
    ZEROREEL_LOG_LEVEL: 'warn',
  });
  const server = await start({ config });
  cli.environment['ZEROREEL_SERVER'] = server.url;
  cli.environment['ZEROREEL_TOKEN_FILE'] = cli.path('admin.token');
  return server;
}

/** Owner, second reader in suite 1, exam with quick heads, and seats 0001 to 0009. */
export async function prepareExam(cli: CommandLine): Promise<void> {
  await Promise.all([
    cli.must(['keygen', '--label', 'the first instructor', 'first.key']),
    cli.must(['keygen', '--suite', '1', 'second.key']),
  ]);
  const rules = ['--rule', 'chunk_seconds=5', '--rule', 'head_seconds=1'];
  const link = await cli.must([
    'exam',
    'create',
    '--key',
    'first.key',
    '--title',
    'Physics',
    '--recipient',
    'second.key.pub',
    '--min-suite',
    '1',
    ...rules,
  ]);
  cli.environment['ZEROREEL_EXAM'] = link;
  await cli.must(['exam', 'tickets', '--key', 'first.key', '--out', 'seats', '9']);
}
