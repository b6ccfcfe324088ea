import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedBucket } from '../../../src/server/adapters/embedded-bucket/index.ts';
import { describePurge } from './purge.contract.ts';

describePurge({
  name: 'embedded bucket',
  isUnversioned: 'the embedded bucket has no versions: what is deleted is gone',
  start: async () => {
    const dir = mkdtempSync(join(tmpdir(), 'zeroreel-purge-'));
    const credentials = { accessKeyId: 'AKPURGE', secretAccessKey: 'SKPURGE' };
    const { endpoint, close } = await startEmbeddedBucket({ dir, credentials });
    return {
      endpoint,
      region: 'us-east-1',
      credentials,
      close: async () => {
        await close();
        rmSync(dir, { recursive: true, force: true });
      },
    };
  },
});
