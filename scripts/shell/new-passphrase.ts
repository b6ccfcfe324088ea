/** A passphrase that is to protect a key from now on: drawn from EFF's list, or somebody's own, judged before it is used. */
import { DRAWN_WORDS, drawPassphrase, LEAST_GUESSES_LOG10, requireStrength } from '../../crypto/seal/passphrase.ts';
import { CommandError } from './exits.ts';
import { passphrase, writePrivateFile, type PassphraseOptions } from './secrets.ts';
import type { Shell } from './shell.ts';

export interface NewPassphraseOptions extends Omit<PassphraseOptions, 'isNew'> {
  /** Draw it instead of asking for it. */
  isDrawn: boolean;
  /** What somebody who knows the owner would try first. */
  related: readonly string[];
}

/** Throws `passphrase` for one that is too easily guessed, with advice; the passphrase itself is never repeated. */
export async function newPassphrase(shell: Shell, options: NewPassphraseOptions): Promise<string> {
  if (options.isDrawn) return draw(shell, options.file);
  const chosen = await passphrase(shell, { ...options, isNew: true });
  const { guessesLog10 } = await requireStrength(chosen, options.related).catch((error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    throw new CommandError('key', 'passphrase', message, '--generate draws six words instead', { cause: error });
  });
  shell.say(`strength     about 10^${Math.floor(guessesLog10)} guesses (10^${LEAST_GUESSES_LOG10} is the least)`);
  return chosen;
}

/** To a new private file, or to a terminal: never to an output that somebody may keep as a log. */
async function draw(shell: Shell, file: string | undefined): Promise<string> {
  if (file === undefined && !shell.isTerminal) {
    throw new CommandError(
      'key',
      'no-terminal',
      'no terminal to show a generated passphrase on',
      'give --passphrase-file FILE, which is then made',
    );
  }
  const drawn = await drawPassphrase();
  if (file === undefined) {
    shell.say(`your passphrase, ${DRAWN_WORDS} words, shown this once; write it down:`);
    shell.say(`    ${drawn}`);
  } else {
    await writePrivateFile(file, `${drawn}\n`, false);
    shell.say(`wrote a passphrase of ${DRAWN_WORDS} words to ${file}; nobody else may read it`);
  }
  return drawn;
}
