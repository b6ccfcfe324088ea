import { sqlStore } from '../../src/server/adapters/sql-store.ts';
import { CLOCK_SKEW_MS } from '../../src/server/core/retention.ts';
import type { Signer, Store } from '../../src/server/ports.ts';
import { vkeyOf } from '../../src/server/signing.ts';
import { toBase64Url, utf8 } from '../../crypto/format/bytes.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import { MemoryDriver } from './memory-driver.ts';
import { standInSigner, useNativeCrypto } from './native-crypto.ts';
import { type Broken, Oracle } from './oracle.ts';
import { erase, read, record, type World } from './people.ts';
import { usePlainResponses } from './plain-http.ts';
import { Random } from './random.ts';
import { type Counts, noCounts } from './situations.ts';
import { CALM, type Job, SimulatedServer, type Trouble } from './server.ts';
import { SimulatedBucket, SimulatedVault, type Treachery } from './stores.ts';
import { type Library, makeLibrary, policyBody, type Tape } from './tape.ts';
import { Timeline } from './timeline.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** The recordings are sealed as of here: histories of 30 days cross a leap day. */
const START_MS = Date.UTC(2028, 1, 10, 8);
/** And those that begin so much later meet it with their first deadlines. */
const BEFORE_LEAP_DAY_MS = 18 * DAY_MS;
const STAFF_TOKEN = 'zra_simulated-administrator';

/** What one seed did, and the promise that it broke, if any. */
export interface Outcome {
  seed: number;
  broken: Broken | undefined;
  simulatedMs: number;
  steps: number;
  counts: Counts;
  /** Violations and exceptions of the audit are judged by the oracle; this is for whoever wants to see them. */
  findings: string[];
}

/** Plays histories one after another; making it seals the recordings that they play. */
export class Simulator {
  readonly #library: Library;
  readonly #signer: Signer;
  readonly #driver = new MemoryDriver();
  readonly #store: Store;
  readonly #staffTokenHash: string;

  private constructor(library: Library, signer: Signer, staffTokenHash: string) {
    this.#library = library;
    this.#signer = signer;
    this.#store = sqlStore(this.#driver);
    this.#staffTokenHash = staffTokenHash;
  }

  /** `tapesEach`: how many different recordings of each kind there are to choose from. */
  static async create(tapesEach = 12): Promise<Simulator> {
    const signer = standInSigner('simulation.invalid/log');
    const library = await makeLibrary({ origin: signer.origin, vkey: vkeyOf(signer) }, START_MS, 60, tapesEach);
    return new Simulator(library, signer, toBase64Url(await sha256(utf8(STAFF_TOKEN))));
  }

  async play(seed: number): Promise<Outcome> {
    const random = new Random(seed);
    const restore = [useNativeCrypto(new Random(seed ^ 0x5eed)), usePlainResponses()];
    try {
      return await this.#play(seed, random);
    } finally {
      for (const back of restore) back();
    }
  }

  async #play(seed: number, random: Random): Promise<Outcome> {
    this.#driver.reset();
    const counts = noCounts();
    const beginMs = START_MS + random.pick([0, BEFORE_LEAP_DAY_MS]);
    const timeline = new Timeline(beginMs);
    const oracle = new Oracle(timeline, this.#driver, counts);
    const bucket = new SimulatedBucket(timeline, random, treacheryOf(random), oracle, counts);
    const vault = new SimulatedVault(oracle);
    oracle.watch(bucket, vault);
    const ports = { store: this.#store, vault, bucket, signer: this.#signer };
    const trouble = troubleOf(random);
    const isHealthy = trouble.fails + trouble.dies + bucket.treachery.refusesDelete + bucket.treachery.lies === 0;
    // At the bounds more often than chance would have it. A server far behind signs URLs that are dead, so not too often.
    const within = () => random.between(-CLOCK_SKEW_MS, CLOCK_SKEW_MS);
    const skew = () => random.pick([0, 0, 0, within(), within(), within(), CLOCK_SKEW_MS, -CLOCK_SKEW_MS]);
    const servers = Array.from(
      { length: random.pick([1, 2, 2]) },
      () => new SimulatedServer(timeline, random, ports, skew(), counts),
    );
    if (servers.length === 2) counts.pairs++;
    for (const { clockOffsetMs } of servers) {
      if (clockOffsetMs === CLOCK_SKEW_MS) counts.ahead++;
      if (clockOffsetMs === -CLOCK_SKEW_MS) counts.behind++;
    }
    const world: World = { timeline, random, oracle, servers, bucket, counts, staffToken: STAFF_TOKEN };
    const isOver = () => oracle.broken !== undefined;

    const exam = random.pick(this.#library.exams);
    await this.#prepare(servers[0]!, exam);
    const tapes = shuffled(
      random,
      this.#library.tapes.filter((tape) => tape.exam === exam),
    ).slice(0, random.pick([1, 1, 1, 2, 2, 3, 4]));
    for (const server of servers) server.trouble = trouble;

    const done: Promise<void>[] = [];
    const lastStart = plan(world, tapes, exam.policy.practice || exam.policy.retention_days === 1, done);
    const retention = exam.policy.practice ? DAY_MS : exam.policy.retention_days * DAY_MS;
    const horizon = lastStart + retention + 30 * HOUR_MS;
    for (const server of servers) {
      keepCron(world, server, lastStart + 2 * DAY_MS, horizon, isOver);
      if (random.chance(0.5)) stepClock(world, server, random.between(beginMs, horizon), skew);
    }
    timeline.at(horizon, () => {
      bucket.treachery = { ...bucket.treachery, refusesDelete: 0, lies: 0 };
      for (const server of servers) server.trouble = CALM;
    });
    await timeline.run(horizon + 2 * HOUR_MS, isOver);
    await calmDown(world, isOver);

    counts.races = this.#driver.races;
    const report = oracle.broken
      ? undefined
      : await oracle.finish(this.#signer, isHealthy ? HOUR_MS + CLOCK_SKEW_MS : 60 * DAY_MS);
    return {
      seed,
      broken: oracle.broken,
      simulatedMs: timeline.now - beginMs,
      steps: timeline.steps,
      counts,
      findings: report?.findings.map(({ code, message }) => `${code}: ${message}`) ?? [],
    };
  }

  async #prepare(server: SimulatedServer, exam: Library['exams'][number]): Promise<void> {
    await this.#store.addToken({
      tokenHash: this.#staffTokenHash,
      prefix: 'zra_simulate',
      role: 'admin',
      label: 'simulated',
      createdMs: START_MS,
      expiresMs: START_MS + 1000 * DAY_MS,
      revokedMs: null,
      examIds: null,
      lastUsedMs: null,
    });
    const answer = await server.fetch('POST', '/exams', STAFF_TOKEN, policyBody(exam));
    if (answer.status !== 201) throw new Error(`expected 201 for the policy, found ${answer.status}`);
  }
}

function treacheryOf(random: Random): Treachery {
  const isHonest = random.chance(0.5);
  return {
    isVersioned: random.chance(0.4),
    // The servers' clocks are off by up to the skew that is allowed against the store's; so the store's is the true time.
    clockOffsetMs: 0,
    refusesDelete: isHonest ? 0 : random.pick([0, 0.1, 0.5]),
    lies: isHonest ? 0 : random.pick([0, 0.1, 0.5]),
  };
}

function troubleOf(random: Random): Trouble {
  return {
    fails: random.pick([0, 0, 0.005, 0.03, 0.1]),
    dies: random.pick([0, 0, 0.002, 0.01]),
    waits: random.pick([0.02, 0.1, 0.4]),
    longestWaitMs: random.pick([100, 10_000, 2 * MINUTE_MS]),
  };
}

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  return items
    .map((item) => [random.next(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}

/** Who does what when; answers when the last recording begins. */
function plan(world: World, tapes: readonly Tape[], isShort: boolean, done: Promise<void>[]): number {
  const { timeline, random, bucket, oracle } = world;
  const { now } = timeline;
  let last = now;
  for (const tape of tapes) {
    const start = now + random.between(0, isShort ? 30 * HOUR_MS : 3 * DAY_MS);
    last = Math.max(last, start);
    timeline.at(start, () => done.push(record(world, tape)));
    if (random.chance(0.3)) {
      timeline.at(start + random.magnitude(MINUTE_MS, 3 * DAY_MS), () => done.push(erase(world, tape)));
    }
    for (let i = random.between(0, 4); i > 0; i--) {
      timeline.at(start + random.magnitude(MINUTE_MS, 31 * DAY_MS), () => done.push(read(world, tape)));
    }
    if (random.chance(0.1)) {
      timeline.at(start + random.magnitude(MINUTE_MS, HOUR_MS), () => {
        // Nobody can begin one below a recording that does not exist: the prefix is the server's to sign.
        if (oracle.isAlive(tape.recordingId)) bucket.leaveMultipart(`${tape.recordingId}/0000/00001/0000000099`);
      });
    }
    const retention = tape.exam.policy.practice ? DAY_MS : tape.exam.policy.retention_days * DAY_MS;
    // Around delete_by everybody wants something, and what is kept is looked at.
    for (const offset of [-HOUR_MS, -MINUTE_MS, 1000, 11 * MINUTE_MS]) {
      timeline.at(start + retention + offset, () => {
        oracle.requireAllReadable();
        if (random.chance(0.6)) done.push(read(world, tape));
      });
    }
  }
  return last;
}

/** Cron, every few minutes around deadlines and seldom while nothing is due; sometimes it fires twice. */
function keepCron(
  world: World,
  server: SimulatedServer,
  busyUntil: number,
  horizon: number,
  isOver: () => boolean,
): void {
  const { timeline, random, oracle } = world;
  const tick = () => {
    if (isOver()) return;
    const isDouble = random.chance(0.1);
    void runJobs(world, server);
    if (isDouble) {
      world.counts.doubles++;
      void server.run('purge');
    }
    oracle.requireAllReadable();
    const { now } = timeline;
    const soon = Math.min(...oracle.deadlines().map((deadline) => Math.abs(deadline - now)));
    const isBusy = now < busyUntil || oracle.isDeleting();
    const pause = isBusy ? random.between(6 * HOUR_MS, 20 * HOUR_MS) : random.between(DAY_MS, 6 * DAY_MS);
    const next = soon < 12 * MINUTE_MS ? random.between(4, 12) * MINUTE_MS : pause;
    // Never past the next deadline: cron comes every minute, and those minutes are only skipped while nothing happens.
    const deadline = Math.min(...oracle.deadlines().filter((one) => one - 11 * MINUTE_MS > now), Infinity);
    const at = Math.min(now + next, deadline - 10 * MINUTE_MS);
    if (at < horizon) timeline.at(Math.max(at, now + MINUTE_MS), tick);
  };
  timeline.at(timeline.now + random.between(0, HOUR_MS), tick);
}

async function runJobs({ random }: World, server: SimulatedServer): Promise<void> {
  if (random.chance(0.3)) await server.run('abandon');
  await server.run('purge');
  if (random.chance(0.15)) await server.run('sweep');
  if (random.chance(0.15)) await server.run('heartbeat');
  if (random.chance(0.2)) await server.run('publish');
}

/** A clock that steps, forward or back, within what the design allows. */
function stepClock({ timeline, counts }: World, server: SimulatedServer, at: number, skew: () => number): void {
  timeline.at(at, () => {
    const before = server.clockOffsetMs;
    server.clockOffsetMs = skew();
    if (server.clockOffsetMs < before) counts.back++;
    if (server.clockOffsetMs > before) counts.forward++;
  });
}

/** Nothing fails any more: one server's cron has a few more days, in which everything must find its end. */
async function calmDown({ timeline, servers: [server], oracle }: World, isOver: () => boolean): Promise<void> {
  const jobs = (...names: Job[]) =>
    drive(
      timeline,
      names.map((name) => () => server!.run(name)),
      isOver,
    );
  for (const pauseMs of [2 * MINUTE_MS, 2 * MINUTE_MS, 3 * HOUR_MS, 13 * HOUR_MS, 13 * HOUR_MS]) {
    await jobs('abandon', 'purge');
    if (isOver() || oracle.isAllVerified()) break;
    await timeline.run(timeline.now + pauseMs, isOver);
  }
  await jobs('abandon', 'purge', 'sweep', 'heartbeat', 'publish');
}

/** Lets time pass until all `work` is done, one after the other. */
async function drive(timeline: Timeline, work: readonly (() => Promise<void>)[], isOver: () => boolean): Promise<void> {
  for (const start of work) {
    const job = { isDone: false };
    const finished = start().finally(() => {
      job.isDone = true;
    });
    await timeline.run(timeline.now + HOUR_MS, () => job.isDone || isOver());
    if (isOver()) return;
    if (!job.isDone) throw new Error('a job does not end');
    await finished;
  }
}
