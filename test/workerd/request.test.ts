import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: request', async () => {
  await import('../server/http/request.test.ts');
});
