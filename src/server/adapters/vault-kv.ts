/**
 * The vault over Workers KV, which keeps no history: D1's Time Travel would bring a destroyed share back for 30 days. KV
 * is eventually consistent (up to a minute): a share may still be read for that long after its destruction, so `destroy`
 * is only believed when a listing is empty, and the purge asks again in its next run.
 */
import { equal } from '../../../crypto/format/bytes.ts';
import type { Vault } from '../ports.ts';
import { StoreError } from '../store.ts';

/** What this adapter uses of a KV binding (developers.cloudflare.com/kv/api). */
export interface KvBinding {
  get(key: string, type: 'arrayBuffer'): Promise<ArrayBuffer | null>;
  put(key: string, value: ArrayBuffer, options: { metadata: ShareMetadata }): Promise<void>;
  delete(key: string): Promise<void>;
  list(options: { prefix?: string; cursor?: string; limit?: number }): Promise<KvPage>;
}

interface ShareMetadata {
  writtenMs: number;
}

interface KvPage {
  keys: { name: string; metadata?: unknown }[];
  list_complete: boolean;
  cursor?: string;
}

export function openKvVault(kv: KvBinding, horizonMs: number): Vault {
  async function* names(prefix?: string) {
    let cursor: string | undefined;
    for (;;) {
      const page = await kv.list({ ...(prefix !== undefined && { prefix }), ...(cursor !== undefined && { cursor }) });
      yield* page.keys;
      if (page.list_complete || page.cursor === undefined) return;
      cursor = page.cursor;
    }
  }

  return {
    horizonMs,

    async put(recordingId, epoch, share, now) {
      const name = nameOf(recordingId, epoch);
      const standing = await kv.get(name, 'arrayBuffer');
      if (standing && !equal(new Uint8Array(standing), share)) {
        throw new StoreError('refused', `epoch ${epoch} of recording ${recordingId} has another share`);
      }
      await kv.put(name, share.slice().buffer, { metadata: { writtenMs: now } });
    },

    async get(recordingId) {
      const shares = new Map<number, Uint8Array<ArrayBuffer>>();
      for await (const { name } of names(`${recordingId}/`)) {
        const share = await kv.get(name, 'arrayBuffer');
        if (share) shares.set(parseName(name).epoch, new Uint8Array(share));
      }
      return shares;
    },

    async destroy(recordingId) {
      let destroyed = 0;
      for await (const { name } of names(`${recordingId}/`)) {
        await kv.delete(name);
        destroyed++;
      }
      return destroyed;
    },

    async list(before, limit, after) {
      const found: { recordingId: string; epoch: number }[] = [];
      const last = after && nameOf(after.recordingId, after.epoch);
      // KV has no "start after": the sweep looks through everything, once an hour.
      for await (const { name, metadata } of names()) {
        if (last !== undefined && name <= last) continue;
        if (((metadata as ShareMetadata | undefined)?.writtenMs ?? Infinity) >= before) continue;
        found.push(parseName(name));
        if (found.length === limit) break;
      }
      return found;
    },

    async destroyEpoch(recordingId, epoch, before) {
      const name = nameOf(recordingId, epoch);
      for await (const { name: found, metadata } of names(name)) {
        if (found !== name || ((metadata as ShareMetadata | undefined)?.writtenMs ?? Infinity) >= before) continue;
        await kv.delete(name);
        return true;
      }
      return false;
    },
  };
}

/** Padded, so that KV's key order is the order of epochs. */
function nameOf(recordingId: string, epoch: number): string {
  return `${recordingId}/${String(epoch).padStart(10, '0')}`;
}

function parseName(name: string): { recordingId: string; epoch: number } {
  const [recordingId, epoch] = name.split('/') as [string, string];
  return { recordingId, epoch: Number(epoch) };
}
