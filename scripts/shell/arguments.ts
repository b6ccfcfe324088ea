import { parseArgs, type ParseArgsConfig } from 'node:util';
import { CommandError, EXIT, type ExitCode } from './exits.ts';
import type { Shell } from './shell.ts';

/** One word of the command line. Its usage is one constant that ends in a real session. */
export interface Command {
  readonly usage: string;
  run(words: readonly string[], shell: Shell): Promise<ExitCode>;
}

export type Flags = NonNullable<ParseArgsConfig['options']>;
type Parsed<F extends Flags> = ReturnType<typeof parseArgs<{ options: F; allowPositionals: true; args: string[] }>>;

/** Options that name a server and who asks. */
export const SERVER_FLAGS = { server: { type: 'string' }, 'token-file': { type: 'string' } } as const satisfies Flags;
/** Options that open a key file. */
export const KEY_FLAGS = { key: { type: 'string' }, 'passphrase-file': { type: 'string' } } as const satisfies Flags;

/** Parses a command's own words; throws `usage` for what it does not know. `expected` = how many words without a dash. */
export function parseWords<const F extends Flags>(
  words: readonly string[],
  options: F,
  expected: { from: number; to: number; names: string },
): Parsed<F> {
  let parsed: Parsed<F>;
  try {
    parsed = parseArgs({ args: words.map(guardId), options, allowPositionals: true });
    parsed.positionals = parsed.positionals.map(unguardId);
  } catch (error) {
    // The first sentence is Node's own; what follows talks about positional arguments that begin with a dash.
    throw usageError(
      (error as Error).message.split(/\.?(?: |\n)(?=[A-Z])/, 1)[0]!.replace(/^./, (first) => first.toLowerCase()),
    );
  }
  const found = parsed.positionals.length;
  if (found < expected.from)
    throw usageError(`expected ${expected.names}, found ${found === 0 ? 'nothing' : `${found} of them`}`);
  if (found > expected.to) throw usageError(`expected ${expected.names || 'no more words'}, found ${found} words`);
  return parsed;
}

/**
 * One id in 64 begins with a hyphen, and would be taken for options. None of ours has 22 characters, so such a word is an id;
 * it is handed through under a mark that no argument can hold.
 */
const ID_WITH_HYPHEN = /^-[A-Za-z0-9_-]{20}[AQgw]$/;
const MARK = '\0';

function guardId(word: string): string {
  return ID_WITH_HYPHEN.test(word) ? MARK + word : word;
}

function unguardId(word: string): string {
  return word.startsWith(MARK) ? word.slice(MARK.length) : word;
}

export function usageError(message: string, hint = 'zeroreel COMMAND --help shows how it is used'): CommandError {
  return new CommandError('usage', 'usage', message, hint);
}

/** The value of an option that must be there. */
export function required(value: string | undefined, name: string): string {
  if (value === undefined) throw usageError(`expected --${name}`);
  return value;
}

export function parseCount(text: string, name: string, range: { from: number; to: number }): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= range.from && value <= range.to)) {
    throw usageError(
      `${name}: expected a whole number from ${range.from} to ${range.to}, found ${JSON.stringify(text)}`,
    );
  }
  return value;
}

/** A point in time as ISO 8601, e.g. 2026-11-23T09:00Z; without a zone it is local time. */
export function parseTime(text: string, name: string): number {
  const ms = /^\d{4}-\d\d-\d\d(T|$)/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms))
    throw usageError(`${name}: expected a time like 2026-11-23T09:00Z, found ${JSON.stringify(text)}`);
  return ms;
}

/** A command that answers --help by itself. */
export function command(usage: string, run: Command['run']): Command {
  return {
    usage,
    run: async (words, shell) => {
      if (!asksForHelp(words)) return run(words, shell);
      shell.print(usage);
      return EXIT.well;
    },
  };
}

/** Runs the command that the first word names; `log --help` is the group's own help, `log verify --help` is its member's. */
export function commandGroup(name: string, usage: string, commands: Readonly<Record<string, Command>>): Command {
  return {
    usage,
    run: async ([word, ...rest], shell) => {
      if (word !== undefined && (word === 'help' || asksForHelp([word]))) {
        shell.print(usage);
        return EXIT.well;
      }
      const member = word !== undefined && Object.hasOwn(commands, word) ? commands[word] : undefined;
      if (member) return member.run(rest, shell);
      const names = Object.keys(commands).join(', ');
      const found = word === undefined ? 'nothing' : JSON.stringify(word);
      const ask = name === '' ? 'zeroreel --help' : `zeroreel ${name} --help`;
      throw usageError(
        `${name === '' ? '' : `${name}: `}expected one of ${names}; found ${found}`,
        `${ask} shows what there is`,
      );
    },
  };
}

function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf('--');
  return words.slice(0, end < 0 ? words.length : end).some((word) => word === '--help' || word === '-h');
}
