/**
 * No secret in any output: the real command line and the real server are run with secrets that are known here, made to succeed and
 * to fail in many ways, with stack traces on; then everything they wrote to their two streams is searched.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openKeyFile } from '../crypto/seal/keyfile.ts';
import { NodeCaseFolder } from '../src/client/casefile-node.ts';
import { openCaseFile } from '../src/client/casefile.ts';
import { parseExamLink } from '../src/client/link.ts';
import { CommandLine, MEDIA, PASSPHRASE, prepareExam } from './scripts/command-line.ts';

const cli = new CommandLine();
cli.environment['ZEROREEL_DEBUG'] = '1';
const NEXT_PASSPHRASE = 'plum orbit seventeen lanterns';
const MISTYPED = 'slow river under the old mull';
const S3_SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYcanaryKEY0';

let everything = '';
const servers: ChildProcess[] = [];
const secrets = new Map<string, Uint8Array | string>();

/** Starts a server as a process of its own; resolves with what it prints first, or with undefined when it ends. */
async function serve(environment: Record<string, string>): Promise<string | undefined> {
  const [node, ...prefix] = cli.program;
  const child = spawn(node!, [...prefix, 'serve'], {
    cwd: cli.folder,
    env: {
      PATH: process.env['PATH'] ?? '',
      ZEROREEL_DEBUG: '1',
      ZEROREEL_PORT: '0',
      ZEROREEL_LOG_LEVEL: 'trace',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  servers.push(child);
  return new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        everything += text;
        const url = /^http:\/\/\S+$/m.exec(text)?.[0];
        if (url !== undefined) resolve(url);
      });
    }
    child.once('close', () => {
      resolve(undefined);
    });
  });
}

/** Runs a command and keeps what it said. Answers its exit code. */
async function run(words: readonly string[], environment: Record<string, string> = {}): Promise<number | null> {
  const { exit, output, error } = await cli.run(words, { environment });
  everything += `${output}\n${error}\n`;
  return exit;
}

const text = (...names: string[]): string => readFileSync(cli.path(...names), 'utf8').trim();

/** A port of this machine on which nobody listens. */
async function deadPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

beforeAll(async () => {
  const url = await serve({ ZEROREEL_DATA: 'server', ZEROREEL_BUCKET_PORT: '0' });
  if (url === undefined) throw new Error(`the server did not start: ${everything}`);
  cli.environment['ZEROREEL_SERVER'] = url;
  await cli.must(['setup', 'server/setup.link']);
  cli.environment['ZEROREEL_TOKEN_FILE'] = 'admin.token';
  await prepareExam(cli);

  const { ticket } = parseExamLink(text('seats', '0001.link'));
  const { decryptionKey, identity } = await openKeyFile(text('first.key'), PASSPHRASE);
  const logKey = text('server', 'log.key').split('\n')[1]!;
  const bucketKey = JSON.parse(text('server', 'bucket.key')) as { secretAccessKey: string };
  const token = readFileSync(join(cli.folder, cli.environment['ZEROREEL_TOKEN_FILE']), 'utf8').trim();
  for (const [name, secret] of Object.entries({
    ...{ PASSPHRASE, NEXT_PASSPHRASE, MISTYPED, S3_SECRET, token },
    ...{ 'decryption seed': decryptionKey.seed, 'identity seed': identity.seed, 'ticket seed': ticket!.seed },
    ...{ 'log key': Buffer.from(logKey, 'base64').subarray(-32), 'bucket secret': bucketKey.secretAccessKey },
  })) {
    secrets.set(name, secret);
  }
}, 180_000);

afterAll(() => {
  for (const server of servers) server.kill('SIGKILL');
  cli.remove();
});

test('a recording is made, read, exported and verified; its content key and shred share are known from here on', async () => {
  expect(await run(['record', '--ticket', 'seats/0001.link', join(MEDIA, 'events.ndjson')])).toBe(0);
  const { output } = await cli.run(['list', '--json']);
  everything += output;
  const id = /"recording_id":"([\w-]{22})"/.exec(output)![1]!;
  expect(await run(['fetch', '--key', 'first.key', '--out', 'review', id])).toBeLessThan(2);
  expect(await run(['export', '--key', 'first.key', '--out', 'case', id])).toBeLessThan(2);
  expect(await run(['fetch', '--key', 'first.key', '--out', 'other', id], { ZEROREEL_PASSPHRASE: MISTYPED })).toBe(78);
  const { decryptionKey } = await openKeyFile(text('first.key'), PASSPHRASE);
  const reader = await openCaseFile({
    folder: new NodeCaseFolder(cli.path('case')),
    key: decryptionKey,
    nowMs: Date.now(),
  });
  const { cek, shred } = reader.secrets(0);
  secrets.set('content key', cek).set('shred share', shred);
  const path = cli.path('case', 'epochs', '0', 'tracks', '3', '0.bin');
  writeFileSync(path, readFileSync(path).fill(7, 300, 301));
  expect(await run(['verify', '--key', 'first.key', 'case'])).toBeGreaterThan(0);
}, 180_000);

test('keys are made, changed, enrolled, rotated and revoked, and each of these fails', async () => {
  const next = { ZEROREEL_NEW_PASSPHRASE: NEXT_PASSPHRASE };
  expect(await run(['key', 'enrol', '--key', 'first.key'])).toBe(0);
  expect(await run(['key', 'enrol', '--key', 'first.key'])).toBe(0);
  expect(await run(['key', 'rotate', '--key', 'first.key', 'next.key'], next)).toBe(0);
  expect(await run(['key', 'rotate', '--key', 'second.key', 'next.key'])).toBe(78);
  expect(await run(['key', 'revoke', '--key', 'first.key'])).toBe(0);
  expect(await run(['key', 'revoke', '--key', 'first.key'])).toBe(0);
  expect(await run(['key', 'enrol', '--key', 'first.key'])).toBe(77);
  expect(await run(['key', 'passphrase', 'second.key'], { ZEROREEL_PASSPHRASE: MISTYPED })).toBe(78);
  expect(await run(['key', 'passphrase', 'second.key'], { ZEROREEL_NEW_PASSPHRASE: 'second1' })).toBe(78);
  expect(await run(['key', 'passphrase', 'second.key'], next)).toBe(0);
  expect(await run(['key', 'show', 'second.key'])).toBe(78);
  expect(await run(['key', 'show', 'second.key'], { ZEROREEL_PASSPHRASE: NEXT_PASSPHRASE })).toBe(0);
  expect(await run(['keygen', '--generate', 'drawn.key'])).toBe(78);
  expect(await run(['keygen', '--generate', '--passphrase-file', 'drawn', 'drawn.key'])).toBe(0);
  secrets.set('drawn passphrase', text('drawn'));
  expect(text('drawn').split(' ')).toHaveLength(6);
  expect(await run(['key', 'show', '--passphrase-file', 'drawn', 'drawn.key'])).toBe(0);
}, 180_000);

test('secrets that somebody puts among the arguments are refused without being repeated', async () => {
  const ticketLink = text('seats', '0002.link');
  secrets.set('second ticket', parseExamLink(ticketLink).ticket!.seed);
  for (const words of [
    ['exam', 'show', '--exam', ticketLink],
    ['keygen', '--passphrase', NEXT_PASSPHRASE, 'a.key'],
    ['keygen', `--passphrase=${NEXT_PASSPHRASE}`, 'a.key'],
    ['list', '--token', String(secrets.get('token'))],
    ['list', `--token=${String(secrets.get('token'))}`],
  ]) {
    expect(await run(words), words[1]).toBe(64);
  }
}, 120_000);

test('a server that is gone, a false token, a false address and a crash tell nothing', async () => {
  const gone = `http://127.0.0.1:${await deadPort()}`;
  expect(await run(['exam', 'list'], { ZEROREEL_SERVER: gone, ZEROREEL_TOKEN: String(secrets.get('token')) })).not.toBe(
    0,
  );
  expect(await run(['exam', 'list'], { ZEROREEL_TOKEN: `${String(secrets.get('token'))}x` })).toBe(77);
  const s3 = { ZEROREEL_S3_ACCESS_KEY_ID: 'canary', ZEROREEL_S3_SECRET_ACCESS_KEY: S3_SECRET };
  await serve({ ZEROREEL_DATA: 'second', ...s3, ZEROREEL_S3_ENDPOINT: gone });
  expect(
    await serve({ ZEROREEL_DATA: 'third', ...s3, ZEROREEL_S3_ENDPOINT: `not a url ${S3_SECRET}` }),
  ).toBeUndefined();
  expect(await serve({ ZEROREEL_DATA: 'fourth', ZEROREEL_PORT: S3_SECRET })).toBeUndefined();
  for (const [path, init] of [
    ['/v1/recordings', { method: 'POST', body: `{"token":"${String(secrets.get('token'))}"` }],
    [`/v1/exams?token=${String(secrets.get('token'))}`, {}],
    ['/v1/exams', { headers: { authorization: `Bearer ${String(secrets.get('token'))}x` } }],
    [`/v1/receipts/${encodeURIComponent(PASSPHRASE)}`, {}],
    [
      '/v1/keys',
      {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ document: NEXT_PASSPHRASE }),
      },
    ],
  ] as const) {
    const answer = await fetch(`${cli.environment['ZEROREEL_SERVER']!}${path}`, init);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    everything += `${await answer.text()}\n${JSON.stringify([...answer.headers])}\n`;
  }
}, 180_000);

/** Throws out of nowhere, once the first result is written: the passphrase and the keys are in memory then. */
const CRASH = `
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = (...words) => {
    setImmediate(() => { throw new Error('planted crash'); });
    return write(...words);
  };`;

test('an uncaught exception tells nothing, nor do the diagnostic report and the profiles that Node writes of it', async () => {
  writeFileSync(cli.path('crash.mjs'), CRASH);
  mkdirSync(cli.path('reports'));
  const [node, ...prefix] = cli.program;
  const flags = [
    ...[
      '--report-uncaught-exception',
      `--report-directory=${cli.path('reports')}`,
      `--import=${cli.path('crash.mjs')}`,
    ],
    ...['--cpu-prof', `--cpu-prof-dir=${cli.path('profiles')}`],
  ];
  const environment = {
    ...{ ...cli.environment, PATH: process.env['PATH'] ?? '', ZEROREEL_TOKEN: String(secrets.get('token')) },
    ...{ ZEROREEL_TICKET: text('seats', '0001.link'), ZEROREEL_NEW_PASSPHRASE: NEXT_PASSPHRASE },
  };
  const ended = spawnSync(node!, [...flags, ...prefix, 'key', 'show', 'first.key'], {
    ...{ cwd: cli.folder, env: environment, encoding: 'utf8' },
  });
  expect(ended.status).not.toBe(0);
  expect(ended.stderr).toContain('planted crash');
  everything += `${ended.stdout}\n${ended.stderr}\n`;
  const written = ['reports', 'profiles'].flatMap((folder) =>
    readdirSync(cli.path(folder)).map((name) => [folder, name]),
  );
  expect([...new Set(written.map(([folder]) => folder))]).toEqual(['reports', 'profiles']);
  for (const [folder, name] of written) everything += text(folder!, name!);
  // The report is of the process that held them: it shows the environment, without what was secret in it.
  expect(everything).toContain('"environmentVariables"');
  expect(everything).not.toContain('"ZEROREEL_PASSPHRASE"');
}, 60_000);

/** Whether a text holds a secret: as it is, in hex, or in base64, also as a part of something longer. */
function holds(written: string, secret: Uint8Array | string): boolean {
  const bytes = Buffer.from(secret);
  const forms = [
    ...(typeof secret === 'string' ? [secret, encodeURIComponent(secret)] : []),
    ...[bytes.toString('hex'), bytes.toString('base64').replace(/=+$/, ''), bytes.toString('base64url')],
  ];
  // Inside of something longer its base64 depends on where it begins; whole groups of three bytes from one of three offsets do not.
  for (const offset of [0, 1, 2]) {
    const groups = bytes.subarray(offset, offset + 3 * Math.floor((bytes.length - offset) / 3));
    forms.push(groups.toString('base64'), groups.toString('base64url'));
  }
  return forms.some((form) => written.toLowerCase().includes(form.toLowerCase()));
}

test('nothing of it is in anything that was written', () => {
  const found = [...secrets].filter(([, secret]) => holds(everything, secret)).map(([name]) => name);
  expect(found).toEqual([]);
  expect(secrets.size).toBe(14);
  expect(everything.length).toBeGreaterThan(5000);
});

test('the search would find each of them, in text, in hex and inside of longer base64', () => {
  for (const [name, secret] of secrets) {
    const bytes = Buffer.from(secret);
    const longer = ['', 'x', 'xx'].map((before) => Buffer.concat([Buffer.from(before), bytes, Buffer.from('yyy')]));
    const leaks = [bytes.toString('hex'), ...longer.map((leak) => leak.toString('base64'))];
    for (const leak of leaks) expect(holds(`${everything}at ${leak} in`, secret), name).toBe(true);
  }
});
