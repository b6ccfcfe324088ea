/**
 * The five doors through which the server touches the world. Each port is declared here, by its consumer, with what is
 * true when a call returns; every adapter of a port passes the one contract suite under `test/server/adapters`.
 */
import type { Bytes } from '../../crypto/format/bytes.ts';
import type { Budget } from './budget.ts';
import type { Store } from './store.ts';
import type { Telemetry } from './telemetry.ts';

export type { Store } from './store.ts';

/** Milliseconds since the Unix epoch, by the server's clock. */
export interface Clock {
  now(): number;
}

/** Holds the log's Ed25519 key. What it signs leaves the server: checkpoints and receipts, nothing else. */
export interface Signer {
  /** The log's name, as every checkpoint begins (C2SP tlog-checkpoint). */
  readonly origin: string;
  readonly publicKey: Bytes;
  /** The key that signed this log before, and signs every checkpoint still: whoever pinned it goes on verifying (LOG.md section 11). */
  readonly former?: Signer;
  /** Signs raw message bytes (RFC 8032), 64 bytes. */
  sign(message: Bytes): Promise<Bytes>;
}

/**
 * The shred shares and nothing else, apart from the metadata because a database's history brings rows back
 * (design: deletion against copies).
 */
export interface Vault {
  /**
   * Durable when it returns, and never in place of another share: a second one for the same epoch is kept beside the first, or refused
   * (`StoreError`, code refused). The same share again only renews its time.
   */
  put(recordingId: string, epoch: number, share: Bytes, now: number): Promise<void>;
  /**
   * The shares by epoch that are what OPEN committed to, `commitments` being H("shred", SHRED) of each epoch; without them,
   * whatever is there. Empty where nothing is, or where nothing is seen yet (`settlesMs`).
   */
  get(recordingId: string, commitments?: ReadonlyMap<number, Bytes>): Promise<Map<number, Bytes>>;
  /**
   * When it returns, no share of this recording is in the vault or its journal, but for what `settlesMs` says. Idempotent; answers
   * of how many epochs it destroyed shares.
   */
  destroy(recordingId: string): Promise<number>;
  /** Epochs whose shares were last written before `before`, in stable order, about `limit` of them: what the sweep looks through. */
  list(before: number, limit: number, cursor?: string): Promise<SharePage>;
  /**
   * Destroys one epoch's share, an orphan written for an open that was never committed; unless it was written again since
   * `before`, because then an open that is tried again needs it. Answers whether it did.
   */
  destroyEpoch(recordingId: string, epoch: number, before: number): Promise<boolean>;
  /** How long a backup of this vault can exist, in ms: a deletion is final when it has passed. Never shorter than `settlesMs`. */
  readonly horizonMs: number;
  /** For how long a read may still show what was there before a write, in ms; 0 where reads are consistent. */
  readonly settlesMs: number;
}

export interface SharePage {
  shares: { recordingId: string; epoch: number }[];
  /** Where the next page begins; absent at the end, and never a reason to believe that this page is full. */
  cursor?: string;
}

/** What a presigned PUT promises: exactly these bytes, once. */
export interface ObjectPromise {
  key: string;
  /** Exact length of the body. */
  bytes: number;
  /** SHA-256 of the body, 32 bytes. */
  sha256: Uint8Array;
}

export interface PresignedPut {
  url: string;
  /** What the client must send as they are; `content-length` and `host` are signed too, but every client sets those itself. */
  headers: Record<string, string>;
}

export interface ListedObject {
  key: string;
  bytes: number;
}

/** One version or delete marker of an object in a bucket that has, or had, versioning; `versionId` absent where it never had. */
export interface ObjectVersion {
  key: string;
  versionId?: string;
}

/** A version as a listing shows it. A marker has no bytes, and hides the versions below it from every other listing. */
export interface ListedVersion extends ObjectVersion {
  bytes: number;
  kind: 'current' | 'noncurrent' | 'marker';
}

/** Versioning, lock and lifecycle as the store itself tells them; `unknown` where it cannot say. */
export interface BucketSettings {
  versioning: 'off' | 'enabled' | 'suspended' | 'unknown';
  objectLock: boolean | 'unknown';
  lifecycle: { id: string; prefix: string; days: number }[] | 'none' | 'unknown';
}

/** S3-compatible storage of ciphertext. Every call may throw `BucketError`. */
export interface Bucket {
  /** Valid from `now` for `expiresInSeconds`. Signs length, SHA-256 and create-only as headers that the store enforces. */
  presignPut(promise: ObjectPromise, now: number, expiresInSeconds: number): PresignedPut;
  presignGet(key: string, now: number, expiresInSeconds: number): string;
  /** While objects are moved from one bucket to another: the one that this object is to be read from. Absent where there is one bucket. */
  holder?(key: string): Promise<Pick<Bucket, 'presignGet'>>;
  /** Objects under `prefix` in key order, after `startAfter`. Strongly consistent; at most one page is in memory. */
  list(prefix: string, startAfter?: string): AsyncIterable<ListedObject>;
  /** Every version and marker under `prefix`; in a bucket without versioning, every object. */
  listVersions(prefix: string): AsyncIterable<ListedVersion>;
  /** Tries to delete exactly these (at most 1,000) and answers which the store refused. Silence proves nothing: list again. */
  deleteVersions(versions: readonly ObjectVersion[]): Promise<{ key: string; code: string }[]>;
  /** Aborts every unfinished multipart upload under `prefix`; answers how many there were. */
  abortMultiparts(prefix: string): Promise<number>;
  /** Bytes of one object, or of `range` (inclusive offsets); undefined where it is absent. */
  get(key: string, range?: { from: number; to: number }): Promise<Bytes | undefined>;
  settings(): Promise<BucketSettings>;
}

export type BucketErrorCode =
  | 'unavailable' // no answer, a timeout, 5xx: nothing is known, try again
  | 'refused' // 403: credentials or policy
  | 'missing-bucket'
  | 'invalid'; // an answer that no S3 gives

export class BucketError extends Error {
  readonly code: BucketErrorCode;

  constructor(code: BucketErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'BucketError';
    this.code = code;
  }
}

/** What the app is handed by an entry. */
export interface Ports {
  store: Store;
  vault: Vault;
  bucket: Bucket;
  clock: Clock;
  signer: Signer;
  /** What this run may still do; absent where nothing limits it. */
  budget?: Budget;
  /** Absent where nobody listens. */
  telemetry?: Telemetry;
}
