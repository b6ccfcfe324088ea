import { createApp } from '../../src/server/app.ts';
import { abandon } from '../../src/server/jobs/abandon.ts';
import { heartbeat } from '../../src/server/jobs/heartbeat.ts';
import { publish } from '../../src/server/jobs/publish.ts';
import { purge } from '../../src/server/jobs/purge.ts';
import { sweep } from '../../src/server/jobs/sweep.ts';
import { BucketError, type Ports } from '../../src/server/ports.ts';
import { StoreError } from '../../src/server/store.ts';
import { type Door, type Gate, throughGate } from './gate.ts';
import { plainAnswer, plainRequest } from './plain-http.ts';
import type { Random } from './random.ts';
import type { Counts } from './situations.ts';
import type { Timeline } from './timeline.ts';

const JOBS = { abandon, heartbeat, publish, purge, sweep };
export type Job = keyof typeof JOBS;

/** What goes wrong between a server and its ports, and with itself; probabilities are per call. */
export interface Trouble {
  /** A port fails: half of the time before, half of the time after it did what was asked. */
  fails: number;
  /** The process dies: before or after the call. */
  dies: number;
  /** A call takes its time; the others are answered at once. */
  waits: number;
  /** Longest wait, ms. */
  longestWaitMs: number;
}

export const CALM: Trouble = { fails: 0, dies: 0, waits: 0, longestWaitMs: 1 };

/** A call of a process that has died is never answered. */
const NEVER = new Promise<never>(() => undefined);

/** What a client sees of a server that is down, that dies, or whose answer is lost. */
export class ConnectionLost extends Error {}

/** One process of the real application over simulated ports, with a clock of its own. It can die at every await and is started again. */
export class SimulatedServer {
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #ports: Omit<Ports, 'clock'>;
  readonly #counts: Counts;
  #trouble: Trouble = CALM;
  /** Ms ahead of true time. */
  clockOffsetMs: number;
  #life = 0;
  /** None while the process is down. */
  #gated: Ports | undefined;
  #app: ReturnType<typeof createApp> | undefined;
  #waiting = new Set<(lost: ConnectionLost) => void>();

  constructor(timeline: Timeline, random: Random, ports: Omit<Ports, 'clock'>, clockOffsetMs: number, counts: Counts) {
    this.#timeline = timeline;
    this.#random = random;
    this.#ports = ports;
    this.clockOffsetMs = clockOffsetMs;
    this.#counts = counts;
    this.#start();
  }

  set trouble(trouble: Trouble) {
    this.#trouble = trouble;
    if (!this.#gated) this.#start();
  }

  now(): number {
    return this.#timeline.now + this.clockOffsetMs;
  }

  #start(): void {
    const life = ++this.#life;
    const ports = { ...this.#ports, clock: { now: () => this.now() } };
    this.#gated = throughGate(ports, this.#gate(life), 3);
    this.#app = undefined;
  }

  #die(): void {
    this.#life++;
    this.#gated = undefined;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const lose of waiting) lose(new ConnectionLost('the server died'));
    const downMs = this.#random.magnitude(1_000, 6 * 3_600_000);
    this.#timeline.at(this.#timeline.now + downMs, () => {
      if (this.#gated) return;
      this.#counts.restarts++;
      this.#start();
    });
  }

  #gate(life: number): Gate {
    const isDead = () => life !== this.#life;
    return async (door, call, perform) => {
      if (isDead()) return NEVER;
      const { fails, dies, waits } = this.#trouble;
      await this.#wait(waits);
      if (isDead()) return NEVER;
      if (this.#random.chance(dies)) {
        const isDone = this.#random.chance(0.5);
        if (isDone) await perform();
        if (isDead()) return NEVER;
        this.#counts[isDone ? 'lateDeaths' : 'deaths']++;
        this.#die();
        return NEVER;
      }
      const fate = this.#random.next();
      if (fate < fails / 2) {
        this.#counts.failed++;
        throw failureOf(door, call);
      }
      const answer = await perform();
      if (fate < fails) {
        this.#counts.unanswered++;
        throw failureOf(door, call);
      }
      await this.#wait(waits);
      return isDead() ? NEVER : answer;
    };
  }

  async #wait(probability: number): Promise<void> {
    if (this.#random.chance(probability)) {
      await this.#timeline.sleep(this.#random.magnitude(1, this.#trouble.longestWaitMs));
    }
  }

  #whileAlive<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      work.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
  }

  /** Rejects with `ConnectionLost` where the server is down, dies meanwhile, or its answer gets lost on the way. */
  async fetch(method: string, path: string, token: string, body?: unknown): Promise<{ status: number; json: unknown }> {
    if (!this.#gated) throw new ConnectionLost('the server is down');
    if (this.#random.chance(this.#trouble.fails / 2)) {
      this.#counts.lostRequests++;
      throw new ConnectionLost('the request was lost');
    }
    // Made when it is first asked: its routes take as long to build as ten requests to answer.
    this.#app ??= createApp(this.#gated);
    const response = this.#app.fetch(plainRequest(method, path, token, body));
    const answer = plainAnswer(await this.#whileAlive(Promise.resolve(response)));
    if (this.#random.chance(this.#trouble.fails / 2)) {
      this.#counts.lostAnswers++;
      throw new ConnectionLost('the answer was lost');
    }
    return answer;
  }

  /** Runs a job as cron does: what it throws is reported and the next run comes. */
  async run(job: Job): Promise<void> {
    if (!this.#gated) return;
    try {
      await this.#whileAlive(Promise.resolve(JOBS[job](this.#gated)));
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
  }
}

function failureOf(door: Door, call: string): Error {
  return door === 'bucket'
    ? new BucketError('unavailable', `simulated failure of ${call}`)
    : new StoreError('unavailable', `simulated failure of ${call}`);
}

/** Failures of ports and the server's own refusal to go on; anything else that a job throws is a fault of the program. */
function isExpected(error: unknown): boolean {
  return (
    error instanceof BucketError ||
    error instanceof StoreError ||
    error instanceof ConnectionLost ||
    (error instanceof Error && /lease .* was lost|could not be ended|keeps changing/.test(error.message))
  );
}
