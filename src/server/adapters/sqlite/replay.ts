/**
 * Puts entries that a restored database lacks back into its log, byte for byte, and does to its rows what they say was done: what
 * was destroyed is destroyed again, what is owed is owed again. What an entry does not hold (OPEN, wraps, a policy's text) stays
 * lost; such a recording opens for nobody, and its obligation, which the entry holds whole, is kept.
 */
import { equal, type Bytes } from '../../../../crypto/format/bytes.ts';
import { decodeEntry, type LogEntry, type LogEntryOf } from '../../../../crypto/log/entry.ts';
import type { Vault } from '../../ports.ts';
import type { Store } from '../../store.ts';
import type { SqlDriver, Statement } from '../sql/driver.ts';
import { statement } from '../sql/statements.ts';

const BATCH = 256;
const SHARES_PER_PAGE = 500;

export class ReplayError extends Error {}

/**
 * Appends what `log`, the whole log from its first entry on, has more than the database. The caller has verified it against a
 * checkpoint. `urlsDeadMs`: when the last upload URL dies that the lost server may have signed. Answers how many entries were put
 * back. Throws `ReplayError`, with nothing written, where the database holds another history.
 */
export async function replayLog(
  driver: SqlDriver,
  store: Store,
  log: AsyncIterable<Bytes>,
  urlsDeadMs: number,
): Promise<number> {
  const known = await store.logSize();
  const replay = new Replay(urlsDeadMs);
  let index = 0;
  let own: Bytes[] = [];
  const batch: Statement[] = [];
  for await (const bytes of log) {
    const entry = decodeEntry(bytes);
    replay.learn(entry);
    if (index < known) {
      if (own.length === 0) own = (await store.entries(index, BATCH)).map((row) => row.bytes);
      if (!equal(own.shift()!, bytes)) throw new ReplayError(`entry ${index} of the database is not that of the log`);
    } else {
      batch.push(...replay.statementsOf(entry, index, bytes));
      if (batch.length >= BATCH) await driver.batch(batch.splice(0));
    }
    index++;
  }
  if (batch.length > 0) await driver.batch(batch);
  // URLs that were signed after the backup was made are in no row of it.
  await driver.batch([
    statement(`UPDATE recordings SET last_url_ms = MAX(last_url_ms, ?) WHERE state <> 'verified'`, urlsDeadMs),
  ]);
  return Math.max(0, index - known);
}

/** Destroys the shares of recordings whose deletion was begun: a backup of the vault may be older than it. Answers of how many. */
export async function destroyDead(store: Store, vault: Vault): Promise<number> {
  let destroyed = 0;
  let cursor: string | undefined;
  do {
    const page = await vault.list(Number.MAX_SAFE_INTEGER, SHARES_PER_PAGE, cursor);
    for (const id of new Set(page.shares.map(({ recordingId }) => recordingId))) {
      const state = (await store.recording(id))?.state;
      if (state !== 'purging' && state !== 'deleted' && state !== 'verified') continue;
      await vault.destroy(id);
      destroyed++;
    }
    cursor = page.cursor;
  } while (cursor !== undefined);
  await store.scrub();
  return destroyed;
}

/** What the entries amount to, in the statements of one database. Subjects are those under which the server itself appends. */
class Replay {
  readonly #urlsDeadMs: number;
  readonly #practice = new Map<string, boolean>();
  readonly #anomalies = new Map<string, string>();

  constructor(urlsDeadMs: number) {
    this.#urlsDeadMs = urlsDeadMs;
  }

  /** Remembers what later entries refer to. */
  learn(entry: LogEntry): void {
    if (entry.type === 'policy.published') this.#practice.set(entry.policy_hash, entry.practice);
    if (entry.type === 'anomaly.found') this.#anomalies.set(entry.anomaly, entry.recording ?? '');
  }

  statementsOf(entry: LogEntry, index: number, bytes: Bytes): Statement[] {
    const append = statement(
      'INSERT INTO log_entries (position, recording_id, bytes) VALUES (?, ?, ?)',
      index,
      this.#subjectOf(entry),
      bytes,
    );
    return [append, ...this.#changesOf(entry, index)];
  }

  #subjectOf(entry: LogEntry): string | null {
    switch (entry.type) {
      case 'anomaly.found':
        return entry.recording ?? '';
      case 'anomaly.closed':
        return this.#anomalies.get(entry.anomaly) ?? '';
      case 'storage.attested':
      case 'log.rotated':
      case 'log.retired':
        return '';
      case 'policy.published':
        return entry.policy_hash;
      case 'key.enrolled':
      case 'key.revoked':
      case 'run.started':
      case 'run.finished':
      case 'heartbeat':
        return null;
      case 'recording.opened':
      case 'recording.reopened':
      case 'recording.closed':
      case 'recording.abandoned':
      case 'access.released':
      case 'grant.added':
      case 'export.declared':
      case 'erasure.requested':
      case 'deletion.intended':
      case 'deletion.completed':
      case 'deletion.verified':
        return entry.recording;
    }
  }

  #changesOf(entry: LogEntry, index: number): Statement[] {
    switch (entry.type) {
      case 'recording.opened':
        return [this.#open(entry, index)];
      case 'recording.reopened':
        // The epoch's keys are lost: a recorder that would go on from it begins a recording of its own.
        return [
          change('last_epoch = MAX(last_epoch, ?), uploads_until_ms = opened_ms', entry.recording, 'true', entry.epoch),
        ];
      case 'recording.closed':
      case 'recording.abandoned': {
        const state = entry.type === 'recording.closed' ? 'closed' : 'abandoned';
        const { objects, bytes, at } = entry;
        const set = `state = '${state}', objects = ?, bytes = ?, ended_ms = ?`;
        return [change(set, entry.recording, `state = 'open'`, objects, bytes, at)];
      }
      case 'access.released':
        return [change('releases = releases + 1', entry.recording)];
      case 'erasure.requested':
        return [change('delete_by_ms = MIN(delete_by_ms, ?)', entry.recording, 'true', entry.delete_by)];
      case 'deletion.intended':
        return [change(`state = 'purging'`, entry.recording, `state IN ('open', 'closed', 'abandoned')`)];
      case 'deletion.completed':
        return [
          ...['grants', 'wraps', 'notes', 'pending', 'tracks', 'epochs'].map((table) =>
            statement(`DELETE FROM ${table} WHERE recording_id = ?`, entry.recording),
          ),
          change(
            `state = 'deleted', objects = ?, bytes = ?, deleted_ms = ?`,
            entry.recording,
            `state = 'purging'`,
            entry.objects,
            entry.bytes,
            entry.at,
          ),
        ];
      case 'deletion.verified':
        return [change(`state = 'verified'`, entry.recording, `state = 'deleted'`)];
      case 'policy.published': // its text is lost: the owner publishes the next one
      case 'key.enrolled':
      case 'key.revoked':
      case 'grant.added':
      case 'export.declared':
      case 'run.started':
      case 'run.finished':
      case 'anomaly.found':
      case 'anomaly.closed':
      case 'storage.attested':
      case 'log.rotated':
      case 'log.retired':
      case 'heartbeat':
        return [];
    }
  }

  /** The tombstone of a recording whose rows are lost, alive until its time: the purge deletes what lies under its prefix. */
  #open(entry: LogEntryOf<'recording.opened'>, index: number): Statement {
    const { recording, exam, opened, delete_by, policy_hash } = entry;
    return statement(
      `INSERT INTO recordings (id, exam_id, state, practice, opened_ms, delete_by_ms, uploads_until_ms, opened_position,
         ticket, last_epoch, seen_ms, ended_ms, releases, last_url_ms, objects, bytes, deleted_ms)
       VALUES (?, ?, 'open', ?, ?, ?, ?, ?, NULL, 0, ?, NULL, 0, ?, 0, 0, NULL)`,
      recording,
      exam,
      this.#practice.get(policy_hash) === true ? 1 : 0,
      opened,
      delete_by,
      opened,
      index,
      opened,
      this.#urlsDeadMs,
    );
  }
}

function change(set: string, recording: string, condition = 'true', ...values: readonly number[]): Statement {
  return statement(`UPDATE recordings SET ${set} WHERE id = ? AND ${condition}`, ...values, recording);
}
