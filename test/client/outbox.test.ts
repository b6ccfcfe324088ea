import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { tweetnaclSigner } from '../../crypto/seal/identity.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import { begin, newLine, outboxContract, put, SESSION } from './outbox-contract.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'zeroreel-outbox-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

outboxContract(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'zeroreel-outbox-'));
  return {
    open: (options) => openFolderOutbox({ directory: folder, ...options }),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
});

describe('a folder that a crash or a disk left behind', () => {
  test('what a crash left half written is swept, and the rest stands', async () => {
    const outbox = await openFolderOutbox({ directory });
    const line = await newLine();
    await begin(outbox, line);
    await put(outbox, line, 1, 0);
    await outbox.close();
    await writeFile(join(directory, 'epochs/0/1/1.zrch.tmp'), 'half');
    await writeFile(join(directory, 'session.json.tmp'), 'half');

    const next = await openFolderOutbox({ directory });
    expect(await next.chunks(0)).toHaveLength(1);
    expect(await readdir(join(directory, 'epochs/0/1'))).toEqual(['0.zrch']);
    expect(await next.session()).toBeUndefined();
    await next.close();
  });

  test('a chunk that the disk cut is outbox-damaged when it is opened', async () => {
    const outbox = await openFolderOutbox({ directory });
    const line = await newLine();
    await begin(outbox, line);
    await put(outbox, line, 1, 0);
    await outbox.close();
    await truncate(join(directory, 'epochs/0/1/0.zrch'), 20);
    await expect(openFolderOutbox({ directory })).rejects.toMatchObject({ code: 'outbox-damaged' });
  });

  test('a session that is none is outbox-damaged', async () => {
    await writeFile(join(directory, 'session.json'), '{"v":2}');
    const outbox = await openFolderOutbox({ directory });
    await expect(outbox.session()).rejects.toMatchObject({ code: 'outbox-damaged' });
    await outbox.close();
  });

  test('the lock of a process that is gone is taken over, also where its pid lives again', async () => {
    const child = spawn('true');
    await new Promise((resolve) => child.once('exit', resolve));
    await writeFile(join(directory, 'lock.7'), `${child.pid!} 12345`);
    await (await openFolderOutbox({ directory })).close();
    await rm(directory, { recursive: true });
    await mkdir(directory);
    await writeFile(join(directory, 'lock.7'), `${process.pid} 1`);
    await (await openFolderOutbox({ directory })).close();
  });
});

test('no file of an outbox holds the recorder’s key', async () => {
  const seed = new Uint8Array(32).fill(0xa7);
  const outbox = await openFolderOutbox({ directory });
  const line = await newLine(tweetnaclSigner(seed));
  await outbox.saveSession(SESSION);
  await begin(outbox, line);
  await put(outbox, line, 1, 0);
  await outbox.close();
  const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  expect(files.length).toBeGreaterThanOrEqual(3);
  for (const { parentPath, name } of files) {
    const content = await readFile(join(parentPath, name));
    expect(content.includes(Buffer.from(seed))).toBe(false);
    expect(content.includes(toBase64Url(seed))).toBe(false);
  }
});
