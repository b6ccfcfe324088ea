/**
 * How the service is: each part is tried for real, and what cannot be told apart from well is not called well. Both routes are open to
 * everybody, so however many ask, the parts are tried once at a time, and something is written at most every few seconds.
 */
import { Hono } from 'hono';
import type { z } from 'zod';
import { utf8 } from '../../../crypto/format/bytes.ts';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import { openCheckpoint, signCheckpoint } from '../../../crypto/log/checkpoint.ts';
import type { healthSchema, readySchema } from '../../../schema/api.ts';
import { CLOCK_SKEW_MS } from '../core/retention.ts';
import { isClockAstray } from '../jobs/attest.ts';
import type { Ports } from '../ports.ts';
import { vkeyOf } from '../signing.ts';

/** What only the machine around the app can say. */
export interface Surroundings {
  state: () => z.infer<typeof readySchema>['state'];
  /** Whether the disks have room for what comes next. */
  hasRoom: () => Promise<boolean>;
}

type Parts = Omit<z.infer<typeof healthSchema>, 'healthy'>;

const WRITE_EVERY_MS = 5000;
/** Bookmark: when this was last asked. */
const ASKED = 'health: asked';
/** No recording has this id: 16 zero bytes. */
const NOBODY = 'A'.repeat(22);

export function healthRoutes(ports: Ports, { state, hasRoom }: Surroundings): Hono {
  const tryStore = storeTrial(ports);
  const tryParts = async (): Promise<Parts> => {
    const [store, vault, bucket, clock, logKey, room] = await Promise.all(
      [
        tryStore(),
        ports.vault.get(NOBODY).then(() => true),
        ports.bucket.get('health').then(() => true),
        isClockSound(ports),
        isLogKeyOwn(ports),
        hasRoom(),
      ].map((trial) => trial.catch(() => false)),
    );
    return { store: store!, vault: vault!, bucket: bucket!, clock: clock!, log_key: logKey!, room: room! };
  };
  let trial: Promise<Parts> | undefined;
  const parts = () =>
    (trial ??= tryParts().finally(() => {
      trial = undefined;
    }));

  const routes = new Hono();
  const NO_STORE = { 'cache-control': 'no-store' };
  routes.get('/health', async (c) => {
    const found = await parts();
    const isHealthy = Object.values(found).every(Boolean);
    const answer: z.infer<typeof healthSchema> = { healthy: isHealthy, ...found };
    return c.json(answer, isHealthy ? 200 : 503, NO_STORE);
  });
  routes.get('/ready', async (c) => {
    const found = await parts();
    const isReady = state() === 'serving' && Object.values(found).every(Boolean);
    const answer: z.infer<typeof readySchema> = { ready: isReady, state: state(), ...found };
    return c.json(answer, isReady ? 200 : 503, NO_STORE);
  });
  return routes;
}

/** Reads each time, and writes now and then: a disk that is full or read-only reads very well. What failed is tried again at once. */
function storeTrial({ store, clock }: Ports): () => Promise<boolean> {
  let writtenMs = Number.NEGATIVE_INFINITY;
  return async () => {
    await store.logSize();
    const now = clock.now();
    if (Math.abs(now - writtenMs) < WRITE_EVERY_MS) return true;
    await store.setBookmark(ASKED, String(now));
    writtenMs = now;
    return true;
  };
}

/** A clock that is behind what it said before, or far from the bucket's, makes every promise of a time worthless. */
async function isClockSound(ports: Ports): Promise<boolean> {
  const { store, clock } = ports;
  const size = await store.logSize();
  const [newest] = size === 0 ? [] : await store.entries(size - 1, 1);
  const isBehind = newest !== undefined && decodeEntry(newest.bytes).at > clock.now() + CLOCK_SKEW_MS;
  return !isBehind && !(await isClockAstray(ports));
}

/** Whether the key at hand made the newest checkpoint. It is signed again, because that tells nobody anything new. */
async function isLogKeyOwn({ store, signer }: Ports): Promise<boolean> {
  const newest = await store.newestCheckpoint();
  if (!newest) return (await signer.sign(utf8('zeroreel: nothing is published yet'))).length === 64;
  const { origin, size, root } = await openCheckpoint(newest.note, vkeyOf(signer), signer.origin);
  const again = await signCheckpoint({ origin, size, root }, signer.publicKey, (message) => signer.sign(message));
  return newest.note.startsWith(again);
}
