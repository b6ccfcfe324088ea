import type { RecordingFindings, Verdict } from '../../src/client/verdict.ts';
import { EXIT, type ExitCode } from './exits.ts';
import type { Shell } from './shell.ts';

const VERDICT_EXITS = {
  COMPLETE: EXIT.well,
  'OPEN-ENDED': EXIT.unwell,
  GAPS: EXIT.unwell,
  INVALID: EXIT.violation,
  EQUIVOCATION: EXIT.violation,
} as const satisfies Record<Verdict, ExitCode>;

export function exitOf(verdict: Verdict): ExitCode {
  return VERDICT_EXITS[verdict];
}

/** The verdict as a result, its reasons for people. */
export function tellVerdict(shell: Shell, { verdict, reasons }: RecordingFindings): void {
  shell.print(verdict);
  for (const reason of reasons) shell.say(reason);
}
