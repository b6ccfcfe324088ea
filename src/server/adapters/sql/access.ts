import { asc, eq, sql } from 'drizzle-orm';
import { keyDocuments, tokens } from '../../../../schema/tables.ts';
import type { Store } from '../../store.ts';
import type { SqlDriver } from './driver.ts';
import { appendEntry, guard, insertInto, type Reads, statement } from './statements.ts';

export type AccessStore = Pick<
  Store,
  'enrolKey' | 'keys' | 'addToken' | 'tokenByHash' | 'tokens' | 'revokeToken' | 'lease' | 'unlease'
>;

/** Two clocks within bounds are at most this far apart (10 min either way); a lease that seems longer than that is no lease. */
const IMPLAUSIBLE_MS = 20 * 60_000;

export function accessStore(driver: SqlDriver, db: Reads): AccessStore {
  const insertToken = insertInto(db, tokens);
  // A null rowid is the next one.
  const insertDocument = insertInto(db, keyDocuments, { position: sql`NULL` });
  const keysOf = db
    .select({
      identity: keyDocuments.identity,
      keyId: keyDocuments.keyId,
      op: keyDocuments.op,
      document: keyDocuments.document,
      enrolledMs: keyDocuments.enrolledMs,
    })
    .from(keyDocuments)
    .where(eq(keyDocuments.identity, sql.placeholder('identity')))
    .orderBy(asc(keyDocuments.position))
    .prepare();
  const byHash = db
    .select()
    .from(tokens)
    .where(eq(tokens.tokenHash, sql.placeholder('tokenHash')))
    .prepare();
  const allTokens = db.select().from(tokens).orderBy(asc(tokens.createdMs), asc(tokens.tokenHash)).prepare();

  return {
    async enrolKey(key, entry) {
      const done = await driver.batch([
        guard(
          'NOT EXISTS (SELECT 1 FROM key_documents WHERE identity = ? AND document = ?)',
          key.identity,
          key.document,
        ),
        insertDocument(key),
        appendEntry(entry),
      ]);
      return done !== undefined;
    },
    keys: (identity) => keysOf.all({ identity }),

    async addToken(token) {
      await driver.batch([insertToken(token)]);
    },
    tokenByHash: (tokenHash) => byHash.get({ tokenHash }),
    tokens: () => allTokens.all(),
    async revokeToken(prefix, now) {
      const done = await driver.batch([
        statement(
          'UPDATE tokens SET revoked_ms = ? WHERE prefix = ? AND revoked_ms IS NULL RETURNING prefix',
          now,
          prefix,
        ),
      ]);
      return (done?.[0]?.length ?? 0) > 0;
    },

    async lease(name, holder, now, untilMs) {
      const done = await driver.batch([
        statement(
          `INSERT INTO leases (name, holder, until_ms) VALUES (?, ?, ?)
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
            WHERE leases.until_ms <= ? OR leases.holder = excluded.holder OR leases.until_ms > ? RETURNING name`,
          name,
          holder,
          untilMs,
          now,
          untilMs + IMPLAUSIBLE_MS,
        ),
      ]);
      return (done?.[0]?.length ?? 0) > 0;
    },
    async unlease(name, holder) {
      await driver.batch([statement('DELETE FROM leases WHERE name = ? AND holder = ?', name, holder)]);
    },
  };
}
