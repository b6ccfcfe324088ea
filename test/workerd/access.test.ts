import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: access', async () => {
  await import('../server/http/access.test.ts');
});
