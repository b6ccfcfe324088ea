import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: the hostile corpus', async () => {
  await import('../server/http/hostile.test.ts');
});
