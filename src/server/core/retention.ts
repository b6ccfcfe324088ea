/** The times that a recording lives by. Days are 86,400 s: a leap day or a clock change moves nothing. */
import { deleteByOf } from '../../../crypto/log/entry.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Life of a presigned URL, upload or download. */
export const URL_LIFE_SECONDS = 300;

/** How far the store's clock may be from the server's. */
export const CLOCK_SKEW_MS = 10 * MINUTE_MS;

/**
 * How long a PUT that began before its URL expired may go on: such uploads were seen to finish after expiry *and* after
 * the purge's delete, on every store tried. No store documents a bound, so a day is assumed.
 */
export const LONGEST_UPLOAD_MS = DAY_MS;

/** A recorder not heard of for this long has abandoned its recording; until then it may resume. */
export const RESUME_WINDOW_MS = DAY_MS;

/** The longest that one attempt may take. */
const LONGEST_SESSION_MS = DAY_MS;

/** How long after its last URL's death a deleted recording is looked at in every run. */
const WATCH_MS = HOUR_MS;

/** Between the first look that finds a deleted recording's prefix empty and the one that verifies it. */
const VERIFY_AFTER_MS = MINUTE_MS;

export interface Retention {
  openedMs: number;
  deleteByMs: number;
  /** Uploads end a day after the session, and never so late that a URL is alive near `deleteByMs`. */
  uploadsUntilMs: number;
}

/** Fixed once, when the recording opens. `deleteByMs` is later only ever brought forward. */
export function retentionOf(
  policy: { retention_days: number; practice: boolean; not_after: number },
  now: number,
): Retention {
  const deleteByMs = deleteByOf(now, policy);
  const sessionEndsMs = Math.min(policy.not_after, now + LONGEST_SESSION_MS);
  const lastMomentMs = deleteByMs - URL_LIFE_SECONDS * 1000 - CLOCK_SKEW_MS;
  return { openedMs: now, deleteByMs, uploadsUntilMs: Math.min(sessionEndsMs + RESUME_WINDOW_MS, lastMomentMs) };
}

/** What a tombstone remembers of a recording's uploads. */
export interface Tombstone {
  /** Expiry of the newest upload URL; 0 where none was signed. */
  lastUrlMs: number;
  /** When a listing was empty for the first time. */
  deletedMs: number | null;
}

/** Whether an empty listing at `now` is the last word: no upload that ever began can still be under way. */
export function mayBeVerified({ lastUrlMs, deletedMs }: Tombstone, now: number): boolean {
  const areUploadsOver = lastUrlMs < now - CLOCK_SKEW_MS - LONGEST_UPLOAD_MS;
  return areUploadsOver && deletedMs !== null && deletedMs < now - VERIFY_AFTER_MS;
}

/**
 * Whether an object may well come back now: a URL is alive, or its slower uploads are ending. Later ones, up to
 * `LONGEST_UPLOAD_MS`, are rare; they open for nobody, and the last look finds them.
 */
export function mayReturnSoon({ lastUrlMs }: Tombstone, now: number): boolean {
  return lastUrlMs > now - CLOCK_SKEW_MS - WATCH_MS;
}
