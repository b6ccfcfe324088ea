import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: revocation', async () => {
  await import('../server/http/revocation.test.ts');
});
