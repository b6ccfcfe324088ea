/** Both databases are lost, and what may come back does; what was destroyed does not, whatever backup is taken. */
import { readdirSync, rmSync, mkdtempSync, renameSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { findBackup, makeBackup } from '../../scripts/backup/backup-folder.ts';
import { restore, type RestoreOptions, type RestoreSummary } from '../../scripts/backup/restore.ts';
import { exportLog } from '../../scripts/evidence/bundle-folder.ts';
import { openLiveLog } from '../../src/client/live-log.ts';
import { Api } from '../../src/client/api.ts';
import { StartRefusal } from '../../src/server/start-refusal.ts';
import { CommandError } from '../../scripts/shell/exits.ts';
import { read } from '../server/reader.ts';
import { media, type TestExam, type TestRecorder } from '../server/recorder.ts';
import { DAY_MS, expectStatus, HOUR_MS, MINUTE_MS, Stage, TestClock } from '../server/stage.ts';

const PLAINTEXT = media(70_000, 5);

/** One server's folder, its backups and its exported log, over several lives of the server. */
class Site {
  readonly clock = new TestClock();
  readonly folder = mkdtempSync(join(tmpdir(), 'zeroreel-backup-'));
  readonly dataDir = join(this.folder, 'data');
  readonly backups = join(this.folder, 'backups');
  readonly bundle = join(this.folder, 'bundle');
  #stage: Stage | undefined;

  get stage(): Stage {
    return this.#stage!;
  }

  async start(): Promise<Stage> {
    this.#stage = await Stage.start({ dataDir: this.dataDir, clock: this.clock });
    return this.#stage;
  }

  async stop(): Promise<void> {
    const stage = this.#stage;
    this.#stage = undefined;
    await stage?.stop();
  }

  backup(horizonMs = DAY_MS) {
    return makeBackup(this.dataDir, this.backups, { now: this.clock.now(), horizonMs });
  }

  async export() {
    await this.stage.server.jobs.publish();
    const api = new Api({ url: this.stage.server.url });
    return exportLog(api, await openLiveLog(api), this.bundle, this.clock.now());
  }

  /** The disk with the databases is gone; the key, the kept checkpoint and the bucket are elsewhere. */
  async lose(): Promise<void> {
    await this.stop();
    for (const name of readdirSync(this.dataDir))
      if (/^(?:zeroreel|vault)\.db/.test(name)) rmSync(join(this.dataDir, name));
  }

  restore(changes: Partial<RestoreOptions> = {}): Promise<RestoreSummary> {
    const { dataDir, backups, clock } = this;
    return restore({ dataDir, logOrigin: 'test.example/zeroreel', now: clock.now(), backup: backups, ...changes });
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function record(stage: Stage, exam: TestExam, plaintext = PLAINTEXT): Promise<TestRecorder> {
  const recorder = await stage.recorder(exam);
  await stage.upload(recorder, await recorder.chunk(1, plaintext));
  expectStatus(await stage.sendHead(recorder, await recorder.close()), 200);
  return recorder;
}

async function erase(stage: Stage, recorder: TestRecorder): Promise<void> {
  const path = `/v1/recordings/${recorder.sessionId}/erasure`;
  expectStatus(await stage.call('POST', path, { token: stage.admin, body: { reason: 'student' } }), 200, 201, 202);
}

async function thrownBy(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
}

const site: Site[] = [];
async function open(): Promise<Site> {
  const one = new Site();
  site.push(one);
  await one.start();
  return one;
}
afterEach(async () => {
  for (const one of site.splice(0)) await one.remove();
});

describe('both databases are lost', () => {
  it('and everything that was acknowledged before the backup opens again, while the server went on', async () => {
    const place = await open();
    const exam = await place.stage.exam();
    const recorder = await record(place.stage, exam);
    const made = await place.backup();
    expect(statSync(made.metadata).mode & 0o777).toBe(0o600);
    expect(statSync(made.vault.path).mode & 0o777).toBe(0o600);
    // The log goes on after the backup: a reader opens the recording.
    for (const reader of exam.readers) await read(place.stage, recorder.sessionId, reader);
    expect(await place.export()).toMatchObject({ releases: 2, violations: 0 });
    const before = await place.stage.holdings();
    await place.lose();

    // Without the log's newer entries the next checkpoint would fork it.
    const refusal = await thrownBy(place.restore());
    expect(refusal).toBeInstanceOf(StartRefusal);
    expect((refusal as StartRefusal).message).toMatch(/it is from before/);
    expect(readdirSync(place.dataDir).filter((name) => name.includes('.db'))).toEqual([]);

    expect(await place.restore({ bundle: place.bundle })).toMatchObject({ replayed: 2, destroyed: 0 });
    const stage = await place.start();
    const after = await stage.holdings();
    expect({ log: after.log, shares: after.shares, objects: after.objects }).toEqual({
      log: before.log,
      shares: before.shares,
      objects: before.objects,
    });
    for (const reader of exam.readers) {
      const opened = await read(stage, recorder.sessionId, reader);
      expect(opened.get('0/1')).toEqual([PLAINTEXT]);
    }
    // The log has only grown: the export brings the older bundle's checkpoint along.
    const report = await place.export();
    expect(report).toMatchObject({ releases: 4, violations: 0 });
    expect(report.consistentCheckpoints).toBeGreaterThan(0);
    expect(stage.reported).toEqual([]);
  });

  it('and a recording of after the backup keeps its obligation: its objects are gone at its time', async () => {
    const place = await open();
    const exam = await place.stage.exam();
    await place.backup();
    const recorder = await record(place.stage, exam);
    await place.export();
    await place.lose();
    await place.restore({ bundle: place.bundle });
    const stage = await place.start();
    const { objects } = await stage.holdings();
    expect(Object.keys(objects)).toHaveLength(1);
    expect(await stage.server.ports.store.recording(recorder.sessionId)).toMatchObject({ state: 'closed', objects: 1 });
    place.clock.advance(30 * DAY_MS);
    await stage.server.jobs.heartbeat();
    expect((await stage.holdings()).objects).toEqual({});
    place.clock.advance(2 * DAY_MS);
    await stage.server.jobs.purge();
    const status = await stage.server.ports.store.recording(recorder.sessionId);
    expect(status).toMatchObject({ state: 'verified', objects: 1 });
    // Destroyed in time; that its share was lost with the vault, and nobody could have opened it, is told as what it is.
    const report = await place.export();
    expect(report).toMatchObject({ opened: 1, deleted: 1, verified: 1, overdue: [], late: 0 });
    expect(report.findings.filter(({ severity }) => severity === 'violation').map(({ code }) => code)).toEqual([
      'lost',
    ]);
  });
});

describe('what was destroyed since the backup', () => {
  it('stays destroyed though the backup of the vault is young and has its share', async () => {
    const place = await open();
    const exam = await place.stage.exam();
    const erased = await record(place.stage, exam);
    const kept = await record(place.stage, exam, media(100, 9));
    await place.backup();
    await erase(place.stage, erased);
    place.clock.advance(HOUR_MS);
    await place.export();
    await place.lose();
    expect(await place.restore({ bundle: place.bundle })).toMatchObject({ destroyed: 1 });
    const stage = await place.start();
    await expectDead(stage, exam, erased);
    const opened = await read(stage, kept.sessionId, exam.readers[0]!);
    expect(opened.get('0/1')).toEqual([media(100, 9)]);
  });

  it('does not come back from an expired vault, which is refused, nor from metadata of before the purge', async () => {
    const place = await open();
    const exam = await place.stage.exam();
    const recorder = await record(place.stage, exam);
    const { vault } = await place.backup();
    await erase(place.stage, recorder);
    await place.export();
    place.clock.advance(DAY_MS);
    await place.lose();
    expect(vault.expiresMs).toBeLessThanOrEqual(place.clock.now());

    const expired = await thrownBy(place.restore({ bundle: place.bundle }));
    expect(expired).toBeInstanceOf(CommandError);
    expect((expired as CommandError).code).toBe('vault-expired');
    // Who takes its horizon away does not make it younger.
    rmSync(vault.path.replace('.db', '.json'));
    expect((await thrownBy(place.restore({ bundle: place.bundle }))) as CommandError).toMatchObject({
      code: 'vault-expired',
    });

    expect(await place.restore({ bundle: place.bundle, isWithoutVault: true })).toMatchObject({ vault: undefined });
    const stage = await place.start();
    await expectDead(stage, exam, recorder);
    expect(await place.export()).toMatchObject({ violations: 0, deleted: 1 });
  });

  it('is not served by a database that somebody copied back by hand', async () => {
    const place = await open();
    const exam = await place.stage.exam();
    const recorder = await record(place.stage, exam);
    const { metadata, vault } = await place.backup();
    await erase(place.stage, recorder);
    await place.export();
    await place.lose();
    renameSync(metadata, join(place.dataDir, 'zeroreel.db'));
    renameSync(vault.path, join(place.dataDir, 'vault.db'));
    expect(await thrownBy(place.start())).toBeInstanceOf(StartRefusal);
    // The way out that the refusal names:
    expect(await place.restore({ backup: undefined, bundle: place.bundle })).toMatchObject({ destroyed: 1 });
    await expectDead(await place.start(), exam, recorder);
  });
});

async function expectDead(stage: Stage, exam: TestExam, recorder: TestRecorder): Promise<void> {
  const { store, vault } = stage.server.ports;
  const id = recorder.sessionId;
  expect((await store.recording(id))?.state).toBe('deleted');
  expect((await vault.get(id)).size).toBe(0);
  expect(await store.wraps(id)).toEqual([]);
  expect(Object.keys((await stage.holdings()).objects).filter((key) => key.startsWith(id))).toEqual([]);
  const body = { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' };
  const late = await stage.call('POST', `/v1/recordings/${id}/release`, { token: stage.admin, body });
  expect(late).toMatchObject({ status: 410, body: { code: 'recording-deleted' } });
}

describe('a folder of backups', () => {
  it('holds one backup of the vault: the older ones are deleted, those of the metadata stay', async () => {
    const place = await open();
    const first = await place.backup();
    place.clock.advance(MINUTE_MS);
    const second = await place.backup();
    expect(second.removed).toEqual([first.vault.path]);
    const names = readdirSync(place.backups);
    expect(names.filter((name) => name.startsWith('vault-'))).toHaveLength(2);
    expect(names.filter((name) => name.startsWith('metadata-'))).toHaveLength(2);
    expect(await findBackup(place.backups)).toEqual({ metadata: second.metadata, vault: second.vault });
  });

  it('never overwrites a database, and leaves an older log than the published one alone', async () => {
    const place = await open();
    const exam = await place.stage.exam();
    await place.backup();
    await place.export();
    expect((await thrownBy(place.restore())) as CommandError).toMatchObject({ code: 'in-the-way' });
    await record(place.stage, exam);
    await place.lose();
    expect((await thrownBy(place.restore({ bundle: place.bundle }))) as CommandError).toMatchObject({
      exit: 'violation',
    });
    expect(readdirSync(place.dataDir).filter((name) => name.includes('.db'))).toEqual([]);
  });
});

describe('the key of the log', () => {
  it('is not made anew where checkpoints were signed with it, nor exchanged for another', async () => {
    const place = await open();
    await place.stop();
    const key = join(place.dataDir, 'log.key');
    const kept = join(place.folder, 'log.key');
    renameSync(key, kept);
    const missing = await thrownBy(place.start());
    expect(missing).toBeInstanceOf(StartRefusal);
    expect((missing as StartRefusal).message).toMatch(/log.key is missing/);
    expect(readdirSync(place.dataDir)).not.toContain('log.key');
    const other = new Site();
    site.push(other);
    await other.start();
    await other.stop();
    renameSync(join(other.dataDir, 'log.key'), key);
    expect((await thrownBy(place.start())) as Error).toMatchObject({
      message: expect.stringMatching(/not signed with/) as string,
    });
    renameSync(kept, key);
    await place.start();
  });
});
