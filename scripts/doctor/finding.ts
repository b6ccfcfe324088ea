/** What the doctor found about one promise that the system rests on. */
export interface Finding {
  /** Stable name, e.g. `bucket.create-only`. */
  check: string;
  /** `bad`: a promise is false. `weak`: it holds, with less in reserve. `unknown`: nobody would say. */
  state: 'ok' | 'weak' | 'bad' | 'unknown';
  message: string;
  hint?: string;
}

export function found(check: string, isWell: boolean, well: string, otherwise: Omit<Finding, 'check'>): Finding {
  return isWell ? { check, state: 'ok', message: well } : { check, ...otherwise };
}
