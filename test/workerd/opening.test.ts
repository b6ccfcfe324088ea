import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: opening', async () => {
  await import('../server/http/opening.test.ts');
});
