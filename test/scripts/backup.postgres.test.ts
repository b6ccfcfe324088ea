/** Backups of PostgreSQL clusters: what may come back does, what was destroyed does not; and from SQLite's files to clusters and back. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeBackup } from '../../scripts/backup/backup-folder.ts';
import { restore, type RestoreOptions } from '../../scripts/backup/restore.ts';
import { exportLog } from '../../scripts/evidence/bundle-folder.ts';
import { Api } from '../../src/client/api.ts';
import { openLiveLog } from '../../src/client/live-log.ts';
import { copyFromPostgres, copyToPostgres } from '../../src/server/adapters/postgres/copy.ts';
import { STORE_MIGRATIONS, VAULT_MIGRATIONS } from '../../src/server/adapters/postgres.ts';
import type { Config } from '../../src/server/config.ts';
import { StartRefusal } from '../../src/server/start-refusal.ts';
import { postgresAbsence, TestCluster } from '../postgres.ts';
import { read } from '../server/reader.ts';
import { media, type TestExam, type TestRecorder } from '../server/recorder.ts';
import { DAY_MS, expectStatus, HOUR_MS, MINUTE_MS, Stage, TestClock } from '../server/stage.ts';

const absence = postgresAbsence();
const PLAINTEXT = media(70_000, 5);

describe.skipIf(absence !== undefined)(absence ?? 'a backup of PostgreSQL', () => {
  const clusters: TestCluster[] = [];
  beforeAll(async () => {
    clusters.push(...(await Promise.all([TestCluster.make(), TestCluster.make()])));
  });
  afterAll(() => {
    for (const cluster of clusters) cluster.stop();
  });

  type Clusters = NonNullable<Config['database']>;
  async function emptyDatabases(): Promise<Clusters> {
    const [url, vaultUrl] = await Promise.all(clusters.map((cluster) => cluster.database()));
    return { url: url!, vaultUrl: vaultUrl! };
  }

  /** One service, whose databases are lost and replaced; key, kept checkpoint and bucket stay. */
  class Site {
    readonly clock = new TestClock();
    readonly folder = mkdtempSync(join(tmpdir(), 'zeroreel-backup-'));
    readonly dataDir = join(this.folder, 'data');
    readonly backups = join(this.folder, 'backups');
    readonly bundle = join(this.folder, 'bundle');
    database: Clusters | undefined;
    stage!: Stage;
    #isRunning = false;

    async start(database: Clusters | undefined): Promise<Stage> {
      this.database = database;
      const { dataDir, clock } = this;
      this.stage = await Stage.start({ dataDir, clock, ...(database && { config: { database } }) });
      this.#isRunning = true;
      return this.stage;
    }

    async stop(): Promise<void> {
      if (this.#isRunning) await this.stage.stop();
      this.#isRunning = false;
    }

    backup() {
      const { dataDir, backups, clock, database } = this;
      return makeBackup(dataDir, backups, { now: clock.now(), horizonMs: DAY_MS, database });
    }

    async export() {
      await this.stage.server.jobs.publish();
      const api = new Api({ url: this.stage.server.url });
      return exportLog(api, await openLiveLog(api), this.bundle, this.clock.now());
    }

    restore(database: Clusters | undefined, changes: Partial<RestoreOptions> = {}) {
      const { dataDir, backups: backup, bundle, clock } = this;
      const logOrigin = 'test.example/zeroreel';
      return restore({ dataDir, logOrigin, now: clock.now(), backup, bundle, database, ...changes });
    }

    async record(exam: TestExam, plaintext = PLAINTEXT): Promise<TestRecorder> {
      const recorder = await this.stage.recorder(exam);
      await this.stage.upload(recorder, await recorder.chunk(1, plaintext));
      expectStatus(await this.stage.sendHead(recorder, await recorder.close()), 200);
      return recorder;
    }

    async erase({ sessionId }: TestRecorder): Promise<void> {
      const request = { token: this.stage.admin, body: { reason: 'student' } };
      expectStatus(await this.stage.call('POST', `/v1/recordings/${sessionId}/erasure`, request), 202);
    }

    async expectDead({ sessionId: id }: TestRecorder): Promise<void> {
      const { store, vault } = this.stage.server.ports;
      expect((await store.recording(id))?.state).toBe('deleted');
      expect((await vault.get(id)).size).toBe(0);
      expect(await store.wraps(id)).toEqual([]);
      expect(Object.keys((await this.stage.holdings()).objects).filter((key) => key.startsWith(id))).toEqual([]);
    }
  }

  const sites: Site[] = [];
  const open = async (database: Clusters | undefined) => {
    const site = new Site();
    sites.push(site);
    await site.start(database);
    return site;
  };
  afterEach(async () => {
    for (const site of sites.splice(0)) {
      await site.stop();
      rmSync(site.folder, { recursive: true, force: true });
    }
  });

  test('is restored into empty clusters with the log’s newer entries; what was erased since stays dead, the rest opens and dies in time', async () => {
    const site = await open(await emptyDatabases());
    const exam = await site.stage.exam();
    const erased = await site.record(exam);
    const kept = await site.record(exam);
    const living = await site.stage.recorder(exam);
    await site.backup();
    await site.erase(erased);
    site.clock.advance(HOUR_MS);
    await site.export();
    await site.stop();

    const fresh = await emptyDatabases();
    const older = { bundle: undefined } as Partial<RestoreOptions>;
    await expect(site.restore(fresh, older)).rejects.toThrow(StartRefusal);
    const done = await site.restore(fresh);
    expect(done).toMatchObject({ destroyed: 1 });
    expect(done.replayed).toBeGreaterThan(0);
    await expect(site.restore(fresh)).rejects.toThrow(/a database is here already/);

    const stage = await site.start(fresh);
    await site.expectDead(erased);
    expect((await read(stage, kept.sessionId, exam.readers[0]!)).get('0/1')).toEqual([PLAINTEXT]);
    // Who was recording goes on where it was.
    await stage.upload(living, await living.chunk(1, media(10)));
    expectStatus(await stage.sendHead(living, await living.close()), 200);
    expect(await site.export()).toMatchObject({ violations: 0 });
    site.clock.advance(30 * DAY_MS);
    await stage.server.jobs.purge();
    site.clock.advance(2 * DAY_MS);
    await stage.server.jobs.purge();
    const states = await Promise.all(
      [erased, kept, living].map(async ({ sessionId }) => (await stage.server.ports.store.recording(sessionId))!.state),
    );
    expect(states).toEqual(['verified', 'verified', 'verified']);
    expect(await stage.holdings()).toMatchObject({ objects: {}, shares: [] });
    expect(stage.reported).toEqual([]);
  });

  test('of the vault is refused when it has expired', async () => {
    const site = await open(await emptyDatabases());
    await site.record(await site.stage.exam());
    await site.backup();
    await site.export();
    await site.stop();
    site.clock.advance(DAY_MS);
    const fresh = await emptyDatabases();
    await expect(site.restore(fresh)).rejects.toMatchObject({ code: 'vault-expired' });
    expect(await site.restore(fresh, { isWithoutVault: true })).toMatchObject({ vault: undefined });
    await site.start(fresh);
  });

  test('is not needed where the rows were recovered to an earlier time: the log’s deletions are done again in place', async () => {
    const database = await emptyDatabases();
    const site = await open(database);
    const exam = await site.stage.exam();
    const recorder = await site.record(exam);
    const earlier = await emptyDatabases();
    const copy = async (from: string, to: string, migrations: URL) => {
      const path = join(site.folder, 'moment.db');
      await copyFromPostgres(from, path, migrations);
      await copyToPostgres(path, to, migrations);
      rmSync(path);
    };
    await copy(database.url, earlier.url, STORE_MIGRATIONS);
    await copy(database.vaultUrl, earlier.vaultUrl, VAULT_MIGRATIONS);
    await site.erase(recorder);
    await site.export();
    await site.stop();
    await expect(site.start(earlier)).rejects.toThrow(StartRefusal);
    expect(await site.restore(earlier, { backup: undefined })).toMatchObject({ destroyed: 1 });
    await site.start(earlier);
    await site.expectDead(recorder);
  });

  test('has the form of SQLite’s: one machine moves to clusters, and back', async () => {
    const site = await open(undefined);
    const exam = await site.stage.exam();
    const recorder = await site.record(exam);
    await site.backup();
    await site.export();
    const { log, shares } = await site.stage.holdings();
    await site.stop();
    const clustered = await emptyDatabases();
    await site.restore(clustered);
    const stage = await site.start(clustered);
    expect(await stage.holdings()).toMatchObject({ log, shares });
    expect((await read(stage, recorder.sessionId, exam.readers[0]!)).get('0/1')).toEqual([PLAINTEXT]);
    site.clock.advance(MINUTE_MS);
    await site.backup();
    await site.export();
    await site.stop();
    for (const name of ['zeroreel.db', 'vault.db'])
      for (const suffix of ['', '-wal', '-shm']) rmSync(join(site.dataDir, name + suffix), { force: true });
    await site.restore(undefined);
    const alone = await site.start(undefined);
    expect((await read(alone, recorder.sessionId, exam.readers[0]!)).get('0/1')).toEqual([PLAINTEXT]);
  });
});
