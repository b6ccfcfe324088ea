import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Acknowledged, RealServer, Refused } from './real-server.ts';

const dir = mkdtempSync(join(tmpdir(), 'zeroreel-full-'));
const CHUNK = 300_000;
const ballast = join(dir, 'ballast');

/** A file system of 24 MiB for the databases and the embedded bucket together. Only root may mount one. */
const isMounted = (() => {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', dir], { stdio: 'ignore' });
    return true;
  } catch {
    process.stderr.write('\n*** NO MOUNT WITHOUT ROOT: the whole server on a full disk is NOT tested ***\n\n');
    return false;
  }
})();

describe.skipIf(!isMounted)('the whole server on a disk that is full', () => {
  let server: RealServer;

  beforeAll(async () => {
    server = await RealServer.open(dir);
  });

  afterAll(async () => {
    await server.close();
    execFileSync('umount', [dir]);
    rmSync(dir, { recursive: true });
  });

  /** Leaves `bytes` of room. */
  function fill(bytes: number): void {
    const { bavail, bsize } = statfsSync(dir);
    writeFileSync(ballast, new Uint8Array(Math.max(0, bavail * bsize - bytes)));
  }

  /** Does `work` until somebody says no, and answers the status. */
  async function untilRefused(work: () => Promise<unknown>): Promise<number> {
    for (let attempt = 0; attempt < 1_000; attempt++) {
      try {
        await work();
      } catch (error) {
        if (error instanceof Refused) return error.status;
        throw error;
      }
    }
    throw new Error('the disk does not fill up');
  }

  it(
    'says 507, loses nothing that it acknowledged, dead or alive, and goes on with room',
    { timeout: 300_000 },
    async () => {
      const exam = await server.publishExam();
      const acknowledged: Acknowledged[] = [];
      const own = await server.open(exam, acknowledged);
      await server.upload(own, CHUNK);

      fill(3 * CHUNK);
      expect(await untilRefused(() => server.upload(own, CHUNK))).toBe(507);
      const before = own.chunks.length;

      rmSync(ballast);
      // Of the chunk that was refused nothing counts; the same recorder's next recording goes on in the same process.
      const next = await server.open(exam, acknowledged);
      await server.upload(next, CHUNK);
      for (const one of acknowledged) await server.requireReadable(one);

      fill(2 * CHUNK);
      expect(await untilRefused(() => server.upload(next, CHUNK))).toBe(507);
      await server.kill();
      rmSync(ballast);
      await server.start();
      let chunks = 0;
      for (const one of acknowledged) chunks += await server.requireReadable(one);
      expect(chunks).toBe(before + next.chunks.length);
      process.stderr.write(`a full disk, twice: ${acknowledged.length} recordings and ${chunks} chunks, all there\n`);
    },
  );
});
