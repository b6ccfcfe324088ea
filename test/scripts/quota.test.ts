/** `record` where the exam allows little: it says so, ends by itself, has a receipt, and `list` shows why the recording is short. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunningServer } from '../../src/node.ts';
import { CommandLine, MEDIA, startService } from './command-line.ts';

const cli = new CommandLine();
let server: RunningServer;

beforeAll(async () => {
  server = await startService(cli);
  await cli.must(['keygen', 'first.key']);
  const rules = ['chunk_bytes=16384', 'head_seconds=1', 'most_bytes=300000'].flatMap((rule) => ['--rule', rule]);
  const exam = await cli.must(['exam', 'create', '--key', 'first.key', '--title', 'Short', ...rules]);
  cli.environment['ZEROREEL_EXAM'] = exam;
  await cli.must(['exam', 'tickets', '--key', 'first.key', '--out', 'seats', '2']);
});
afterAll(async () => {
  await server.close();
  cli.remove();
});

test('a recording that becomes too large is ended, closed and explained', async () => {
  const ended = await cli.run(['record', '--ticket', 'seats/0001.link', join(MEDIA, 'webcam.webm')]);
  expect(ended.exit).toBe(1);
  expect(ended.error).toContain('as large as it may be: it ends now');
  expect(ended.output).toContain('closed; the receipt is in');
  expect(existsSync(cli.path('zeroreel-outbox', 'receipt.txt'))).toBe(true);
  const [stored, sealed] = /(\d+) of (\d+) chunks stored/.exec(ended.output)!.slice(1).map(Number);
  expect(stored).toBe(sealed);
  expect(stored).toBeGreaterThan(3);
  expect(await cli.must(['list'])).toContain('closed, at its limit');
});

test('a program is told the same in JSON', async () => {
  const words = ['record', '--json', '--outbox', 'second', '--ticket', 'seats/0002.link', join(MEDIA, 'webcam.webm')];
  const { exit, output } = await cli.run(words);
  expect(exit).toBe(1);
  const lines = output.trim().split('\n');
  const events = lines.map((line) => JSON.parse(line) as { event: string; reached?: boolean; quota?: string });
  expect(events.find(({ event, reached }) => event === 'quota' && reached === true)).toMatchObject({ quota: 'bytes' });
  expect(events.at(-1)).toMatchObject({ event: 'closed' });
});
