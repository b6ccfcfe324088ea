import { Miniflare } from 'miniflare';
import { afterAll, describe, expect, it } from 'vitest';
import { hash } from '../../../../crypto/format/hash.ts';
import { type KvBinding, openKvVault } from '../../../../src/server/adapters/vault-kv.ts';
import { newBytes, newId, OPENED_MS } from '../store/rows.ts';
import { vaultContract } from './contract.ts';

const HORIZON_MS = 24 * 3_600_000;
const NAMES = Array.from({ length: 40 }, (_, i) => `KV${i}`);
let used = 0;
const miniflare = new Miniflare({ modules: true, script: 'export default {}', kvNamespaces: NAMES });

afterAll(() => miniflare.dispose());

// Its own type needs Cloudflare's ambient types, which would change what every other file sees.
const freshBinding = async () => (await miniflare.getKVNamespace(NAMES[used++]!)) as unknown as KvBinding;

vaultContract('KV, in workerd', async () => ({
  ...openKvVault(await freshBinding(), HORIZON_MS),
  close: () => Promise.resolve(),
}));

/**
 * A KV as far away as the documentation allows: what was written or deleted here shows elsewhere when `settle` is called, and an
 * absence that was seen is remembered until then, as negative look-ups are.
 */
function distant(near: KvBinding) {
  let listed: { name: string }[] = [];
  const absent = new Set<string>();
  const kv: KvBinding = {
    ...near,
    list: async ({ prefix = '' }) => ({
      keys: listed.filter(({ name }) => name.startsWith(prefix)),
      list_complete: true,
    }),
    get: async (name, type) => {
      const value = absent.has(name) ? null : await near.get(name, type);
      if (!value) absent.add(name);
      return value;
    },
    put: (name, value) => near.put(name, value),
    delete: (name) => near.delete(name),
  };
  const settle = async () => {
    absent.clear();
    listed = (await near.list({})).keys;
  };
  return { kv, settle, absent };
}

describe('the KV vault, where reads lag', () => {
  it('has a horizon that no lag outlives, whatever it is told', () => {
    const vault = openKvVault({} as KvBinding, 0);
    expect(vault.settlesMs).toBeGreaterThanOrEqual(60_000);
    expect(vault.horizonMs).toBe(vault.settlesMs);
  });

  it('asks for nothing that no listing showed: no absence is cached that would hide a share later', async () => {
    const { kv, settle, absent } = distant(await freshBinding());
    const vault = openKvVault(kv, HORIZON_MS);
    const [id, share] = [newId(), newBytes(32)];
    await vault.put(id, 0, share, OPENED_MS);
    expect(await vault.get(id)).toEqual(new Map());
    expect(absent.size).toBe(0);
    await settle();
    expect(await vault.get(id)).toEqual(new Map([[0, share]]));
  });

  it('spares a share that was written again, though the sweep sees only the old one', async () => {
    const { kv, settle } = distant(await freshBinding());
    const vault = openKvVault(kv, HORIZON_MS);
    const [id, share] = [newId(), newBytes(32)];
    await vault.put(id, 0, share, OPENED_MS);
    await settle();
    await vault.put(id, 0, share, OPENED_MS + 5000);
    await vault.destroyEpoch(id, 0, OPENED_MS + 1);
    await settle();
    expect(await vault.get(id, new Map([[0, await hash('shred', share)]]))).toEqual(new Map([[0, share]]));
  });

  it('hands out no share whose bytes are not those that its name commits to', async () => {
    const near = await freshBinding();
    const vault = openKvVault(near, HORIZON_MS);
    const [id, share] = [newId(), newBytes(32)];
    await vault.put(id, 0, share, OPENED_MS);
    const [{ name }] = (await near.list({})).keys as [{ name: string }];
    await near.put(name, newBytes(32).buffer);
    expect(await vault.get(id, new Map([[0, await hash('shred', share)]]))).toEqual(new Map());
  });

  it.each([
    ['KV PUT failed: 429 Too Many Requests', 'busy'],
    ['KV GET failed: 500 Internal Server Error', 'unavailable'],
  ])('tells its failures by code: %s', async (message, code) => {
    const failing = { put: () => Promise.reject(new Error(message)) } as unknown as KvBinding;
    await expect(openKvVault(failing, HORIZON_MS).put(newId(), 0, newBytes(32), OPENED_MS)).rejects.toMatchObject({
      code,
    });
  });
});
