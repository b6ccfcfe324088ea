/** The log gets another key while recordings stand that were begun under the first: nobody who pinned either is ever refused. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { fromBase64Url } from '../../crypto/format/bytes.ts';
import { parseReceipt, verifyReceipt } from '../../crypto/format/receipt.ts';
import { openCheckpoint } from '../../crypto/log/checkpoint.ts';
import { verifyCertificate } from '../../crypto/log/certificate.ts';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { parseVkey } from '../../crypto/log/note.ts';
import { exportLog, verifyBundle } from '../../scripts/evidence/bundle-folder.ts';
import { Api } from '../../src/client/api.ts';
import { certificateFromTiles, openLiveLog } from '../../src/client/live-log.ts';
import { certificateFromProofs as proveReceipt } from '../../src/client/proof.ts';
import { media, nextPolicy, type TestExam, type TestRecorder } from '../server/recorder.ts';
import { DAY_MS, expectStatus, Stage, TestClock } from '../server/stage.ts';
import { CommandLine } from './command-line.ts';

const ORIGIN = 'test.example/zeroreel';
const cli = new CommandLine();
const dataDir = mkdtempSync(join(tmpdir(), 'zeroreel-rotate-'));
const clock = new TestClock();
// The command's clock is the world's: by it these exams are long over.
clock.advance(-60 * DAY_MS);
let stage: Stage | undefined;
afterAll(async () => {
  await stage?.stop();
  rmSync(dataDir, { recursive: true, force: true });
  cli.remove();
});

async function restart(): Promise<Stage> {
  await stage?.stop();
  stage = await Stage.start({ dataDir, clock });
  Object.assign(cli.environment, {
    ZEROREEL_DATA: dataDir,
    ZEROREEL_LOG_ORIGIN: ORIGIN,
    ZEROREEL_SERVER: stage.server.url,
    ZEROREEL_TOKEN_FILE: join(dataDir, 'admin.token'),
  });
  return stage;
}

/** The receipt for one more chunk, if it verifies under this key. */
async function recordOn(at: Stage, recorder: TestRecorder, vkey: string, isEnd = false): Promise<void> {
  await at.upload(recorder, await recorder.chunk(1, media(3000)));
  const answer = await at.sendHead(recorder, await (isEnd ? recorder.close() : recorder.head()));
  const { receipt } = expectStatus<{ receipt: string }>(answer, 200);
  await verifyReceipt(parseReceipt(fromBase64Url(receipt)), parseVkey(vkey).publicKey);
}

const isPublished = async (at: Stage, exam: TestExam): Promise<number> => {
  const { record } = exam;
  const body = { policy: Buffer.from(record).toString('base64url') };
  return (await at.call('POST', '/v1/exams', { token: at.admin, body })).status;
};

const newestNote = async (at: Stage): Promise<string> => {
  await at.server.jobs.publish();
  return (await at.server.ports.store.newestCheckpoint())!.note;
};

/** What an auditor does every month, into the same folder. */
async function auditOf(at: Stage): Promise<void> {
  await at.server.jobs.publish();
  const api = new Api({ url: at.server.url });
  await exportLog(api, await openLiveLog(api), cli.path('audit'), clock.now());
}

it('log rotate: exams keep the key they began with, and their certificates verify after it is retired', async () => {
  let at = await restart();
  const first = (await new Api({ url: at.server.url }).vkey()).trim();
  const before = await at.exam();
  const recorder = await at.recorder(before);
  await recordOn(at, recorder, first);
  const kept = await newestNote(at);

  await auditOf(at);
  expect(await cli.must(['log', 'rotate', '--dry-run'])).toBe(`would replace ${first}`);
  expect(existsSync(join(dataDir, 'log.key.former'))).toBe(false);
  const old = readFileSync(join(dataDir, 'log.key'), 'utf8');
  const second = await cli.must(['log', 'rotate']);
  expect(second).toMatch(new RegExp(`^${ORIGIN}\\+`));
  expect(second).not.toBe(first);
  expect(readFileSync(join(dataDir, 'log.key.former'), 'utf8')).toBe(old);
  expect((await cli.run(['log', 'rotate'])).error).toMatch(/\(rotating\)/);

  // With both keys: each checkpoint is signed by both, the log says so once, and it only grew.
  await restart();
  at = await restart();
  const both = await newestNote(at);
  for (const vkey of [first, second]) await openCheckpoint(both, vkey, ORIGIN);
  expect((await openCheckpoint(both, first, ORIGIN)).size).toBeGreaterThan(
    (await openCheckpoint(kept, first, ORIGIN)).size,
  );
  const rotations = (await at.server.ports.store.entries(0, 1000)).map(({ bytes }) => decodeEntry(bytes));
  expect(rotations.filter(({ type }) => type === 'log.rotated')).toHaveLength(1);
  expect(await new Api({ url: at.server.url }).vkey()).toContain(second);

  // An auditor's folder of before goes on as well, under the key that it began with.
  await auditOf(at);
  const audited = await verifyBundle(cli.path('audit'), first, { now: clock.now(), kept: [] });
  expect(audited).toMatchObject({ violations: 0, consistentCheckpoints: 1, vkey: first });

  // An exam that was there goes on under the first key, in policies and receipts; a new one begins under the second.
  await recordOn(at, recorder, first);
  expect(await isPublished(at, await nextPolicy(before, { log: { origin: ORIGIN, vkey: second } }))).toBe(422);
  expect(await isPublished(at, await nextPolicy(before, {}))).toBe(201);
  await expect(at.exam({ log: { origin: ORIGIN, vkey: first } })).rejects.toThrow(/422/);
  const after = await at.exam();
  const newer = await at.recorder(after);
  await recordOn(at, newer, second, true);
  await recordOn(at, recorder, first, true);

  // Not while somebody relies on it.
  const early = await cli.run(['log', 'rotate', '--retire']);
  expect({ exit: early.exit, output: early.output }).toEqual({
    exit: 1,
    output: '0 exams, and 1 recordings rely on the former key\n',
  });
  clock.advance(30 * DAY_MS + 60_000);
  await at.server.jobs.purge();
  clock.advance(3 * DAY_MS);
  await at.server.jobs.purge();
  expect(await cli.must(['log', 'rotate', '--retire', '--dry-run'])).toBe('nothing relies on the former key any more');
  const retiring = cli.must(['log', 'rotate', '--retire']);
  let isRetired = false;
  void retiring.finally(() => (isRetired = true)).catch(() => undefined);
  await expect
    .poll(async () => (await at.server.jobs.publish(), isRetired), { interval: 100, timeout: 120_000 })
    .toBe(true);
  expect(await retiring).toMatch(new RegExp(`^retired \\S+ at \\d+ entries$`));
  expect(existsSync(join(dataDir, 'log.key.former'))).toBe(false);

  // Alone: the second key signs, and a student who pinned the first still proves the deletion.
  at = await restart();
  await at.server.ports.store.append([{ v: 1, type: 'heartbeat', at: clock.now(), entries: 0 }]);
  const alone = await newestNote(at);
  await openCheckpoint(alone, second, ORIGIN);
  await expect(openCheckpoint(alone, first, ORIGIN)).rejects.toThrow();
  const api = new Api({ url: at.server.url });
  for (const [id, vkey] of [
    [recorder.sessionId, first],
    [newer.sessionId, second],
  ] as const) {
    expect((await api.receipt(id)).vkey).toBe(vkey);
    const statement = await verifyCertificate(await certificateFromTiles(api, id, vkey), vkey);
    expect(statement).toMatchObject({ recording: id, findings: [] });
    // The receipt page's way, by the service's own proofs.
    expect((await proveReceipt(api, id, vkey)).statement).toEqual(statement);
    expect(statement.verified).not.toBeNull();
  }
  expect(at.reported).toEqual([]);
});
