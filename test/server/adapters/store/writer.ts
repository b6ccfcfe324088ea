/**
 * A process that writes to a store as fast as it can and reports on standard output what was acknowledged, one JSON
 * array a line, so that its parent can kill it at any moment and check. Arguments: the database's path, and how many
 * rounds to write (0: until killed).
 */
import { writeSync } from 'node:fs';
import { openSqliteStore } from '../../../../src/server/adapters/sqlite.ts';
import { heartbeat, intended, newId, open, pendingRow, publish, OPENED_MS } from './rows.ts';

/** ['entry', index, number] | ['opened', recording id] | ['pending', recording id, seq] | ['purging', recording id] */
export type Acknowledged = ['entry', number, number] | ['opened' | 'purging', string] | ['pending', string, number];

// A synchronous write: what is reported was acknowledged, and what was acknowledged is reported unless the kill comes between.
const report = (...acknowledged: Acknowledged): void => {
  writeSync(1, `${JSON.stringify(acknowledged)}\n`);
};

const [path, rounds] = [process.argv[2]!, Number(process.argv[3])];
const store = openSqliteStore({ path, busyTimeoutMs: 30_000 });
const policy = await publish(store);

async function appendSome(round: number): Promise<void> {
  report('entry', await store.append([heartbeat(round)]), round);
}

async function liveSome(): Promise<void> {
  const { recording } = await open(store, { id: newId() }, policy);
  report('opened', recording.id);
  for (let seq = 0; seq < 3; seq++) {
    await store.rememberUploads(recording.id, 0, [pendingRow(1, seq)], OPENED_MS, OPENED_MS);
    report('pending', recording.id, seq);
  }
  await store.intendDeletion(recording.id, { objects: 0, bytes: 0 }, intended(recording.id));
  report('purging', recording.id);
}

for (let round = 0; rounds === 0 || round < rounds; round++) {
  await Promise.all([appendSome(round), appendSome(round), liveSome(), liveSome(), liveSome()]);
}
await store.close();
