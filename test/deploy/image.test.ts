/** What can be checked of a Dockerfile and of a unit without Docker and without systemd as process 1. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ROOT = new URL('../..', import.meta.url).pathname;
const DEPLOY = join(ROOT, 'scripts/deploy');
/** Debian's `nobody`. */
const NOBODY = 65_534;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'zeroreel-deploy-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('the image', () => {
  const stages = readFileSync(join(DEPLOY, 'Dockerfile'), 'utf8').split(/^FROM /m);
  const lines = stages.at(-1)!.split('\n');
  const words = (instruction: string): string[][] =>
    lines.filter((line) => line.startsWith(`${instruction} `)).map((line) => line.split(' ').slice(1));

  test('runs as a user that is not root, and has nothing in it that decrypts', () => {
    expect(words('USER')).toEqual([['node']]);
    const copied = words('COPY').flat();
    expect(copied.filter((path) => /^(?:\.|crypto|crypto\/seal|src|src\/client|scripts|test)\/?$/.test(path))).toEqual([
      './', // the place of package.json
    ]);
  });

  test('has every file that the server needs: it starts from nothing else, serves, and stops when it is told', async () => {
    const app = join(folder, 'app');
    const data = join(folder, 'data');
    mkdirSync(app);
    mkdirSync(data, { mode: 0o700 });
    for (const [source, ...rest] of words('COPY').filter(([first]) => !first!.startsWith('--from'))) {
      const target = rest.at(-1)!;
      for (const path of [source!, ...rest.slice(0, -1)]) {
        cpSync(join(ROOT, path), join(app, target === './' ? path : target), { recursive: true });
      }
    }
    symlinkSync(join(ROOT, 'node_modules'), join(app, 'node_modules'));
    const isRoot = process.getuid?.() === 0;
    if (isRoot) {
      execFileSync('chmod', ['-R', 'a+rX', folder]);
      chownSync(data, NOBODY, NOBODY);
    }
    const [program, ...args] = JSON.parse(words('CMD')[0]!.join(' ')) as string[];
    expect(program).toBe('node');
    const server = spawn(process.execPath, args, {
      cwd: app,
      env: {
        ...Object.fromEntries(words('ENV')[0]!.map((pair) => pair.split('=', 2) as [string, string])),
        ...{ PATH: process.env['PATH'], ZEROREEL_DATA: data, ZEROREEL_HOST: '127.0.0.1' },
        ...{ ZEROREEL_PORT: '0', ZEROREEL_BUCKET_PORT: '0', TMPDIR: data },
      },
      ...(isRoot && { uid: NOBODY, gid: NOBODY }),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let url: string | undefined;
    const said: string[] = [];
    for await (const line of createInterface({ input: server.stderr })) {
      said.push(line);
      url = /serving (http:\S+)/.exec(line)?.[1];
      if (url !== undefined) break;
    }
    expect(url, said.join('\n')).toBeDefined();
    server.stderr.resume();
    expect((await fetch(`${url!}/v1/service`)).status).toBe(200);
    server.kill('SIGTERM');
    expect(await once(server, 'exit')).toEqual([0, null]);
  });
});

describe('the unit', () => {
  const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;
  let unit: string;
  beforeAll(() => {
    unit = join(folder, 'zeroreel.service');
    const text = readFileSync(join(DEPLOY, 'zeroreel.service'), 'utf8');
    // systemd-analyze looks whether the program is there; where Node is differs.
    writeFileSync(unit, text.replace('/usr/bin/node', process.execPath));
  });

  test.skipIf(!hasSystemd)(
    `has no error and no unknown line${hasSystemd ? '' : ': skipped, no systemd-analyze'}`,
    () => {
      const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' });
      expect({ status, said: stdout + stderr }).toEqual({ status: 0, said: '' });
    },
  );

  test.skipIf(!hasSystemd)('exposes little: 1.5 of 10 at most, as systemd-analyze counts', () => {
    const args = ['security', '--offline=true', '--threshold=15', unit];
    expect(spawnSync('systemd-analyze', args, { encoding: 'utf8' }).status).toBe(0);
  });
});
