/** Other people's programs and ours as child processes, each with the figures that the system itself took. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../free-port.ts';
import type { Run } from './comparison.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const TSX = ['--import', import.meta.resolve('tsx')] as const;

/** Debian's package for each command that a comparison needs. */
const PACKAGES: Record<string, string> = {
  '/usr/bin/time': 'time',
  radosgw: 'radosgw ceph-mon ceph-osd ceph-common',
  rclone: 'rclone',
  restic: 'restic',
  age: 'age',
  aws: 'awscli',
  nginx: 'nginx-light',
  wrk: 'wrk',
};

/** A comparison whose peers are not on this machine; it is left out, and this says what would bring it back. */
export class MissingPrograms extends Error {}

/** Throws `MissingPrograms` with the Debian packages that would help. */
export function requirePrograms(...commands: readonly string[]): void {
  const missing = missingPackages(commands);
  if (missing.length > 0) throw new MissingPrograms(`apt-get install ${missing.join(' ')}`);
}

/** The Debian packages to install for what is missing of these; empty where nothing is. */
function missingPackages(commands: readonly string[]): string[] {
  return commands.filter((name) => !isInstalled(name)).map((name) => PACKAGES[name] ?? name);
}

function isInstalled(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore', env: { ...process.env, PATH: searchPath() } });
    return true;
  } catch {
    return false;
  }
}

/** nginx lives where only root looks. */
function searchPath(): string {
  return `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`;
}

export class Workshop {
  readonly folder: string;
  readonly #children: ChildProcess[] = [];
  readonly #undo: (() => Promise<void> | void)[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<Workshop> {
    return new Workshop(await mkdtemp(join(tmpdir(), 'zeroreel-bench-')));
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  atEnd(undo: () => Promise<void> | void): void {
    this.#undo.push(undo);
  }

  /** A program that goes on until the workshop closes. */
  keep(command: string, words: readonly string[], environment: Record<string, string> = {}): ChildProcess {
    const child = spawn(command, words, {
      cwd: this.folder,
      env: { PATH: searchPath(), HOME: this.folder, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.push(child);
    return child;
  }

  /** Our server in a process of its own; answers its URL and where its administrator's token is. */
  async serve(name: string, settings: Record<string, string> = {}): Promise<{ url: string; tokenFile: string }> {
    const data = this.path(name);
    const child = this.keep(process.execPath, [...TSX, join(ROOT, 'src/node.ts')], {
      ZEROREEL_DATA: data,
      ZEROREEL_ADMIN_TOKEN_FILE: join(data, 'admin.token'),
      // One address stands for ten thousand here.
      ZEROREEL_RATE_LIMITS: 'off',
      ZEROREEL_PORT: '0',
      ZEROREEL_BUCKET_PORT: '0',
      ...settings,
    });
    let told = '';
    for await (const line of createInterface({ input: child.stderr! })) {
      told += `${line}\n`;
      const url = /serving (\S+)/.exec(line)?.[1];
      if (url === undefined) continue;
      child.stderr!.resume();
      return { url, tokenFile: join(data, 'admin.token') };
    }
    throw new Error(`the server did not start: ${told}`);
  }

  /** A script of this repository that goes on until the workshop closes. */
  script(path: string, words: readonly string[]): ChildProcess {
    return this.keep(process.execPath, [...TSX, path, ...words]);
  }

  /** A Ceph Object Gateway of its own. */
  async ceph(): Promise<{ endpoint: string; region: string; credentials: Credentials }> {
    requirePrograms('radosgw');
    const script = join(ROOT, 'scripts/ceph-rgw');
    const folder = this.path('ceph');
    const { output: endpoint } = await this.time(script, ['start', folder, String(await freePort())]);
    this.atEnd(async () => {
      execFileSync(script, ['stop', folder]);
    });
    return { endpoint, region: 'us-east-1', credentials: { accessKeyId: 'AKTEST', secretAccessKey: 'SKTEST' } };
  }

  /** Waits until somebody answers there. */
  async answers(url: string): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt++) {
      try {
        await (await fetch(url)).arrayBuffer();
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    throw new Error(`${url} does not answer`);
  }

  zeroreel(words: readonly string[], environment: Record<string, string> = {}): Promise<TimedRun> {
    return this.time(process.execPath, [...TSX, join(ROOT, 'scripts/zeroreel.ts'), ...words], environment);
  }

  shell(script: string, environment: Record<string, string> = {}): Promise<TimedRun> {
    return this.time('bash', ['-c', `set -eo pipefail; ${script}`], environment);
  }

  /** Runs to the end under time(1), children included; throws what it said unless it ended with 0. */
  async time(command: string, words: readonly string[], environment: Record<string, string> = {}): Promise<TimedRun> {
    const report = this.path(`time-${Math.random().toString(36).slice(2)}`);
    const child = this.keep('/usr/bin/time', ['-o', report, '-f', '%e %U %S %M', command, ...words], environment);
    let output = '';
    let error = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (error += text));
    const exit = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (exit !== 0) throw new Error(`${command} ${words.join(' ')} ended with ${exit}: ${error.slice(-2000)}`);
    const [seconds, user, system, peakKiB] = (await readFile(report, 'utf8')).trim().split(' ').map(Number) as [
      number,
      number,
      number,
      number,
    ];
    return { output: output.trim(), seconds, cpuSeconds: user + system, peakMiB: peakKiB / 1024 };
  }

  /** Leaves nothing running and nothing on the disk. */
  async close(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGTERM');
      await ended;
    }
    for (const undo of this.#undo.toReversed()) await undo();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
}

export interface TimedRun extends Required<Pick<Run, 'seconds' | 'cpuSeconds' | 'peakMiB'>> {
  output: string;
}

/** The figures of a timed run as a contender's. */
export function runOf({ seconds, cpuSeconds, peakMiB }: TimedRun, units: number): Run {
  return { units, seconds, cpuSeconds, peakMiB };
}
