/** scripts/deploy/nginx.conf in Debian's nginx, before a real server with its embedded bucket, seen through openssl and an HTTPS client. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../free-port.ts';
import { media, TestRecorder } from '../server/recorder.ts';
import { type RunningBucket, startEmbeddedBucket } from '../../src/server/adapters/embedded-bucket/index.ts';
import { expectStatus, Stage } from '../server/stage.ts';

const CONFIGURATION = new URL('../../scripts/deploy/nginx.conf', import.meta.url);
const NGINX = ['/usr/sbin/nginx', '/usr/bin/nginx'].find((path) => existsSync(path));
if (NGINX === undefined && process.env['ZEROREEL_REQUIRE_ALL'] === '1') throw new Error('expected nginx');

const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => {
      resolve(false);
    });
  });

function largestFileBelow(dir: string): number {
  const entries = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Math.max(0, ...entries.map(({ parentPath, name }) => statSync(join(parentPath, name)).size));
}

describe.skipIf(NGINX === undefined)(NGINX === undefined ? 'skipped: no nginx' : 'nginx as it is configured', () => {
  let folder: string;
  let stage: Stage;
  let bucket: RunningBucket;
  let recorder: TestRecorder;
  let nginx: ChildProcess;
  let http: number;
  let https: number;
  let certificate: Buffer;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'zeroreel-nginx-'));
    const credentials = { accessKeyId: 'AKTEST', secretAccessKey: 'a secret of this test' };
    bucket = await startEmbeddedBucket({ dir: join(folder, 'bucket'), credentials, buckets: ['exams'] });
    const store = { endpoint: bucket.endpoint, region: 'us-east-1', credentials, bucket: 'exams' };
    stage = await Stage.start({
      storage: { ...store, publicEndpoint: 'https://store.example.org' },
      config: { clientAddressHeader: 'x-real-ip' },
    });
    recorder = await stage.recorder(await stage.exam());
    [http, https] = await Promise.all([freePort(), freePort()]);
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
        ...['-subj', '/CN=exam.example.org', '-addext', 'subjectAltName=DNS:exam.example.org,DNS:store.example.org'],
        ...['-keyout', key, '-out', cert],
      ],
      { stdio: 'ignore' },
    );
    certificate = readFileSync(cert);
    // What is of a machine: ports, certificates and folders. Every other line is the repository's.
    const configuration = readFileSync(CONFIGURATION, 'utf8')
      .replaceAll('listen 80;', `listen 127.0.0.1:${http};`)
      .replaceAll('listen 443 ssl', `listen 127.0.0.1:${https} ssl`)
      .replaceAll('127.0.0.1:8600', new URL(stage.server.url).host)
      .replaceAll('127.0.0.1:8601', new URL(bucket.endpoint).host)
      .replaceAll(/\/etc\/letsencrypt\S+fullchain\.pem/g, cert)
      .replaceAll(/\/etc\/letsencrypt\S+privkey\.pem/g, key)
      .replaceAll('/var/log/nginx/zeroreel.log', join(folder, 'access.log'));
    mkdirSync(join(folder, 'temporary'));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${join(folder, 'temporary', name)};`,
    );
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off; master_process off; pid ${join(folder, 'nginx.pid')}; error_log ${join(folder, 'error.log')};
      events {} http { ${temporary.join(' ')} ${configuration} }`,
    );
    const command = ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'error.log')];
    const checked = spawnSync(NGINX!, ['-t', ...command], { encoding: 'utf8' });
    expect(checked.stderr).toContain('test is successful');
    expect(checked.stderr).not.toContain('[warn]');
    nginx = spawn(NGINX!, command, { stdio: 'ignore' });
    while (!(await isListening(https))) expect(nginx.exitCode).toBeNull();
  });
  afterAll(async () => {
    nginx.kill('SIGTERM');
    await once(nginx, 'exit');
    await stage.stop();
    await bucket.close();
    rmSync(folder, { recursive: true, force: true });
  });

  interface Said {
    status: number;
    headers: IncomingHttpHeaders;
    body: Buffer;
  }

  /** One request to a name, through TLS that the certificate of this test vouches for. */
  function ask(
    host: string,
    method: string,
    path: string,
    { headers = {}, body }: { headers?: Record<string, string>; body?: Uint8Array } = {},
  ): Promise<Said> {
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: '127.0.0.1',
          port: https,
          servername: host,
          ca: certificate,
          method,
          path,
          headers: { host, ...headers },
        },
        (response) => {
          const pieces: Buffer[] = [];
          response.on('data', (piece: Buffer) => pieces.push(piece));
          response.on('end', () => {
            resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(pieces) });
          });
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }

  /** What a handshake by openssl came to. `@SECLEVEL=0` lets this client offer what it would refuse itself. */
  function handshake(...options: string[]): { isMade: boolean; text: string } {
    const { stdout, stderr } = spawnSync(
      'openssl',
      ['s_client', '-connect', `127.0.0.1:${https}`, '-servername', 'exam.example.org', ...options],
      { input: '', encoding: 'utf8' },
    );
    const text = stdout + stderr;
    return { isMade: /Cipher is (?!\(NONE\))\S+/.test(stdout), text };
  }

  test.each(['-tls1_2', '-tls1_3'])('openssl s_client %s is let in', (version) => {
    expect(handshake(version).isMade).toBe(true);
  });

  test.each(['-tls1', '-tls1_1'])('openssl s_client %s is refused by the server', (version) => {
    const { isMade, text } = handshake(version, '-cipher', 'ALL:@SECLEVEL=0');
    expect(isMade).toBe(false);
    expect(text).toMatch(/alert protocol version/);
  });

  test.each(['AES128-SHA', 'AES256-GCM-SHA384', 'ECDHE-ECDSA-AES256-SHA384'])(
    'a suite without forward secrecy or authenticated encryption is refused: %s',
    (suite) => {
      const { isMade, text } = handshake('-tls1_2', '-cipher', `${suite}:@SECLEVEL=0`);
      expect(isMade).toBe(false);
      expect(text).toMatch(/handshake failure/);
    },
  );

  test('plain HTTP answers nothing but where to go', async () => {
    const response = await fetch(`http://127.0.0.1:${http}/v1/service`, {
      redirect: 'manual',
      headers: { host: 'exam.example.org' },
    });
    expect(response.status).toBe(301);
    expect(response.headers.get('location')).toMatch(/^https:\/\/[^/]+\/v1\/service$/);
  });

  test('the API answers through it, with strict transport security on refusals too', async () => {
    const service = await ask('exam.example.org', 'GET', '/v1/service');
    expect(service.status).toBe(200);
    const refused = await ask('exam.example.org', 'GET', '/v1/tokens');
    expect(refused.status).toBe(401);
    for (const { headers } of [service, refused]) {
      expect(headers['strict-transport-security']).toBe('max-age=63072000; includeSubDomains');
      expect(headers['server']).toBe('nginx');
    }
  });

  test('a body of half a megabyte and more is refused by the API itself', async () => {
    const { status, headers } = await ask('exam.example.org', 'POST', '/v1/exams', {
      headers: { authorization: `Bearer ${stage.admin}`, 'content-type': 'application/json' },
      body: Buffer.alloc(600 * 1024, 0x20),
    });
    expect(status).toBe(413);
    expect(headers['content-type']).toBe('application/problem+json');
  });

  test('a recorder is told its own address, and not the one that it claims', async () => {
    const other = await TestRecorder.begin(recorder.exam, { now: stage.clock.now() });
    const { status, body } = await ask(
      'exam.example.org',
      'POST',
      `/v1/exams/${other.exam.policy.exam_id}/recordings`,
      {
        headers: { 'content-type': 'application/json', 'x-real-ip': '203.0.113.7' },
        body: Buffer.from(JSON.stringify(other.openBody)),
      },
    );
    expect([status, JSON.parse(body.toString())]).toEqual([
      201,
      expect.objectContaining({ client_address: '127.0.0.1' }),
    ]);
  });

  test('a whole chunk of 8 MiB goes to the store as it comes, under its own URL, and is never a file of the proxy', async () => {
    const chunk = await recorder.chunk(1, media(8 * 1024 * 1024));
    const { url, headers } = await stage.sign(recorder, chunk);
    const { host, pathname, search } = new URL(url);
    expect(host).toBe('store.example.org');
    const half = chunk.object.length >> 1;
    const stored = new Promise<number>((resolve, reject) => {
      const length = { 'content-length': String(chunk.object.length) };
      const sent = request(
        {
          ...{ host: '127.0.0.1', port: https, servername: host, ca: certificate },
          ...{ method: 'PUT', path: pathname + search, headers: { host, ...headers, ...length } },
        },
        (response) => {
          response.resume();
          resolve(response.statusCode!);
        },
      );
      sent.on('error', reject);
      sent.write(chunk.object.subarray(0, half), () => {
        // Half of it is with the store before the other half was sent.
        void expect
          .poll(() => largestFileBelow(join(folder, 'bucket')), { timeout: 20_000 })
          .toBeGreaterThan(half / 2)
          .then(() => {
            expect(readdirSync(join(folder, 'temporary', 'client_body'))).toEqual([]);
            sent.end(chunk.object.subarray(half));
          })
          .catch(reject);
      });
    });
    expect(await stored).toBe(200);
    expectStatus(await stage.sendHead(recorder, await recorder.head()), 200);
  });

  test('the store takes no body above a chunk', async () => {
    const { status } = await ask('store.example.org', 'PUT', '/exams/x', { body: Buffer.alloc(10_000_000) });
    expect(status).toBe(413);
  });

  test('no query and no address is in its log', async () => {
    await ask('store.example.org', 'GET', '/exams/x?X-Amz-Signature=0123456789abcdef');
    await expect.poll(() => readFileSync(join(folder, 'access.log'), 'utf8')).toMatch(/GET \/exams\/x 400/);
    const log = readFileSync(join(folder, 'access.log'), 'utf8');
    expect(log).not.toMatch(/Signature|127\.0\.0\.1/);
    expect(readdirSync(join(folder, 'temporary', 'client_body'))).toEqual([]);
  });
});
