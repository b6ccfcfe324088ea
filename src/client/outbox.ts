/**
 * The outbox: where sealed chunks wait until a receipt covers them.
 *
 * [Note: what an outbox holds] Ciphertext, signed records and upload tokens; never a key of any kind. Whoever steals it
 * can finish the upload and read nothing.
 *
 * [Note: one head per number] Two heads with one head_seq are proof of equivocation, so no two may ever be *released*
 * (posted). The recorder's signing key dies with its process, so a crashed recorder's successor cannot sign anything. Both
 * are met by what is kept here per epoch:
 *
 *   sent   the newest head that may have been released, or none. It is durable here *before* it is posted.
 *   tails  "last words", heads that nobody has seen, signed ahead of time: the first has head_seq one above `sent` (0 where
 *          there is none) and its hash as prev (open_hash), each further one follows the one before. The last counts
 *          everything that is durable in the outbox. There are several because a server takes at most a window of
 *          chunks per track and head (`UPLOAD_WINDOW`), and a long outage leaves more than that.
 *
 * A live recorder never posts a tail: it signs a head H, and replaces (sent, tails) by (H, new tails chained after H) in one
 * durable step, and only then posts H. The old tails, whose first had H's number, are gone before H is out. A later process
 * posts `sent` again (the same bytes) and then the tails in order, each becoming `sent` before it is posted, and never signs
 * for this epoch. So per number at most one head leaves: a crash before the step leaves the old tails, one head per number,
 * and `sent` below them; a crash after it leaves H and the new tails, again one per number.
 */
import type { Bytes } from '../../crypto/format/bytes.ts';

/** One sealed chunk as the outbox lists it. */
export interface SealedChunk {
  epoch: number;
  track: number;
  seq: number;
  /** Length of the object. */
  bytes: number;
  /** SHA-256 of the object, base64url. */
  sha256B64: string;
}

/**
 * `opening`: OPEN may or may not have reached the server; nothing was sealed. `open`: the server acknowledged it.
 * `drained`: a receipt covers its last head.
 */
export type EpochState = 'opening' | 'open' | 'drained';

export interface OutboxEpoch {
  epoch: number;
  state: EpochState;
  /** Bearer token for this epoch's uploads, chosen by the recorder. */
  uploadToken: string;
  /** ZROP record. */
  open: Bytes;
}

/** What is known about the one recording of an outbox. */
export interface OutboxSession {
  /** Exam link without its ticket. */
  link: string;
  recordingId: string;
  /** 16 bytes, so that every epoch of the recording names one participant. */
  participantSalt: Bytes;
  /** Ascending, without a hole. */
  epochs: OutboxEpoch[];
  /** The newest log checkpoint this recorder verified, a signed note: the next one must be consistent with it. */
  checkpoint: string | null;
  /** From the server's answer to the first OPEN. */
  openedMs: number | null;
  deleteByMs: number | null;
  /** ZRRC of the close; the recording is done. */
  closeReceipt: Bytes | null;
}

export interface OutboxHeads {
  sent: Bytes | null;
  /** ZRRC over `sent`; null until it came. */
  receipt: Bytes | null;
  /** Ascending; empty only after a head that closes. */
  tails: Bytes[];
}

/**
 * Every method's effect is durable when its promise resolves, and none is ever half visible. At most one process has an
 * outbox open. Methods of one outbox may be called concurrently.
 */
export interface Outbox {
  /** undefined in a new outbox. */
  session(): Promise<OutboxSession | undefined>;
  saveSession(session: OutboxSession): Promise<void>;

  /** Undefined before the first `saveHeads` of the epoch. The tails are those of the last `saveHeads` and what `put` added. */
  heads(epoch: number): Promise<OutboxHeads | undefined>;
  /** See the note: the one durable step before a head is posted. Also stores the receipt when it came. */
  saveHeads(epoch: number, heads: OutboxHeads): Promise<void>;

  /**
   * Stores a chunk together with the tail that counts it: both or neither. The tail takes the place of the last one where
   * it has the same number, and follows it otherwise. Calls of one epoch must not overlap with each other or `saveHeads`.
   * Throws `outbox-full` with nothing stored and nothing evicted.
   */
  put(chunk: SealedChunk, object: Bytes, tail: Bytes): Promise<void>;
  /**
   * The object exactly as it was put, in `buffer` where that is given and large enough; throws `outbox-damaged` where its
   * length is another.
   */
  object(chunk: SealedChunk, buffer?: Bytes): Promise<Bytes>;
  /** What is there, by track and seq. */
  chunks(epoch: number): Promise<SealedChunk[]>;
  /** Drops what a receipt covers: per track, every chunk below `counts`. */
  release(epoch: number, counts: ReadonlyMap<number, number>): Promise<void>;

  /** Bytes of all chunks that wait. */
  readonly backlogBytes: number;
  /** Gives the outbox to the next process. */
  close(): Promise<void>;
}
