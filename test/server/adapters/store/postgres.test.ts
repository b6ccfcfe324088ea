import { afterAll, beforeAll, describe } from 'vitest';
import { openPostgresStore } from '../../../../src/server/adapters/postgres.ts';
import { postgresAbsence, TestCluster } from '../../../postgres.ts';
import { storeContract, storeRaces } from './contract.ts';

const absence = postgresAbsence();
let cluster: TestCluster;

// What these cases are about is not what a power cut leaves; without its fsync the cluster takes a tenth of the time.
beforeAll(async () => {
  if (absence === undefined) cluster = await TestCluster.make({ settings: { fsync: 'off' } });
});
afterAll(() => {
  if (absence === undefined) cluster.stop();
});

const open = async (url: string) => (await openPostgresStore(url)).store;

describe.skipIf(absence !== undefined)(absence ?? 'a PostgreSQL cluster', () => {
  storeContract('PostgreSQL', async () => open(await cluster.database()));

  storeRaces('PostgreSQL', async () => {
    const url = await cluster.database();
    return Promise.all([open(url), open(url)]) as Promise<
      [Awaited<ReturnType<typeof open>>, Awaited<ReturnType<typeof open>>]
    >;
  });
});
