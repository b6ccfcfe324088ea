import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseCheckpoint, signCheckpoint } from '../../crypto/log/checkpoint.ts';
import type { RunningServer } from '../../src/node.ts';
import { startProxy } from '../server/proxy.ts';
import { CommandLine, MEDIA, prepareExam, startService } from './command-line.ts';

const cli = new CommandLine();
let server: RunningServer;
let recordingId = '';
beforeAll(async () => {
  server = await startService(cli);
  await prepareExam(cli);
  const output = await cli.must(['record', '--ticket', 'seats/0001.link', '--json', join(MEDIA, 'events.ndjson')]);
  recordingId = (JSON.parse(output.split('\n')[0]!) as { recording_id: string }).recording_id;
  await cli.must(['export', '--key', 'first.key', '--out', 'case', recordingId]);
  await Promise.all([
    cli.must(['log', 'export', 'bundle']),
    cli.must(['token', 'create', '--role', 'compliance', '--label', 'c', '--out', 'compliance.token']),
    cli.must(['keygen', 'third.key']),
  ]);
});
afterAll(async () => {
  await server.close();
  cli.remove();
});

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(folder, name)).isFile(),
  );
}

describe('list and fetch', () => {
  it('list what the server knows, a row for people and an object for programs', async () => {
    const [row] = (await cli.must(['list', '--json']))
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(row).toMatchObject({ recording_id: recordingId, state: 'closed', epochs: 1 });
    expect(await cli.must(['list'])).toMatch(new RegExp(`^${recordingId} +closed `, 'm'));
  });

  it('write one track to standard output, and nothing else', async () => {
    const { exit, output } = await cli.run([
      'fetch',
      '--key',
      'second.key',
      '--track',
      'events',
      '--out',
      '-',
      recordingId,
    ]);
    expect({ exit, output }).toEqual({ exit: 0, output: readFileSync(join(MEDIA, 'events.ndjson'), 'utf8') });
  });

  it('refuse a compliance token, no token, a key that is no reader’s, and an id that is nobody’s', async () => {
    const cases: [words: string[], environment: Record<string, string>, code: RegExp][] = [
      [['--token-file', 'compliance.token', '--key', 'first.key'], {}, /\(forbidden\)/],
      [['--key', 'first.key'], { ZEROREEL_TOKEN: 'zri_false' }, /\(unauthenticated\)/],
      [['--key', 'third.key'], {}, /\(reader-unknown\)/],
    ];
    for (const [words, environment, code] of cases) {
      const { exit, output, error } = await cli.run(['fetch', ...words, recordingId], { environment });
      expect({ exit, output }).toEqual({ exit: 77, output: '' });
      expect(error).toMatch(code);
    }
    expect((await cli.run(['fetch', '--key', 'first.key', '-AAAAAAAAAAAAAAAAAAAAA'])).exit).toBe(77);
  });

  it('refuse a recording under a link that pins another owner', async () => {
    const link = cli.environment['ZEROREEL_EXAM']!.replace(/\.[^.]{43}\./, `.${'A'.repeat(43)}.`);
    const { exit, error } = await cli.run(['fetch', '--key', 'first.key', '--exam', link, recordingId]);
    expect(exit).toBe(2);
    expect(error).toMatch(/\(policy\)/);
  });
});

describe('the log that was seen before', () => {
  it('may not be rolled back or forked from one run to the next, neither for list nor for fetch', async () => {
    const { store, signer } = server.ports;
    const told = async (path: string): Promise<string> => (await fetch(`${server.url}${path}`)).text();
    const [checkpoint, receipt] = ['/log/checkpoint', `/v1/receipts/${recordingId}`];
    const old = new Map([
      [checkpoint, await told(checkpoint)],
      [receipt, await told(receipt)],
    ]);
    await store.append([{ v: 1, type: 'heartbeat', at: Date.now(), entries: 0 }]);
    await server.jobs.publish();
    await cli.must(['list']);

    const forked = {
      ...parseCheckpoint((await told(checkpoint)).replace(/\n\n.*/s, '\n')),
      root: new Uint8Array(32).fill(3),
    };
    const fork = await signCheckpoint(forked, signer.publicKey, (message) => signer.sign(message));

    const lies = new Map(old);
    const proxy = await startProxy(server.url);
    proxy.mischief = ({ url }, response) => {
      const lie = lies.get(url ?? '');
      if (lie === undefined) return undefined;
      response.setHeader('content-type', lie.startsWith('{') ? 'application/json' : 'text/plain');
      response.end(lie);
      return 'handled';
    };
    try {
      const list = ['list', '--server', proxy.endpoint];
      const fetched = ['fetch', '--key', 'second.key', '--server', proxy.endpoint, '--out', 'lied', recordingId];
      const strangers = { environment: { ZEROREEL_STATE: cli.path('elsewhere') } };
      await cli.must(list, strangers);
      await cli.must(fetched, strangers);
      for (const words of [list, fetched]) {
        const { exit, output, error } = await cli.run(words);
        expect({ words, exit, error }).toMatchObject({ exit: 2 });
        expect(output + error).toMatch(/\(log\)|^INVALID$/m);
      }
      lies.clear();
      lies.set(checkpoint, fork);
      expect((await cli.run(list)).exit).toBe(2);
      lies.clear();
      await cli.must(list);
    } finally {
      await proxy.close();
    }
  });
});

describe('grant', () => {
  it('gives an older recording to a reader whom the owner added later, and to nobody else', async () => {
    const early = await cli.run(['grant', '--key', 'first.key', '--to', 'third.key.pub', recordingId]);
    expect({ exit: early.exit, hint: early.error.includes('exam update') }).toEqual({ exit: 64, hint: true });
    const link = await cli.must(['exam', 'update', '--key', 'first.key', '--recipient', 'third.key.pub']);
    await cli.must(['grant', '--key', 'second.key', '--exam', link, '--to', 'third.key.pub', recordingId]);
    const { exit, output } = await cli.run([
      'fetch',
      '--key',
      'third.key',
      '--exam',
      link,
      '--track',
      'events',
      '--out',
      '-',
      recordingId,
    ]);
    expect({ exit, output }).toEqual({ exit: 0, output: readFileSync(join(MEDIA, 'events.ndjson'), 'utf8') });
  });
});

describe('export and verify', () => {
  it('verify a case file offline, without a key and with one', async () => {
    const offline = { environment: { ZEROREEL_SERVER: 'http://127.0.0.1:9', ZEROREEL_TOKEN_FILE: '' } };
    for (const words of [
      ['case'],
      ['--exam', cli.environment['ZEROREEL_EXAM']!, 'case'],
      ['--key', 'second.key', 'case'],
    ]) {
      expect(await cli.must(['verify', ...words], offline)).toBe('COMPLETE');
    }
    const foreign = await cli.run(['verify', '--key', 'third.key', 'case']);
    expect(foreign.exit).toBe(78);
  });

  it('notice one flipped bit in any file, and any file that is missing', async () => {
    const unnoticed: string[] = [];
    const files = filesUnder(cli.path('case'));
    expect(files.length).toBeGreaterThan(12);
    await inPairs(files, async (file, index) => {
      cpSync(cli.path('case'), cli.path(`flipped-${index}`), { recursive: true });
      flip(cli.path(`flipped-${index}`, file));
      const { exit, error } = await cli.run([
        'verify',
        '--exam',
        cli.environment['ZEROREEL_EXAM']!,
        '--key',
        'first.key',
        `flipped-${index}`,
      ]);
      if (exit === 0) unnoticed.push(file);
      else expect(error, file).not.toMatch(/fault/);
    });
    expect(unnoticed).toEqual([]);
  });

  it('never write into a folder that holds something', async () => {
    const { exit, error } = await cli.run(['export', '--key', 'first.key', '--out', 'case', recordingId]);
    expect(exit).toBe(74);
    expect(error).toMatch(/case is not empty/);
  });
});

describe('log and receipts', () => {
  it('verify an exported log offline with the key from a receipt, and tell that it is overdue when it is', async () => {
    const vkey = /^log key +(\S+)$/m.exec(readFileSync(cli.path('zeroreel-outbox', 'receipt.txt'), 'utf8'))![1]!;
    expect(await cli.must(['log', 'verify', '--vkey', vkey, 'bundle'])).toMatch(/^well: /m);
    const later = await cli.run(['log', 'verify', '--vkey', vkey, '--at', '2099-01-01', '--json', 'bundle']);
    expect(later.exit).toBe(2);
    expect(JSON.parse(later.output)).toMatchObject({ verdict: 'violation', overdue: [recordingId] });
    await cli.must(['log', 'verify']);
  });

  it('end with 3 for a bundle of which anything was changed or cut, and for the key of another log', async () => {
    const changes: Record<string, (path: string) => void> = {
      'entries.jsonl': flip,
      'export.csv': flip,
      checkpoint: flip,
      'log.vkey': flip,
    };
    for (const [name, change] of Object.entries(changes)) {
      cpSync(cli.path('bundle'), cli.path(`bundle-${name}`), { recursive: true });
      change(cli.path(`bundle-${name}`, name));
      expect((await cli.run(['log', 'verify', `bundle-${name}`])).exit, name).toBe(3);
    }
    cpSync(cli.path('bundle'), cli.path('bundle-cut'), { recursive: true });
    const lines = readFileSync(cli.path('bundle-cut', 'entries.jsonl'), 'utf8').split('\n');
    writeFileSync(cli.path('bundle-cut', 'entries.jsonl'), `${lines.slice(0, -2).join('\n')}\n`);
    expect((await cli.run(['log', 'verify', 'bundle-cut'])).exit).toBe(3);
  });

  it('show a receipt as a QR code and as its link, either of which is checked alone', async () => {
    const kept = cli.path('zeroreel-outbox', 'receipt.txt');
    const [words, signer, ...rest] = (await cli.must(['receipt', '--qr', '--svg', 'receipt.svg', kept])).split('\n');
    const link = rest.pop()!;
    expect(rest.length).toBeGreaterThan(30);
    expect(Math.max(...rest.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(readFileSync(cli.path('receipt.svg'), 'utf8')).toMatch(/^<svg /);
    expect(await cli.must(['receipt', link])).toBe(`${words}\n${signer}`);
    writeFileSync(cli.path('link.txt'), `${link}\n`);
    expect(await cli.run(['log', 'prove', 'link.txt'])).toMatchObject({ exit: 1 });
    expect(await cli.run(['receipt', link.slice(0, -60)])).toMatchObject({ exit: 64 });
  });

  it('prove nothing before the deletion, refuse a receipt whose words were changed, and a certificate of something else', async () => {
    const kept = 'zeroreel-outbox/receipt.txt';
    const before = await cli.run(['log', 'prove', kept, '--out', 'kept.json']);
    expect({ exit: before.exit, isTold: before.output.includes('to be destroyed by') }).toEqual({
      exit: 1,
      isTold: true,
    });
    writeFileSync(
      cli.path('forged.txt'),
      readFileSync(cli.path(kept), 'utf8').replace(/delete by {2}2\d\d\d/, 'delete by  2020'),
    );
    expect((await cli.run(['receipt', 'forged.txt'])).exit).toBe(2);
    expect((await cli.run(['log', 'prove', 'forged.txt'])).exit).toBe(2);
    flip(cli.path('kept.json'));
    expect((await cli.run(['log', 'prove', '--offline', 'kept.json', '--receipt', kept])).exit).toBe(3);
  });
});

/** Two children at a time: the machine of a test run has two cores. */
async function inPairs<Item>(
  items: readonly Item[],
  work: (item: Item, index: number) => Promise<void>,
): Promise<void> {
  const queue = [...items.entries()];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) await work(next[1], next[0]);
  };
  await Promise.all([worker(), worker()]);
}
