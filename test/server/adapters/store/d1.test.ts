import { readdirSync, readFileSync } from 'node:fs';
import { Miniflare } from 'miniflare';
import { afterAll } from 'vitest';
import { type D1Binding, openD1Store } from '../../../../src/server/adapters/d1.ts';
import { storeContract } from './contract.ts';

const MIGRATIONS = new URL('../../../../schema/migrations/store/', import.meta.url);

/** The statements of the migrations one by one, as D1 takes them; only a trigger has semicolons inside. */
const statements = readdirSync(MIGRATIONS)
  .sort()
  .flatMap((name) => {
    const sql = readFileSync(new URL(name, MIGRATIONS), 'utf8').replaceAll(/^--.*$/gm, '');
    return [...sql.matchAll(/(?:CREATE TRIGGER[^]*?\bEND|(?:CREATE|ALTER|INSERT)[^;]+);/g)].map(
      ([statement]) => statement,
    );
  });

const NAMES = Array.from({ length: 200 }, (_, i) => `DB${i}`);
let used = 0;
const miniflare = new Miniflare({ modules: true, script: 'export default {}', d1Databases: NAMES });

afterAll(async () => {
  await miniflare.dispose();
});

storeContract('D1, in workerd', async () => {
  // Its own type needs Cloudflare's ambient types, which would change what every other file sees.
  const binding = (await miniflare.getD1Database(NAMES[used++]!)) as unknown as D1Binding;
  await binding.batch(statements.map((statement) => binding.prepare(statement)));
  return openD1Store(binding);
});
