/** `kill -9` cannot show a missing fsync, so the system calls are watched: [Note: Order of effects] as the kernel sees it. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createS3Bucket } from '../../../../src/server/adapters/s3-bucket.ts';
import { store } from './wire.ts';

const canTrace = spawnSync('strace', ['-f', '-e', 'trace=fsync', 'true']).status === 0;
const VICTIM = new URL('crash-victim.ts', import.meta.url).pathname;

/** One word for each call that matters, in the order in which the kernel saw them. */
function effects(trace: string): string[] {
  return trace.split('\n').flatMap((line) => {
    const isSync = /\b(?:fsync|fdatasync)\(/.test(line);
    if (isSync && line.includes('/incoming/')) return ['file'];
    if (isSync && line.includes('/incoming>')) return ['names'];
    if (isSync && line.includes('index.sqlite-wal>')) return ['index'];
    if (isSync && line.includes('/objects/')) return ['folder'];
    if (line.includes('rename(')) return ['rename'];
    if (line.includes('unlink(') && line.includes('/objects/')) return ['unlink'];
    return line.includes('HTTP/1.1 200') ? ['answer'] : [];
  });
}

it.skipIf(!canTrace)(
  `is durable before it is acknowledged: file, name, index, only then the answer${canTrace ? '' : ' (skipped: no strace here)'}`,
  async () => {
    const work = await mkdtemp(join(tmpdir(), 'zeroreel-trace-'));
    const log = join(work, 'trace');
    const calls = 'trace=fsync,fdatasync,rename,unlink,write,writev';
    const traced = spawn(
      'strace',
      ['-f', '-y', '-o', log, '-e', calls, process.execPath, '--import', 'tsx', VICTIM, join(work, 'store'), '0'],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const ended = once(traced, 'exit');
    let trace: string;
    try {
      const [line] = (await once(traced.stdout, 'data')) as [Buffer];
      const bucket = createS3Bucket({
        endpoint: line.toString().trim(),
        region: 'us-east-1',
        bucket: 'crash',
        credentials: { accessKeyId: 'CRASH', secretAccessKey: 'crash-secret' },
      });
      await store(bucket, 'a/key', Buffer.from('body'));
      await bucket.deleteVersions([{ key: 'a/key' }]);
    } finally {
      // strace holds signals back from itself; it ends with what it traces, whose id begins every line.
      const [pid] = /^\d+/.exec(readFileSync(log, 'utf8'))!;
      process.kill(Number(pid), 'SIGKILL');
      await ended;
      trace = readFileSync(log, 'utf8');
      await rm(work, { recursive: true, force: true });
    }
    const found = effects(trace);
    const put = ['file', 'names', 'index', 'rename', 'answer'];
    const remove = ['index', 'unlink', 'folder', 'index', 'answer'];
    expect(found.slice(found.indexOf('file'))).toEqual([...put, ...remove]);
  },
);
