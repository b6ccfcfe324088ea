/**
 * Where secrets come from: files, the environment, or a prompt without echo. Never an argument, because every process of a
 * machine may read the arguments of every other.
 */
import { open, readFile, rename, stat, unlink } from 'node:fs/promises';
import { CommandError } from './exits.ts';
import type { Shell } from './shell.ts';

/** The first line of a secret's file. */
export async function readSecretFile(path: string, shell: Shell): Promise<string> {
  const text = await readFile(path, 'utf8');
  if (((await stat(path)).mode & 0o077) !== 0) shell.say(`note: others may read ${path}; chmod 600 closes it`);
  return text.split(/\r?\n/, 1)[0]!;
}

export interface PassphraseOptions {
  file: string | undefined;
  question: string;
  /** Name of the environment's variable that may hold it. */
  variable?: string;
  /** Asked twice where it is new. */
  isNew?: boolean;
}

/** From --passphrase-file, ZEROREEL_PASSPHRASE or the terminal, in this order. */
export async function passphrase(shell: Shell, options: PassphraseOptions): Promise<string> {
  const { file, question, variable = 'ZEROREEL_PASSPHRASE', isNew = false } = options;
  const given = file === undefined ? shell.environment[variable] : await readSecretFile(file, shell);
  if (given !== undefined) return notEmpty(given);
  if (!shell.isTerminal) {
    throw new CommandError(
      'key',
      'no-passphrase',
      'no passphrase and no terminal to ask on',
      `give --passphrase-file FILE or set ${variable}`,
    );
  }
  const typed = notEmpty(await shell.askSecret(question));
  if (isNew && (await shell.askSecret('once more')) !== typed) {
    throw new CommandError('key', 'passphrase', 'the two passphrases differ');
  }
  return typed;
}

function notEmpty(text: string): string {
  if (text === '') throw new CommandError('key', 'passphrase', 'the passphrase is empty');
  return text;
}

/** Staff token: --token-file, ZEROREEL_TOKEN or ZEROREEL_TOKEN_FILE; undefined where none of them is set. */
export async function bearerToken(shell: Shell, file: string | undefined): Promise<string | undefined> {
  const path = file ?? shell.environment['ZEROREEL_TOKEN_FILE'];
  if (file === undefined && shell.environment['ZEROREEL_TOKEN'] !== undefined)
    return shell.environment['ZEROREEL_TOKEN'];
  return path === undefined ? undefined : readSecretFile(path, shell);
}

/** Says before anything is asked for what `writePrivateFile` would say at the end. */
export async function requireNew(path: string, force: boolean): Promise<void> {
  if (!force && (await stat(path).catch(() => undefined))) throw alreadyThere(path);
}

function alreadyThere(path: string): CommandError {
  return new CommandError(
    'storage',
    'exists',
    `${path} exists already`,
    'choose another name, or --force to replace it',
  );
}

/** Writes a file that nobody else may read, whole or not at all. Refuses to replace one unless `force`. */
export async function writePrivateFile(path: string, content: string | Uint8Array, force: boolean): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  // `wx` on the real name first: two processes cannot both believe that they made it.
  if (!force) {
    const claim = await open(path, 'wx', 0o600).catch((error: unknown) => {
      throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? alreadyThere(path) : error;
    });
    await claim.close();
  }
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    if (!force) await unlink(path).catch(() => undefined);
    throw error;
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
