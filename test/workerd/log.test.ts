import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: log', async () => {
  await import('../server/http/log.test.ts');
});
