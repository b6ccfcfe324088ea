import type { ReadStream } from 'node:tty';
import { CommandError } from './exits.ts';

/** What a command is run in: its streams and its environment. Results go to standard output, everything else to standard error. */
export class Shell {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly input: NodeJS.ReadStream;
  readonly #output: NodeJS.WriteStream;
  readonly #error: NodeJS.WriteStream;

  constructor(process: Pick<NodeJS.Process, 'stdin' | 'stdout' | 'stderr'> & { env: Readonly<NodeJS.ProcessEnv> }) {
    this.environment = process.env;
    this.input = process.stdin;
    this.#output = process.stdout;
    this.#error = process.stderr;
  }

  /** A result, as a line of its own. */
  print(line: string): void {
    this.#output.write(`${line}\n`);
  }

  /** A result for a program: one JSON value on one line. */
  printJson(value: unknown): void {
    this.print(JSON.stringify(value));
  }

  /** Raw bytes of a result; resolves when the reader has taken them, so that a slow reader bounds our memory. */
  async write(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#output.write(bytes, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  /** What a person may want to know and no program reads. */
  say(line: string): void {
    this.#error.write(`${line}\n`);
  }

  /** Rewrites the last line of standard error; nothing at all where that is no terminal. */
  progress(line: string): void {
    if (this.#error.isTTY) this.#error.write(`\r\x1b[K${line.slice(0, this.#error.columns - 1)}`);
  }

  /** Whether results are read by a person. */
  get isShown(): boolean {
    return this.#output.isTTY;
  }

  get isTerminal(): boolean {
    return this.#error.isTTY && this.input.isTTY;
  }

  /** Asks on the terminal without echo; throws `no-terminal` where there is none. Ctrl-C interrupts. */
  async askSecret(question: string): Promise<string> {
    if (!this.isTerminal) throw new CommandError('key', 'no-terminal', `${question}: no terminal to ask on`);
    const terminal = this.input;
    // Echo ends before the question is seen: who types at once must not see it either.
    terminal.setRawMode(true);
    this.#error.write(`${question}: `);
    terminal.resume();
    terminal.setEncoding('utf8');
    try {
      return await readSecret(terminal);
    } finally {
      terminal.setRawMode(false);
      terminal.pause();
      this.#error.write('\n');
    }
  }
}

const END_OF_LINE = new Set(['\r', '\n', '\u0004']);
const ERASE = new Set(['\u007f', '\b']);
const INTERRUPT = '\u0003';

function readSecret(terminal: ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    const typed: string[] = [];
    const finish = (settle: () => void): void => {
      terminal.off('data', take);
      settle();
    };
    const take = (text: string): void => {
      for (const character of text) {
        if (END_OF_LINE.has(character)) {
          finish(() => {
            resolve(typed.join(''));
          });
          return;
        }
        if (character === INTERRUPT) {
          finish(() => {
            reject(new CommandError('interrupted', 'interrupted', 'stopped'));
          });
          return;
        }
        if (ERASE.has(character)) typed.pop();
        else typed.push(character);
      }
    };
    terminal.on('data', take);
  });
}
