/** Inputs that were found by guidance: each reached a block that the vectors do not. By parser, in hex, with what came of it. */
import { readFileSync } from 'node:fs';
import { fromHex, type Bytes } from '../../../crypto/format/bytes.ts';

export type Corpus = Record<string, Record<string, string>>;

export function readCorpus(): Corpus {
  return JSON.parse(readFileSync(new URL('../../vectors/fuzz-corpus.json', import.meta.url), 'utf8')) as Corpus;
}

export function kept(corpus: Corpus, name: string): [Bytes, string][] {
  return Object.entries(corpus[name] ?? {}).map(([hex, outcome]) => [fromHex(hex), outcome]);
}
