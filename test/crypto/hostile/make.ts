/**
 * Makes `test/vectors/hostile-v1.json`: every case of PROTOCOL.md section 14. The file is frozen; run this only to add
 * cases, and read what changed: `npx tsx test/crypto/hostile/make.ts`.
 */
import { writeFileSync } from 'node:fs';
import { cases, bases } from './author.ts';
import { baseHashes, HOSTILE_PATH } from './cases.ts';
import { chunkCases } from './chunk-cases.ts';
import { wrapCases } from './wrap-cases.ts';
import { openCases } from './open-cases.ts';
import { headCases } from './head-cases.ts';
import { policyCases } from './policy-cases.ts';
import { keyCases } from './key-cases.ts';

await chunkCases();
await wrapCases();
await openCases();
await headCases();
await policyCases();
await keyCases();

const note =
  'Every case must be refused with its code. number: the item of PROTOCOL.md section 14. Bases: protocol-v1.json; twin: see test/crypto/hostile/cases.ts.';
const lines = cases.toSorted((a, b) => a.number - b.number).map((hostile) => `  ${JSON.stringify(hostile)}`);
writeFileSync(
  HOSTILE_PATH,
  `{\n "note": ${JSON.stringify(note)},\n "bases": ${JSON.stringify(await baseHashes(bases))},\n "cases": [\n${lines.join(',\n')}\n ]\n}\n`,
);
process.stdout.write(`${cases.length} cases\n`);
