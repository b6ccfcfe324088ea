/**
 * What durability costs: the store as it is (`synchronous=FULL`, group commit) beside the same store with NORMAL, which may lose
 * what it acknowledged; and the disk's own fsyncs.
 */
import { open } from 'node:fs/promises';
import Database from 'better-sqlite3';
import { openSqliteStore } from '../../src/server/adapters/sqlite.ts';
import type { Store } from '../../src/server/ports.ts';
import { epochRow, opened, publish, recordingRow, trackRows, wrapRows } from '../server/adapters/store/rows.ts';
import type { Comparison, Run } from './comparison.ts';
import type { Workshop } from './programs.ts';

const AT_ONCE = 64;
const CALLS = 4096;

/** Opens a store whose `synchronous` pragma is replaced on its way: a weaker setting is no option of the product. */
function openWith(path: string, synchronous: 'FULL' | 'NORMAL'): Store {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- put back as it was, and called with the instance
  const { pragma } = Database.prototype;
  Database.prototype.pragma = function (this: Database.Database, text: string, options) {
    return pragma.call(this, text === 'synchronous = FULL' ? `synchronous = ${synchronous}` : text, options);
  };
  try {
    return openSqliteStore({ path });
  } finally {
    Database.prototype.pragma = pragma;
  }
}

/** Opens recordings, `AT_ONCE` at a time: state, wraps and log entry in one commit each. */
async function openings(store: Store): Promise<Run> {
  const policy = await publish(store);
  const callsMs: number[] = [];
  let left = CALLS;
  const lane = async (): Promise<void> => {
    while (left-- > 0) {
      const recording = recordingRow(policy);
      const epoch = epochRow(recording, policy);
      const startedMs = performance.now();
      if (!(await store.openRecording(recording, epoch, trackRows(epoch), wrapRows(epoch), opened(recording, epoch)))) {
        throw new Error('the recording was not opened');
      }
      callsMs.push(performance.now() - startedMs);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return { units: CALLS, callsMs };
}

export function durability(workshop: Workshop): Comparison[] {
  const full = openWith(workshop.path('full.db'), 'FULL');
  const normal = openWith(workshop.path('normal.db'), 'NORMAL');
  workshop.atEnd(async () => {
    await full.close();
    await normal.close();
  });
  return [
    {
      key: 'durable',
      title: `open recordings in the store, ${AT_ONCE} at a time`,
      unit: 'commits/s',
      per: 'second',
      target: 0.95,
      contenders: [
        { name: 'synchronous=FULL, as it is', run: () => openings(full) },
        { name: 'synchronous=NORMAL', run: () => openings(normal) },
      ],
    },
    {
      key: 'fsync',
      title: `open recordings in the store, ${AT_ONCE} at a time, beside the disk's fsyncs`,
      unit: 'a second',
      per: 'second',
      target: 1,
      contenders: [
        { name: 'recordings opened, none before its fsync', run: () => openings(full) },
        { name: 'fsyncs after a write of 4 KiB', run: () => fsyncs(workshop.path('fsync')) },
      ],
      remark:
        'above 1, several acknowledged calls share an fsync; `test/server/adapters/store/fsync.test.ts` counts them',
    },
  ];
}

async function fsyncs(path: string): Promise<Run> {
  const file = await open(path, 'a');
  const page = new Uint8Array(4096);
  const times = 500;
  for (let i = 0; i < times; i++) {
    await file.write(page);
    await file.datasync();
  }
  await file.close();
  return { units: times };
}
