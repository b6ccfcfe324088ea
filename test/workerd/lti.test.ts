import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: lti', async () => {
  await import('../server/http/lti.test.ts');
});
