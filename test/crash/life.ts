/** One life of everything, which a crash may interrupt anywhere; and what must be true in the middle and at the end of it. */
import type { z } from 'zod';
import { equal, toBase64Url, utf8 } from '../../crypto/format/bytes.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { audit } from '../../crypto/log/audit.ts';
import { openCheckpoint } from '../../crypto/log/checkpoint.ts';
import { decodeEntry } from '../../crypto/log/entry.ts';
import { Frontier, leafHash } from '../../crypto/log/tree.ts';
import type * as api from '../../schema/api.ts';
import { abandon } from '../../src/server/jobs/abandon.ts';
import { heartbeat } from '../../src/server/jobs/heartbeat.ts';
import { publish } from '../../src/server/jobs/publish.ts';
import { purge } from '../../src/server/jobs/purge.ts';
import { sweep } from '../../src/server/jobs/sweep.ts';
import { vkeyOf } from '../../src/server/signing.ts';
import { media, type SealedChunk, type TestExam, TestRecorder } from '../server/recorder.ts';
import { keyIdOf, policyBody } from '../simulation/tape.ts';
import type { Ports, Store, Vault } from '../../src/server/ports.ts';
import type { Site } from './machine.ts';
import { objectKey } from '../../src/server/core/names.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const STAFF_TOKEN = 'zra_crash-administrator';

interface EpochScript {
  recorder: TestRecorder;
  steps: { chunks: SealedChunk[]; head: string }[];
}

/** Sealed once and played in every life. */
export interface Script {
  exam: TestExam;
  /** Closed in its second epoch. */
  whole: EpochScript[];
  /** Left by its recorder. */
  silent: EpochScript[];
  /** Erased while its recorder is at work. */
  erased: EpochScript[];
}

export async function writeScript(exam: TestExam, now: number): Promise<Script> {
  const step = async (recorder: TestRecorder, seed: number, isClose = false) => ({
    chunks: [await recorder.chunk(1, media(70_000, seed)), await recorder.chunk(4, media(30, seed + 1))],
    head: isClose ? await recorder.close() : await recorder.head(),
  });
  const begin = () => TestRecorder.begin(exam, { now });
  const first = await begin();
  const opening = { recorder: first, steps: [await step(first, 1), await step(first, 3)] };
  const second = await first.resume({ now });
  const [silent, erased] = [await begin(), await begin()];
  return {
    exam,
    whole: [opening, { recorder: second, steps: [await step(second, 5, true)] }],
    silent: [{ recorder: silent, steps: [await step(silent, 7)] }],
    erased: [{ recorder: erased, steps: [await step(erased, 9)] }],
  };
}

/** Where a life takes place; the bucket outlives every server. */
export type Place = Pick<Site, 'clock' | 'signer' | 'bucket'>;

export type Job = (ports: Ports) => Promise<unknown>;

/** A server to which the fault comes at some call, and that is there again. */
export interface Living {
  readonly inside: { store: Store; vault: Vault };
  readonly struckAt: string | undefined;
  onRestart: () => Promise<void>;
  insist<T>(work: () => Promise<T>): Promise<T>;
  fetch(method: string, path: string, token: string, body?: unknown): Promise<{ status: number; json: unknown }>;
  /** A job, as cron runs it. */
  run(job: Job): Promise<unknown>;
}

/** Throws at the first promise that is broken. */
export async function live(site: Place, machine: Living, script: Script): Promise<void> {
  const { clock } = site;
  const { store } = machine.inside;
  const beganMs = clock.now();
  await store.addToken({
    tokenHash: toBase64Url(await sha256(utf8(STAFF_TOKEN))),
    prefix: 'zra_crash',
    role: 'admin',
    label: 'crash',
    createdMs: clock.now(),
    expiresMs: clock.now() + 100 * DAY_MS,
    revokedMs: null,
    examIds: null,
    lastUsedMs: null,
  });
  await machine.insist(() =>
    expectStatus(machine.fetch('POST', '/exams', STAFF_TOKEN, policyBody(script.exam)), 200, 201),
  );
  const acknowledged = new Map<string, SealedChunk['object']>();
  machine.onRestart = () => requireInvariants(site, machine, acknowledged);

  await play(site, machine, script.whole, acknowledged);
  await play(site, machine, script.silent, acknowledged);
  const erased = new Map<string, SealedChunk['object']>();
  await play(site, machine, script.erased, erased);
  await requireReadable(site, machine, erased);
  const erasedId = script.erased[0]!.recorder.sessionId;
  // 410 to the second attempt: the first one was done, and only its answer was lost.
  await machine.insist(() =>
    expectStatus(
      machine.fetch('POST', `/recordings/${erasedId}/erasure`, STAFF_TOKEN, { reason: 'student' }),
      202,
      410,
    ),
  );
  await job(site, machine, heartbeat, publish);

  clock.nowMs += 25 * HOUR_MS;
  await job(site, machine, abandon, sweep, purge);
  await requireReadable(site, machine, acknowledged);
  const live = [script.whole, script.silent].map(([epoch]) => epoch!.recorder.sessionId);
  for (const id of live) await requireReleased(machine, id, script.exam, 200);
  await requireReleased(machine, erasedId, script.exam, 410);

  clock.nowMs = beganMs + 30 * DAY_MS + 5 * MINUTE_MS;
  acknowledged.clear();
  for (const id of live) await requireReleased(machine, id, script.exam, 410);
  await job(site, machine, purge, publish);
  clock.nowMs += 2 * MINUTE_MS;
  await job(site, machine, purge);
  clock.nowMs += 2 * HOUR_MS;
  await job(site, machine, purge, sweep, heartbeat, publish);
  await requireNothing(site, machine);
  await requireLog(site, machine);
}

async function play(
  site: Place,
  machine: Living,
  epochs: readonly EpochScript[],
  acknowledged: Map<string, Uint8Array>,
) {
  for (const { recorder, steps } of epochs) {
    const { exam, sessionId, epoch, token, openBody } = recorder;
    const path = `/exams/${exam.policy.exam_id}/recordings`;
    await machine.insist(() => expectStatus(machine.fetch('POST', path, token, openBody), 200, 201));
    for (const { chunks, head } of steps) {
      site.clock.nowMs += 30_000;
      const asked = { epoch, chunks: chunks.map(({ request }) => request) };
      const uploads = `/recordings/${sessionId}/uploads`;
      const answer = await machine.insist(() => expectStatus(machine.fetch('POST', uploads, token, asked), 200));
      for (const upload of (answer.json as z.infer<typeof api.uploadsResponse>).uploads) {
        if (upload.state !== 'signed') throw new Error('expected a URL for a chunk that no head covers');
        const { object } = chunks.find(({ track, seq }) => track === upload.track && seq === upload.seq)!;
        const { status } = await fetch(upload.url, { method: 'PUT', headers: upload.headers, body: object });
        if (status !== 200) throw new Error(`expected 200 for a presigned PUT, found ${status}`);
      }
      await machine.insist(() =>
        expectStatus(machine.fetch('POST', `/recordings/${sessionId}/heads`, token, { head }), 200),
      );
      for (const chunk of chunks) acknowledged.set(objectKey(sessionId, { epoch, ...chunk }), chunk.object);
    }
  }
}

async function job({ clock }: Place, machine: Living, ...jobs: Job[]): Promise<void> {
  // Cron comes round again: a lease that a dead process left behind must not need more than its ten minutes, and what a
  // job could not do for a call that failed is done by the next run.
  for (const run of jobs) {
    const life = machine.struckAt;
    await machine.insist(() => machine.run(run));
    if (machine.struckAt === life) continue;
    clock.nowMs += 11 * MINUTE_MS;
    await machine.insist(() => machine.run(run));
  }
}

async function expectStatus(answer: Promise<{ status: number; json: unknown }>, ...expected: number[]) {
  const { status, json } = await answer;
  if (!expected.includes(status))
    throw new Error(`expected ${expected.join(' or ')}, found ${status}: ${JSON.stringify(json)}`);
  return { status, json };
}

async function requireReadable({ bucket }: Place, machine: Living, acknowledged: ReadonlyMap<string, Uint8Array>) {
  for (const [key, object] of acknowledged) {
    const stored = await bucket.get(key);
    if (!stored || !equal(stored, object))
      throw new Error(`an acknowledged chunk is not as it was after ${machine.struckAt ?? 'no fault'}`);
  }
}

async function requireReleased(machine: Living, id: string, exam: TestExam, status: number): Promise<void> {
  const body = { key_id: keyIdOf(exam), purpose: 'review' };
  const { json } = await machine.insist(() =>
    expectStatus(machine.fetch('POST', `/recordings/${id}/release`, STAFF_TOKEN, body), status),
  );
  if (status !== 200) return;
  const { epochs } = json as api.Release;
  if (epochs.some(({ wraps, shred }) => wraps.length === 0 || shred.length !== 43)) throw new Error('keys are missing');
}

/**
 * What holds after every restart, whatever was cut: acknowledged chunks are there, every object has an obligation that is
 * not settled, nothing that is dying can be opened, each transition is in the log once, and the published tree is the log's.
 */
async function requireInvariants(
  site: Place,
  machine: Living,
  acknowledged: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  await requireReadable(site, machine, acknowledged);
  const { store, vault } = machine.inside;
  const entries = await store.entries(0, 100_000);
  const seen = new Map<string, string[]>();
  for (const entry of entries.map(({ bytes }) => decodeEntry(bytes))) {
    if (!('recording' in entry) || entry.recording === null) continue;
    seen.set(entry.recording, [...(seen.get(entry.recording) ?? []), entry.type]);
  }
  const broken = (promise: string) => new Error(`after ${machine.struckAt ?? 'no fault'}: ${promise}`);
  for await (const { key } of site.bucket.listVersions('')) {
    const types = seen.get(key.slice(0, 22));
    if (!types) throw broken('an object has no obligation');
    if (types.includes('deletion.completed')) throw broken('an object outlived its deletion');
  }
  for (const [id, types] of seen) {
    const repeated = types.filter((type, index) => ONCE.has(type) && types.indexOf(type) !== index);
    if (repeated.length > 0) throw broken(`${repeated.join()} is in the log twice`);
    const state = (await store.recording(id))?.state;
    if (state === undefined) throw broken('a recording in the log has no row');
    const isDeleted = state === 'deleted' || state === 'verified';
    if (isDeleted !== types.includes('deletion.completed')) throw broken('a row and the log tell two stories');
    if (isDeleted && (await store.wraps(id)).length + (await vault.get(id)).size > 0)
      throw broken('keys outlived their deletion');
    if (types.includes('deletion.intended')) continue;
    const shares = new Set((await vault.get(id)).keys());
    const epochs = await store.epochs(id);
    if (epochs.some(({ epoch }) => !shares.has(epoch))) throw broken('an epoch has no shred share');
    // The share comes first: a death in between leaves it without its epoch, until the recorder comes again or the sweep does.
    if ([...shares].some((epoch) => epoch > epochs.length)) throw broken('a shred share is of no epoch');
  }
  await requireTree(site, machine, entries);
}

const ONCE = new Set([
  'recording.opened',
  'recording.closed',
  'recording.abandoned',
  'erasure.requested',
  'deletion.intended',
  'deletion.completed',
  'deletion.verified',
]);

/** Whether the newest checkpoint is the root of the entries that it covers; answers how many these are. */
async function requireTree(
  { signer }: Place,
  machine: Living,
  entries: readonly { bytes: Uint8Array }[],
): Promise<number> {
  const published = await machine.inside.store.newestCheckpoint();
  if (!published) return 0;
  const { size, root } = await openCheckpoint(published.note, vkeyOf(signer), signer.origin);
  const frontier = new Frontier();
  for (const { bytes } of entries.slice(0, size)) frontier.append(leafHash(bytes));
  if (frontier.size !== size || !equal(frontier.root(), root)) throw new Error('the tree does not verify');
  return size;
}

async function requireNothing({ bucket }: Place, machine: Living): Promise<void> {
  for await (const { key } of bucket.listVersions(''))
    throw new Error(`${key} is left after ${machine.struckAt ?? 'no fault'}`);
  if ((await bucket.abortMultiparts('')) > 0) throw new Error('a multipart upload is left');
  if ((await machine.inside.vault.list(Number.MAX_SAFE_INTEGER, 1)).shares.length > 0)
    throw new Error('a shred share is left');
}

async function requireLog(site: Place, machine: Living): Promise<void> {
  const { store } = machine.inside;
  const entries = await store.entries(0, 100_000);
  const { findings } = audit(entries, site.clock.now(), { graceMs: HOUR_MS });
  const [violation] = findings.filter(({ severity }) => severity === 'violation');
  if (violation) throw new Error(`after ${machine.struckAt ?? 'no fault'}: ${violation.message}`);
  const types = entries.map(({ bytes }) => decodeEntry(bytes).type);
  const once = {
    'recording.opened': 3,
    'recording.reopened': 1,
    'recording.closed': 1,
    'recording.abandoned': 2,
    'erasure.requested': 1,
  };
  const deaths = { 'deletion.intended': 3, 'deletion.completed': 3, 'deletion.verified': 3, 'anomaly.found': 0 };
  for (const [type, count] of Object.entries({ ...once, ...deaths })) {
    const found = types.filter((one) => one === type).length;
    if (found !== count)
      throw new Error(`expected ${count} entries ${type}, found ${found} after ${machine.struckAt ?? 'no fault'}`);
  }
  if ((await requireTree(site, machine, entries)) !== entries.length) throw new Error('the log is not published');
}
