/** Memory is bounded by the chunk and not by the track; SLOW=1 pipes a whole gibibyte. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { formatExamLink } from '../../src/client/link.ts';
import type { ReadTask, RecordTask } from './memory-child.ts';
import { TestService } from './service.ts';

const MEBIBYTES = process.env['SLOW'] ? 1024 : 192;
/** Beyond the program itself, which takes 100 MiB and more under tsx. Holding the shortest track here would break it. */
const MOST_MIB = 128;

const reportSchema = z.object({
  peakMiB: z.number(),
  grownMiB: z.number(),
  seconds: z.number(),
  recordingId: z.string().optional(),
  bytes: z.number().optional(),
  isSame: z.boolean().optional(),
});

async function run(task: RecordTask | ReadTask): Promise<z.infer<typeof reportSchema>> {
  const script = new URL('memory-child.ts', import.meta.url).pathname;
  const env = { ...process.env, MEMORY_TASK: JSON.stringify(task) };
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', script], { env });
  const report = reportSchema.parse(JSON.parse(stdout));
  process.stderr.write(
    `${task.do} ${MEBIBYTES} MiB: ${Math.round(report.peakMiB)} MiB of memory, ${Math.round(report.grownMiB)} MiB of it grown, ${report.seconds.toFixed(1)} s\n`,
  );
  return report;
}

test(`${MEBIBYTES} MiB are sealed and uploaded, fetched and opened, and memory grows by less than ${MOST_MIB} MiB each time`, async () => {
  const service = await TestService.start();
  const directory = await mkdtemp(join(tmpdir(), 'zeroreel-memory-'));
  try {
    const exam = await service.exam();
    const link = formatExamLink(await exam.link('seat'));
    const sealed = await run({ do: 'record', link, directory, mebibytes: MEBIBYTES });
    expect(sealed.grownMiB).toBeLessThan(MOST_MIB);
    const opened = await run({
      do: 'read',
      url: service.server.url,
      token: (await readFile(join(service.directory, 'admin.token'), 'utf8')).trim(),
      recordingId: sealed.recordingId!,
      seedB64: toBase64Url(exam.instructors[0]!.key.seed),
      ownerHashB64: toBase64Url(exam.pins.ownerHash),
    });
    expect(opened).toMatchObject({ bytes: MEBIBYTES * 2 ** 20, isSame: true });
    expect(opened.grownMiB).toBeLessThan(MOST_MIB);
  } finally {
    await service.stop();
    await rm(directory, { recursive: true, force: true });
  }
}, 1_800_000);
