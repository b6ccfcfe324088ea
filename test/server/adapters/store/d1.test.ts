import { Miniflare } from 'miniflare';
import { afterAll } from 'vitest';
import { type D1Binding, openD1Store } from '../../../../src/server/adapters/d1.ts';
import { migrationStatements } from '../../../workerd/migrations.ts';
import { storeContract } from './contract.ts';

const NAMES = Array.from({ length: 200 }, (_, i) => `DB${i}`);
let used = 0;
const miniflare = new Miniflare({ modules: true, script: 'export default {}', d1Databases: NAMES });

afterAll(async () => {
  await miniflare.dispose();
});

storeContract('D1, in workerd', async () => {
  // Its own type needs Cloudflare's ambient types, which would change what every other file sees.
  const binding = (await miniflare.getD1Database(NAMES[used++]!)) as unknown as D1Binding;
  await binding.batch(migrationStatements.map((statement) => binding.prepare(statement)));
  return openD1Store(binding);
});
