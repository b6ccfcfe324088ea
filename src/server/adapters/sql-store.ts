import { DrizzleQueryError } from 'drizzle-orm';
import type { Store } from '../store.ts';
import { accessStore } from './sql/access.ts';
import { deletionStore } from './sql/deletion.ts';
import type { SqlDriver } from './sql/driver.ts';
import { examStore } from './sql/exams.ts';
import { lifeWrites } from './sql/life.ts';
import { logStore } from './sql/log.ts';
import { platformStore } from './sql/platforms.ts';
import { recordingReads } from './sql/recordings.ts';
import { readsThrough } from './sql/statements.ts';

/** The metadata store over any database that runs a list of statements atomically: SQLite and D1 share every line of it. */
export function sqlStore(driver: SqlDriver): Store {
  const db = readsThrough(driver);
  return plainly({
    ...examStore(driver, db),
    ...recordingReads(db),
    ...lifeWrites(driver, db),
    ...deletionStore(driver, db),
    ...logStore(driver, db),
    ...accessStore(driver, db),
    ...platformStore(driver, db),
    close: () => driver.close(),
  });
}

/**
 * Drizzle puts an error of its own around what the driver threw, with the statement and its parameters in the message: neither belongs
 * into a log, and what a caller may expect is `StoreError`.
 */
function plainly(store: Store): Store {
  const rethrow = (error: unknown): never => {
    throw error instanceof DrizzleQueryError && error.cause ? error.cause : error;
  };
  const calls = Object.entries(store) as [string, (...parameters: unknown[]) => Promise<unknown>][];
  return Object.fromEntries(
    calls.map(([name, call]) => [name, (...parameters: unknown[]) => call(...parameters).catch(rethrow)]),
  ) as unknown as Store;
}
