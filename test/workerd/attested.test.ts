import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: attested', async () => {
  await import('../server/http/attested.test.ts');
});
