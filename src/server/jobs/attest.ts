/**
 * Looks at what the bucket enforces, at the start and every hour, and writes it into the log when it changed or a day has passed.
 * What the server cannot make up for keeps it from starting; a store that does not check SHA-256 makes it read what it counts.
 */
import { equal, fromBase64Url } from '../../../crypto/format/bytes.ts';
import { sha256 } from '../../../crypto/format/hash.ts';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import {
  type Attestation,
  attestationOf,
  isNews,
  judge,
  type Probe,
  type StorageFinding,
  weaknesses,
} from '../core/attestation.ts';
import { CLOCK_SKEW_MS } from '../core/retention.ts';
import { ServerError } from '../errors.ts';
import type { Bucket, Clock, Ports, Store } from '../ports.ts';
import { StartRefusal } from '../start-refusal.ts';
import { BUCKET, closeAnomalies, reportAnomaly } from './anomaly.ts';

/** How long a server may go on with what it knew of the bucket. */
const KNOWN_FOR_MS = 60_000;

/** Bookmark: when the bucket was last found fit. */
const FOUND_FIT = 'attest: found fit';

/** Looked at every hour; a store that does not answer for a day is no place for a new recording. */
const FIT_FOR_MS = 24 * 3_600_000;

/** Throws `StartRefusal` for a bucket in which the promises would be false; whatever it is, the log knows of it first. */
export async function attest(
  ports: Ports,
  probe: (bucket: Bucket, clock: Clock) => Promise<Probe>,
): Promise<StorageFinding[]> {
  const { store, bucket, clock } = ports;
  const probed = await probe(bucket, clock);
  const fresh = attestationOf(probed, clock.now());
  const { last, known } = await newestAttestation(store);
  // Not won: another server has just written what it saw, and looks at the same bucket.
  if (isNews(fresh, last)) await store.appendAbout(BUCKET, known, [fresh]);
  const weak = weaknesses(fresh);
  if (weak > 0) await reportAnomaly(ports, BUCKET, 'store-weak', weak);
  else await closeAnomalies(ports, BUCKET, (kind) => (kind === 'store-weak' ? 'repaired' : undefined));
  if (isAstray(fresh)) await reportAnomaly(ports, BUCKET, 'clock-stepped', 1);
  else await closeAnomalies(ports, BUCKET, (kind) => (kind === 'clock-stepped' ? 'repaired' : undefined));
  const findings = judge(probed);
  const isFit = findings.every(({ state }) => state !== 'bad');
  await store.setBookmark(FOUND_FIT, isFit ? String(clock.now()) : undefined);
  requireFit(findings);
  return findings;
}

/** Whether the two clocks differ by more than the margins of the purge allow for. */
function isAstray({ clock_skew_ms: skewMs }: Attestation): boolean {
  return skewMs !== null && Math.abs(skewMs) > CLOCK_SKEW_MS;
}

/** Whether the bucket was last found to live in another time than this server. */
export async function isClockAstray({ store }: Ports): Promise<boolean> {
  const { last } = await newestAttestation(store);
  return last !== undefined && isAstray(last);
}

/**
 * The clock by which a deletion may begin. Where the bucket was last found to live in another time, the earlier of the two is
 * believed: a server whose clock ran ahead would otherwise destroy what is owed, and nothing brings that back.
 */
export async function cautiousClock({ store, clock }: Ports): Promise<Clock> {
  const { last } = await newestAttestation(store);
  const behindMs = last && isAstray(last) ? Math.max(0, -last.clock_skew_ms!) : 0;
  return { now: () => clock.now() - behindMs };
}

/**
 * For a server that has no start at which it could refuse: no recording is opened in a bucket that was not lately found fit. What is open
 * already goes on, because what is recorded now cannot be recorded again.
 */
export async function requireAttested({ store, clock }: Ports): Promise<void> {
  const found = await store.bookmark(FOUND_FIT);
  if (found !== undefined && Math.abs(clock.now() - Number(found)) < FIT_FOR_MS) return;
  throw new ServerError('storage-unattested', 'the bucket was not lately found fit to keep recordings', {
    hint: 'the server looks at it every minute until it is; `zeroreel doctor --bucket` shows what is wrong',
  });
}

/** Whether it is time to look: hourly is the timetable's, and at once where nothing is known. */
export async function isAttested({ store }: Ports): Promise<boolean> {
  return (await store.bookmark(FOUND_FIT)) !== undefined;
}

function requireFit(findings: readonly StorageFinding[]): void {
  const bad = findings.filter(({ state }) => state === 'bad');
  if (bad.length === 0) return;
  throw new StartRefusal(
    `the bucket cannot keep what is promised: ${bad.map(({ message }) => message).join('; ')}`,
    bad.flatMap(({ hint }) => hint ?? []).join('; ') || '`zeroreel doctor --bucket` shows every check',
  );
}

async function newestAttestation(store: Store): Promise<{ last: Attestation | undefined; known: number }> {
  const entries = (await store.entriesOf(BUCKET)).map(({ bytes }) => decodeEntry(bytes));
  const last = entries.findLast((entry): entry is Attestation => entry.type === 'storage.attested');
  return { last, known: entries.length };
}

/** What a chunk was promised to be. */
export interface PromisedObject {
  key: string;
  /** SHA-256, base64url. */
  sha256: string;
}

/**
 * The check that makes up for a store which takes any body of the right length: answers which objects are not what was promised.
 * Where the bucket was found to check by itself, or was never probed, nothing is read. They are not deleted: a slow check must not
 * take what a later head has counted, and an honest recorder never sends other bytes.
 */
export function createBodyCheck({ store, bucket, clock }: Ports) {
  let knownMs = Number.NEGATIVE_INFINITY;
  let isNeeded = false;
  const look = async (): Promise<boolean> => {
    const now = clock.now();
    if (Math.abs(now - knownMs) >= KNOWN_FOR_MS) {
      const { last } = await newestAttestation(store);
      isNeeded = last !== undefined && last.enforces.sha256 !== true;
      knownMs = now;
    }
    return isNeeded;
  };
  return async <Promised extends PromisedObject>(objects: readonly Promised[]): Promise<Promised[]> => {
    const altered: Promised[] = [];
    if (objects.length === 0 || !(await look())) return altered;
    // One at a time: a chunk may have 8 MiB.
    for (const object of objects) {
      const bytes = await bucket.get(object.key);
      if (!bytes || !equal(await sha256(bytes), fromBase64Url(object.sha256))) altered.push(object);
    }
    return altered;
  };
}
