import type { StorageFinding } from '../../src/server/core/attestation.ts';

/** What the doctor found about one promise that the system rests on; about a server it speaks as the bucket's probe does. */
export type Finding = StorageFinding;

export function found(check: string, isWell: boolean, well: string, otherwise: Omit<Finding, 'check'>): Finding {
  return isWell ? { check, state: 'ok', message: well } : { check, ...otherwise };
}
