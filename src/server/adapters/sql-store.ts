import type { Store } from '../store.ts';
import { accessStore } from './sql/access.ts';
import { deletionStore } from './sql/deletion.ts';
import type { SqlDriver } from './sql/driver.ts';
import { examStore } from './sql/exams.ts';
import { lifeWrites } from './sql/life.ts';
import { logStore } from './sql/log.ts';
import { recordingReads } from './sql/recordings.ts';
import { readsThrough } from './sql/statements.ts';

/** The metadata store over any database that runs a list of statements atomically: SQLite and D1 share every line of it. */
export function sqlStore(driver: SqlDriver): Store {
  const db = readsThrough(driver);
  return {
    ...examStore(driver, db),
    ...recordingReads(db),
    ...lifeWrites(driver, db),
    ...deletionStore(driver, db),
    ...logStore(driver, db),
    ...accessStore(driver, db),
    close: () => driver.close(),
  };
}
