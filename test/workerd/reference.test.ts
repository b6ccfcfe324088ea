import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: reference', async () => {
  await import('../server/http/reference.test.ts');
});
