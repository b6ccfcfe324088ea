import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SourceJournal } from '../../../scripts/recording/source-journal.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'zeroreel-journal-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('SourceJournal', () => {
  it('holds numbers only, a line durable per chunk', async () => {
    const path = join(folder, 'journal');
    const journal = await SourceJournal.open(path);
    await journal.remember({ epoch: 0, track: 1, seq: 0, mediaBytes: 512 });
    await journal.remember({ epoch: 0, track: 1, seq: 1, mediaBytes: 7 });
    expect(readFileSync(path, 'utf8')).toBe('0 1 0 512\n0 1 1 7\n');
    await journal.close();
  });

  it('drops a torn last line, which no chunk follows, and goes on after it', async () => {
    const path = join(folder, 'journal');
    appendFileSync(path, '0 1 0 512\n0 1 1 4');
    const journal = await SourceJournal.open(path);
    await journal.remember({ epoch: 1, track: 1, seq: 0, mediaBytes: 9 });
    await journal.close();
    expect(readFileSync(path, 'utf8')).toBe('0 1 0 512\n1 1 0 9\n');
  });
});
