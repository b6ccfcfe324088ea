import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/ceph.ts'],
    // Many tests wait for processes and browsers; a busy machine is not a failure.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    pool: 'forks',
    // The default leaves a core to the runner, which idles; most tests wait for disks and sockets anyway.
    maxWorkers: '100%',
  },
});
