/** A real PostgreSQL cluster from Debian's packages, for one test file: made in a folder of its own, on a socket in it, and stopped by it. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';

const DEBIAN = '/usr/lib/postgresql';
/** Memory with the names of files: what a cluster's files hold is the same there, and an fsync costs nothing. */
const MEMORY = '/dev/shm';
const ROOMY_BYTES = 2 ** 30;

function parentFolder(): string {
  if (!existsSync(MEMORY)) return tmpdir();
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize >= ROOMY_BYTES ? MEMORY : tmpdir();
}

/** Folder of the newest server's programs; undefined where there is none of version 15 or later. */
function programs(): string | undefined {
  if (!existsSync(DEBIAN)) return undefined;
  const versions = readdirSync(DEBIAN)
    .map(Number)
    .filter((version) => version >= 15 && existsSync(join(DEBIAN, String(version), 'bin/initdb')));
  return versions.length === 0 ? undefined : join(DEBIAN, String(Math.max(...versions)), 'bin');
}

/** Why there is no cluster, in a test's title; undefined where there can be one. With `ZEROREEL_REQUIRE_ALL=1` absence is a failure. */
export function postgresAbsence(): string | undefined {
  if (programs() !== undefined) return undefined;
  if (process.env['ZEROREEL_REQUIRE_ALL'] === '1') throw new Error('expected PostgreSQL: ZEROREEL_REQUIRE_ALL is set');
  return 'skipped: no PostgreSQL 15 on this machine';
}

export interface ClusterOptions {
  /** Settings beyond what schema/POSTGRES.md asks for, or against it. */
  settings?: Record<string, string>;
}

export class TestCluster {
  readonly folder: string;
  readonly dataDir: string;
  readonly #bin: string;
  readonly #settings: Record<string, string>;
  #databases = 0;

  private constructor(folder: string, bin: string, settings: Record<string, string>) {
    this.folder = folder;
    this.dataDir = join(folder, 'data');
    this.#bin = bin;
    this.#settings = settings;
  }

  /** Made as schema/POSTGRES.md says, with a role `zeroreel` that is no superuser. */
  static async make({ settings = {} }: ClusterOptions = {}): Promise<TestCluster> {
    const cluster = new TestCluster(mkdtempSync(join(parentFolder(), 'zeroreel-pg-')), programs()!, {
      listen_addresses: '',
      wal_recycle: 'off',
      shared_buffers: '16MB',
      min_wal_size: '2MB',
      ...settings,
    });
    chmodSync(cluster.folder, 0o755);
    mkdirSync(cluster.dataDir);
    const { uid } = cluster.#owner();
    if (uid !== undefined) chownSync(cluster.dataDir, uid, uid);
    cluster.#run(
      'initdb',
      '-D',
      cluster.dataDir,
      '-U',
      'postgres',
      '--auth=trust',
      '-E',
      'UTF8',
      '--locale=C',
      '--wal-segsize=1',
      '-N',
    );
    const lines = Object.entries({ ...cluster.#settings, unix_socket_directories: cluster.dataDir });
    appendFileSync(
      join(cluster.dataDir, 'postgresql.conf'),
      lines.map(([name, value]) => `${name} = '${value}'\n`).join(''),
    );
    cluster.start();
    await cluster.asSuperuser('postgres', [
      'CREATE ROLE zeroreel LOGIN',
      'GRANT pg_checkpoint TO zeroreel',
      'GRANT EXECUTE ON FUNCTION pg_switch_wal() TO zeroreel',
    ]);
    return cluster;
  }

  /** PostgreSQL refuses root: its own user, which Debian's package makes, or whoever runs the test. */
  #owner(): { uid?: number } {
    if (process.getuid?.() !== 0) return {};
    return { uid: Number(execFileSync('id', ['-u', 'postgres'], { encoding: 'utf8' })) };
  }

  #run(program: string, ...args: string[]): void {
    const { uid } = this.#owner();
    const run = spawnSync(join(this.#bin, program), args, {
      cwd: this.folder,
      encoding: 'utf8',
      // The server outlives pg_ctl and would keep a pipe open.
      stdio: ['ignore', program === 'pg_ctl' ? 'ignore' : 'pipe', program === 'pg_ctl' ? 'ignore' : 'pipe'],
      ...(uid !== undefined && { uid, gid: uid }),
    });
    if (run.status !== 0) throw new Error(`${program} ended with ${String(run.status)}: ${run.stderr}`);
  }

  start(): void {
    this.#run('pg_ctl', '-D', this.dataDir, '-w', '-l', join(this.dataDir, 'server.log'), 'start');
  }

  /** `immediate` is what a power cut is to the processes: no checkpoint, no farewell. */
  halt(mode: 'fast' | 'immediate' = 'fast'): void {
    this.#run('pg_ctl', '-D', this.dataDir, '-w', '-m', mode, 'stop');
  }

  /** URL of an empty database: a schema of its own in one that is there, which takes milliseconds and not seconds. */
  async database(): Promise<string> {
    const name = `test${this.#databases++}`;
    await this.asSuperuser('postgres', [`CREATE SCHEMA ${name} AUTHORIZATION zeroreel`]);
    return this.url('postgres', 'zeroreel', name);
  }

  url(database: string, role: string, schema = 'public'): string {
    const options = encodeURIComponent(`-c search_path=${schema}`);
    return `postgres://${role}@localhost/${database}?host=${encodeURIComponent(this.dataDir)}&options=${options}`;
  }

  async asSuperuser(database: string, statements: readonly string[]): Promise<unknown[][]> {
    const client = new pg.Client(this.url(database, 'postgres'));
    await client.connect();
    try {
      let rows: unknown[][] = [];
      for (const text of statements) rows = (await client.query<unknown[]>({ text, rowMode: 'array' })).rows;
      return rows;
    } finally {
      await client.end();
    }
  }

  /** Runs `work` while new connections find this setting. */
  async withSetting(name: string, value: string, work: () => Promise<void>): Promise<void> {
    const reloaded = async (text: string) => {
      await this.asSuperuser('postgres', [text, 'SELECT pg_reload_conf()']);
      // The postmaster tells its children by signal: a new connection is asked until it knows.
      for (;;) {
        const [row] = await this.asSuperuser('postgres', [
          `SELECT count(*)::int FROM pg_settings WHERE name = '${name}' AND sourcefile LIKE '%auto.conf'`,
        ]);
        if ((row![0] === 1) === text.endsWith(`'${value}'`)) return;
      }
    };
    await reloaded(`ALTER SYSTEM SET ${name} = '${value}'`);
    try {
      await work();
    } finally {
      await reloaded(`ALTER SYSTEM RESET ${name}`);
    }
  }

  stop(): void {
    if (existsSync(join(this.dataDir, 'postmaster.pid'))) this.halt();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
