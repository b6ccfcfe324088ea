import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openSqliteStore } from '../../../../src/server/adapters/sqlite.ts';
import { stillThere } from '../residue.ts';
import { bring, granted, grantRow, newBytes, newId, open, publish } from './rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'zeroreel-residue-'));

afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('after a deletion and a scrub', () => {
  // Not one recording in an otherwise empty file, where secure_delete alone looks perfect, but a third of many, in random
  // order, while others come: that is when b-trees are balanced and rows leave copies behind (first migration, [Note:
  // shielded blobs]).
  it(
    'no byte of a destroyed wrap or grant is in the file, its journal or its index',
    { timeout: 180_000 },
    async () => {
      const path = join(folder, 'store.db');
      const store = openSqliteStore({ path });
      const policy = await publish(store);
      const living = new Map<string, Uint8Array[]>();
      const destroyed: Uint8Array[] = [];

      async function record(): Promise<void> {
        const { recording, wraps } = await open(store, { id: newId() }, policy);
        const grant = grantRow(recording.id, { wrap: newBytes(Math.random() < 0.5 ? 176 : 1232) });
        await store.addGrant(grant, granted(grant));
        living.set(recording.id, [...wraps.map(({ wrap }) => wrap), grant.wrap, grant.grant]);
      }

      for (let i = 0; i < 15; i++) await Promise.all(Array.from({ length: 100 }, record));
      const secrets = [...living.values()].flat();
      expect(stillThere(path, secrets)).toBe(secrets.length);

      for (let round = 0; round < 4; round++) {
        // Ids are random, so their order is one that the rows do not lie in.
        const dying = [...living.keys()].sort().slice(0, 125);
        await Promise.all([
          ...dying.map((id) => bring(store, id, round % 2 === 0 ? 'deleted' : 'verified')),
          ...Array.from({ length: 25 }, record),
        ]);
        for (const id of dying) {
          destroyed.push(...living.get(id)!);
          living.delete(id);
        }
        await store.scrub();
        expect(stillThere(path, destroyed)).toBe(0);
      }
      expect(destroyed.length).toBe(2000);
      const kept = [...living.values()].flat();
      expect(stillThere(path, kept)).toBe(kept.length);
      await store.close();
    },
  );

  it('the search that says so finds a secret that is there, in the journal and in the file', async () => {
    const path = join(folder, 'control.db');
    const store = openSqliteStore({ path });
    const { wraps } = await open(store);
    const secrets = wraps.map(({ wrap }) => wrap);
    expect(stillThere(path, secrets)).toBe(2);
    await store.scrub();
    expect(stillThere(path, secrets)).toBe(2);
    expect(stillThere(path, [newBytes(176)])).toBe(0);
    await store.close();
  });
});
