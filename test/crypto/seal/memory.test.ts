/** Memory is bounded by the chunk and not by the track, both ways; SLOW=1 takes a track of 10 GiB. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { z } from 'zod';

const MEBIBYTES = process.env['SLOW'] ? 10 * 1024 : 256;
const MOST_MIB = 200;

const reportSchema = z.object({ opened: z.number(), isSame: z.boolean(), peakMiB: z.number(), seconds: z.number() });

test(
  `a track of ${MEBIBYTES} MiB is sealed and opened in less than ${MOST_MIB} MiB of memory`,
  { timeout: 1_800_000 },
  async () => {
    const script = new URL('memory-child.ts', import.meta.url).pathname;
    const env = { ...process.env, MEBIBYTES: String(MEBIBYTES) };
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', script], { env });
    const { opened, isSame, peakMiB, seconds } = reportSchema.parse(JSON.parse(stdout));
    process.stderr.write(
      `${MEBIBYTES} MiB sealed and opened: ${Math.round(peakMiB)} MiB of memory, ${seconds.toFixed(1)} s\n`,
    );
    expect(opened).toBe(MEBIBYTES * 2 ** 20);
    expect(isSame).toBe(true);
    expect(peakMiB).toBeLessThan(MOST_MIB);
  },
);
