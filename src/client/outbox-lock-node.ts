import { link, open, readdir, readFile, unlink } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { ClientError } from './errors.ts';

/**
 * One owner per folder, by files `lock.<generation>`: the highest generation is the lock. It names a process by pid and
 * start time, so that a pid used again is told apart, or nobody ("free"). To take over from a dead owner or from nobody is
 * to create the next generation, which `link` lets exactly one process do. The highest file is never deleted, only
 * superseded; who finds a higher one after creating its own came too late and gives way. So two owners cannot be.
 */
export class FolderLock {
  readonly #directory: string;
  readonly #generation: number;

  private constructor(directory: string, generation: number) {
    this.#directory = directory;
    this.#generation = generation;
  }

  /** Throws `outbox-locked` while another live process, or another opening in this one, owns the folder. */
  static async acquire(directory: string): Promise<FolderLock> {
    const highest = Math.max(0, ...(await generations(directory)));
    if (highest > 0) {
      const owner = await readFile(join(directory, `lock.${highest}`), 'utf8').catch(() => 'superseded');
      if (owner === 'superseded' || isAlive(owner)) throw locked(directory, owner);
    }
    const mine = highest + 1;
    if (!(await create(directory, mine, ownName()))) throw locked(directory, 'superseded');
    const others = (await generations(directory)).filter((generation) => generation !== mine);
    if (others.some((generation) => generation > mine)) {
      await unlink(join(directory, `lock.${mine}`)).catch(() => undefined); // the winner may have swept it
      throw locked(directory, 'superseded');
    }
    for (const generation of others) await unlink(join(directory, `lock.${generation}`)).catch(() => undefined);
    return new FolderLock(directory, mine);
  }

  async release(): Promise<void> {
    await create(this.#directory, this.#generation + 1, 'free');
    await unlink(join(this.#directory, `lock.${this.#generation}`)).catch(() => undefined);
  }
}

async function generations(directory: string): Promise<number[]> {
  const names = await readdir(directory);
  return names.flatMap((name) => {
    const match = /^lock\.(\d+)$/.exec(name);
    return match ? [Number(match[1])] : [];
  });
}

/** Whole or not at all: the content is there before the name is. False where the name is taken. */
async function create(directory: string, generation: number, content: string): Promise<boolean> {
  const temporary = join(directory, `lock.${randomUUID()}.tmp`);
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(temporary, join(directory, `lock.${generation}`));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(temporary);
  }
}

function ownName(): string {
  return `${process.pid} ${startTime(process.pid) ?? 'unknown'}`;
}

/** Clock ticks since boot, proc(5) field 22; the name in field 2 may hold spaces, so fields count from its bracket. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined; // no /proc on this system: a pid alone has to do
  }
}

function isAlive(owner: string): boolean {
  if (owner === 'free') return false;
  const [pidText = '', started] = owner.split(' ');
  const pid = Number(pidText);
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  const found = startTime(pid);
  return found === undefined || started === 'unknown' || found === started;
}

function locked(directory: string, owner: string): ClientError {
  const [pid = ''] = owner.split(' ');
  const who = /^\d+$/.test(pid) ? `process ${pid}` : 'another process';
  return new ClientError('outbox-locked', `the outbox ${directory} is in use by ${who}`, {
    hint: 'wait until it has ended, or give this recording another folder',
  });
}
