/** scripts/deploy/Caddyfile in Debian's Caddy, with certificates of its own making, before a real server, seen through openssl and curl. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../free-port.ts';
import { Stage } from '../server/stage.ts';

const CONFIGURATION = new URL('../../scripts/deploy/Caddyfile', import.meta.url);
const CADDY = '/usr/bin/caddy';
const isThere = existsSync(CADDY);
if (!isThere && process.env['ZEROREEL_REQUIRE_ALL'] === '1') throw new Error('expected Caddy');

describe.skipIf(!isThere)(isThere ? 'Caddy as it is configured' : 'skipped: no Caddy', () => {
  let folder: string;
  let stage: Stage;
  let caddy: ChildProcess;
  let https: number;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'zeroreel-caddy-'));
    stage = await Stage.start();
    https = await freePort();
    // What is of a machine: ports, and who signs certificates. Every other line is the repository's.
    const sites = readFileSync(CONFIGURATION, 'utf8')
      .replaceAll('127.0.0.1:8600', new URL(stage.server.url).host)
      .replace('\ttls {', '\ttls internal {');
    const machine = `{\n\tadmin off\n\thttp_port ${await freePort()}\n\thttps_port ${https}\n\tskip_install_trust\n\tdefault_bind 127.0.0.1\n}\n`;
    const path = join(folder, 'Caddyfile');
    writeFileSync(path, machine + sites);
    const env = { ...process.env, HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
    const checked = spawnSync(CADDY, ['validate', '--adapter', 'caddyfile', '--config', path], {
      encoding: 'utf8',
      env,
    });
    expect(checked.stdout + checked.stderr).toContain('Valid configuration');
    caddy = spawn(CADDY, ['run', '--adapter', 'caddyfile', '--config', path], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    for await (const line of createInterface({ input: caddy.stderr! })) {
      if (/certificate obtained successfully.*exam\.example\.org/.test(line)) break;
    }
    caddy.stderr!.resume();
  });
  afterAll(async () => {
    caddy.kill('SIGTERM');
    await once(caddy, 'exit');
    await stage.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function handshake(...options: string[]): { isMade: boolean; text: string } {
    const target = ['-connect', `127.0.0.1:${https}`, '-servername', 'exam.example.org'];
    const { stdout, stderr } = spawnSync('openssl', ['s_client', ...target, ...options], {
      input: '',
      encoding: 'utf8',
    });
    return { isMade: /Cipher is (?!\(NONE\))\S+/.test(stdout), text: stdout + stderr };
  }

  test.each(['-tls1_2', '-tls1_3'])('openssl s_client %s is let in', (version) => {
    expect(handshake(version).isMade).toBe(true);
  });

  test.each([
    ['-tls1', 'ALL:@SECLEVEL=0'],
    ['-tls1_1', 'ALL:@SECLEVEL=0'],
    ['-tls1_2', 'AES256-GCM-SHA384:@SECLEVEL=0'],
  ])('openssl s_client %s with %s is refused', (version, suites) => {
    expect(handshake(version, '-cipher', suites).isMade).toBe(false);
  });

  test('the API answers through it, over TLS that its own authority vouches for, and asks for TLS from then on', async () => {
    const authority = join(folder, 'caddy/pki/authorities/local/root.crt');
    const name = ['--resolve', `exam.example.org:${https}:127.0.0.1`, '--cacert', authority];
    const target = `https://exam.example.org:${https}/v1/service`;
    const { stdout: answer } = await promisify(execFile)('curl', ['-si', ...name, target]);
    expect(answer).toMatch(/^HTTP\/2 200/);
    expect(answer).toMatch(/strict-transport-security: max-age=63072000; includeSubDomains/i);
    expect(answer).not.toMatch(/^server:/im);
    expect(answer).toContain('"name":"zeroreel"');
  });
});
