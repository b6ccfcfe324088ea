/**
 * Many recorders at once against a real server and a real store, for minutes: refreshed, cut off, killed. Afterwards the bucket is
 * listed and everything is read back: whatever a receipt acknowledged must be there, and be what its recorder signed.
 *
 *   npx tsx test/bench/soak.ts --recorders 2000 --minutes 10
 *
 * ZEROREEL_TEST_S3 names the store, as for the tests; without it the embedded bucket takes its place.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { freePort } from '../free-port.ts';
import { newId, SUITE_HYBRID } from '../../crypto/format/ids.ts';
import { generateDecryptionKey, generateIdentity } from '../../crypto/seal/identity.ts';
import { Api } from '../../src/client/api.ts';
import { examRecipient, issueTicket, signExam } from '../../src/client/exam.ts';
import { formatExamLink } from '../../src/client/link.ts';
import type { PublicKeyLine } from '../../src/client/public-line.ts';
import { RecordingReader } from '../../src/client/reader.ts';
import { ApiSource } from '../../src/client/source.ts';
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { openBucketCredentials } from '../../src/server/adapters/keyring.ts';
import { createS3Bucket } from '../../src/server/adapters/s3-bucket.ts';
import { parseObjectKey } from '../../src/server/core/names.ts';
import { bundle } from '../bundle.ts';
import { gateway } from '../ceph.ts';
import { isKnown } from '../client/known-media.ts';
import { describeMachine, formatMachine, round } from './table.ts';
import type { FromWorker, ToWorker, WorkerPlan } from './soak-worker.ts';

export interface SoakOptions {
  recorders: number;
  /** From the first recorder's start until all are told to end. */
  seconds: number;
  workers: number;
  /** How a policy lets recorders cut chunks and send heads, in seconds. */
  chunkSeconds: number;
  headSeconds: number;
  bytesPerSecond: number;
  rampSeconds: number;
  /** Expected refreshes and outages of one recorder over the whole time, and how many processes are killed. */
  refreshes: number;
  outages: number;
  outageSeconds: number;
  kills: number;
  /** Recordings that are opened and compared byte for byte at the end. */
  opened: number;
  say: (line: string) => void;
}

export interface SoakResult {
  recorders: number;
  /** That recorded at the same time. */
  mostLive: number;
  closed: number;
  refreshes: number;
  outages: number;
  /** Recorders that died with their process and went on. */
  crashes: number;
  faults: string[];
  /** Chunks that receipts covered, and of these, those that a listing lacked at the end. */
  acknowledged: number;
  lost: number;
  /** Objects read back whole and held against their recorder's signature; and what was not as it should be. */
  objects: number;
  found: Record<string, number>;
  opened: number;
  calls: Record<string, { count: number; p50Ms: number; p99Ms: number }>;
  failures: number;
  /** Of the server's process: MiB after the ramp and at the end, and the straight line through all samples between. */
  memory: { firstMiB: number; lastMiB: number; peakMiB: number; slopeMiBPerMinute: number; samples: number };
  load: { least: number; most: number };
  /** From the word to end until the last recorder had closed. */
  drainSeconds: number;
}

const SAMPLE_MS = 2000;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function residentMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
}

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const folder = mkdtempSync(join(tmpdir(), 'zeroreel-soak-'));
  const program = await bundle('src/node.ts');
  const workerProgram = await bundle('test/bench/soak-worker.ts');
  const { environment, open } = await makeStore(folder);
  const server = spawn(process.execPath, [program.path], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const crowd: Crowd[] = [];
  try {
    const url = await serving(server);
    const token = readFileSync(environment['ZEROREEL_ADMIN_TOKEN_FILE']!, 'utf8').trim();
    const api = new Api({ url, token });
    const { links, pins, key } = await makeExam(api, options);
    options.say(`${options.recorders} recorders in ${options.workers} processes; ${formatMachine(describeMachine())}`);

    const samples: { atMs: number; mib: number }[] = [];
    const loads: number[] = [];
    const beganMs = performance.now();
    const sampling = setInterval(() => {
      samples.push({ atMs: performance.now() - beganMs, mib: residentMiB(server.pid!) });
      loads.push(loadavg()[0]!);
    }, SAMPLE_MS);

    for (let index = 0; index < options.workers; index++) {
      const own = links.filter(([number]) => number % options.workers === index);
      const worker = new Crowd(workerProgram.path, planOf(own, join(folder, `outboxes-${index}`), options));
      crowd.push(worker);
      worker.start();
    }
    const end = beganMs + options.seconds * 1000;
    // One process after the other, spread over the time between the ramp and the last fifth.
    const deaths = Array.from({ length: options.kills }, (_, kill) => {
      const share = (kill + 1) / (options.kills + 1);
      const seconds = options.rampSeconds + share * 0.8 * (options.seconds - options.rampSeconds);
      return { worker: crowd[kill % crowd.length]!, atMs: beganMs + 1000 * seconds };
    });
    let mostLive = 0;
    let told = 0;
    while (performance.now() < end) {
      await pause(250);
      for (const death of deaths.filter(({ atMs }) => atMs < performance.now())) {
        deaths.splice(deaths.indexOf(death), 1);
        await death.worker.kill();
        death.worker.start();
      }
      const live = sum(crowd, ({ counts }) => counts.live);
      mostLive = Math.max(mostLive, live);
      const seconds = Math.floor((performance.now() - beganMs) / 1000);
      if (seconds >= told + 30) {
        told = seconds;
        options.say(
          `${seconds} s: ${live} recording, ${acknowledgedOf(crowd)} chunks acknowledged, server ${Math.round(samples.at(-1)?.mib ?? 0)} MiB, load ${round(loads.at(-1) ?? 0)}`,
        );
      }
    }
    const endingMs = performance.now();
    for (const worker of crowd) worker.end();
    await Promise.all(crowd.map((worker) => worker.ended));
    const drainSeconds = (performance.now() - endingMs) / 1000;
    clearInterval(sampling);

    options.say(`all ended after ${Math.round(drainSeconds)} s more; listing, and reading everything back`);
    const listed = await listEverything(open());
    let acknowledged = 0;
    let lost = 0;
    const ids = new Set<string>();
    for (const worker of crowd) {
      for (const [place, chunks] of worker.acknowledged) {
        acknowledged += chunks;
        lost += Math.max(0, chunks - (listed.get(place) ?? 0));
        ids.add(place.split('/')[0]!);
      }
    }
    const walked = await api.scrub({ depth: 'whole' }, () => undefined);
    if (walked.state === 'busy') throw new Error('expected the walk of the bucket to run');
    const opened = await openSome([...ids], api, key, pins, options.opened);
    const steady = samples.filter(({ atMs }) => atMs > options.rampSeconds * 1000 && atMs < options.seconds * 1000);
    return {
      ...{ recorders: options.recorders, mostLive },
      ...{ closed: sum(crowd, ({ closed }) => closed), crashes: sum(crowd, ({ crashes }) => crashes) },
      refreshes: sum(crowd, ({ totals }) => totals.refreshes),
      outages: sum(crowd, ({ totals }) => totals.outages),
      faults: crowd.flatMap(({ faults }) => faults),
      ...{ acknowledged, lost, opened },
      objects: walked.objects,
      found: { ...walked.found, ...(walked.failed.length > 0 && { failed: walked.failed.length }) },
      calls: callsOf(crowd),
      failures: sum(crowd, ({ totals }) => totals.failures),
      memory: memoryOf(steady.length > 2 ? steady : samples),
      load: { least: Math.min(...loads), most: Math.max(...loads) },
      drainSeconds,
    };
  } finally {
    for (const worker of crowd) await worker.kill();
    const gone = server.exitCode === null ? once(server, 'exit') : undefined;
    server.kill('SIGTERM');
    await gone;
    program.remove();
    workerProgram.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function makeStore(folder: string) {
  const dataDir = join(folder, 'data');
  const store = gateway();
  const common = {
    ZEROREEL_DATA: dataDir,
    ZEROREEL_ADMIN_TOKEN_FILE: join(folder, 'admin.token'),
    ZEROREEL_PORT: String(await freePort()),
    ZEROREEL_BUCKET_PORT: String(await freePort()),
  };
  if (!store) {
    const endpoint = `http://127.0.0.1:${common.ZEROREEL_BUCKET_PORT}`;
    const open = () =>
      createS3Bucket({
        endpoint,
        region: 'us-east-1',
        credentials: openBucketCredentials(dataDir),
        bucket: 'zeroreel',
      });
    return { environment: common as Record<string, string>, open };
  }
  const bucket = `soak-${newId()
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '0')}`;
  const client = new S3Client({ ...store, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  const environment: Record<string, string> = {
    ...common,
    ZEROREEL_S3_ENDPOINT: store.endpoint,
    ZEROREEL_S3_REGION: store.region,
    ZEROREEL_S3_BUCKET: bucket,
    ZEROREEL_S3_ACCESS_KEY_ID: store.credentials.accessKeyId,
    ZEROREEL_S3_SECRET_ACCESS_KEY: store.credentials.secretAccessKey,
  };
  return { environment, open: () => createS3Bucket({ ...store, bucket }) };
}

async function serving(server: ChildProcess): Promise<string> {
  let said = '';
  return new Promise((resolve, reject) => {
    server.stderr!.on('data', (text: Buffer) => {
      said += text.toString();
      const url = /serving (http:\S+)/.exec(said)?.[1];
      if (url !== undefined) resolve(url);
    });
    server.once('exit', () => {
      reject(new Error(`the server did not start: ${said}`));
    });
  });
}

/** One exam with a ticket for each recorder; wraps are of the default suite. */
async function makeExam(api: Api, { recorders, chunkSeconds, headSeconds }: SoakOptions) {
  const owner = await generateIdentity();
  const key = await generateDecryptionKey(SUITE_HYBRID);
  const { log, now_ms: now } = await api.service();
  const notAfterMs = now + 86_400_000;
  const line: PublicKeyLine = {
    identity: owner.publicKey,
    suite: SUITE_HYBRID,
    publicKey: key.publicKey,
    label: 'reader',
  };
  const { bytes, pins } = await signExam(
    {
      title: 'Soak',
      recipients: [examRecipient('instructor', line)],
      tracks: [{ kind: 'webcam' }],
      notBeforeMs: now - 60_000,
      notAfterMs,
      log,
      capture: { chunk_seconds: chunkSeconds, head_seconds: headSeconds },
    },
    owner.signer,
  );
  await api.publishPolicy(bytes);
  const links: [number, string][] = [];
  for (let number = 0; number < recorders; number++) {
    const ticket = await issueTicket(
      { examId: pins.examId, seat: String(number), expiresMs: notAfterMs },
      owner.signer,
    );
    links.push([number, formatExamLink({ url: api.url, ...pins, ticket })]);
  }
  return { links, pins, key };
}

function planOf(links: [number, string][], folder: string, options: SoakOptions): WorkerPlan {
  mkdirSync(folder, { recursive: true });
  const { refreshes, outages, seconds, outageSeconds, rampSeconds, bytesPerSecond } = options;
  return {
    ...{ folder, links, bytesPerSecond },
    rampMs: rampSeconds * 1000,
    refreshes: refreshes / seconds,
    outages: outages / seconds,
    outageMs: outageSeconds * 1000,
  };
}

/** Some of the recorders, through the deaths of their process; what receipts told outlives them here. */
class Crowd {
  readonly #program: string;
  readonly #plan: WorkerPlan;
  #child: ChildProcess | undefined;
  #finish!: () => void;
  /** Chunks that a receipt covered, by recording and epoch. */
  readonly acknowledged = new Map<string, number>();
  readonly timings: Record<string, number[]> = {};
  readonly faults: string[] = [];
  /** Of the process that runs, and of all that did. */
  counts = { failures: 0, refreshes: 0, outages: 0, live: 0 };
  readonly #former = { failures: 0, refreshes: 0, outages: 0 };
  crashes = 0;
  closed = 0;
  readonly ended = new Promise<void>((resolve) => (this.#finish = resolve));

  constructor(program: string, plan: WorkerPlan) {
    this.#program = program;
    this.#plan = plan;
  }

  get totals() {
    const { failures, refreshes, outages } = this.counts;
    const former = this.#former;
    return {
      failures: failures + former.failures,
      refreshes: refreshes + former.refreshes,
      outages: outages + former.outages,
    };
  }

  start(): void {
    const child = fork(this.#program, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' });
    this.#child = child;
    child.on('message', (message: FromWorker) => {
      this.#hear(message);
    });
    child.send({ do: 'begin', plan: this.#plan } satisfies ToWorker);
  }

  end(): void {
    this.#child!.send({ do: 'end' } satisfies ToWorker);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    const { failures, refreshes, outages, live } = this.counts;
    this.crashes += live;
    this.#former.failures += failures;
    this.#former.refreshes += refreshes;
    this.#former.outages += outages;
    this.counts = { failures: 0, refreshes: 0, outages: 0, live: 0 };
  }

  #hear(message: FromWorker): void {
    if (message.is === 'acknowledged') {
      const place = `${message.recordingId}/${message.epoch}`;
      this.acknowledged.set(place, Math.max(message.chunks, this.acknowledged.get(place) ?? 0));
    } else if (message.is === 'timings') {
      const { is: _, timings, ...counts } = message;
      this.counts = counts;
      for (const [call, times] of Object.entries(timings)) (this.timings[call] ??= []).push(...times);
    } else if (message.is === 'fault') this.faults.push(`recorder ${message.number}: ${message.message}`);
    else if (message.is === 'ended') {
      this.closed = message.closed;
      this.#finish();
    }
  }
}

function sum(crowd: readonly Crowd[], of: (worker: Crowd) => number): number {
  return crowd.reduce((total, worker) => total + of(worker), 0);
}

function acknowledgedOf(crowd: readonly Crowd[]): number {
  return sum(crowd, ({ acknowledged }) => [...acknowledged.values()].reduce((total, chunks) => total + chunks, 0));
}

/** Objects by recording and epoch, of each track only those without a gap before them. */
async function listEverything(bucket: ReturnType<typeof createS3Bucket>): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  let before = '';
  let next = 0;
  for await (const { key } of bucket.list('')) {
    const name = parseObjectKey(key);
    if (!name) continue;
    const track = `${name.recordingId}/${name.epoch}/${name.track}`;
    if (track !== before) [before, next] = [track, 0];
    if (name.seq !== next) continue;
    next++;
    const place = `${name.recordingId}/${name.epoch}`;
    counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  return counts;
}

/** Opens some recordings with the reader's key: COMPLETE, and byte for byte what was recorded. */
async function openSome(
  ids: readonly string[],
  api: Api,
  key: Awaited<ReturnType<typeof generateDecryptionKey>>,
  pins: Awaited<ReturnType<typeof makeExam>>['pins'],
  most: number,
): Promise<number> {
  let opened = 0;
  for (const recordingId of ids.slice(0, most)) {
    const source = new ApiSource({ api, recordingId, keyIdB64: toBase64Url(key.keyId), purpose: 'review' });
    const reader = await RecordingReader.open({ source, pins, key, nowMs: Date.now() });
    for (const { epoch } of reader.epochs) {
      let at = 0;
      for await (const { bytes } of reader.readTrack(epoch, 1)) {
        if (!isKnown(bytes, epoch, 1, at)) throw new Error(`recording ${recordingId} is not what was recorded`);
        at += bytes.length;
      }
    }
    const { verdict, reasons } = await reader.verify('plaintext');
    if (verdict !== 'COMPLETE') throw new Error(`recording ${recordingId} is ${verdict}: ${reasons.join('; ')}`);
    opened++;
  }
  return opened;
}

function callsOf(crowd: readonly Crowd[]): SoakResult['calls'] {
  const all = new Map<string, number[]>();
  for (const { timings } of crowd)
    for (const [call, times] of Object.entries(timings)) all.set(call, [...(all.get(call) ?? []), ...times]);
  return Object.fromEntries(
    [...all].sort().map(([call, times]) => {
      const sorted = Float64Array.from(times).sort();
      const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
      return [call, { count: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) }];
    }),
  );
}

/** Least squares over the samples. */
function memoryOf(samples: readonly { atMs: number; mib: number }[]): SoakResult['memory'] {
  const count = samples.length;
  const meanX = samples.reduce((total, { atMs }) => total + atMs, 0) / count;
  const meanY = samples.reduce((total, { mib }) => total + mib, 0) / count;
  const over = samples.reduce((total, { atMs, mib }) => total + (atMs - meanX) * (mib - meanY), 0);
  const under = samples.reduce((total, { atMs }) => total + (atMs - meanX) ** 2, 0);
  return {
    firstMiB: samples[0]!.mib,
    lastMiB: samples.at(-1)!.mib,
    peakMiB: Math.max(...samples.map(({ mib }) => mib)),
    slopeMiBPerMinute: under === 0 ? 0 : (over / under) * 60_000,
    samples: count,
  };
}

function tell(result: SoakResult): void {
  const { memory, load, calls, found, faults } = result;
  const lines = [
    `recorders          ${result.recorders}, up to ${result.mostLive} at once, ${result.closed} closed; ${result.refreshes} refreshes, ${result.outages} outages, ${result.crashes} crashes`,
    `acknowledged       ${result.acknowledged} chunks, lost ${result.lost}`,
    `read back          ${result.objects} objects; not as signed or not expected: ${JSON.stringify(found)}; opened and compared: ${result.opened}`,
    `server's memory    ${round(memory.firstMiB)} MiB after the ramp, ${round(memory.lastMiB)} at the end, at most ${round(memory.peakMiB)}; slope ${round(memory.slopeMiBPerMinute)} MiB a minute over ${memory.samples} samples`,
    `the machine's load ${round(load.least)} to ${round(load.most)}; the last recorder closed ${Math.round(result.drainSeconds)} s after the end`,
    `calls that failed  ${result.failures} (and were made again)`,
    ...Object.entries(calls).map(
      ([call, { count, p50Ms, p99Ms }]) =>
        `  ${call.padEnd(18)} ${String(count).padStart(7)}  p50 ${round(p50Ms)} ms  p99 ${round(p99Ms)} ms`,
    ),
    ...faults.slice(0, 20).map((fault) => `FAULT ${fault}`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      recorders: { type: 'string', default: '2000' },
      minutes: { type: 'string', default: '10' },
      workers: { type: 'string', default: '8' },
      'chunk-seconds': { type: 'string', default: '60' },
      'head-seconds': { type: 'string', default: '30' },
    },
  });
  const seconds = Number(values.minutes) * 60;
  const result = await soak({
    recorders: Number(values.recorders),
    seconds,
    workers: Number(values.workers),
    chunkSeconds: Number(values['chunk-seconds']),
    headSeconds: Number(values['head-seconds']),
    bytesPerSecond: 100,
    rampSeconds: seconds / 5,
    ...{ refreshes: 0.5, outages: 1, outageSeconds: 40, kills: 4, opened: 100 },
    say: (line) => process.stderr.write(`${line}\n`),
  });
  tell(result);
  process.exitCode = result.lost === 0 && Object.keys(result.found).length === 0 && result.faults.length === 0 ? 0 : 1;
}
