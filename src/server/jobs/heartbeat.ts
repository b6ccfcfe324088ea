/**
 * A line in the log at least every 24 hours, so that a log nobody wrote to can be told from one that was cut; and with it a
 * logged purge run, so that "nothing was due" can be told from "nobody looked".
 */
import { decodeEntry } from '../../../crypto/log/entry.ts';
import type { Ports } from '../ports.ts';
import { withLease } from './lease.ts';
import { purge } from './purge.ts';

const SILENCE_MS = 12 * 60 * 60_000;

/** How far back the last heartbeat is looked for. In a log that grew more than this meanwhile, one too many does no harm. */
const LOOK_BACK = 1000;

export async function heartbeat(ports: Ports): Promise<void> {
  await withLease(ports, 'heartbeat', async () => {
    const { store, clock } = ports;
    const size = await store.logSize();
    const recent = await store.entries(Math.max(0, size - LOOK_BACK), LOOK_BACK);
    // From the end: decoding takes longer than reading.
    for (const { bytes } of recent.toReversed()) {
      const entry = decodeEntry(bytes);
      if (entry.type !== 'heartbeat') continue;
      if (clock.now() - entry.at < SILENCE_MS) return;
      break;
    }
    await purge(ports, true);
    await store.append([{ v: 1, type: 'heartbeat', at: clock.now(), entries: await store.logSize() }]);
  });
}
