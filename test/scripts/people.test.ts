import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseTicket } from '../../crypto/format/ticket.ts';
import { parseExamLink } from '../../src/client/link.ts';
import type { RunningServer } from '../../src/node.ts';
import { CommandLine, MEDIA, PASSPHRASE, prepareExam, startService } from './command-line.ts';

const cli = new CommandLine();
let server: RunningServer;
beforeAll(async () => {
  server = await startService(cli);
  await prepareExam(cli);
});
afterAll(async () => {
  await server.close();
  cli.remove();
});

describe('keygen and key show', () => {
  it('write a key file that only its owner can read, and a public line that anybody may', () => {
    expect(statSync(cli.path('first.key')).mode & 0o777).toBe(0o600);
    expect(readFileSync(cli.path('first.key'), 'utf8')).toMatch(/^-----BEGIN ZEROREEL KEY FILE-----/);
    expect(readFileSync(cli.path('first.key.pub'), 'utf8')).toMatch(/^zrpq1\S+ zrid1\S+ the first instructor\n$/);
    expect(readFileSync(cli.path('second.key.pub'), 'utf8')).toMatch(/^zrbox1\S+ zrid1\S+\n$/);
  });

  it('never replace a key without --force', async () => {
    const before = readFileSync(cli.path('first.key'));
    const { exit, error } = await cli.run(['keygen', 'first.key']);
    expect({ exit, error: error.split('\n')[0] }).toEqual({
      exit: 74,
      error: 'zeroreel: first.key exists already (exists)',
    });
    expect(readFileSync(cli.path('first.key'))).toEqual(before);
    await cli.must(['keygen', 'other.key']);
    const first = readFileSync(cli.path('other.key'));
    await cli.must(['keygen', '--force', 'other.key']);
    expect(readFileSync(cli.path('other.key'))).not.toEqual(first);
  });

  it('show what keygen wrote, after the passphrase has opened it, by file or by environment', async () => {
    writeFileSync(cli.path('passphrase'), `${PASSPHRASE}\n`, { mode: 0o600 });
    const shown = await cli.must(['key', 'show', '--passphrase-file', 'passphrase', 'first.key'], {
      environment: { ZEROREEL_PASSPHRASE: 'wrong' },
    });
    expect(`${shown}\n`).toBe(readFileSync(cli.path('first.key.pub'), 'utf8'));
  });

  it('answer a wrong passphrase, an empty one, none, and a foreign key file with exit code 78', async () => {
    writeFileSync(
      cli.path('foreign.key'),
      '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n',
    );
    const cases = [
      ['first.key', { ZEROREEL_PASSPHRASE: 'wrong' }, /the passphrase does not fit \(passphrase\)/],
      ['first.key', { ZEROREEL_PASSPHRASE: '' }, /the passphrase is empty/],
      ['foreign.key', {}, /foreign\.key: .*\nhint: expected a file that `zeroreel keygen` made/],
    ] as const;
    for (const [file, environment, message] of cases) {
      const { exit, output, error } = await cli.run(['key', 'show', file], { environment });
      expect({ exit, output }).toEqual({ exit: 78, output: '' });
      expect(error).toMatch(message);
    }
  });

  it('refuse a key file with one character changed', async () => {
    const lines = readFileSync(cli.path('first.key'), 'utf8').split('\n');
    lines[2] = lines[2]!.replace(/^./, (first) => (first === 'A' ? 'B' : 'A'));
    writeFileSync(cli.path('torn.key'), lines.join('\n'));
    expect((await cli.run(['key', 'show', 'torn.key'])).exit).toBe(78);
  });

  it('ask on a terminal without echo', async () => {
    const { ZEROREEL_PASSPHRASE: _, ...environment } = cli.environment;
    const command = [...cli.program, 'keygen', 'typed.key'].map((word) => `'${word}'`).join(' ');
    const terminal = spawn('script', ['-qec', command, '/dev/null'], {
      cwd: cli.folder,
      env: { PATH: process.env['PATH'] ?? '', ...environment },
    });
    let screen = '';
    let asked = 0;
    terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
      screen += text;
      for (; asked < (screen.match(/(passphrase|once more): /g) ?? []).length; asked++)
        terminal.stdin.write('typed im secret over nine tall hillsX\u007f\r');
    });
    const exit = await new Promise((resolve) => terminal.once('close', resolve));
    expect(screen).not.toContain('typed im secret over nine tall hills');
    expect(exit, screen).toBe(0);
    await cli.must(['key', 'show', 'typed.key'], {
      environment: { ZEROREEL_PASSPHRASE: 'typed im secret over nine tall hills' },
    });
  });
});

describe('exam', () => {
  it('shows the policy that its owner signed, with both readers', async () => {
    const policy = JSON.parse(await cli.must(['exam', 'show', '--json'])) as {
      recipients: { label: string; suite: number }[];
      min_suite: number;
    };
    expect(policy.min_suite).toBe(1);
    expect(policy.recipients.map(({ label, suite }) => [label, suite])).toEqual([
      ['the first instructor', 2],
      ['instructor', 1],
    ]);
    expect(await cli.must(['exam', 'list'])).toContain('Physics');
  });

  it('is not weakened by a reader with a suite 1 key unless somebody says so', async () => {
    const { exit, error } = await cli.run([
      'exam',
      'create',
      '--key',
      'first.key',
      '--title',
      'T',
      '--recipient',
      'second.key.pub',
    ]);
    expect(exit).toBe(64);
    expect(error).toMatch(/--min-suite 1/);
  });

  it('is refused by the server without a token, and with a false one', async () => {
    for (const environment of [{ ZEROREEL_TOKEN: '' }, { ZEROREEL_TOKEN: 'zra_false' }] as Record<string, string>[]) {
      const { exit, error } = await cli.run(['exam', 'create', '--key', 'first.key', '--title', 'T'], { environment });
      expect(exit).toBe(77);
      expect(error).not.toContain('zra_false');
    }
  });

  it('makes tickets that differ, each in a file of its own that nobody else can read', () => {
    const names = readdirSync(cli.path('seats'));
    expect(names).toHaveLength(9);
    const links = new Set(names.map((name) => readFileSync(cli.path('seats', name), 'utf8')));
    expect(links.size).toBe(9);
    for (const name of names) expect(statSync(cli.path('seats', name)).mode & 0o777).toBe(0o600);
  });

  it('signs what is granted to a seat into its ticket, and into no other', async () => {
    const granted = ['2:extra_minutes=30', '2:tracks_off=webcam,photo', '3:flags_ignored=focus_lost'];
    const words = granted.flatMap((text) => ['--accommodate', text]);
    await cli.must(['exam', 'tickets', '--key', 'first.key', '--out', 'granted', ...words, '3']);
    const accommodations = ['0001', '0002', '0003'].map((seat) => {
      const { ticket } = parseExamLink(readFileSync(cli.path('granted', `${seat}.link`), 'utf8').trim());
      return parseTicket(ticket!.ticket).accommodations;
    });
    expect(accommodations).toEqual([
      '',
      '{"extra_minutes":30,"tracks_off":"webcam,photo"}',
      '{"flags_ignored":"focus_lost"}',
    ]);
  });

  it('makes a configuration of Safe Exam Browser beside each link, private like it', async () => {
    writeFileSync(cli.path('exam.link'), `${cli.environment['ZEROREEL_EXAM']!}\n`);
    const made = await cli.must(['exam', 'seb', join('seats', '0001.link'), 'exam.link']);
    expect(made.split('\n')).toEqual([join('seats', '0001.seb'), 'exam.seb']);
    const link = readFileSync(cli.path('seats', '0001.link'), 'utf8').trim();
    const outer = gunzipSync(readFileSync(cli.path('seats', '0001.seb')));
    expect(outer.subarray(0, 4).toString()).toBe('plnd');
    expect(gunzipSync(outer.subarray(4)).toString('utf8')).toContain(`<key>startURL</key>\n  <string>${link}</string>`);
    expect(statSync(cli.path('seats', '0001.seb')).mode & 0o777).toBe(0o600);
    rmSync(cli.path('seats', '0001.seb'));
  });

  it('tells at once that a key is not the owner’s', async () => {
    for (const words of [
      ['tickets', '1'],
      ['update', '--recipient', 'first.key.pub'],
    ]) {
      const { exit, error } = await cli.run(['exam', ...words, '--key', 'second.key']);
      expect(exit).toBe(78);
      expect(error).toMatch(/not the one of the exam’s owner/);
    }
  });

  it('refuses a link with a ticket among the arguments', async () => {
    const link = readFileSync(cli.path('seats', '0001.link'), 'utf8').trim();
    const { exit, error } = await cli.run(['exam', 'show', '--exam', link]);
    expect(exit).toBe(64);
    expect(error).toMatch(/which is a secret/);
    expect(error).not.toContain(link.slice(-40));
  });
});

describe('token', () => {
  it('is created into a private file, listed without itself, and dead once revoked', async () => {
    const made = JSON.parse(
      await cli.must(['token', 'create', '--role', 'instructor', '--label', 'lab', '--out', 'lab.token', '--json']),
    ) as { prefix: string };
    expect(statSync(cli.path('lab.token')).mode & 0o777).toBe(0o600);
    const secret = readFileSync(cli.path('lab.token'), 'utf8').trim();
    const listed = await cli.must(['token', 'list']);
    expect(listed).toContain(made.prefix);
    expect(listed).not.toContain(secret);
    await cli.must(['list', '--token-file', 'lab.token']);
    await cli.must(['token', 'revoke', made.prefix]);
    expect((await cli.run(['list', '--token-file', 'lab.token'])).exit).toBe(77);
    expect((await cli.run(['token', 'revoke', 'zri_none'])).exit).toBe(77);
  });
});

describe('doctor', () => {
  it('finds nothing false about a server and its embedded bucket, by real objects that are gone afterwards', async () => {
    const storage = readFileSync(cli.path('server', 'bucket.key'), 'utf8');
    expect(storage).not.toBe('');
    const key = server.ports.bucket.presignGet('x', Date.now(), 60);
    const findings = JSON.parse(
      await cli.must(['doctor', '--bucket', '--data', 'server', '--bucket-port', new URL(key).port, '--json']),
    ) as { check: string; state: string }[];
    expect(findings.filter(({ state }) => state === 'bad')).toEqual([]);
    const states = Object.fromEntries(findings.map(({ check, state }) => [check, state]));
    for (const check of [
      'server.health',
      'log.checkpoint',
      'bucket.create-only',
      'bucket.sha256',
      'bucket.length',
      'bucket.signature',
      'bucket.expiry',
      'bucket.key',
      'bucket.range',
      'bucket.list',
      'bucket.delete',
    ]) {
      expect(states[check], check).toBe('ok');
    }
    for await (const { key: left } of server.ports.bucket.listVersions('')) expect(left).not.toContain('doctor');
  });

  it('does not make credentials where there are none', async () => {
    const { exit, error } = await cli.run(['doctor', '--bucket', '--data', 'nowhere']);
    expect(exit).toBe(74);
    expect(error).toMatch(/no embedded bucket has been here/);
  });
});

describe('key revoke', () => {
  it('withdraws a key that was never enrolled; recorders warn, nothing is released, and exam update leaves it out', async () => {
    const id = /(\S{22})$/.exec(await cli.must(['key', 'revoke', '--key', 'second.key']))![1]!;
    expect(await cli.must(['exam', 'show'])).toContain(`${id} revoked`);
    const media = join(MEDIA, 'events.ndjson');
    const recorded = await cli.run(['record', '--ticket', 'seats/0009.link', '--outbox', 'late', media]);
    expect(recorded.exit).toBe(0);
    expect(recorded.error).toContain('warning: instructor has revoked');
    const recording = /"recording_id":"([\w-]{22})"/.exec(await cli.must(['list', '--json']))![1]!;
    const fetched = await cli.run(['fetch', '--key', 'second.key', '--out', 'refused', recording]);
    expect(fetched.exit).toBe(77);
    expect(fetched.error).toContain('revoked');

    const updated = await cli.run(['exam', 'update', '--key', 'first.key']);
    expect(updated.exit).toBe(0);
    expect(updated.error).toContain('left out: instructor');
    expect(await cli.must(['exam', 'show'])).not.toContain(id);
    expect((await cli.run(['exam', 'update', '--key', 'first.key'])).exit).toBe(64);
  }, 180_000);
});
