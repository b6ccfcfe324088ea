import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: sessions', async () => {
  await import('../server/http/sessions.test.ts');
});
