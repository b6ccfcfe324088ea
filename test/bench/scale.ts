/** The same calls among a thousand recordings, ten thousand, up to a million: what must not grow with the archive. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { purge } from '../../src/server/jobs/purge.ts';
import { media, type TestExam, type TestRecorder } from '../server/recorder.ts';
import { DAY_MS, expectStatus, Stage } from '../server/stage.ts';
import type { Comparison, Run } from './comparison.ts';
import type { Workshop } from './programs.ts';

const MANY = Number(process.env['BENCH_RECORDINGS'] ?? 1_000_000);
/** The most first: it is held against each of the others. */
const SIZES = [MANY, MANY / 10, MANY / 100, MANY / 1000];
/** Recordings of one exam: the archive grows by exams. */
const PER_EXAM = 200;
const TIMES = 200;

interface Archive {
  stage: Stage;
  exam: TestExam;
  instructor: string;
  recorder: TestRecorder;
}

export async function scaling(workshop: Workshop): Promise<Comparison[]> {
  const archives: Archive[] = [];
  for (const size of SIZES) archives.push(await archiveOf(workshop, size));
  const pair = (key: string, title: string, run: (archive: Archive) => Promise<unknown>): Comparison => ({
    key,
    title: `${title}, among ${MANY.toLocaleString('en')} recordings and among fewer`,
    unit: 'calls/s',
    per: 'second',
    target: 1 / 1.5,
    contenders: archives.map((archive, i) => ({
      name: `among ${SIZES[i]!.toLocaleString('en')}`,
      size: SIZES[i]!,
      run: () => repeated(() => run(archive)),
    })),
  });
  return [
    pair('scale-list', "list an exam's recordings", ({ stage, exam, instructor }) =>
      must(stage.call('GET', `/v1/exams/${exam.policy.exam_id}/recordings`, { token: instructor }), 200),
    ),
    pair('scale-release', 'release one recording', ({ stage, exam, instructor, recorder }) =>
      must(
        stage.call('POST', `/v1/recordings/${recorder.sessionId}/release`, {
          token: instructor,
          body: { key_id: exam.readers[0]!.keyIdB64, purpose: 'review' },
        }),
        200,
      ),
    ),
    pair('scale-status', "read an epoch's status, as its recorder", ({ stage, recorder }) =>
      must(stage.call('GET', `/v1/recordings/${recorder.sessionId}/epochs/0`, { token: recorder.token }), 200),
    ),
    {
      ...pair('scale-idle', 'a purge that finds nothing due', ({ stage }) => purge(stage.server.ports)),
      remark: `${MANY.toLocaleString('en')} recordings: below 10 ms a run is wanted, so above 100 calls/s`,
    },
  ];
}

async function must(answer: ReturnType<Stage['call']>, status: number): Promise<void> {
  expectStatus(await answer, status);
}

async function repeated(call: () => Promise<unknown>): Promise<Run> {
  const callsMs: number[] = [];
  for (let i = 0; i < TIMES; i++) {
    const startedMs = performance.now();
    await call();
    callsMs.push(performance.now() - startedMs);
  }
  return { units: TIMES, callsMs };
}

/** A server with that many closed recordings in its database, and among them one that is real. */
async function archiveOf(workshop: Workshop, count: number): Promise<Archive> {
  const dataDir = workshop.path(`archive-${count}`);
  const before = await Stage.start({ dataDir });
  const exam = await before.exam();
  await before.stop();
  fill(join(dataDir, 'zeroreel.db'), count, exam.policy.exam_id, before.clock.now());
  const stage = await Stage.start({ dataDir });
  workshop.atEnd(() => stage.stop());
  const recorder = await stage.recorder(exam);
  await stage.upload(recorder, await recorder.chunk(1, media(1000)));
  await stage.sendHead(recorder, await recorder.close());
  return { stage, exam, instructor: await stage.token('instructor'), recorder };
}

/** Rows as a long season leaves them: closed recordings with one epoch and three tracks; no wraps, which no call here reads. */
function fill(path: string, count: number, examId: string, now: number): void {
  const database = new Database(path);
  database.pragma('synchronous = OFF');
  const recording = database.prepare(
    `INSERT INTO recordings VALUES (?, ?, 'closed', 0, ?, ?, ?, 0, NULL, 0, ?, ?, 0, ?, 3240, 13589544960, NULL)`,
  );
  const epoch = database.prepare(`INSERT INTO epochs VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, 360)`);
  const track = database.prepare(
    `INSERT INTO tracks VALUES (?, 0, ?, ?, 'video/webm;codecs=vp8,opus', 1080, 4529848320)`,
  );
  const hash = randomBytes(32).toString('base64url');
  const record = randomBytes(500);
  // Every recording's log entry is the triggers' business and not this comparison's: a log of a million would be built at the start.
  const triggers = database.prepare(`SELECT name, sql FROM sqlite_master WHERE type = 'trigger'`).all() as {
    name: string;
    sql: string;
  }[];
  for (const { name } of triggers) database.exec(`DROP TRIGGER ${name}`);
  database.transaction(() => {
    let exam = examId;
    for (let i = 0; i < count; i++) {
      if (i > 0 && i % PER_EXAM === 0) exam = randomBytes(16).toString('base64url');
      const id = randomBytes(16).toString('base64url');
      recording.run(id, exam, now, now + 30 * DAY_MS, now + DAY_MS, now, now, now);
      epoch.run(id, hash, record, hash, hash, hash, now, record.subarray(0, 300), hash);
      for (const [number, kind] of [
        [1, 1],
        [2, 2],
        [4, 4],
      ])
        track.run(id, number, kind);
    }
  })();
  for (const { sql } of triggers) database.exec(sql);
  database.close();
}
