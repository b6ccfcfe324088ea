/**
 * Some of a soak's recorders, in a process that is killed as a machine would be. Real ones: the SDK's own recorder, its outbox in a
 * folder, real calls and uploads. Told by its parent what to do, it tells what receipts have acknowledged and how long calls took.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { equal, fromBase64Url } from '../../crypto/format/bytes.ts';
import { headHash, parseHead } from '../../crypto/format/head.ts';
import { parseReceipt } from '../../crypto/format/receipt.ts';
import { Api } from '../../src/client/api.ts';
import { sleep, systemEnvironment, type Environment } from '../../src/client/environment.ts';
import { ApiError } from '../../src/client/errors.ts';
import { parseExamLink } from '../../src/client/link.ts';
import { openFolderOutbox } from '../../src/client/outbox-node.ts';
import type { Outbox } from '../../src/client/outbox.ts';
import { Recorder } from '../../src/client/recorder.ts';
import { knownStream } from '../client/known-media.ts';

export interface WorkerPlan {
  folder: string;
  /** Link with its ticket, by the recorder's number. */
  links: [number: number, link: string][];
  /** Recorders begin spread over this. */
  rampMs: number;
  /** Bytes of media that each recorder is given every second. */
  bytesPerSecond: number;
  /** Chances per recorder and second of being refreshed, and of losing the network. */
  refreshes: number;
  outages: number;
  outageMs: number;
}

export type ToWorker = { do: 'begin'; plan: WorkerPlan } | { do: 'end' };

/** Milliseconds by call. */
export type Timings = Record<string, number[]>;

export type FromWorker =
  | { is: 'begun' }
  /** A receipt whose head counts so many chunks of the newest epoch's tracks, all of them in the bucket. */
  | { is: 'acknowledged'; number: number; recordingId: string; epoch: number; chunks: number }
  | { is: 'timings'; timings: Timings; failures: number; refreshes: number; outages: number; live: number }
  | { is: 'ended'; closed: number }
  | { is: 'fault'; number: number; message: string };

const TRACK = { track: 1, kind: 1, codec: 'video/webm' } as const;
const say = (message: FromWorker): void => {
  process.send!(message);
};

let timings: Timings = {};
const counts = { failures: 0, refreshes: 0, outages: 0, live: 0 };
let isEnding = false;
let closed = 0;

class Seat {
  readonly #number: number;
  readonly #plan: WorkerPlan;
  readonly #link: ReturnType<typeof parseExamLink>;
  readonly #api: Api;
  #outbox: Outbox | undefined;
  #recorder: Recorder | undefined;
  #isOffline = false;
  #at = 0;

  constructor(number: number, link: string, plan: WorkerPlan) {
    this.#number = number;
    this.#plan = plan;
    this.#link = parseExamLink(link);
    const environment: Environment = { ...systemEnvironment, fetch: (input, init) => this.#fetch(input, init) };
    this.#api = new Api({ url: this.#link.url, environment });
  }

  /** Records until the end, through refreshes and outages, and closes. */
  async live(delayMs: number): Promise<void> {
    await sleep(delayMs);
    await this.#begin();
    counts.live++;
    while (!isEnding) {
      await sleep(1000);
      const bytes = knownStream(this.#recorder!.epoch, TRACK.track, this.#at, this.#plan.bytesPerSecond);
      await this.#recorder!.track(TRACK.track).write(bytes);
      this.#at += bytes.length;
      if (Math.random() < this.#plan.outages) void this.#loseNetwork();
      if (Math.random() < this.#plan.refreshes) await this.#refresh();
    }
    this.#isOffline = false;
    await this.#recorder!.close(1);
    await this.#outbox!.close();
    closed++;
  }

  /** Until it is let in: an exam begins while much else does. */
  async #begin(): Promise<void> {
    this.#outbox ??= await openFolderOutbox({ directory: join(this.#plan.folder, String(this.#number)) });
    for (;;) {
      const standing = await this.#outbox.session();
      const options = { api: this.#api, link: this.#link, outbox: this.#outbox, tracks: [TRACK] };
      try {
        const isNew = !standing || standing.epochs.length === 0;
        this.#recorder = await (isNew ? Recorder.open(options) : Recorder.resume(options));
        this.#at = 0;
        return;
      } catch (error) {
        if (error instanceof ApiError && error.status < 500 && error.status !== 429) throw error;
        counts.failures++;
        await sleep(1000 + Math.random() * 4000);
      }
    }
  }

  async #loseNetwork(): Promise<void> {
    if (this.#isOffline) return;
    counts.outages++;
    this.#isOffline = true;
    await sleep(this.#plan.outageMs * (0.5 + Math.random()));
    this.#isOffline = false;
  }

  /** The page is loaded again: what is gathered is durable, everything else begins anew. */
  async #refresh(): Promise<void> {
    counts.refreshes++;
    await this.#recorder!.suspend();
    await this.#outbox!.close();
    this.#outbox = undefined;
    await this.#begin();
  }

  async #fetch(input: Parameters<typeof fetch>[0], init?: RequestInit): Promise<Response> {
    if (this.#isOffline) throw new TypeError('no network');
    const url = new URL(input instanceof Request ? input.url : input);
    const began = performance.now();
    try {
      const response = await fetch(input, init);
      const body = await response.arrayBuffer();
      const call = nameOf(init?.method ?? 'GET', url);
      (timings[call] ??= []).push(performance.now() - began);
      if (response.status === 200) await this.#note(init?.body, body);
      return new Response(body.byteLength === 0 ? null : body, { status: response.status, headers: response.headers });
    } catch (error) {
      counts.failures++;
      throw error;
    }
  }

  /** What the server acknowledged: from its receipt and the head that it countersigns, not from what the recorder makes of them. */
  async #note(asked: RequestInit['body'], answered: ArrayBuffer): Promise<void> {
    if (typeof asked !== 'string' || !asked.includes('"head"')) return;
    const { head: headB64 } = JSON.parse(asked) as { head?: string };
    const answer = JSON.parse(new TextDecoder().decode(answered)) as { receipt?: string | { receipt: string } };
    const text = typeof answer.receipt === 'object' ? answer.receipt.receipt : answer.receipt;
    if (text === undefined || headB64 === undefined) return;
    const receipt = parseReceipt(fromBase64Url(text));
    const head = parseHead(fromBase64Url(headB64));
    if (!equal(receipt.headHash, await headHash(head))) throw new Error('a receipt over another head');
    const chunks = head.tracks.reduce((sum, { count }) => sum + count, 0);
    const { sessionId: recordingId, epoch } = receipt;
    say({ is: 'acknowledged', number: this.#number, recordingId, epoch, chunks });
  }
}

/** `PUT object`, `POST uploads`, `POST heads`, `POST recordings`, or what else was asked. */
function nameOf(method: string, { pathname, search }: URL): string {
  if (search.includes('X-Amz-')) return `${method} object`;
  const words = pathname.split('/').filter((word) => !/^[\w-]{22}$|^\d+$|^v1$/.test(word));
  return `${method} ${words.at(-1) ?? '/'}`;
}

function tell(): void {
  say({ is: 'timings', timings, ...counts });
  timings = {};
}

process.on('message', (message: ToWorker) => {
  if (message.do === 'end') {
    isEnding = true;
    return;
  }
  const { plan } = message;
  // Who was there before comes back sooner than an exam begins.
  const rampMs = existsSync(join(plan.folder, String(plan.links[0]?.[0]))) ? plan.rampMs / 4 : plan.rampMs;
  const timer = setInterval(tell, 2000);
  const lives = plan.links.map(async ([number, link], index) => {
    try {
      await new Seat(number, link, plan).live((index / plan.links.length) * rampMs);
    } catch (error) {
      say({ is: 'fault', number, message: error instanceof Error ? error.message : String(error) });
    }
  });
  say({ is: 'begun' });
  void Promise.all(lives).then(() => {
    clearInterval(timer);
    tell();
    process.send!({ is: 'ended', closed } satisfies FromWorker, () => process.exit(0));
  });
});
