/** The scan that the whole check runs finds a secret where it is, and where it was. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-scan-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const git = (...words: string[]) =>
  execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@example.org', ...words], { cwd: folder });

test.each([
  ['a token of ours', `zra_${'A'.repeat(43)}`],
  ['a setup link', `http://127.0.0.1:8600/setup#zrsetup_${'A'.repeat(43)}`],
  ['a private key', ['-----BEGIN', 'PRIVATE KEY-----'].join(' ')],
  ['a cloud credential', `AKIA${'A'.repeat(16)}`],
])('%s is found in a file, and in history once the file is gone; what it is, is not printed', (what, secret) => {
  const repository = join(folder, what.replaceAll(' ', '-'));
  mkdirSync(join(repository, 'scripts'), { recursive: true });
  copyFileSync(new URL('../../scripts/secret-scan.sh', import.meta.url), join(repository, 'scripts/secret-scan.sh'));
  const commit = () => {
    git('-C', repository, 'add', '-A');
    git('-C', repository, 'commit', '-q', '-m', 'x');
  };
  const scan = () => spawnSync('bash', ['scripts/secret-scan.sh'], { cwd: repository, encoding: 'utf8' });
  git('init', '-q', repository);
  commit();
  expect(scan()).toMatchObject({ status: 0, stderr: '' });
  writeFileSync(join(repository, 'notes.txt'), `remember ${secret}\n`);
  commit();
  const found = scan();
  expect(found.status).toBe(1);
  expect(found.stderr).toContain('notes.txt');
  expect(found.stderr).not.toContain(secret);
  rmSync(join(repository, 'notes.txt'));
  commit();
  const remembered = scan();
  expect(remembered.status).toBe(1);
  expect(remembered.stderr).toMatch(/came or went with commit [0-9a-f]+/);
});
