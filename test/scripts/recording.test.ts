import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunningServer } from '../../src/node.ts';
import { CommandLine, MEDIA, prepareExam, startService } from './command-line.ts';

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

const FILES = ['webcam.webm', 'screen.webm', 'events.ndjson'].map((name) => join(MEDIA, name));
const sha256 = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

interface FetchAnswer {
  verdict: string;
  epochs: number;
  files: { kind: string; file: string; sha256: string; bytes: number }[];
}
const eventsOf = (output: string) =>
  output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const idOf = (output: string): string => String(eventsOf(output)[0]!['recording_id']);

async function fetchAll(recordingId: string, key = 'first.key'): Promise<FetchAnswer> {
  const { exit, output, error } = await cli.run([
    'fetch',
    '--key',
    key,
    '--out',
    `review-${recordingId}`,
    '--json',
    recordingId,
  ]);
  if (output === '') throw new Error(`fetch ended with ${exit}: ${error}`);
  return JSON.parse(output) as FetchAnswer;
}

function expectWhole({ verdict, files }: FetchAnswer): void {
  expect(verdict).toBe('COMPLETE');
  for (const path of FILES) {
    const kind = path.replace(/^.*\/|\..*$/g, '');
    expect(files.find((file) => file.kind === kind)?.sha256, kind).toBe(sha256(path));
  }
}

describe('record', () => {
  it('uploads files that each reader gets back byte for byte, with the name that only readers see', async () => {
    const output = await cli.must([
      'record',
      '--ticket',
      'seats/0001.link',
      '--outbox',
      'o1',
      '--name',
      'Ada',
      '--json',
      ...FILES,
    ]);
    const id = idOf(output);
    expect(eventsOf(output).at(-1)).toMatchObject({ event: 'closed', recording_id: id });
    for (const key of ['first.key', 'second.key']) expectWhole(await fetchAll(id, key));
    expect(readFileSync(cli.path(`review-${id}`, 'about.json'), 'utf8')).toContain('Ada');
    expect((await cli.run(['record', '--ticket', 'seats/0001.link', '--outbox', 'o1', ...FILES])).error).toMatch(
      /which is closed/,
    );
    expect((await cli.run(['receipt', 'o1/receipt.txt'])).exit).toBe(0);
  });

  it('goes on to the byte after SIGKILL, and after SIGTERM', async () => {
    const words = ['record', '--ticket', 'seats/0002.link', '--outbox', 'o2', '--json', ...FILES];
    const whenStored = (signal: NodeJS.Signals) => (line: string) =>
      Number((JSON.parse(line) as { stored?: number }).stored) > 3 ? signal : undefined;
    const killed = await cli.run([...words, '--pace', '12'], { onLine: whenStored('SIGKILL') });
    expect(killed.signal).toBe('SIGKILL');
    let seen = 0;
    const left = await cli.run([...words, '--pace', '12'], {
      onLine: (line) => (line.includes('"progress"') && ++seen === 2 ? 'SIGTERM' : undefined),
    });
    expect(left.exit).toBe(130);
    expect(left.error).toMatch(/the same command goes on/);
    const id = idOf(await cli.must(words));
    const answer = await fetchAll(id);
    expectWhole(answer);
    expect(answer.epochs).toBe(3);
  });

  it('is closed by --finish with what a killed recorder had sealed, and never twice otherwise', async () => {
    const words = ['record', '--ticket', 'seats/0003.link', '--outbox', 'o3', '--json'];
    const killed = await cli.run([...words, '--pace', '12', ...FILES], {
      onLine: (line) => (Number((JSON.parse(line) as { sealed?: number }).sealed) > 8 ? 'SIGKILL' : undefined),
    });
    const receipt = async (): Promise<unknown> => eventsOf(await cli.must([...words, '--finish'])).at(-1)!['receipt'];
    const first = await receipt();
    expect(await receipt()).toBe(first);
    const answer = await fetchAll(idOf(killed.output));
    expect(answer.verdict).toBe('COMPLETE');
    const webcam = answer.files.find(({ kind }) => kind === 'webcam')!;
    expect(webcam.bytes).toBeGreaterThan(0);
    expect(readFileSync(FILES[0]!).subarray(0, webcam.bytes)).toEqual(readFileSync(cli.path(webcam.file)));
  });

  it('takes standard input, and ends it with Ctrl-C in good order', async () => {
    const output = await cli.must(
      ['record', '--ticket', 'seats/0004.link', '--outbox', 'o4', '--track', '1:webcam:video/webm=-', '--json'],
      { input: readFileSync(FILES[0]!) },
    );
    const { verdict, files } = await fetchAll(idOf(output));
    expect({ verdict, webcam: files.find(({ kind }) => kind === 'webcam')?.sha256 }).toEqual({
      verdict: 'COMPLETE',
      webcam: sha256(FILES[0]!),
    });
    const stopped = await cli.run(
      ['record', '--ticket', 'seats/0005.link', '--outbox', 'o5', '--pace', '1', '--json', FILES[0]!],
      {
        onLine: (line) => (line.includes('"progress"') ? 'SIGINT' : undefined),
      },
    );
    expect(stopped.exit, stopped.error).toBe(0);
    expect((await fetchAll(idOf(stopped.output))).verdict).toBe('COMPLETE');
  });

  it('refuses what the exam does not record, a seat that is taken for another recording, and a folder', async () => {
    writeFileSync(cli.path('photo.jpg'), 'not really');
    const refused = await cli.run(['record', '--ticket', 'seats/0006.link', '--outbox', 'o6', 'photo.jpg']);
    expect({ exit: refused.exit, error: refused.error.split('\n')[0] }).toEqual({
      exit: 64,
      error: 'zeroreel: photo.jpg: the exam records no photo (usage)',
    });
    mkdirSync(cli.path('webcam.webm'));
    expect((await cli.run(['record', '--ticket', 'seats/0006.link', '--outbox', 'o6', 'webcam.webm'])).exit).toBe(74);
    expect((await cli.run(['record', '--ticket', 'seats/0006.link', '--outbox', 'o6', 'screen.webm'])).error).toMatch(
      /screen.webm: there is no such file/,
    );
    expect(existsSync(cli.path('o6', 'session.json'))).toBe(false);
  });

  it('keeps everything in the outbox when the server is gone, and goes on when it is back', async () => {
    const link = readFileSync(cli.path('seats', '0007.link'), 'utf8');
    writeFileSync(cli.path('dead.link'), link.replace(/:\d+\//, ':9/'));
    const dead = await cli.run(['record', '--ticket', 'dead.link', '--outbox', 'o7', ...FILES]);
    expect(dead.exit).toBe(69);
    expectWhole(
      await fetchAll(
        idOf(await cli.must(['record', '--ticket', 'seats/0007.link', '--outbox', 'o7', '--json', ...FILES])),
      ),
    );
  });
});

describe('record on a full disk', () => {
  const mounts: string[] = [];
  const mount = (name: string, size: string): boolean => {
    mkdirSync(cli.path(name));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', cli.path(name)], { stdio: 'ignore' });
    } catch {
      return false;
    }
    mounts.push(cli.path(name));
    return true;
  };
  afterEach(() => {
    for (const path of mounts.splice(0)) execFileSync('umount', [path]);
  });

  it('says so and loses nothing: with room again, the same command goes on to the byte', async (context) => {
    if (!mount('tiny', '96k')) context.skip('a mount of 96 KiB wants root');
    const words = ['record', '--ticket', 'seats/0008.link', '--outbox', 'tiny/outbox', '--json'];
    const full = await cli.run([...words, ...FILES]);
    // The outbox empties itself as receipts come; where not even that makes room, the recorder stops and says why.
    expect([0, 74]).toContain(full.exit);
    if (full.exit === 74) {
      expect(full.error).toMatch(/nothing was lost/);
      execFileSync('mount', ['-o', 'remount,size=4m', cli.path('tiny')]);
      await cli.must([...words, ...FILES]);
    }
    expectWhole(await fetchAll(idOf(full.output)));
  });
});
