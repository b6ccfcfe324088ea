import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openSqliteVault } from '../../../../src/server/adapters/vault-sqlite.ts';
import { newBytes, newId, OPENED_MS } from '../store/rows.ts';
import { stillThere } from '../residue.ts';
import { vaultContract } from './contract.ts';

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-vault-'));
let files = 0;
const newPath = (): string => join(folder, `${files++}.db`);

afterAll(() => {
  rmSync(folder, { recursive: true });
});

vaultContract('SQLite', async () => openSqliteVault({ path: newPath() }));

describe('the SQLite vault', () => {
  it('keeps its shares from one start to the next, in a file that only its owner reads', async () => {
    const path = newPath();
    const [id, share] = [newId(), newBytes(32)];
    const before = openSqliteVault({ path });
    await before.put(id, 0, share, OPENED_MS);
    for (const suffix of ['', '-wal', '-shm']) expect(statSync(path + suffix).mode & 0o777).toBe(0o600);
    await before.close();
    const after = openSqliteVault({ path, horizonMs: 5 });
    expect(await after.get(id)).toEqual(new Map([[0, share]]));
    expect(after.horizonMs).toBe(5);
    await after.close();
  });

  it('has a day as the horizon of its backups, unless it is told another', async () => {
    const vault = openSqliteVault({ path: newPath() });
    expect(vault.horizonMs).toBe(24 * 3_600_000);
    await vault.close();
  });

  // A share moved by a rebalanced b-tree would leave a copy that secure_delete never zeroes: so thousands, in random
  // order, with others coming in between, and not one share destroyed at the end of an otherwise empty file.
  it('leaves no byte of a destroyed share in the file, its journal or its index, the moment destroy returns', async () => {
    const path = newPath();
    const vault = openSqliteVault({ path });
    const living = new Map<string, Uint8Array>();
    const destroyed: Uint8Array[] = [];
    const put = async (): Promise<void> => {
      const [id, share] = [newId(), newBytes(32)];
      living.set(id, share);
      await vault.put(id, 0, share, OPENED_MS);
    };
    await Promise.all(Array.from({ length: 3000 }, put));
    expect(stillThere(path, [...living.values()])).toBe(3000);
    for (let round = 0; round < 10; round++) {
      // Random ids, so the order of the text is a random order of the slots.
      const dying = [...living.keys()].sort().slice(0, 200);
      await Promise.all([...dying.map((id) => vault.destroy(id)), ...Array.from({ length: 50 }, put)]);
      for (const id of dying) {
        destroyed.push(living.get(id)!);
        living.delete(id);
      }
      expect(stillThere(path, destroyed)).toBe(0);
    }
    expect(stillThere(path, [...living.values()])).toBe(living.size);
    await vault.close();
  });

  it('uses a zeroed slot again', async () => {
    const path = newPath();
    const vault = openSqliteVault({ path });
    for (let i = 0; i < 60; i++) {
      const id = newId();
      await vault.put(id, 0, newBytes(32), OPENED_MS);
      await vault.destroy(id);
    }
    await vault.close();
    expect(statSync(path).size).toBeLessThan(48 * 1024);
  });
});
