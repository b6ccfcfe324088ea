import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSqliteStore } from '../../../../src/server/adapters/sqlite.ts';
import { openSqliteVault } from '../../../../src/server/adapters/vault-sqlite.ts';
import { statement } from '../../../../src/server/adapters/sql/statements.ts';
import { SqliteFile } from '../../../../src/server/adapters/sqlite/file.ts';
import { StoreError } from '../../../../src/server/store.ts';
import { heartbeat, newBytes, newId, open, OPENED_MS, publish } from './rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-disk-'));

/** A file system of 2 MiB. Only root may mount one. */
function mountSmall(): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const isMounted = mountSmall();

afterAll(() => {
  if (isMounted) execFileSync('umount', [folder]);
  rmSync(folder, { recursive: true });
});

const isFull = (outcome: PromiseSettledResult<unknown>): boolean =>
  outcome.status === 'rejected' && outcome.reason instanceof StoreError && outcome.reason.code === 'full';

describe.skipIf(!isMounted)('on a disk that is full (a real one: a mount of 2 MiB, which wants root)', () => {
  const ballast = join(folder, 'ballast');

  beforeAll(() => {
    expect(statfsSync(folder).blocks * statfsSync(folder).bsize).toBe(2 * 1024 * 1024);
  });

  /** Leaves `bytes` of room. */
  function fill(bytes: number): void {
    const { bavail, bsize } = statfsSync(folder);
    writeFileSync(ballast, newBytes(bavail * bsize - bytes));
  }

  it('the store says so, keeps what it acknowledged, goes on reading, and writes again once there is room', async () => {
    const path = join(folder, 'store.db');
    let store = openSqliteStore({ path });
    const policy = await publish(store);
    await store.append([heartbeat(0)]);
    fill(256 * 1024);

    const kept: string[] = [];
    let refused = 0;
    while (refused < 30) {
      const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => open(store, {}, policy)));
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') kept.push(outcome.value.recording.id);
        else {
          expect(isFull(outcome)).toBe(true);
          refused++;
        }
      }
    }
    expect(kept.length).toBeGreaterThan(0);
    const size = 2 + kept.length;
    expect(await store.logSize()).toBe(size);
    for (const id of kept) expect(await store.wraps(id)).toHaveLength(2);

    await store.close();
    rmSync(ballast);
    store = openSqliteStore({ path });
    expect(await store.logSize()).toBe(size);
    expect((await store.recordings(policy.examId, 1000)).map(({ id }) => id)).toEqual([...kept].sort());
    const { recording } = await open(store, {}, policy);
    expect(await store.recording(recording.id)).toMatchObject({ openedPosition: size });
    await store.close();
    rmSync(path);
  });

  it('the store recovers in the same process as soon as there is room', async () => {
    const path = join(folder, 'live.db');
    const store = openSqliteStore({ path });
    const policy = await publish(store);
    fill(64 * 1024);
    for (let isRefused = false; !isRefused;) {
      const [outcome] = await Promise.allSettled([open(store, {}, policy)]);
      isRefused = outcome.status === 'rejected';
      if (isRefused) expect(isFull(outcome)).toBe(true);
    }
    const size = await store.logSize();
    rmSync(ballast);
    const { recording } = await open(store, {}, policy);
    expect(await store.recording(recording.id)).toMatchObject({ openedPosition: size });
    await store.close();
    rmSync(path);
  });

  it('the vault refuses a share rather than lose it, and still destroys once there is room', async () => {
    const vault = openSqliteVault({ path: join(folder, 'vault.db') });
    const first = newId();
    await vault.put(first, 0, newBytes(32), OPENED_MS);
    fill(0);
    const kept = new Map<string, Uint8Array>();
    for (let isRefused = false; !isRefused;) {
      const [id, share] = [newId(), newBytes(32)];
      const [outcome] = await Promise.allSettled([vault.put(id, 0, share, OPENED_MS)]);
      isRefused = outcome.status === 'rejected';
      if (isRefused) expect(isFull(outcome)).toBe(true);
      else kept.set(id, share);
    }
    rmSync(ballast);
    for (const [id, share] of kept) expect(await vault.get(id)).toEqual(new Map([[0, share]]));
    expect(await vault.destroy(first)).toBe(1);
    await vault.close();
  });
});

describe('in a database that may not grow (PRAGMA max_page_count)', () => {
  it('a batch that does not fit is refused as full, and the smaller ones beside it are kept', async () => {
    const path = join(folder, 'pages.db');
    const file = new SqliteFile({
      path,
      migrations: new URL('../../../../schema/migrations/store/', import.meta.url),
    });
    const pages = (await file.all(statement('PRAGMA page_count')))[0]![0] as number;
    await file.all(statement(`PRAGMA max_page_count = ${pages + 2}`));
    const lease = (name: string) => statement('INSERT INTO leases VALUES (?, ?, 0)', name, 'test');
    const outcomes = await Promise.allSettled([
      file.batch([lease('a')]),
      file.batch([lease('b'), statement('INSERT INTO checkpoints VALUES (0, ?, 0)', 'x'.repeat(100_000))]),
      file.batch([lease('c')]),
    ]);
    const there = (await file.all(statement('SELECT name FROM leases'))).map(([name]) => name);
    const names = ['a', 'b', 'c'];
    expect(isFull(outcomes[1])).toBe(true);
    expect(there).toEqual(names.filter((_, i) => outcomes[i]!.status === 'fulfilled'));
    await file.all(statement(`PRAGMA max_page_count = ${pages + 100}`));
    await file.batch([lease('d')]);
    await file.close();
    rmSync(path);
  });
});
