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

/** The anomalies that are found and not closed, and how many entries `subject` has. */
export async function openAnomalies(store: Store, subject: string): Promise<{ open: Anomaly[]; known: number }> {
  const entries = (await store.entriesOf(subject)).map(({ bytes }) => decodeEntry(bytes));
  const closed = new Set(entries.flatMap((entry) => (entry.type === 'anomaly.closed' ? [entry.anomaly] : [])));
  const open = entries.filter(
    (entry): entry is Anomaly => entry.type === 'anomaly.found' && !closed.has(entry.anomaly),
  );
  return { open, known: entries.length };
}

/** Logs `count` cases of `kind`, unless such an anomaly is open for the subject already. Answers whether it is new. */
export async function reportAnomaly(ports: Ports, subject: string, kind: AnomalyKind, count: number): Promise<boolean> {
  return decide(ports, subject, (open, at) =>
    open.some((anomaly) => anomaly.kind === kind)
      ? []
      : [
          {
            v: 1,
            type: 'anomaly.found',
            at,
            anomaly: newId(),
            kind,
            recording: subject === BUCKET ? null : subject,
            count,
          },
        ],
  );
}

/** Closes every open anomaly of the subject for which `resolve` knows an end. */
export async function closeAnomalies(
  ports: Ports,
  subject: string,
  resolve: (kind: AnomalyKind) => Resolution | undefined,
): Promise<boolean> {
  return decide(ports, subject, (open, at) =>
    open.flatMap(({ anomaly, kind }) => {
      const resolution = resolve(kind);
      return resolution ? [{ v: 1 as const, type: 'anomaly.closed' as const, at, anomaly, resolution }] : [];
    }),
  );
}

/** Writes what follows from the open anomalies; looks again where somebody else wrote meanwhile. */
async function decide(
  { store, clock }: Ports,
  subject: string,
  next: (open: readonly Anomaly[], at: number) => LogEntry[],
): Promise<boolean> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const { open, known } = await openAnomalies(store, subject);
    const entries = next(open, clock.now());
    if (entries.length === 0) return false;
    if (await store.appendAbout(subject, known, entries)) return true;
  }
  throw new Error(`the log about ${subject === BUCKET ? 'the bucket' : subject} keeps changing`);
}
