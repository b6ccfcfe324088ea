import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';

const WRITER = fileURLToPath(new URL('writer.ts', import.meta.url));
const ROUNDS = 10;
/** The longest chain of writes in one round of the writer, each awaiting the one before: open, three uploads, deletion. */
const STEPS = 5;
const REPORTS = 17;

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-fsync-'));
const canTrace = spawnSync('strace', ['-qq', '-o', join(folder, 'probe'), 'true']).status === 0;

afterAll(() => {
  rmSync(folder, { recursive: true });
});

// SIGKILL cannot show a missing fsync, because the kernel keeps what was written: so the calls are counted.
describe.skipIf(!canTrace)('a store under strace (which is wanted for this)', () => {
  it(
    'reaches the disk before it answers, once for each group and not once for each write',
    { timeout: 120_000 },
    () => {
      const trace = join(folder, 'trace');
      const strace = ['-f', '-qq', '-e', 'trace=fsync,fdatasync', '-o', trace];
      const writer = [process.execPath, '--import', 'tsx', WRITER, join(folder, 'store.db'), String(ROUNDS)];
      const run = spawnSync('strace', [...strace, ...writer], { encoding: 'utf8' });
      expect(run.status).toBe(0);
      expect(run.stdout.trim().split('\n')).toHaveLength(ROUNDS * REPORTS);
      const syncs = readFileSync(trace, 'utf8').match(/\bf(?:data)?sync\(/g)?.length ?? 0;
      expect(syncs).toBeGreaterThanOrEqual(ROUNDS * STEPS);
      expect(syncs).toBeLessThan((ROUNDS * REPORTS) / 2);
    },
  );
});
