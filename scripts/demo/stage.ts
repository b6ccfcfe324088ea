/** Where the demonstration plays: a fresh folder, the real server in this process, and the real command line as child processes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { start, type RunningServer } from '../../src/node.ts';
import { readConfig } from '../../src/server/config.ts';
import type { Clock } from '../../src/server/ports.ts';

const CLI = ['--import', import.meta.resolve('tsx'), new URL('../zeroreel.ts', import.meta.url).pathname] as const;

/** The server's clock, and with it the embedded bucket's: the only thing that the demonstration swaps. */
export class MovableClock implements Clock {
  #aheadMs = 0;

  now(): number {
    return Date.now() + this.#aheadMs;
  }

  forward(ms: number): void {
    this.#aheadMs += ms;
  }
}

export interface Finished {
  exit: number | null;
  signal: NodeJS.Signals | null;
  output: string;
  error: string;
}

export class Stage {
  readonly folder: string;
  readonly dataFolder: string;
  readonly clock = new MovableClock();
  server: RunningServer | undefined;
  readonly #children = new Set<ChildProcess>();
  readonly #environment: Record<string, string> = {};

  private constructor(folder: string) {
    this.folder = folder;
    this.dataFolder = join(folder, 'server');
  }

  static async open(): Promise<Stage> {
    return new Stage(await mkdtemp(join(tmpdir(), 'zeroreel-demo-')));
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** The embedded defaults, but for the ports: any free ones. */
  async startServer(): Promise<RunningServer> {
    const config = readConfig({
      ZEROREEL_DATA: this.dataFolder,
      ZEROREEL_PORT: '0',
      ZEROREEL_BUCKET_PORT: '0',
      ZEROREEL_LOG_LEVEL: 'error',
    });
    this.server = await start({ config, clock: this.clock });
    this.#environment['ZEROREEL_STATE'] = 'state';
    this.#environment['ZEROREEL_SERVER'] = this.server.url;
    return this.server;
  }

  async stopServer(): Promise<void> {
    await this.server?.close();
    this.server = undefined;
  }

  /** One run of the command line; its environment holds nothing but what is given here. */
  async run(words: readonly string[], environment: Record<string, string> = {}): Promise<Finished> {
    const child = this.#spawn(words, environment);
    let output = '';
    let error = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (error += text));
    return { ...(await ended(child)), output, error };
  }

  /** A run that must end with exit code 0; answers its standard output. */
  async must(words: readonly string[], environment: Record<string, string> = {}): Promise<string> {
    const { exit, output, error } = await this.run(words, environment);
    if (exit !== 0) throw new Error(`zeroreel ${words[0] ?? ''} ended with ${exit}: ${error.trim()}`);
    return output.trim();
  }

  /** Runs until `until` says so of a line of its standard output, then kills it: SIGKILL, no goodbye. */
  async runUntil(
    words: readonly string[],
    environment: Record<string, string>,
    until: (line: string) => boolean,
  ): Promise<Finished> {
    const child = this.#spawn(words, environment);
    let output = '';
    let error = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (error += text));
    createInterface({ input: child.stdout! }).on('line', (line) => {
      output += `${line}\n`;
      if (until(line)) child.kill('SIGKILL');
    });
    return { ...(await ended(child)), output, error };
  }

  /** Leaves nothing running; with `keep`, the folder stays. */
  async close(keep: boolean): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await this.stopServer();
    if (!keep) await rm(this.folder, { recursive: true, force: true });
  }

  #spawn(words: readonly string[], environment: Record<string, string>): ChildProcess {
    const path = process.env['PATH'] ?? '';
    const child = spawn(process.execPath, [...CLI, ...words], {
      cwd: this.folder,
      env: { PATH: path, ...this.#environment, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    return child;
  }
}

function ended(child: ChildProcess): Promise<{ exit: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit, signal) => {
      resolve({ exit, signal });
    });
  });
}
