import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { openSqliteStore } from '../../../../src/server/adapters/sqlite.ts';
import { storeContract, storeRaces } from './contract.ts';

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-store-'));
let files = 0;
const newPath = (): string => join(folder, `${files++}.db`);

afterAll(() => {
  rmSync(folder, { recursive: true });
});

storeContract('SQLite', async () => openSqliteStore({ path: newPath() }));

storeRaces('SQLite', async () => {
  const path = newPath();
  return [openSqliteStore({ path }), openSqliteStore({ path })];
});
