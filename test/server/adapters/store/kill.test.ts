import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeEntry } from '../../../../crypto/log/entry.ts';
import { openSqliteStore } from '../../../../src/server/adapters/sqlite.ts';
import type { Store } from '../../../../src/server/store.ts';
import { type Bundle, bundle } from '../../../bundle.ts';
import { OPENED_MS, story } from './rows.ts';
import type { Acknowledged } from './writer.ts';

/** KILLS=n as many as asked, SLOW=1 what is claimed in the README; the default is what every commit can afford. */
const ROUNDS = Number(process.env['KILLS'] ?? (process.env['SLOW'] === '1' ? 1000 : 25));

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-kill-'));

let writer: Bundle;

beforeAll(async () => {
  writer = await bundle('test/server/adapters/store/writer.ts');
});

afterAll(() => {
  writer.remove();
  rmSync(folder, { recursive: true });
});

type Writer = ChildProcessByStdio<null, Readable, null>;

const startWriter = (path: string, rounds: number): Writer =>
  spawn(process.execPath, [writer.path, path, String(rounds)], { stdio: ['ignore', 'pipe', 'inherit'] });

/** Everything that the writer reported; kills it after `limit` reports. */
async function reportsOf(writer: Writer, limit = Infinity): Promise<Acknowledged[]> {
  const exit = once(writer, 'exit');
  const reports: Acknowledged[] = [];
  for await (const line of createInterface({ input: writer.stdout })) {
    reports.push(JSON.parse(line) as Acknowledged);
    if (reports.length === limit) writer.kill('SIGKILL');
  }
  const [code, signal] = (await exit) as [number | null, string | null];
  expect(limit === Infinity ? code : signal).toBe(limit === Infinity ? 0 : 'SIGKILL');
  return reports;
}

async function expectKept(store: Store, [what, ...rest]: Acknowledged): Promise<void> {
  if (what === 'entry') {
    const [index, round] = rest as [number, number];
    const [entry] = await store.entries(index, 1);
    expect(decodeEntry(entry!.bytes)).toMatchObject({ type: 'heartbeat', entries: round });
    return;
  }
  const [id, seq] = rest as [string, number];
  const recording = await store.recording(id);
  expect(recording).toBeDefined();
  if (what === 'opened') {
    const [entry] = await store.entries(recording!.openedPosition, 1);
    expect(decodeEntry(entry!.bytes)).toMatchObject({ type: 'recording.opened', recording: id });
    expect(await store.wraps(id)).toHaveLength(2);
  } else if (what === 'pending') {
    expect((await store.pending(id, 0)).map((row) => row.seq)).toContain(seq);
    expect(recording!.lastUrlMs).toBe(OPENED_MS);
  } else {
    expect(recording!.state).toBe('purging');
    expect(await story(store, id)).toEqual(['recording.opened', 'deletion.intended']);
  }
}

/** Rows and entries tell one story, whatever was in flight when the process died. */
function expectWhole(path: string): void {
  const database = new Database(path, { readonly: true });
  const value = (sql: string): unknown => database.prepare(sql).pluck().get();
  expect(value('PRAGMA integrity_check')).toBe('ok');
  expect(database.pragma('foreign_key_check')).toEqual([]);
  expect(value('SELECT COUNT(*) - COALESCE(MAX(position) + 1, 0) FROM log_entries')).toBe(0);
  expect(value('SELECT COUNT(*) FROM must')).toBe(0);
  // Each recording has exactly the entries of its state, and each entry has the recording or the policy that it is about.
  expect(
    value(`SELECT COUNT(*) FROM recordings WHERE (SELECT COUNT(*) FROM log_entries WHERE recording_id = recordings.id)
      <> CASE state WHEN 'open' THEN 1 ELSE 2 END`),
  ).toBe(0);
  expect(
    value(`SELECT COUNT(*) FROM log_entries WHERE recording_id NOT IN
      (SELECT id FROM recordings UNION ALL SELECT policy_hash FROM policies)`),
  ).toBe(0);
  database.close();
}

describe('a process that is killed with SIGKILL', () => {
  it(`loses nothing that it acknowledged, ${ROUNDS} times over on one file`, { timeout: ROUNDS * 10_000 }, async () => {
    const path = join(folder, 'killed.db');
    let checked = 0;
    for (let round = 0; round < ROUNDS; round++) {
      // Any moment will do; the multiplier spreads the limits over 1..150 without a seed to print.
      const limit = 1 + ((round * 67) % 150);
      const reports = await reportsOf(startWriter(path, 0), limit);
      expect(reports.length).toBeGreaterThanOrEqual(limit);
      const store = openSqliteStore({ path });
      for (const acknowledged of reports) await expectKept(store, acknowledged);
      await store.close();
      expectWhole(path);
      checked += reports.length;
    }
    process.stderr.write(`${ROUNDS} kills of the store: ${checked} acknowledged writes, all there\n`);
    expect(checked).toBeGreaterThan(ROUNDS);
  });
});

describe('two processes', () => {
  it('that start at once on a new file and write together lose nothing and share one gapless log', async () => {
    const path = join(folder, 'shared.db');
    const all = await Promise.all([reportsOf(startWriter(path, 20)), reportsOf(startWriter(path, 20))]);
    const reports = all.flat();
    expect(reports).toHaveLength(2 * 20 * (2 + 3 * 5));
    const store = openSqliteStore({ path });
    for (const acknowledged of reports) await expectKept(store, acknowledged);
    expect(await store.logSize()).toBe(2 * (1 + 20 * (2 + 3 * 2)));
    await store.close();
    expectWhole(path);
  });
});
