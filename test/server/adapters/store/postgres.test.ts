import { afterAll, beforeAll, describe } from 'vitest';
import { openPostgresStore } from '../../../../src/server/adapters/postgres.ts';
import { postgresAbsence, TestCluster } from '../../../postgres.ts';
import type { Store } from '../../../../src/server/store.ts';
import { storeContract, storeRaces } from './contract.ts';

const absence = postgresAbsence();
let cluster: TestCluster;

beforeAll(async () => {
  if (absence === undefined) cluster = await TestCluster.make();
});
afterAll(() => {
  if (absence === undefined) cluster.stop();
});

const open = async (url: string): Promise<Store> => (await openPostgresStore(url)).store;

describe.skipIf(absence !== undefined)(absence ?? 'a PostgreSQL cluster', () => {
  storeContract('PostgreSQL', async () => open(await cluster.database()));

  storeRaces('PostgreSQL', async () => {
    const url = await cluster.database();
    return [await open(url), await open(url)];
  });
});
