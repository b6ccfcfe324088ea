/** Where a reader takes a recording from: the service, or a case file. A source is not believed in anything. */
import { fromBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { DOWNLOADS_PER_CALL, type Release } from '../../schema/api.ts';
import type { Api } from './api.ts';
import { ClientError } from './errors.ts';
import { getObject, type ByteRange } from './object-store.ts';
import { isTransient, pauseAfter } from './patience.ts';

export interface ChunkName {
  epoch: number;
  track: number;
  seq: number;
}

export interface ReleasedEpoch {
  epoch: number;
  open: Bytes;
  /** Null where it was not given: then ciphertext can be verified and nothing opened. */
  shred: Bytes | null;
  wraps: Bytes[];
  grants: { grant: Bytes; wrap: Bytes }[];
  /** Ascending as far as they were kept; the newest is the last. */
  heads: Bytes[];
  /** What is there: `end` is the highest seq plus one. */
  tracks: { track: number; end: number }[];
}

export interface ReleasedRecording {
  recordingId: string;
  policies: Bytes[];
  /** Ascending. */
  epochs: ReleasedEpoch[];
}

/** An entry of the retention log with its C2SP tlog-proof; null where the log has not published it yet. */
export interface ProvenEntry {
  index: number;
  entry: Bytes;
  proof: string | null;
}

export interface Source {
  release(): Promise<ReleasedRecording>;
  /** The log's entries about this recording. */
  entries(): Promise<ProvenEntry[]>;
  /** An object, or an inclusive range cut at its end; undefined where it is not there. */
  object(name: ChunkName, range?: ByteRange): Promise<Bytes | undefined>;
}

export interface ApiSourceOptions {
  api: Api;
  recordingId: string;
  /** Who is going to read, base64url of 16 bytes. */
  keyIdB64: string;
  purpose: 'review' | 'export' | 'grant';
}

const GET_TIMEOUT_MS = 120_000;
const GET_ATTEMPTS = 6;
const PUBLISH_ATTEMPTS = 10;
const PUBLISH_MS = 300;

/** A recording of a running service. `release` is logged there; objects come by presigned URLs that are fetched in bulk. */
export class ApiSource implements Source {
  readonly #options: ApiSourceOptions;
  #released: Promise<Release> | undefined;
  /** URLs by block of chunks; a promise, so that readers of one block share one call. */
  readonly #urls = new Map<string, Promise<Map<number, string>>>();

  constructor(options: ApiSourceOptions) {
    this.#options = options;
  }

  /** The service's own answer, asked for once. */
  released(): Promise<Release> {
    const { api, recordingId, keyIdB64, purpose } = this.#options;
    this.#released ??= api.release(recordingId, { key_id: keyIdB64, purpose });
    return this.#released;
  }

  async release(): Promise<ReleasedRecording> {
    const { recording, policies, epochs } = await this.released();
    return {
      recordingId: recording.recording_id,
      policies: policies.map(({ policy }) => fromBase64Url(policy)),
      epochs: epochs.map((epoch) => ({
        epoch: epoch.epoch,
        open: fromBase64Url(epoch.open),
        shred: fromBase64Url(epoch.shred),
        wraps: epoch.wraps.map(({ wrap }) => fromBase64Url(wrap)),
        grants: epoch.grants.map(({ grant, wrap }) => ({ grant: fromBase64Url(grant), wrap: fromBase64Url(wrap) })),
        heads: epoch.head === null ? [] : [fromBase64Url(epoch.head)],
        tracks: epoch.tracks.map(({ track, end }) => ({ track, end })),
      })),
    };
  }

  entries(): Promise<ProvenEntry[]> {
    return publishedEntries(this.#options.api, this.#options.recordingId);
  }

  async object(name: ChunkName, range?: ByteRange): Promise<Bytes | undefined> {
    const { api } = this.#options;
    const { signal } = new AbortController();
    for (let attempt = 0; attempt < GET_ATTEMPTS; attempt++) {
      if (attempt > 0) await pauseAfter(api, attempt, signal);
      const url = await this.#url(name);
      try {
        const outcome = await getObject(api.environment, url, GET_TIMEOUT_MS, range);
        if (outcome.state === 'found') return outcome.bytes;
        if (outcome.state === 'absent') return undefined;
        if (outcome.state === 'expired') this.#urls.delete(blockOf(name));
      } catch (error) {
        if (!isTransient(error)) throw error;
      }
    }
    const { epoch, track, seq } = name;
    throw new ClientError('storage', `chunk ${epoch}/${track}/${seq} could not be fetched in ${GET_ATTEMPTS} attempts`);
  }

  async #url(name: ChunkName): Promise<string> {
    const block = blockOf(name);
    let urls = this.#urls.get(block);
    if (!urls) {
      urls = this.#sign(name);
      urls.catch(() => this.#urls.delete(block));
      this.#urls.set(block, urls);
    }
    return (await urls).get(name.seq)!;
  }

  async #sign({ epoch, track, seq }: ChunkName): Promise<Map<number, string>> {
    const first = seq - (seq % DOWNLOADS_PER_CALL);
    const { epochs } = await this.released();
    const end = epochs[epoch]?.tracks.find((listed) => listed.track === track)?.end ?? 0;
    const count = Math.max(1 + seq - first, Math.min(DOWNLOADS_PER_CALL, end - first));
    const objects = Array.from({ length: count }, (_, i) => ({ epoch, track, seq: first + i }));
    const { downloads } = await this.#options.api.downloads(this.#options.recordingId, { objects });
    return new Map(downloads.map((download) => [download.seq, download.url]));
  }
}

/** The log's entries about a recording; waits a little for those that it has taken and not yet published, which takes a second. */
export async function publishedEntries(api: Api, recordingId: string): Promise<ProvenEntry[]> {
  const { signal } = new AbortController();
  for (let attempt = 0; ; attempt++) {
    const { entries } = await api.receipt(recordingId);
    if (attempt === PUBLISH_ATTEMPTS || entries.every(({ proof }) => proof !== null)) {
      return entries.map(({ index, entry, proof }) => ({ index, entry: fromBase64Url(entry), proof }));
    }
    await api.environment.sleep(PUBLISH_MS, signal);
  }
}

function blockOf({ epoch, track, seq }: ChunkName): string {
  return `${epoch}/${track}/${Math.floor(seq / DOWNLOADS_PER_CALL)}`;
}
