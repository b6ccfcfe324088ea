import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: uploading', async () => {
  await import('../server/http/uploading.test.ts');
});
