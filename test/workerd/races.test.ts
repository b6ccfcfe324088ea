import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: races between two isolates', async () => {
  await import('../server/races.test.ts');
});
