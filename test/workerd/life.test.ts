import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd', async () => {
  await import('../server/life.e2e.test.ts');
});
