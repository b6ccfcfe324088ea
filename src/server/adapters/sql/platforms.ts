import { and, asc, desc, eq, gt, sql } from 'drizzle-orm';
import { launches, platformKeys, platforms } from '../../../../schema/tables.ts';
import type { Store } from '../../store.ts';
import type { SqlDriver } from './driver.ts';
import { guard, insertInto, type Reads, statement } from './statements.ts';

export type PlatformStore = Pick<
  Store,
  | 'putPlatform'
  | 'platforms'
  | 'removePlatform'
  | 'addPlatformKey'
  | 'platformKeys'
  | 'addLaunch'
  | 'launch'
  | 'endLaunch'
>;

export function platformStore(driver: SqlDriver, db: Reads): PlatformStore {
  const insertKey = insertInto(db, platformKeys);
  const insertLaunch = insertInto(db, launches);
  const allPlatforms = db.select().from(platforms).orderBy(asc(platforms.createdMs), asc(platforms.id)).prepare();
  const allKeys = db.select().from(platformKeys).orderBy(desc(platformKeys.createdMs), asc(platformKeys.kid)).prepare();
  const launch = db
    .select()
    .from(launches)
    .where(and(eq(launches.nonce, sql.placeholder('nonce')), gt(launches.expiresMs, sql.placeholder('now'))))
    .prepare();

  return {
    async putPlatform({ id, label, issuer, clientId, authUrl, jwksUrl, deployments, createdMs }) {
      const done = await driver.batch([
        statement(
          `INSERT INTO platforms (id, label, issuer, client_id, auth_url, jwks_url, deployments, created_ms)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (issuer, client_id) DO UPDATE SET label = excluded.label, auth_url = excluded.auth_url,
              jwks_url = excluded.jwks_url, deployments = excluded.deployments
            RETURNING id`,
          ...[id, label, issuer, clientId, authUrl, jwksUrl, JSON.stringify(deployments), createdMs],
        ),
      ]);
      return done![0]![0]![0] as string;
    },
    platforms: () => allPlatforms.all(),
    async removePlatform(id) {
      const done = await driver.batch([
        statement('DELETE FROM launches WHERE platform_id = ?', id),
        statement('DELETE FROM platforms WHERE id = ? RETURNING id', id),
      ]);
      return (done?.[1]?.length ?? 0) > 0;
    },

    async addPlatformKey(key, forgetBefore) {
      await driver.batch([statement('DELETE FROM platform_keys WHERE created_ms < ?', forgetBefore), insertKey(key)]);
    },
    platformKeys: () => allKeys.all(),

    async addLaunch(row, now) {
      const done = await driver.batch([
        statement('DELETE FROM launches WHERE expires_ms <= ?', now),
        guard('NOT EXISTS (SELECT 1 FROM launches WHERE nonce = ?)', row.nonce),
        insertLaunch(row),
      ]);
      return done !== undefined;
    },
    launch: (nonce, now) => launch.get({ nonce, now }),
    async endLaunch(nonce) {
      const done = await driver.batch([statement('DELETE FROM launches WHERE nonce = ? RETURNING nonce', nonce)]);
      return (done?.[0]?.length ?? 0) > 0;
    },
  };
}
