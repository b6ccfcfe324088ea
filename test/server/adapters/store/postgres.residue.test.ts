import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPostgresStore } from '../../../../src/server/adapters/postgres.ts';
import type { Store } from '../../../../src/server/store.ts';
import { postgresAbsence, TestCluster } from '../../../postgres.ts';
import { stillBelow } from '../residue.ts';
import { bring, granted, grantRow, newBytes, open, publish } from './rows.ts';

const absence = postgresAbsence();
const isWal = (path: string): boolean => path.includes('/pg_wal/');
const isHeap = (path: string): boolean => path.includes('/base/');

let cluster: TestCluster;
let url: string;
let store: Store;
const living = new Map<string, Uint8Array[]>();

/** Destroys the keys of some recordings; answers what they were. */
async function destroy(count: number): Promise<Uint8Array[]> {
  const dying = [...living.keys()].sort().slice(0, count);
  await Promise.all(dying.map((id) => bring(store, id, 'deleted')));
  return dying.flatMap((id) => {
    const secrets = living.get(id)!;
    living.delete(id);
    return secrets;
  });
}

describe.skipIf(absence !== undefined)(absence ?? 'after a deletion and a scrub, in the files of a cluster', () => {
  beforeAll(async () => {
    cluster = await TestCluster.make();
    url = await cluster.database();
    const opened = await openPostgresStore(url);
    expect(opened.unsettled).toEqual([]);
    store = opened.store;
    const policy = await publish(store);
    const record = async (): Promise<void> => {
      const { recording, wraps } = await open(store, {}, policy);
      const grant = grantRow(recording.id, { wrap: newBytes(1232) });
      await store.addGrant(grant, granted(grant));
      living.set(recording.id, [...wraps.map(({ wrap }) => wrap), grant.wrap, grant.grant]);
    };
    for (let i = 0; i < 6; i++) await Promise.all(Array.from({ length: 100 }, record));
  });
  afterAll(async () => {
    await store.close();
    cluster.stop();
  });

  it('a deletion alone leaves keys in pages and WAL, and so does VACUUM: the search would find them', async () => {
    await cluster.asSuperuser('postgres', ['CHECKPOINT']);
    const kept = [...living.values()].flat();
    expect(stillBelow(cluster.dataDir, kept)).toBe(kept.length);
    const dead = await destroy(150);
    expect(stillBelow(cluster.dataDir, dead, isWal)).toBeGreaterThan(0);
    await cluster.asSuperuser('postgres', ['VACUUM', 'CHECKPOINT']);
    expect(stillBelow(cluster.dataDir, dead, isHeap)).toBeGreaterThan(0);
    await store.scrub();
    expect(stillBelow(cluster.dataDir, dead)).toBe(0);
  });

  it('no byte of a destroyed wrap or grant is left, even where an older snapshot would still see it', async () => {
    const reader = new pg.Client(url);
    await reader.connect();
    await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await reader.query('SELECT count(*) FROM leases');
    const dead = await destroy(150);
    await store.scrub();
    expect(stillBelow(cluster.dataDir, dead)).toBe(0);
    await reader.end();
  });

  it('nothing comes back when the cluster stops, and what lives is all there', async () => {
    const dead = await destroy(100);
    await store.scrub();
    await store.close();
    cluster.halt();
    expect(stillBelow(cluster.dataDir, dead)).toBe(0);
    const kept = [...living.values()].flat();
    expect(stillBelow(cluster.dataDir, kept)).toBe(kept.length);
    cluster.start();
    ({ store } = await openPostgresStore(url));
  });

  it('waits for a reader of the keys, and then leaves none', async () => {
    const reader = new pg.Client(url);
    await reader.connect();
    await reader.query('BEGIN; SELECT count(*) FROM wraps');
    const dead = await destroy(10);
    const scrubbed = store.scrub();
    await expect
      .poll(async () => cluster.asSuperuser('postgres', ['SELECT count(*)::int FROM pg_locks WHERE NOT granted']))
      .toEqual([[1]]);
    await reader.query('COMMIT');
    await scrubbed;
    expect(stillBelow(cluster.dataDir, dead)).toBe(0);
    await reader.end();
  });
});
