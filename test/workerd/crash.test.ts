/** The life of `test/crash` in workerd: an invocation dies, or a port fails, at some await; the next request finds everything in order. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { vkeyOf } from '../../src/server/signing.ts';
import { type Job, live, type Living, type Script, writeScript } from '../crash/life.ts';
import { Site } from '../crash/machine.ts';
import { makeExam, makeReader } from '../server/recorder.ts';
import { type Isolate, type RunningWorker, startWorker, toldBy } from './running.ts';
import { type Appointment, HEADERS } from './strings.ts';

/** Lives, each with its end at another call; the calls are spread over the whole of it. */
const LIVES = Number(process.env['LIVES'] ?? 6);
/** Each life has an isolate and a database of its own. */
const STARTING_MS = 180_000 + LIVES * 10_000;

let site: Site;
let deployment: RunningWorker;
let script: Script;
let beginMs: number;

beforeAll(async () => {
  site = await Site.open();
  // The bucket's answers carry the world's date, and a bucket of another time is found unfit.
  beginMs = site.clock.nowMs = Date.now();
  const { endpoint, credentials, name } = site.address;
  deployment = await startWorker({
    clock: site.clock,
    bucket: { endpoint, credentials, name, isMoved: true },
    logOrigin: 'crash.invalid/log',
    isolates: LIVES + 1,
    areApart: true,
  });
  const { signer } = deployment.ports;
  const log = { origin: signer.origin, vkey: vkeyOf(signer) };
  script = await writeScript(await makeExam({ now: beginMs, log, readers: [await makeReader(1)] }), beginMs);
}, STARTING_MS);
afterAll(async () => {
  await deployment.close();
  await site.close();
});

class Interrupted extends Error {}

/** The Worker as a client sees it: a call that failed is made again. */
class WorkerMachine implements Living {
  readonly #isolate: Isolate;
  readonly #appointment: Appointment;
  readonly inside: Living['inside'];
  /** Calls of ports until now. */
  calls = 0;
  struckAt: string | undefined;
  onRestart: () => Promise<void> = () => Promise.resolve();

  constructor(isolate: Isolate, appointment: Appointment) {
    this.#isolate = isolate;
    this.#appointment = appointment;
    this.inside = isolate.inside;
  }

  async insist<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof Interrupted)) throw error;
        await this.onRestart();
      }
    }
  }

  run({ name }: Job): Promise<unknown> {
    return this.#ask('POST', `/test/jobs/${name}`);
  }

  fetch(method: string, path: string, token: string, body?: unknown): Promise<{ status: number; json: unknown }> {
    return this.#ask(method, `/v1${path}`, token, body);
  }

  async #ask(method: string, path: string, token = '', body?: unknown): Promise<{ status: number; json: unknown }> {
    const { at, ...how } = this.#appointment;
    const isAhead = this.struckAt === undefined && at >= this.calls;
    const response = await this.#isolate.send(method, path, {
      ...(token !== '' && { token }),
      ...(body !== undefined && { body }),
      ...(isAhead && { appointment: { at: at - this.calls, ...how } }),
    });
    const text = await response.text();
    const { reported, calls } = toldBy(response.headers);
    const kept = reported.find(({ name }) => name === 'Appointed');
    // An invocation that died has told nothing; what was reported by it comes with the next answer.
    if (kept) this.struckAt = kept.message;
    if (isAhead && (kept !== undefined || !response.headers.has(HEADERS.calls))) this.struckAt ??= `call ${at}`;
    this.calls += calls;
    const isOurs = this.struckAt !== undefined && isAhead;
    if (isOurs && response.status >= 500) throw new Interrupted(text);
    return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
  }
}

test(
  `in workerd: survives ${LIVES} ends of an invocation, and as many failures of a port, wherever they come`,
  {
    timeout: 240_000 + LIVES * 30_000,
  },
  async () => {
    const lifeWith = async (index: number, appointment: Appointment) => {
      site.clock.nowMs = beginMs;
      const machine = new WorkerMachine(deployment.isolates[index]!, appointment);
      const { signer } = deployment.ports;
      await live({ clock: site.clock, signer, bucket: site.bucket }, machine, script);
      return machine;
    };
    const { calls } = await lifeWith(LIVES, { at: -1, end: 'dies', isDone: false });
    expect(calls).toBeGreaterThan(150);
    const ends: string[] = [];
    for (let index = 0; index < LIVES; index++) {
      const at = Math.floor(((index + 0.5) * calls) / LIVES);
      const { struckAt } = await lifeWith(index, {
        at,
        end: index % 3 === 2 ? 'fails' : 'dies',
        isDone: index % 2 === 1,
      });
      if (struckAt !== undefined) ends.push(struckAt);
    }
    process.stderr.write(`workerd: ${ends.length} of ${LIVES} ends survived: ${ends.join(', ')}\n`);
    expect(ends.length).toBeGreaterThan(LIVES / 2);
  },
);
