/** Carries one epoch's sealed chunks from the outbox to the bucket. Knows no key; the same code serves live and dead epochs. */
import { UPLOAD_WINDOW, UPLOADS_PER_CALL } from '../../schema/api.ts';
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { sha256 } from '../../crypto/format/hash.ts';
import type { Api } from './api.ts';
import { ApiError, ClientError } from './errors.ts';
import { putObject } from './object-store.ts';
import type { Outbox, SealedChunk } from './outbox.ts';
import { isTransient, pauseAfter } from './patience.ts';
import type { QuotaWatch } from './quota.ts';
import type { Changes } from './turns.ts';

export interface UploaderOptions {
  api: Api;
  outbox: Outbox;
  recordingId: string;
  epoch: number;
  uploadToken: string;
  /** Chunks that a head covers already, by track. */
  covered: ReadonlyMap<number, number>;
  /** Told of every step; whoever waits for the uploader waits here. */
  changes: Changes;
  quota: QuotaWatch;
  signal: AbortSignal;
  /** Most PUTs at a time; fewer after timeouts. */
  concurrency?: number | undefined;
}

const DEFAULT_CONCURRENCY = 4;
/** fetch copies a body before it sends it, so a chunk in flight is in memory twice: this bounds both, beside one chunk at least. */
const MOST_BYTES_IN_FLIGHT = 6 * 2 ** 20;
/** A PUT may take this long plus what its bytes take at 32 KiB/s. */
const PUT_BASE_MS = 30_000;
const SLOWEST_BYTES_PER_MS = 32;
/** So many PUTs in a row must succeed before one more is dared after a timeout. */
const CALM = 16;
/** A store that refuses one body so often does not refuse by accident. */
const MOST_REFUSALS = 3;

interface Item {
  chunk: SealedChunk;
  /** When it was handed over, by the monotonic clock. */
  addedMs: number;
  state: 'waiting' | 'signed' | 'stored';
  refusals: number;
}

interface SignedPut {
  item: Item;
  url: string;
  headers: Record<string, string>;
}

/**
 * Uploads in order of arrival, at most `UPLOAD_WINDOW` chunks per track beyond the newest receipt. It never gives up by
 * itself: transport errors wait and repeat; a refusal that repeating cannot change is its `failure`.
 */
export class Uploader {
  readonly #options: UploaderOptions;
  readonly #tracks = new Map<number, Map<number, Item>>();
  readonly #covered: Map<number, number>;
  readonly #ready: SignedPut[] = [];
  #limit: number;
  #sending = 0;
  #bytesInFlight = 0;
  readonly #buffers: Bytes[] = [];
  #calm = 0;
  #isAsking = false;
  #troubles = 0;
  #isRefused = false;
  #failure: Error | undefined;
  #heardMs: number;

  constructor(options: UploaderOptions) {
    this.#options = options;
    this.#covered = new Map(options.covered);
    this.#limit = options.concurrency ?? DEFAULT_CONCURRENCY;
    this.#heardMs = options.api.environment.clock.monotonic();
  }

  /** Why it stopped; undefined while it works. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Bytes that are here and that no URL was signed for yet. */
  get unsignedBytes(): number {
    let bytes = 0;
    for (const items of this.#tracks.values())
      for (const { state, chunk } of items.values()) if (state === 'waiting') bytes += chunk.bytes;
    return bytes;
  }

  /** Whether the service signs no more, and everything that it signed is stored: then there is nothing left to wait for. */
  get isExhausted(): boolean {
    return this.#isRefused && this.#sending === 0 && this.#ready.length === 0 && !this.#isAsking;
  }

  get isOffline(): boolean {
    return this.#troubles > 0;
  }

  /** When the server or the bucket last answered, by the monotonic clock. */
  get heardMs(): number {
    return this.#heardMs;
  }

  /** For how long the oldest chunk without a receipt has waited since it was handed over, ms; 0 without any. */
  get waitedMs(): number {
    const oldest = [...this.#tracks.values()].flatMap((items) => [...items.values()].slice(0, 1));
    const now = this.#options.api.environment.clock.monotonic();
    return Math.max(0, ...oldest.map(({ addedMs }) => now - addedMs));
  }

  add(chunk: SealedChunk): void {
    const track = this.#tracks.get(chunk.track) ?? new Map<number, Item>();
    const addedMs = this.#options.api.environment.clock.monotonic();
    this.#tracks.set(chunk.track, track.set(chunk.seq, { chunk, addedMs, state: 'waiting', refusals: 0 }));
    this.#pump();
  }

  /** The contiguous prefix of each track that is known to be stored: what the next head may count. */
  storedCounts(): Map<number, number> {
    const counts = new Map(this.#covered);
    for (const [track, items] of this.#tracks) {
      let count = counts.get(track) ?? 0;
      while (items.get(count)?.state === 'stored') count++;
      counts.set(track, count);
    }
    return counts;
  }

  /** A receipt covers these counts: their chunks are forgotten and the window moves. */
  cover(counts: ReadonlyMap<number, number>): void {
    for (const [track, count] of counts) {
      const items = this.#tracks.get(track);
      for (let seq = this.#covered.get(track) ?? 0; seq < count; seq++) items?.delete(seq);
      this.#covered.set(track, Math.max(count, this.#covered.get(track) ?? 0));
    }
    this.#pump();
  }

  /** The server's listing does not have these: they are sent again. */
  resend(names: readonly { track: number; seq: number }[]): void {
    for (const { track, seq } of names) {
      const item = this.#tracks.get(track)?.get(seq);
      if (!item) {
        this.#fail(
          new ClientError('storage', `chunk ${track}/${seq} was covered by a receipt and is missing in the bucket`),
        );
        return;
      }
      if (item.state === 'stored') item.state = 'waiting';
    }
    this.#pump();
  }

  #pump(): void {
    if (this.#failure || this.#options.signal.aborted) return;
    for (let next = this.#ready[0]; next && this.#maySend(next); next = this.#ready[0]) {
      this.#ready.shift();
      const { bytes } = next.item.chunk;
      this.#sending += 1;
      this.#bytesInFlight += bytes;
      void this.#send(next).finally(() => {
        this.#sending -= 1;
        this.#bytesInFlight -= bytes;
        this.#advance();
      });
    }
    if (this.#isAsking || this.#isRefused || this.#ready.length >= this.#limit) return;
    const wanted = this.#askable();
    if (wanted.length === 0) return;
    this.#isAsking = true;
    void this.#ask(wanted).finally(() => {
      this.#isAsking = false;
      this.#advance();
    });
  }

  #maySend({ item }: SignedPut): boolean {
    if (this.#sending === 0) return true;
    return this.#sending < this.#limit && this.#bytesInFlight + item.chunk.bytes <= MOST_BYTES_IN_FLIGHT;
  }

  #advance(): void {
    this.#options.changes.notify();
    this.#pump();
  }

  #askable(): Item[] {
    const wanted: Item[] = [];
    for (const [track, items] of this.#tracks) {
      const end = (this.#covered.get(track) ?? 0) + UPLOAD_WINDOW;
      for (const item of items.values()) {
        if (item.state === 'waiting' && item.chunk.seq < end) wanted.push(item);
        if (wanted.length === UPLOADS_PER_CALL) return wanted;
      }
    }
    return wanted;
  }

  async #ask(wanted: readonly Item[]): Promise<void> {
    const { api, recordingId, epoch, uploadToken, signal } = this.#options;
    const chunks = wanted.map(({ chunk: { track, seq, bytes, sha256B64 } }) => ({
      track,
      seq,
      bytes,
      sha256: sha256B64,
    }));
    try {
      const { uploads, bytes_left: bytesLeft } = await api.uploads(
        recordingId,
        uploadToken,
        { epoch, chunks },
        signal,
        this.waitedMs,
      );
      this.#heard();
      this.#options.quota.told(bytesLeft);
      for (const upload of uploads) {
        const item = this.#tracks.get(upload.track)?.get(upload.seq);
        if (item?.state !== 'waiting') continue;
        item.state = upload.state;
        if (upload.state === 'signed') this.#ready.push({ item, url: upload.url, headers: upload.headers });
      }
    } catch (error) {
      if (error instanceof ApiError && error.code === 'quota-reached') return this.#askForLess(wanted, error);
      await this.#trouble(error);
    }
  }

  /** What still fits is asked for; where nothing does, no more is asked for at all. */
  async #askForLess(wanted: readonly Item[], { extensions }: ApiError): Promise<void> {
    this.#heard();
    const told = extensions['bytes_left'];
    let bytesLeft = typeof told === 'number' ? told : 0;
    const fitting = wanted.filter(({ chunk }) => (bytesLeft -= chunk.bytes) >= 0);
    if (fitting.length > 0 && fitting.length < wanted.length) return this.#ask(fitting);
    this.#isRefused = true;
    this.#options.quota.refused();
  }

  async #send({ item, url, headers }: SignedPut): Promise<void> {
    const { api, outbox, signal } = this.#options;
    const buffer = this.#buffers.pop();
    try {
      const object = await outbox.object(item.chunk, buffer);
      const timeoutMs = PUT_BASE_MS + object.length / SLOWEST_BYTES_PER_MS;
      const outcome = await putObject(api.environment, { url, headers }, object, timeoutMs, signal);
      item.state = outcome === 'stored' ? 'stored' : 'waiting';
      if (outcome === 'stored') {
        this.#heard();
        this.#calmDown();
      } else if (outcome === 'refused') {
        item.refusals += 1;
        await this.#refused(item, object);
      } else {
        await this.#pause();
      }
      // Buffers go round: megabytes made anew for every chunk pile up faster than they are collected.
      this.#buffers.push(new Uint8Array(object.buffer));
    } catch (error) {
      item.state = 'waiting';
      if (error instanceof ClientError && error.code === 'unreachable') this.#shrink();
      await this.#trouble(error);
    }
  }

  /** The signed hash did not fit the body: the disk gave back other bytes, or the way or the store changes bodies. */
  async #refused(item: Item, object: Uint8Array): Promise<void> {
    const { track, seq, sha256B64 } = item.chunk;
    if (toBase64Url(await sha256(object)) !== sha256B64) {
      this.#fail(new ClientError('outbox-damaged', `chunk ${track}/${seq} is not what was put into the outbox`));
    } else if (item.refusals >= MOST_REFUSALS) {
      this.#fail(new ClientError('storage', `the bucket refused chunk ${track}/${seq} ${item.refusals} times`));
    } else {
      await this.#pause();
    }
  }

  async #trouble(error: unknown): Promise<void> {
    if (this.#options.signal.aborted) return;
    if (isTransient(error)) await this.#pause();
    else this.#fail(error instanceof Error ? error : new Error(String(error)));
  }

  async #pause(): Promise<void> {
    this.#troubles += 1;
    this.#options.changes.notify();
    await pauseAfter(this.#options.api, this.#troubles, this.#options.signal);
  }

  #heard(): void {
    this.#troubles = 0;
    this.#heardMs = this.#options.api.environment.clock.monotonic();
  }

  /** A slow line gets better by fewer PUTs at a time, never by more retries. */
  #shrink(): void {
    this.#limit = Math.max(1, Math.floor(this.#limit / 2));
    this.#calm = 0;
  }

  #calmDown(): void {
    this.#calm += 1;
    if (this.#calm % CALM === 0)
      this.#limit = Math.min(this.#options.concurrency ?? DEFAULT_CONCURRENCY, this.#limit + 1);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#options.changes.notify();
  }
}
