/**
 * Anomalies, from being found to being closed, each in the log exactly once. There is no row for them: what the log says
 * about a subject is the state, and appending only while it says nothing new is the compare-and-swap.
 */
import { newId } from '../../../crypto/format/ids.ts';
import { decodeEntry, type LogEntry, type LogEntryOf } from '../../../crypto/log/entry.ts';
import type { Ports, Store } from '../ports.ts';

export type Anomaly = LogEntryOf<'anomaly.found'>;
export type AnomalyKind = Anomaly['kind'];
export type Resolution = LogEntryOf<'anomaly.closed'>['resolution'];

/** What is about no recording in particular: entries under this subject concern the bucket as a whole. */
export const BUCKET = '';

/** A writer that loses this often competes with somebody who does the same work. */
const MOST_ATTEMPTS = 5;

/** What the log says about a subject. */
export interface Standing {
  /** Found and not closed. */
  open: Anomaly[];
  /** How many entries there are. */
  known: number;
  /** Whether its deletion was verified: from there on nobody looks for what to close. */
  isSettled: boolean;
}

type Resolve = (kind: AnomalyKind) => Resolution | undefined;

export async function openAnomalies(store: Store, subject: string): Promise<Standing> {
  const entries = (await store.entriesOf(subject)).map(({ bytes }) => decodeEntry(bytes));
  const closed = new Set(entries.flatMap((entry) => (entry.type === 'anomaly.closed' ? [entry.anomaly] : [])));
  const open = entries.filter(
    (entry): entry is Anomaly => entry.type === 'anomaly.found' && !closed.has(entry.anomaly),
  );
  return { open, known: entries.length, isSettled: entries.some(({ type }) => type === 'deletion.verified') };
}

/**
 * Logs `count` cases of `kind`, unless such an anomaly is open for the subject already. Answers whether it is new. `endOf`: how it ends
 * where another run has verified the deletion since this one looked; it is closed in the same commit, because nobody comes back to it.
 */
export async function reportAnomaly(
  ports: Ports,
  subject: string,
  kind: AnomalyKind,
  count: number,
  endOf: Resolve = () => undefined,
): Promise<boolean> {
  return decide(ports, subject, ({ open, isSettled }, at) => {
    if (open.some((anomaly) => anomaly.kind === kind)) return [];
    const recording = subject === BUCKET ? null : subject;
    const found = { v: 1, type: 'anomaly.found', at, anomaly: newId(), kind, recording, count } as const;
    return isSettled ? [found, ...closings([found], at, endOf)] : [found];
  });
}

/** Closes every open anomaly of the subject for which `resolve` knows an end. */
export async function closeAnomalies(ports: Ports, subject: string, resolve: Resolve): Promise<boolean> {
  return decide(ports, subject, ({ open }, at) => closings(open, at, resolve));
}

/** The entries that end those of `open` for which `resolve` knows an end. */
export function closings(open: readonly Anomaly[], at: number, resolve: Resolve): LogEntryOf<'anomaly.closed'>[] {
  return open.flatMap(({ anomaly, kind }) => {
    const resolution = resolve(kind);
    return resolution ? [{ v: 1 as const, type: 'anomaly.closed' as const, at, anomaly, resolution }] : [];
  });
}

/** Writes what follows from the open anomalies; looks again where somebody else wrote meanwhile. */
async function decide(
  { store, clock }: Ports,
  subject: string,
  next: (standing: Standing, at: number) => LogEntry[],
): Promise<boolean> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const standing = await openAnomalies(store, subject);
    const entries = next(standing, clock.now());
    if (entries.length === 0) return false;
    if (await store.appendAbout(subject, standing.known, entries)) return true;
  }
  throw new Error(`the log about ${subject === BUCKET ? 'the bucket' : subject} keeps changing`);
}
