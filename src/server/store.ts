/**
 * The metadata store's port. Ids and hashes are base64url text, records are their exact bytes, times are ms.
 *
 * Every write is one atomic list of statements (the only one that SQLite and D1 share): rows and log entries are
 * committed together, durably, or not at all. A write that changes what a recording may claim takes its log entry as an
 * argument, so a state change without its entry cannot be expressed. Writes are compare-and-swap: `false` means that the
 * condition in their comment no longer held and nothing was written; the caller reads again and decides.
 */
import type { Bytes } from '../../crypto/format/bytes.ts';
import type { LogEntry } from '../../crypto/log/entry.ts';

export interface PolicyRow {
  examId: string;
  /** Strictly increasing per exam. */
  seq: number;
  policyHash: string;
  /** H("owner", identity key) of the owner: the same for every policy of an exam. */
  ownerHash: string;
  bytes: Bytes;
  publishedMs: number;
}

/**
 * open -> closed | abandoned; any of them -> purging (no URL is signed any more) -> deleted (a listing was empty)
 * -> verified (a listing was empty after the last URL had died).
 */
export type RecordingState = 'open' | 'closed' | 'abandoned' | 'purging' | 'deleted' | 'verified';

/** Which limit a recording came up against. */
export type Quota = 'bytes' | 'time' | 'exam-bytes';

export interface RecordingRow {
  id: string;
  examId: string;
  state: RecordingState;
  practice: boolean;
  openedMs: number;
  /** Only ever brought forward; the database refuses the rest. */
  deleteByMs: number;
  /** No upload URL outlives this. */
  uploadsUntilMs: number;
  /** Log index of `recording.opened`. */
  openedPosition: number;
  /** Public key of the seat ticket it was opened with, base64url; one recording per ticket. */
  ticket: string | null;
  /** Number of the newest epoch. */
  lastEpoch: number;
  /** When the recorder was last heard of. */
  seenMs: number;
  endedMs: number | null;
  /** How often its keys were released to a reader. */
  releases: number;
  /** Expiry of the newest URL that was ever signed for an upload. */
  lastUrlMs: number;
  /** Objects and bytes found by the listing at its end, and later those destroyed. */
  objects: number;
  bytes: number;
  deletedMs: number | null;
  /** How large it may become, until when it may record, and how large its exam: fixed at its opening. null: no limit. */
  quotaBytes: number | null;
  quotaUntilMs: number | null;
  quotaExamBytes: number | null;
  /** Which of them it came up against first. */
  quotaReached: Quota | null;
}

export interface EpochRow {
  recordingId: string;
  epoch: number;
  openHash: string;
  open: Bytes;
  policyHash: string;
  recorderPk: string;
  /** SHA-256 of the upload token, which only the recorder knows. */
  tokenHash: string;
  openedMs: number;
  /** Newest accepted head; null before the first. */
  head: Bytes | null;
  headHash: string | null;
  headSeq: number | null;
}

/** What the newest head claims and a listing confirmed; one row per track, however many chunks. */
export interface TrackRow {
  recordingId: string;
  epoch: number;
  track: number;
  kind: number;
  codec: string;
  count: number;
  bytes: number;
}

export interface WrapRow {
  recordingId: string;
  epoch: number;
  keyId: string;
  role: number;
  wrap: Bytes;
}

export interface GrantRow {
  recordingId: string;
  epoch: number;
  grantHash: string;
  toKeyId: string;
  grant: Bytes;
  wrap: Bytes;
}

/** A reviewer's note, as it was sealed: the server cannot read it. */
export interface NoteRow {
  recordingId: string;
  /** SHA-256 of the note, base64url. */
  noteHash: string;
  createdMs: number;
  note: Bytes;
}

/** An upload that was signed and that no head covers yet. */
export interface PendingRow {
  track: number;
  seq: number;
  bytes: number;
  /** SHA-256 of the object, base64url. */
  sha256: string;
}

export type Role = 'admin' | 'instructor' | 'compliance';

export interface TokenRow {
  /** SHA-256 of the token, base64url. */
  tokenHash: string;
  /** First characters of the token, to tell tokens apart. */
  prefix: string;
  role: Role;
  label: string;
  createdMs: number;
  expiresMs: number;
  revokedMs: number | null;
  /** The exams that it is bound to; null: to none. */
  examIds: readonly string[] | null;
  /** To the hour. */
  lastUsedMs: number | null;
}

/** Somebody at the pages, who proved an identity key or showed a token. */
export interface SessionRow {
  /** SHA-256 of the cookie's secret, base64url. */
  sessionHash: string;
  role: Role;
  /** 32 bytes, base64url; null for a session that began with a token. */
  identity: string | null;
  /** The token that it began with. */
  tokenHash: string | null;
  examIds: readonly string[] | null;
  createdMs: number;
  expiresMs: number;
  revokedMs: number | null;
  /** To the hour. */
  lastUsedMs: number | null;
}

/** The exams somebody may ask about: those whose newest policy names this identity (`zrid1...`), or these. */
export type Reach = { identity: string } | { examIds: readonly string[] };

/** A learning platform that may launch. */
export interface PlatformRow {
  id: string;
  /** What people call it. */
  label: string;
  issuer: string;
  clientId: string;
  authUrl: string;
  jwksUrl: string;
  deployments: readonly string[];
  createdMs: number;
}

/** A key of this tool: a private JWK. */
export interface PlatformKeyRow {
  kid: string;
  privateJwk: string;
  createdMs: number;
}

/** A launch that was verified. */
export interface LaunchRow {
  /** `launchNonce` of the key that its browser made. */
  nonce: string;
  platformId: string;
  deploymentId: string;
  purpose: 'record' | 'review' | 'select';
  /** Of the session that a review begins. */
  role: 'instructor' | 'compliance' | null;
  examId: string | null;
  /** What a recording's `ticket` is: one recording for each person and exam. */
  person: string | null;
  /** SHA-256 of the id_token, base64url. */
  tokenHash: string;
  /** Where a selection is sent, and what is sent back with it. */
  returnUrl: string | null;
  returnData: string | null;
  expiresMs: number;
}

export interface KeyRow {
  identity: string;
  keyId: string;
  /** 1 add, 2 rotate, 3 revoke. */
  op: number;
  document: Bytes;
  enrolledMs: number;
}

export interface CheckpointRow {
  size: number;
  /** The signed note; as it is read, with the lines of the witnesses that have cosigned it by now. */
  note: string;
  publishedMs: number;
}

/** One tile of the log's tree: `hashes` is width x 32 bytes (C2SP tlog-tiles). */
export interface TileRow {
  level: number;
  index: number;
  hashes: Bytes;
}

export interface IndexedEntry {
  index: number;
  bytes: Bytes;
}

export type SingleUse = 'challenge' | 'setup' | 'login' | 'invitation';

export type StoreErrorCode =
  | 'busy' // another process holds the database: nothing was written, try again
  | 'full' // the disk is full: nothing was written, works again once there is space
  | 'unavailable' // the disk or the database answered with an error; a write may still turn up after a restart
  | 'refused' // a constraint or a trigger: the caller tried what must never happen
  | 'damaged' // the file is no database, or one that fails its own check
  | 'version'; // the schema is newer than this code, or was not made by it

/** What every call of the store and of the vault may throw. A call that throws acknowledged nothing. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
    this.code = code;
  }
}

export interface Store {
  // ---- exams -------------------------------------------------------------------------------------------------------
  /**
   * Holds while no policy of the exam has this seq or a higher one, and none has another owner. `people` are the identities
   * (`zrid1...`) that the policy names.
   */
  publishPolicy(policy: PolicyRow, people: readonly string[], entry: LogEntry): Promise<boolean>;
  latestPolicy(examId: string): Promise<PolicyRow | undefined>;
  policyByHash(examId: string, policyHash: string): Promise<PolicyRow | undefined>;
  /** Newest policy of each exam by exam id, after `cursor`; where `reach` is given, of those within it. */
  exams(limit: number, cursor?: string, reach?: Reach): Promise<PolicyRow[]>;
  /** Whether the exam's newest policy names this identity (`zrid1...`). */
  isNamed(examId: string, identity: string): Promise<boolean>;

  // ---- the life of a recording ---------------------------------------------------------------------------------------
  /** Holds while neither the recording's id nor its ticket was used. The row's `openedPosition` is filled in by the store. */
  openRecording(
    recording: Omit<RecordingRow, 'openedPosition'>,
    epoch: EpochRow,
    tracks: readonly TrackRow[],
    wraps: readonly WrapRow[],
    entry: LogEntry,
  ): Promise<boolean>;
  /** Holds while the recording is open and its newest epoch is `epoch.epoch - 1`. */
  openEpoch(epoch: EpochRow, tracks: readonly TrackRow[], wraps: readonly WrapRow[], entry: LogEntry): Promise<boolean>;
  recording(id: string): Promise<RecordingRow | undefined>;
  /** The hot read of every recorder's call: recording, epoch and its tracks. */
  epoch(
    recordingId: string,
    epoch: number,
  ): Promise<{ recording: RecordingRow; epoch: EpochRow; tracks: TrackRow[] } | undefined>;
  epochs(recordingId: string): Promise<EpochRow[]>;
  tracks(recordingId: string): Promise<TrackRow[]>;
  wraps(recordingId: string): Promise<WrapRow[]>;
  grants(recordingId: string): Promise<GrantRow[]>;
  /** By the time at which they came. */
  notes(recordingId: string): Promise<NoteRow[]>;
  recordings(examId: string, limit: number, cursor?: string): Promise<RecordingRow[]>;
  /**
   * Remembers what is about to be signed, before it is handed out. A row that is already there stays as it is. Raises
   * `lastUrlMs` to `urlExpiresMs` and `seenMs` to `now`. Holds while the recording is open. The rows that are now there
   * for the same (track, seq) come back from `pending`.
   */
  rememberUploads(
    recordingId: string,
    epoch: number,
    rows: readonly PendingRow[],
    urlExpiresMs: number,
    now: number,
  ): Promise<boolean>;
  pending(recordingId: string, epoch: number): Promise<PendingRow[]>;
  /** Bytes that heads of its epochs count, and those that were signed beyond. */
  bytesOf(recordingId: string): Promise<number>;
  /** The same of all recordings of an exam that have rows. */
  bytesOfExam(examId: string): Promise<number>;
  /** Remembers that a recording came up against a limit; the first stays. */
  reachQuota(recordingId: string, quota: Quota): Promise<void>;
  /**
   * Stores the head, the tracks' new counts, and drops the pending rows that it covers. Holds while the recording is
   * open and the epoch's newest head is still `previousHeadHash`. With `close` the recording ends in the same step.
   */
  acceptHead(
    head: { recordingId: string; epoch: number; head: Bytes; headHash: string; headSeq: number },
    previousHeadHash: string | null,
    tracks: readonly { track: number; count: number; bytes: number }[],
    now: number,
    close?: { objects: number; bytes: number; entry: LogEntry },
  ): Promise<boolean>;
  /** Holds while it is open and was not seen after `seenMs`. */
  abandon(
    recordingId: string,
    seenMs: number,
    now: number,
    totals: { objects: number; bytes: number },
    entry: LogEntry,
  ): Promise<boolean>;
  /** Open recordings not seen since `seenBefore` or whose uploads ended before `endedBefore`, oldest first. */
  idle(seenBefore: number, endedBefore: number, limit: number): Promise<RecordingRow[]>;
  /** Counts an opening by a reader. Holds while no deletion was begun. */
  release(recordingId: string, entries: readonly LogEntry[]): Promise<boolean>;
  /** Says that a copy left the service. Holds while no deletion was begun. */
  declareExport(recordingId: string, entry: LogEntry): Promise<boolean>;
  /** Holds while no deletion was begun and the recording has no grant with this hash. */
  addGrant(grant: GrantRow, entry: LogEntry): Promise<boolean>;
  /** Holds while no deletion was begun, the recording has no such note, and has fewer than `most`. */
  addNote(note: NoteRow, most: number): Promise<boolean>;
  /** Brings `delete_by` forward. Holds while no deletion was begun and `deleteByMs` is earlier than the one that stands. */
  bringForward(recordingId: string, deleteByMs: number, entry: LogEntry): Promise<boolean>;

  // ---- its death -----------------------------------------------------------------------------------------------------
  /** Recordings due at `now` and not yet deleted, by (delete_by, id), after `cursor`: those already `purging` too. */
  due(now: number, limit: number, cursor?: { deleteByMs: number; id: string }): Promise<RecordingRow[]>;
  /** open | closed | abandoned -> purging, with what a listing found. From here no URL is signed. */
  intendDeletion(recordingId: string, found: { objects: number; bytes: number }, entry: LogEntry): Promise<boolean>;
  /** Destroys wraps, grants and notes; answers how many wraps there were. Idempotent; in any state but `purging` it does nothing: 0. */
  destroyWraps(recordingId: string): Promise<number>;
  /** purging -> deleted; epochs, tracks, heads and pending rows go, the tombstone stays. Holds once no wrap or grant is left. */
  completeDeletion(
    recordingId: string,
    destroyed: { objects: number; bytes: number },
    now: number,
    entry: LogEntry,
  ): Promise<boolean>;
  /** Deleted recordings whose last URL died before `urlsDeadBefore` and that were deleted before `deletedBefore`. */
  unverified(urlsDeadBefore: number, deletedBefore: number, limit: number, cursor?: string): Promise<RecordingRow[]>;
  /** deleted -> verified, with `entries`. Holds while there are `known` entries about the recording. */
  verifyDeletion(recordingId: string, known: number, entries: readonly LogEntry[]): Promise<boolean>;
  /**
   * When it returns, no wrap or grant that was destroyed before is in any file of the database: the rows are zeroed, the
   * journal is truncated. (Other rows are zeroed where they lay; a copy may outlive them in a page's unused gap.)
   */
  scrub(): Promise<void>;

  // ---- the retention log -----------------------------------------------------------------------------------------------
  /** Entries that accompany no row: runs, heartbeats, anomalies, attestations. Answers the index of the first. */
  append(entries: readonly LogEntry[]): Promise<number>;
  /**
   * Appends entries that `entriesOf(subject)` will find, whatever ids they name: a recording's id, or '' for the bucket as
   * a whole. Holds while `subject` has exactly `known` entries: so of two runs that saw the same, one writes.
   */
  appendAbout(subject: string, known: number, entries: readonly LogEntry[]): Promise<boolean>;
  logSize(): Promise<number>;
  entries(from: number, limit: number): Promise<IndexedEntry[]>;
  /** The entries about a recording, in log order; `policy.published` is found under its policy's hash. */
  entriesOf(subject: string): Promise<IndexedEntry[]>;
  newestCheckpoint(): Promise<CheckpointRow | undefined>;
  /** The newest checkpoint of at most that size. */
  checkpointAt(size: number): Promise<CheckpointRow | undefined>;
  checkpoints(from: number, limit: number): Promise<CheckpointRow[]>;
  /** Replaces the tiles and adds the checkpoint. Holds while the newest checkpoint has size `previousSize` (0: none). */
  publish(checkpoint: CheckpointRow, tiles: readonly TileRow[], previousSize: number): Promise<boolean>;
  /**
   * Adds a witness's line, `— name base64` and its newline, to the published checkpoint of that size. Holds while that witness
   * has none there.
   */
  cosign(size: number, witness: string, line: string): Promise<boolean>;
  tile(level: number, index: number): Promise<TileRow | undefined>;

  // ---- keys, tokens, sessions, leases ------------------------------------------------------------------------------------
  /** Holds while this exact document was not enrolled before. A revocation (op 3) ends the sessions of its identity. */
  enrolKey(key: KeyRow, entry: LogEntry): Promise<boolean>;
  keys(identity: string): Promise<KeyRow[]>;
  addToken(token: TokenRow): Promise<void>;
  tokenByHash(tokenHash: string): Promise<TokenRow | undefined>;
  tokens(): Promise<TokenRow[]>;
  /** Ends the sessions that began with it too. */
  revokeToken(prefix: string, now: number): Promise<boolean>;
  tokenUsed(tokenHash: string, now: number): Promise<void>;
  /** Forgets the sessions that had expired when this one began. */
  addSession(session: SessionRow): Promise<void>;
  sessionByHash(sessionHash: string): Promise<SessionRow | undefined>;
  revokeSession(sessionHash: string, now: number): Promise<void>;
  sessionUsed(sessionHash: string, now: number): Promise<void>;
  /** Remembers a value that holds once, until `expiresMs`; forgets those that have expired at `now`. */
  issue(purpose: SingleUse, hash: string, expiresMs: number, now: number): Promise<void>;
  /** Uses it up. Holds while it was issued for this purpose, was not used and has not expired at `now`. */
  redeem(purpose: SingleUse, hash: string, now: number): Promise<boolean>;
  /** Trades a setup link for an administrator's token, in one step; every other setup link ends with it. As `redeem`. */
  redeemSetup(hash: string, token: TokenRow, now: number): Promise<boolean>;
  /**
   * True when `holder` has the lease until `untilMs`: it was free, expired at `now`, already its own, or so long that only a
   * clock which ran far ahead can have given it. Such a lease must not keep the purge from working once the clock is right.
   */
  lease(name: string, holder: string, now: number, untilMs: number): Promise<boolean>;
  unlease(name: string, holder: string): Promise<void>;
  /** What a job last kept under this name; undefined where it kept nothing. */
  bookmark(name: string): Promise<string | undefined>;
  setBookmark(name: string, place: string | undefined): Promise<void>;

  // ---- learning platforms -------------------------------------------------------------------------------------------------
  /** Adds it, or replaces what is said of the one with this issuer and client id; answers the id that stands. */
  putPlatform(platform: PlatformRow): Promise<string>;
  platforms(): Promise<PlatformRow[]>;
  /** Ends its launches too. Holds while there is one. */
  removePlatform(id: string): Promise<boolean>;
  /** Forgets the keys that were made before `forgetBefore`. */
  addPlatformKey(key: PlatformKeyRow, forgetBefore: number): Promise<void>;
  /** Newest first. */
  platformKeys(): Promise<PlatformKeyRow[]>;
  /** Holds while no launch has this nonce; forgets those that have expired at `now`. */
  addLaunch(launch: LaunchRow, now: number): Promise<boolean>;
  /** Undefined where there is none, or it has expired at `now`. */
  launch(nonce: string, now: number): Promise<LaunchRow | undefined>;
  /** Uses it up. Holds while it is there. */
  endLaunch(nonce: string): Promise<boolean>;

  /** Which of these epochs exist: what the vault's sweep asks before it destroys a share. */
  existingEpochs(
    epochs: readonly { recordingId: string; epoch: number }[],
  ): Promise<{ recordingId: string; epoch: number }[]>;
  close(): Promise<void>;
}
