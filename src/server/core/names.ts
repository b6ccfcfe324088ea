/**
 * Objects' names are derived, never stored: `<recording>/<epoch>/<track>/<seq>`, zero-padded so that key order is sequence
 * order. A listing of `<recording>/` therefore finds everything there is, whatever the rows say. Keys begin with the
 * recording's random characters, which spreads them over a store's partitions.
 */
export interface ObjectName {
  epoch: number;
  track: number;
  seq: number;
}

export function recordingPrefix(recordingId: string): string {
  return `${recordingId}/`;
}

export function trackPrefix(recordingId: string, epoch: number, track: number): string {
  return `${recordingId}/${String(epoch).padStart(4, '0')}/${String(track).padStart(5, '0')}/`;
}

export function objectKey(recordingId: string, { epoch, track, seq }: ObjectName): string {
  return trackPrefix(recordingId, epoch, track) + String(seq).padStart(10, '0');
}

/** Highest epoch number that still sorts: a recorder that restarts more often than this is broken. */
export const LAST_EPOCH = 9999;

const KEY = /^([A-Za-z0-9_-]{22})\/(\d{4})\/(\d{5})\/(\d{10})$/;

/** The inverse of `objectKey`; undefined for a key that no recorder was ever given. */
export function parseObjectKey(key: string): (ObjectName & { recordingId: string }) | undefined {
  const match = KEY.exec(key);
  if (!match) return undefined;
  const [, recordingId, epoch, track, seq] = match as unknown as [string, string, string, string, string];
  return { recordingId, epoch: Number(epoch), track: Number(track), seq: Number(seq) };
}
