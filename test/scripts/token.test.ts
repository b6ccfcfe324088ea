/** `token create --exam`: the token that a colleague is given reaches the exams that it was made for, and no others. */
import { readFileSync, statSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunningServer } from '../../src/node.ts';
import { CommandLine, prepareExam, startService } from './command-line.ts';

const cli = new CommandLine();
let server: RunningServer;
let own: string;
let other: string;

beforeAll(async () => {
  server = await startService(cli);
  await prepareExam(cli);
  own = cli.environment['ZEROREEL_EXAM']!;
  other = await cli.must(['exam', 'create', '--key', 'first.key', '--title', 'Chemistry']);
});
afterAll(async () => {
  await server.close();
  cli.remove();
});

const create = (...more: string[]) =>
  cli.run(['token', 'create', '--role', 'instructor', '--label', 'a colleague', '--days', '2', ...more]);

test('a token for one exam is in a file of its owner’s alone, lists that exam, and is refused every other', async () => {
  const made = await create('--exam', own, '--out', 'bound.token', '--json');
  expect(made.exit).toBe(0);
  const examId = own.split('#v1.')[1]!.split('.')[0]!;
  expect(JSON.parse(made.output)).toMatchObject({ role: 'instructor', exam_ids: [examId], file: 'bound.token' });
  expect(statSync(cli.path('bound.token')).mode & 0o777).toBe(0o600);
  const token = readFileSync(cli.path('bound.token'), 'utf8').trim();
  expect(made.output + made.error).not.toContain(token);

  const withToken = { environment: { ZEROREEL_TOKEN_FILE: 'bound.token' } };
  expect(await cli.run(['list', '--exam', own, '--json'], withToken)).toMatchObject({ exit: 0 });
  const refused = await cli.run(['list', '--exam', other, '--json'], withToken);
  expect(refused).toMatchObject({ exit: 77, output: '' });
  expect(refused.error).toContain('not one of yours');
});

test('a token for several exams is bound to all of them; one for none, to none', async () => {
  const both = JSON.parse((await create('--exam', own, '--exam', other, '--json')).output) as { exam_ids: string[] };
  expect(both.exam_ids).toHaveLength(2);
  const free = JSON.parse((await create('--json')).output) as { exam_ids: string[] | null };
  expect(free.exam_ids).toBeNull();
});

test('an administrator’s token is bound to none, and what is neither a link nor a file is told as that', async () => {
  const admin = await cli.run(['token', 'create', '--role', 'admin', '--label', 'x', '--exam', own]);
  expect(admin.exit).toBe(77);
  expect(admin.error).toContain('admin');
  expect((await create('--exam', 'nonsense')).exit).toBe(74);
});
