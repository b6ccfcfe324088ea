/** The bucket and the vault of a simulation: as treacherous as real ones were measured to be, and no worse. */
import { type Bytes, equal } from '../../crypto/format/bytes.ts';
import { hash } from '../../crypto/format/hash.ts';
import {
  type Bucket,
  BucketError,
  type ListedObject,
  type ListedVersion,
  type ObjectPromise,
  type ObjectVersion,
  type Vault,
} from '../../src/server/ports.ts';
import { StoreError } from '../../src/server/store.ts';
import type { Random } from './random.ts';
import type { Counts } from './situations.ts';
import type { Timeline } from './timeline.ts';

/** How the bucket misbehaves; probabilities are per key and call. */
export interface Treachery {
  isVersioned: boolean;
  /** The store's clock against true time, ms. */
  clockOffsetMs: number;
  /** A key in a DeleteObjects is refused, inside a 200. */
  refusesDelete: number;
  /** A delete is claimed and does not happen. */
  lies: number;
}

/** Told of what happens, as it happens. */
export interface Witness {
  created(key: string): void;
  removed(key: string, isLast: boolean): void;
  signed(promise: ObjectPromise, expiresMs: number): void;
  shareDestroyed(recordingId: string, epoch: number): void;
}

interface Version {
  versionId: string;
  isMarker: boolean;
  object: Bytes;
}

/** A presigned URL may be dated this far in the future of the store's clock (S3: RequestTimeTooSkewed). */
const FUTURE_MS = 15 * 60_000;

export class SimulatedBucket implements Bucket {
  readonly #timeline: Timeline;
  readonly #random: Random;
  readonly #witness: Witness;
  readonly #counts: Counts;
  readonly #objects = new Map<string, Version[]>();
  readonly #multiparts = new Set<string>();
  readonly #inFlight = new Map<string, number>();
  #versions = 0;
  treachery: Treachery;

  constructor(timeline: Timeline, random: Random, treachery: Treachery, witness: Witness, counts: Counts) {
    this.#timeline = timeline;
    this.#random = random;
    this.treachery = treachery;
    this.#witness = witness;
    this.#counts = counts;
    if (treachery.isVersioned) counts.versioned++;
  }

  get #now(): number {
    return this.#timeline.now + this.treachery.clockOffsetMs;
  }

  presignPut(promise: ObjectPromise, now: number, expiresInSeconds: number) {
    const expires = now + expiresInSeconds * 1000;
    this.#witness.signed(promise, expires);
    return {
      url: `https://bucket.invalid/${promise.key}?from=${now}&until=${expires}&bytes=${promise.bytes}`,
      headers: {},
    };
  }

  presignGet(key: string): string {
    return `https://bucket.invalid/${key}`;
  }

  /**
   * A client's PUT: what is refused is refused at its beginning, what is created is created at its end, and nothing looks
   * at the URL's expiry in between. Answers the status.
   */
  async put(url: string, object: Bytes, durationMs: number): Promise<number> {
    const { pathname, searchParams } = new URL(url);
    const key = pathname.slice(1);
    const expires = Number(searchParams.get('until'));
    if (this.#now > expires) {
      this.#counts.expired++;
      return 403;
    }
    if (Number(searchParams.get('from')) > this.#now + FUTURE_MS) return 403;
    if (Number(searchParams.get('bytes')) !== object.length) return 403;
    this.#inFlight.set(key, (this.#inFlight.get(key) ?? 0) + 1);
    await this.#timeline.sleep(durationMs);
    if (this.#now > expires) this.#counts.slow++;
    this.#inFlight.set(key, this.#inFlight.get(key)! - 1);
    if (this.has(key)) return 412;
    const version = { versionId: this.#newVersion(), isMarker: false, object };
    const versions = this.treachery.isVersioned ? (this.#objects.get(key) ?? []) : [];
    this.#objects.set(key, [...versions, version]);
    this.#witness.created(key);
    return 200;
  }

  #newVersion(): string {
    return this.treachery.isVersioned ? `v${++this.#versions}` : 'null';
  }

  leaveMultipart(key: string): void {
    this.#counts.multiparts++;
    this.#multiparts.add(key);
  }

  has(key: string): boolean {
    return this.#objects.get(key)?.at(-1)?.isMarker === false;
  }

  /** Objects, versions, markers, multiparts and uploads under way below `prefix`. */
  remains(prefix: string): { stored: number; inFlight: number } {
    let stored = 0;
    let inFlight = 0;
    for (const [key, versions] of this.#objects) if (key.startsWith(prefix)) stored += versions.length;
    for (const key of this.#multiparts) if (key.startsWith(prefix)) stored++;
    for (const [key, count] of this.#inFlight) if (key.startsWith(prefix)) inFlight += count;
    return { stored, inFlight };
  }

  #next(prefix: string, after: string | undefined): string | undefined {
    let next: string | undefined;
    for (const key of this.#objects.keys()) {
      if (key.startsWith(prefix) && (after === undefined || key > after) && (next === undefined || key < next))
        next = key;
    }
    return next;
  }

  async *list(prefix: string, startAfter?: string): AsyncIterable<ListedObject> {
    for (let key = this.#next(prefix, startAfter); key !== undefined; key = this.#next(prefix, key)) {
      if (this.has(key)) yield { key, bytes: this.#objects.get(key)!.at(-1)!.object.length };
    }
  }

  async *listVersions(prefix: string): AsyncIterable<ListedVersion> {
    for (let key = this.#next(prefix, undefined); key !== undefined; key = this.#next(prefix, key)) {
      const versions = this.#objects.get(key)!;
      for (const version of versions) {
        const { versionId, isMarker, object } = version;
        const kind = isMarker ? 'marker' : version === versions.at(-1) ? 'current' : 'noncurrent';
        yield { key, versionId, bytes: object.length, kind };
      }
    }
  }

  async deleteVersions(versions: readonly ObjectVersion[]): Promise<{ key: string; code: string }[]> {
    const refused: { key: string; code: string }[] = [];
    for (const { key, versionId } of versions) {
      if (this.#random.chance(this.treachery.refusesDelete)) {
        this.#counts.refused++;
        refused.push({ key, code: 'InternalError' });
      } else if (this.#random.chance(this.treachery.lies)) this.#counts.lies++;
      else this.#delete(key, versionId);
    }
    return refused;
  }

  #delete(key: string, versionId: string | undefined): void {
    const versions = this.#objects.get(key);
    if (!versions) return;
    const isVersioned = this.treachery.isVersioned;
    if (isVersioned && versionId === undefined) {
      this.#objects.set(key, [
        ...versions,
        { versionId: this.#newVersion(), isMarker: true, object: new Uint8Array() },
      ]);
    } else {
      const left = isVersioned ? versions.filter((version) => version.versionId !== versionId) : [];
      if (left.length > 0) this.#objects.set(key, left);
      else this.#objects.delete(key);
    }
    this.#witness.removed(key, !this.has(key));
  }

  async abortMultiparts(prefix: string): Promise<number> {
    const found = [...this.#multiparts].filter((key) => key.startsWith(prefix));
    for (const key of found) this.#multiparts.delete(key);
    return found.length;
  }

  async get(key: string, range?: { from: number; to: number }): Promise<Bytes | undefined> {
    if (!this.has(key)) return undefined;
    const { object } = this.#objects.get(key)!.at(-1)!;
    return range ? object.slice(range.from, range.to + 1) : object;
  }

  settings(): Promise<never> {
    return Promise.reject(new BucketError('unavailable', 'nobody asks in a simulation'));
  }
}

export class SimulatedVault implements Vault {
  readonly horizonMs = 86_400_000;
  readonly settlesMs = 0;
  readonly #shares = new Map<string, { recordingId: string; epoch: number; share: Bytes; writtenMs: number }>();
  readonly #witness: Witness;

  constructor(witness: Witness) {
    this.#witness = witness;
  }

  get size(): number {
    return this.#shares.size;
  }

  has(recordingId: string, epoch: number): boolean {
    return this.#shares.has(`${recordingId}/${epoch}`);
  }

  async put(recordingId: string, epoch: number, share: Bytes, writtenMs: number): Promise<void> {
    const standing = this.#shares.get(`${recordingId}/${epoch}`);
    if (standing && !equal(standing.share, share)) throw new StoreError('refused', 'another share stands');
    this.#shares.set(`${recordingId}/${epoch}`, {
      recordingId,
      epoch,
      share,
      writtenMs: Math.max(writtenMs, standing?.writtenMs ?? 0),
    });
  }

  async get(recordingId: string, commitments?: ReadonlyMap<number, Bytes>): Promise<Map<number, Bytes>> {
    const shares = new Map<number, Bytes>();
    for (const { epoch, share, ...row } of this.#shares.values()) {
      if (row.recordingId !== recordingId) continue;
      const wanted = commitments?.get(epoch);
      if (!commitments || (wanted && equal(await hash('shred', share), wanted))) shares.set(epoch, share);
    }
    return shares;
  }

  async destroy(recordingId: string): Promise<number> {
    const epochs = [...(await this.get(recordingId)).keys()];
    for (const epoch of epochs) this.#destroy(recordingId, epoch);
    return epochs.length;
  }

  async list(before: number, limit: number, cursor?: string) {
    const found = [...this.#shares]
      .filter(([name, { writtenMs }]) => writtenMs < before && (cursor === undefined || name > cursor))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, limit);
    const last = found.at(-1)?.[0];
    return {
      shares: found.map(([, { recordingId, epoch }]) => ({ recordingId, epoch })),
      ...(last !== undefined && found.length === limit && { cursor: last }),
    };
  }

  async destroyEpoch(recordingId: string, epoch: number, before: number): Promise<boolean> {
    const row = this.#shares.get(`${recordingId}/${epoch}`);
    if (!row || row.writtenMs >= before) return false;
    this.#destroy(recordingId, epoch);
    return true;
  }

  #destroy(recordingId: string, epoch: number): void {
    this.#shares.delete(`${recordingId}/${epoch}`);
    this.#witness.shareDestroyed(recordingId, epoch);
  }
}
