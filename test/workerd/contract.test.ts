import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: contract', async () => {
  await import('../server/http/contract.test.ts');
});
