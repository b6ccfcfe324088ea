/**
 * Judges what a probe with real objects found out about a bucket. Pure: facts in; out come findings for people, and the entry
 * `storage.attested` for the log.
 *
 * `bad` is what would make "hard-deleted by delete_by, and not before" false, or lets in somebody whom nothing was signed for: the
 * server does not start on it. `weak` is told, logged, and made up for where that is possible.
 */
import type { LogEntryOf } from '../../../crypto/log/entry.ts';
import type { BucketSettings } from '../ports.ts';
import { CLOCK_SKEW_MS } from './retention.ts';

/** Requests that a store must refuse, each made once. */
export const REFUSALS = ['signature', 'expiry', 'key', 'length', 'sha256', 'create-only'] as const;
export type Refusal = (typeof REFUSALS)[number];

/** What was seen. HTTP statuses as they were answered; 0 where the connection was cut instead. */
export interface Probe {
  put: number;
  refusals: Record<Refusal, number>;
  /** Whether a presigned GET gave back what was put. */
  isReadable: boolean;
  isRangeServed: boolean;
  /** Whether a listing showed at once what was put. */
  isListed: boolean;
  /** Whether a preflight lets a page of another origin upload. */
  isCorsOpen: boolean;
  /** Versions that were left, by a listing after the delete. */
  left: number;
  /** The store's Date less the server's time, ms; null where the store tells no time. */
  clockSkewMs: number | null;
  settings: BucketSettings;
}

export interface StorageFinding {
  /** Stable name, e.g. `bucket.create-only`. */
  check: string;
  /** `bad`: a promise is false. `weak`: it holds, with less in reserve. `unknown`: nobody would say. */
  state: 'ok' | 'weak' | 'bad' | 'unknown';
  message: string;
  hint?: string;
}

type Otherwise = Omit<StorageFinding, 'check'>;
export type Attestation = LogEntryOf<'storage.attested'>;

/** A rule that ends objects this soon, or sooner, can take a recording before its time. */
const LONGEST_RETENTION_DAYS = 30;
/** Beyond this a person should look at the clocks; beyond `CLOCK_SKEW_MS` the margins of the purge no longer hold. */
const GOOD_SKEW_MS = 60_000;
/** Differences of skew below this are the network's. */
const SKEW_STEP_MS = 30_000;
const DAY_MS = 86_400_000;

/** Whether a status is a refusal: null for a cut connection or a failure, which may be a refusal and cannot be relied on. */
function isRefused(status: number): boolean | null {
  if (status >= 400 && status < 500) return true;
  return status >= 200 && status < 300 ? false : null;
}

function found(check: string, isWell: boolean, well: string, otherwise: Otherwise): StorageFinding {
  return isWell ? { check, state: 'ok', message: well } : { check, ...otherwise };
}

const REFUSAL_TERMS: Record<Refusal, { what: string; otherwise: Pick<StorageFinding, 'state' | 'hint'> }> = {
  signature: {
    what: 'a forged signature',
    otherwise: { state: 'bad', hint: 'anybody can write to this bucket: use a store that verifies signatures' },
  },
  expiry: {
    what: 'a URL that has expired',
    otherwise: {
      state: 'bad',
      hint: 'a URL could bring an object back after its deletion: use a store that honours expiry',
    },
  },
  key: {
    what: 'a URL for another key',
    otherwise: {
      state: 'bad',
      hint: 'a recorder could write into another recording: use a store that verifies signatures',
    },
  },
  length: {
    what: 'a longer body',
    otherwise: { state: 'weak', hint: 'the server compares lengths in a listing before it counts a chunk as stored' },
  },
  sha256: {
    what: 'another body of the same length',
    otherwise: { state: 'weak', hint: 'the server reads and hashes each chunk itself before it counts it as stored' },
  },
  'create-only': {
    what: 'the same PUT again',
    otherwise: { state: 'weak', hint: 'an object can be written again for five minutes; readers notice other bytes' },
  },
};

/** Every finding about a bucket, well or not, in a fixed order. */
export function judge(probe: Probe): StorageFinding[] {
  return [
    found('bucket.write', probe.put === 200, 'takes a presigned PUT', {
      state: 'bad',
      message: `a presigned PUT was answered with ${probe.put}`,
      hint: 'credentials, region, path style, or a clock that is wrong',
    }),
    ...REFUSALS.map((refusal) => judgeRefusal(refusal, probe.refusals[refusal])),
    judgeClock(probe.clockSkewMs),
    found('bucket.read', probe.isReadable, 'gives an object back whole', {
      state: 'bad',
      message: 'a presigned GET did not give back what was put',
    }),
    found('bucket.range', probe.isRangeServed, 'serves ranges', {
      state: 'weak',
      message: 'no ranges: seeking reads whole chunks',
    }),
    found('bucket.list', probe.isListed, 'lists what was stored, at once', {
      state: 'bad',
      message: 'a listing does not show at once what was stored',
      hint: 'deletion is proven by listings, and this one cannot be relied on',
    }),
    found('bucket.delete', probe.left === 0, 'a listing after the delete is empty', {
      state: 'bad',
      message: `${probe.left} versions are left after a delete`,
      hint: 'what cannot be deleted cannot be promised to be: look at lock, retention and permissions of the bucket',
    }),
    found('bucket.cors', probe.isCorsOpen, 'lets browsers upload (CORS)', {
      state: 'weak',
      message: 'no CORS: browsers cannot record to this bucket',
      hint: '`zeroreel doctor --fix` allows PUT and GET from the pages',
    }),
    ...judgeSettings(probe.settings),
  ];
}

function judgeRefusal(refusal: Refusal, status: number): StorageFinding {
  const check = `bucket.${refusal}`;
  const { what, otherwise } = REFUSAL_TERMS[refusal];
  const verdict = isRefused(status);
  if (verdict === null) return { check, state: 'unknown', message: `${what} was answered with ${status}` };
  return found(check, verdict, `refuses ${what} (${status})`, {
    ...otherwise,
    message: `${what} was answered with ${status}`,
  });
}

function judgeClock(skewMs: number | null): StorageFinding {
  const check = 'bucket.clock';
  if (skewMs === null) return { check, state: 'unknown', message: 'the store does not tell its time' };
  const away = Math.abs(skewMs);
  return found(check, away < GOOD_SKEW_MS, 'its clock agrees within a minute', {
    state: away > CLOCK_SKEW_MS ? 'bad' : 'weak',
    message: `its clock is ${Math.round(away / 1000)} s ${skewMs > 0 ? 'ahead of' : 'behind'} this machine's`,
    hint: 'one of the two needs NTP',
  });
}

/** What a store's own settings mean for the promises; part of `judge`. */
export function judgeSettings({ versioning, objectLock, lifecycle }: BucketSettings): StorageFinding[] {
  return [
    judgeVersioning(versioning),
    objectLock === 'unknown'
      ? { check: 'bucket.lock', state: 'unknown', message: 'the store does not say whether objects can be locked' }
      : found('bucket.lock', !objectLock, 'has no object lock', {
          state: 'bad',
          message: 'object lock is on: nothing can be hard-deleted in time',
          hint: 'object lock cannot be switched off: make another bucket',
        }),
    judgeLifecycle(lifecycle),
  ];
}

function judgeVersioning(versioning: BucketSettings['versioning']): StorageFinding {
  const check = 'bucket.versioning';
  switch (versioning) {
    case 'off':
      return { check, state: 'ok', message: 'keeps no versions' };
    case 'enabled':
      return { check, state: 'weak', message: 'versioning is on: every version is deleted by its id' };
    case 'suspended':
      return {
        check,
        state: 'bad',
        message: 'versioning is suspended: null versions hide what was there before, and lifecycle rules may stop',
        hint: 'make a bucket that never had versioning, or enable it',
      };
    case 'unknown':
      return { check, state: 'unknown', message: 'the store does not say whether it keeps versions' };
  }
}

/** Whether a rule's prefix can match an object of a recording: `<22 characters of base64url>/...` (names.ts). */
function canHit(prefix: string): boolean {
  return /^(?:[A-Za-z0-9_-]{0,22}|[A-Za-z0-9_-]{22}\/.*)$/.test(prefix);
}

function judgeLifecycle(lifecycle: BucketSettings['lifecycle']): StorageFinding {
  const check = 'bucket.lifecycle';
  if (lifecycle === 'unknown')
    return { check, state: 'unknown', message: 'the store does not tell its lifecycle rules' };
  const soonest = Math.min(...rulesOf(lifecycle).map(({ days }) => days));
  if (soonest <= LONGEST_RETENTION_DAYS) {
    return {
      check,
      state: 'bad',
      message: `a lifecycle rule deletes after ${soonest} days: recordings would be lost before their time`,
      hint: 'make it 31 days or more',
    };
  }
  const backstop = backstopOf(lifecycle);
  return found(check, backstop !== null, `a lifecycle rule of ${backstop ?? 0} days stands behind the purge`, {
    state: 'weak',
    message: 'no lifecycle rule stands behind the purge',
    hint: '`zeroreel doctor --fix` makes one of 31 days',
  });
}

function rulesOf(lifecycle: BucketSettings['lifecycle']) {
  return Array.isArray(lifecycle) ? lifecycle.filter(({ prefix }) => canHit(prefix)) : [];
}

/** Days after which the store itself ends every object; null where it does not. */
function backstopOf(lifecycle: BucketSettings['lifecycle']): number | null {
  const whole = rulesOf(lifecycle).filter(({ prefix }) => prefix === '');
  return whole.length === 0 ? null : Math.min(...whole.map(({ days }) => days));
}

/** The probe as an entry of the log. */
export function attestationOf({ refusals, settings, clockSkewMs }: Probe, now: number): Attestation {
  const { versioning, objectLock, lifecycle } = settings;
  return {
    v: 1,
    type: 'storage.attested',
    at: now,
    versioning,
    object_lock: objectLock === 'unknown' ? null : objectLock,
    lifecycle_days: backstopOf(lifecycle),
    enforces: {
      signature: isRefused(refusals.signature),
      expiry: isRefused(refusals.expiry),
      length: isRefused(refusals.length),
      sha256: isRefused(refusals.sha256),
      create_only: isRefused(refusals['create-only']),
    },
    clock_skew_ms: clockSkewMs,
  };
}

/** Whether `fresh` belongs into the log: it differs from the last one, or that one is a day old. */
export function isNews(fresh: Attestation, last: Attestation | undefined): boolean {
  if (!last || Math.abs(fresh.at - last.at) >= DAY_MS) return true;
  const plain = ({ at: _at, clock_skew_ms: skew, ...rest }: Attestation) =>
    JSON.stringify({ ...rest, skew: skew === null ? null : Math.round(skew / SKEW_STEP_MS / 2) });
  return plain(fresh) !== plain(last);
}

/** How many of the things that a store should enforce, by a refusal, it does not: what the anomaly `store-weak` counts. */
export function weaknesses({ enforces }: Attestation): number {
  return Object.values(enforces).filter((isEnforced) => isEnforced === false).length;
}
