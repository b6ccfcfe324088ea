import { describe } from 'vitest';
import { runtime } from '../server/stage.ts';

runtime.name = 'workerd';
describe('in workerd: receipt', async () => {
  await import('../server/http/receipt.test.ts');
});
