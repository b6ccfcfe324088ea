import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPostgresVault } from '../../../../src/server/adapters/postgres.ts';
import { postgresAbsence, TestCluster } from '../../../postgres.ts';
import { stillBelow } from '../residue.ts';
import { newBytes, newId, OPENED_MS } from '../store/rows.ts';
import { vaultContract } from './contract.ts';

const absence = postgresAbsence();
let cluster: TestCluster;

beforeAll(async () => {
  if (absence === undefined) cluster = await TestCluster.make();
});
afterAll(() => {
  if (absence === undefined) cluster.stop();
});

describe.skipIf(absence !== undefined)(absence ?? 'a PostgreSQL cluster', () => {
  vaultContract('PostgreSQL', async () => (await openPostgresVault(await cluster.database())).vault);

  it('holds no byte of a destroyed share in any file, the moment destroy returns', async () => {
    const { vault, unsettled } = await openPostgresVault(await cluster.database());
    expect(unsettled).toEqual([]);
    const living = new Map<string, Uint8Array>();
    const destroyed: Uint8Array[] = [];
    const put = async (): Promise<void> => {
      const [id, share] = [newId(), newBytes(32)];
      living.set(id, share);
      await vault.put(id, 0, share, OPENED_MS);
    };
    await Promise.all(Array.from({ length: 1000 }, put));
    // What ANALYZE samples would be copied to the statistics: the shares are not sampled.
    await cluster.asSuperuser('postgres', ['CHECKPOINT', 'ANALYZE']);
    expect(stillBelow(cluster.dataDir, [...living.values()])).toBe(1000);
    for (let round = 0; round < 3; round++) {
      const dying = [...living.keys()].sort().slice(0, 150);
      await Promise.all([...dying.map((id) => vault.destroy(id)), ...Array.from({ length: 50 }, put)]);
      for (const id of dying) {
        destroyed.push(living.get(id)!);
        living.delete(id);
      }
      expect(stillBelow(cluster.dataDir, destroyed)).toBe(0);
    }
    await vault.close();
    cluster.halt();
    expect(stillBelow(cluster.dataDir, destroyed)).toBe(0);
    expect(stillBelow(cluster.dataDir, [...living.values()])).toBe(living.size);
    cluster.start();
  });
});
