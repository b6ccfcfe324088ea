/** The public suites (`schema/PROTOCOL.md`, section 15): read from where they are, never copied. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';

export const publicVectorsFolder = resolve(
  process.env['ZEROREEL_PUBLIC_VECTORS'] ?? new URL('../../../shared/vectors/public', import.meta.url).pathname,
);

export const havePublicVectors = existsSync(publicVectorsFolder);
if (!havePublicVectors) {
  process.stderr.write('SKIPPED: the public test vectors are absent; set ZEROREEL_PUBLIC_VECTORS to their folder\n');
}

/** One file of the folder; an empty suite where the folder is absent, whose tests are then skipped by name. */
export function publicVectors<Vectors>(name: string, absent: Vectors): Vectors {
  return havePublicVectors ? (JSON.parse(readFileSync(resolve(publicVectorsFolder, name), 'utf8')) as Vectors) : absent;
}

/** A Wycheproof file: groups that share parameters, each with its tests. */
export interface Wycheproof<Group, Test> {
  testGroups: (Group & {
    tests: (Test & { tcId: number; result: 'valid' | 'invalid' | 'acceptable'; flags?: string[] })[];
  })[];
}
