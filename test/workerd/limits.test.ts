import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: limits', async () => {
  await import('../server/http/limits.test.ts');
});
