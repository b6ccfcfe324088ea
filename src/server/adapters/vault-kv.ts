/**
 * The vault over Workers KV. It is there because KV keeps no history: D1's Time Travel brings any row back for 30 days, and so does the
 * point-in-time recovery of a Durable Object's storage. The price is that KV is eventually consistent and has no compare-and-swap
 * (developers.cloudflare.com/kv/concepts/how-kv-works): what was written, or deleted, at one place may be seen at another a minute
 * later "or more", absent names are cached too, and a name takes one write a second.
 *
 * So nothing here depends on reading what was just written:
 *
 * - A name is written once: recording, epoch, the share's commitment, the time. Two opens that race for an epoch, or the same one
 *   tried again, write two names, and neither hides the other. Which share counts is in D1, in the OPEN that was committed: it is
 *   signed over H("shred", SHRED), and `get` hands out what hashes to that and nothing else.
 * - `put` reads nothing, and `get` asks for no name that a listing has not shown: so no absence is ever cached.
 * - The sweep deletes only names whose own time is old. An open that is tried again writes a new one, which no stale listing can confuse
 *   with the old.
 * - A share that is not seen within `settlesMs` of its opening may just be late: the release answers 503, the scrub waits.
 * - A deletion that is not seen yet does no harm that a certificate denies: it is final at the vault's horizon, which is never
 *   shorter than `settlesMs`. The purge goes on to the objects only once a listing shows no share, and asks again a minute later.
 */
import { equal, type Bytes, toBase64Url } from '../../../crypto/format/bytes.ts';
import { hash } from '../../../crypto/format/hash.ts';
import type { Vault } from '../ports.ts';
import { StoreError } from '../store.ts';

/** What this adapter uses of a KV binding (developers.cloudflare.com/kv/api). */
export interface KvBinding {
  get(key: string, type: 'arrayBuffer'): Promise<ArrayBuffer | null>;
  put(key: string, value: ArrayBuffer): Promise<void>;
  delete(key: string): Promise<void>;
  list(options: { prefix?: string; cursor?: string; limit?: number }): Promise<KvPage>;
}

interface KvPage {
  keys: { name: string }[];
  list_complete: boolean;
  cursor?: string;
}

/** KV promises "60 seconds or more" and no bound: ten times that is assumed. */
const SETTLES_MS = 10 * 60_000;

const SHARE_BYTES = 32;

/** Names in one listing, at most. */
const LARGEST_PAGE = 1000;

interface ShareName {
  name: string;
  recordingId: string;
  epoch: number;
  /** H("shred", SHRED), base64url. */
  commitment: string;
  writtenMs: number;
}

/** Throws `StoreError`. `watch` is told of every call. */
export function openKvVault(binding: KvBinding, horizonMs: number, watch: () => void = () => undefined): Vault {
  const kv = guarded(binding, watch);

  async function under(prefix: string): Promise<ShareName[]> {
    const found: ShareName[] = [];
    let cursor: string | undefined;
    do {
      const page = await kv.list({ prefix, ...(cursor !== undefined && { cursor }) });
      found.push(...page.keys.map(({ name }) => parseName(name)));
      cursor = page.list_complete ? undefined : page.cursor;
    } while (cursor !== undefined);
    return found;
  }

  return {
    horizonMs: Math.max(horizonMs, SETTLES_MS),
    settlesMs: SETTLES_MS,

    async put(recordingId, epoch, share, now) {
      if (share.length !== SHARE_BYTES) throw new StoreError('refused', `a share has ${SHARE_BYTES} bytes`);
      const commitment = toBase64Url(await hash('shred', share));
      await kv.put(formatName(recordingId, epoch, commitment, now), share.slice().buffer);
    },

    async get(recordingId, commitments) {
      const shares = new Map<number, Bytes>();
      for (const { name, epoch, commitment } of await under(`${recordingId}/`)) {
        const wanted = commitments?.get(epoch);
        if (commitments && (!wanted || toBase64Url(wanted) !== commitment)) continue;
        const value = await kv.get(name, 'arrayBuffer');
        if (!value) continue;
        const share = new Uint8Array(value);
        if (!wanted || equal(await hash('shred', share), wanted)) shares.set(epoch, share);
      }
      return shares;
    },

    async destroy(recordingId) {
      const found = await under(`${recordingId}/`);
      for (const { name } of found) await kv.delete(name);
      return new Set(found.map(({ epoch }) => epoch)).size;
    },

    async list(before, limit, cursor) {
      const page = await kv.list({ limit: Math.min(limit, LARGEST_PAGE), ...(cursor !== undefined && { cursor }) });
      // An epoch with several names is listed once, unless they lie on two pages.
      const shares = new Map<string, { recordingId: string; epoch: number }>();
      const fresh = new Set<string>();
      for (const { recordingId, epoch, writtenMs } of page.keys.map(({ name }) => parseName(name))) {
        const prefix = prefixOf(recordingId, epoch);
        shares.set(prefix, { recordingId, epoch });
        if (writtenMs >= before) fresh.add(prefix);
      }
      return {
        shares: [...shares].flatMap(([prefix, share]) => (fresh.has(prefix) ? [] : [share])),
        ...(!page.list_complete && page.cursor !== undefined && { cursor: page.cursor }),
      };
    },

    async destroyEpoch(recordingId, epoch, before) {
      const found = await under(prefixOf(recordingId, epoch));
      if (found.length === 0 || found.some(({ writtenMs }) => writtenMs >= before)) return false;
      for (const { name } of found) await kv.delete(name);
      return true;
    },
  };
}

/** Padded, so that KV's key order is the order of epochs. */
function prefixOf(recordingId: string, epoch: number): string {
  return `${recordingId}/${String(epoch).padStart(10, '0')}/`;
}

function formatName(recordingId: string, epoch: number, commitment: string, writtenMs: number): string {
  return `${prefixOf(recordingId, epoch)}${commitment}/${writtenMs}`;
}

function parseName(name: string): ShareName {
  const [recordingId, epoch, commitment, writtenMs] = name.split('/') as [string, string, string, string];
  return { name, recordingId, epoch: Number(epoch), commitment, writtenMs: Number(writtenMs) };
}

/** KV tells its errors apart by their text only; 429 is what a second write to a name within a second gets. */
function guarded(kv: KvBinding, watch: () => void): KvBinding {
  const attempt = async <T>(work: () => Promise<T>): Promise<T> => {
    watch();
    try {
      return await work();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new StoreError(/\b429\b/.test(message) ? 'busy' : 'unavailable', `kv: ${message}`, { cause: error });
    }
  };
  return {
    get: (key, type) => attempt(() => kv.get(key, type)),
    put: (key, value) => attempt(() => kv.put(key, value)),
    delete: (key) => attempt(() => kv.delete(key)),
    list: (options) => attempt(() => kv.list(options)),
  };
}
