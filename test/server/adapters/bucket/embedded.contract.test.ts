import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedBucket } from '../../../../src/server/adapters/embedded-bucket/index.ts';
import { describeBucketContract } from './contract.ts';

describeBucketContract({
  name: 'embedded bucket',
  start: async () => {
    const dir = await mkdtemp(join(tmpdir(), 'zeroreel-bucket-'));
    const credentials = { accessKeyId: 'CONTRACT', secretAccessKey: 'contract-secret' };
    const running = await startEmbeddedBucket({ dir, credentials });
    return {
      endpoint: running.endpoint,
      region: 'us-east-1',
      credentials,
      close: async () => {
        await running.close();
        await rm(dir, { recursive: true });
      },
    };
  },
  excused: {
    'removes every version and marker of a versioned bucket':
      'the embedded bucket refuses versioning with NotImplemented, so that what is deleted there is gone',
  },
});
