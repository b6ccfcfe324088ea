import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: review', async () => {
  await import('../server/http/review.test.ts');
});
