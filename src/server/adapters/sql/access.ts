import { asc, eq, sql } from 'drizzle-orm';
import { KEY_REVOKE } from '../../../../crypto/format/keydoc.ts';
import { keyDocuments, sessions, tokens } from '../../../../schema/tables.ts';
import type { Store } from '../../store.ts';
import type { SqlDriver, Statement } from './driver.ts';
import { appendEntry, guard, insertInto, type Reads, statement } from './statements.ts';

export type AccessStore = Pick<
  Store,
  | 'enrolKey'
  | 'keys'
  | 'addToken'
  | 'tokenByHash'
  | 'tokens'
  | 'revokeToken'
  | 'tokenUsed'
  | 'addSession'
  | 'sessionByHash'
  | 'revokeSession'
  | 'sessionUsed'
  | 'issue'
  | 'redeem'
  | 'redeemSetup'
  | 'lease'
  | 'unlease'
  | 'bookmark'
  | 'setBookmark'
>;

/** Two clocks within bounds are at most this far apart (10 min either way); a lease that seems longer than that is no lease. */
const IMPLAUSIBLE_MS = 20 * 60_000;

function endSessions(condition: string, now: number, value: string): Statement {
  return statement(`UPDATE sessions SET revoked_ms = ? WHERE ${condition} AND revoked_ms IS NULL`, now, value);
}

export function accessStore(driver: SqlDriver, db: Reads): AccessStore {
  const insertToken = insertInto(db, tokens);
  const insertSession = insertInto(db, sessions);
  const insertDocument = insertInto(db, keyDocuments, {
    position: sql`(SELECT COALESCE(MAX(position), 0) + 1 FROM key_documents)`,
  });
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
  const session = db
    .select()
    .from(sessions)
    .where(eq(sessions.sessionHash, sql.placeholder('sessionHash')))
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
        ...(key.op === KEY_REVOKE ? [endSessions('identity = ?', key.enrolledMs, key.identity)] : []),
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
        endSessions('token_hash IN (SELECT token_hash FROM tokens WHERE prefix = ?)', now, prefix),
      ]);
      return (done?.[0]?.length ?? 0) > 0;
    },
    async tokenUsed(tokenHash, now) {
      await driver.batch([statement('UPDATE tokens SET last_used_ms = ? WHERE token_hash = ?', now, tokenHash)]);
    },

    async addSession(row) {
      await driver.batch([statement('DELETE FROM sessions WHERE expires_ms <= ?', row.createdMs), insertSession(row)]);
    },
    sessionByHash: (sessionHash) => session.get({ sessionHash }),
    async revokeSession(sessionHash, now) {
      await driver.batch([endSessions('session_hash = ?', now, sessionHash)]);
    },
    async sessionUsed(sessionHash, now) {
      await driver.batch([statement('UPDATE sessions SET last_used_ms = ? WHERE session_hash = ?', now, sessionHash)]);
    },

    async issue(purpose, hash, expiresMs, now) {
      await driver.batch([
        statement('DELETE FROM single_use WHERE expires_ms <= ?', now),
        statement('INSERT INTO single_use (hash, purpose, expires_ms) VALUES (?, ?, ?)', hash, purpose, expiresMs),
      ]);
    },
    async redeem(purpose, hash, now) {
      const done = await driver.batch([
        statement(
          'DELETE FROM single_use WHERE hash = ? AND purpose = ? AND expires_ms > ? RETURNING hash',
          hash,
          purpose,
          now,
        ),
      ]);
      return (done?.[0]?.length ?? 0) > 0;
    },
    async redeemSetup(hash, token, now) {
      const done = await driver.batch([
        guard(`EXISTS (SELECT 1 FROM single_use WHERE hash = ? AND purpose = 'setup' AND expires_ms > ?)`, hash, now),
        statement(`DELETE FROM single_use WHERE purpose = 'setup'`),
        insertToken(token),
      ]);
      return done !== undefined;
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

    async bookmark(name) {
      const [row] = await driver.all(statement('SELECT place FROM bookmarks WHERE name = ?', name));
      return row?.[0] as string | undefined;
    },
    async setBookmark(name, place) {
      await driver.batch([
        place === undefined
          ? statement('DELETE FROM bookmarks WHERE name = ?', name)
          : statement(
              'INSERT INTO bookmarks (name, place) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET place = excluded.place',
              name,
              place,
            ),
      ]);
    },
  };
}
