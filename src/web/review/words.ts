/** What figures, states and verdicts mean, in plain words. */
import type { RecordingSummary } from '../../../schema/api.ts';
import type { Verdict } from '../../client/verdict.ts';
import type { Tone } from '../parts/status.tsx';
import { formatDuration } from './marks.ts';

export function formatDay(ms: number): string {
  return new Date(ms).toLocaleDateString(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
}

export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]!}`;
}

/** Why a recording stands where it stands: apart from its flags, because a crash is no misconduct. */
export const STATES: Readonly<Record<RecordingSummary['state'], string>> = {
  open: 'recording, or interrupted',
  closed: 'ended by the recorder',
  abandoned: 'never ended: the recorder went silent',
  purging: 'being destroyed',
  deleted: 'destroyed',
  verified: 'destroyed, and found empty again later',
};

export function timeLeft(deleteByMs: number, nowMs: number): string {
  const left = deleteByMs - nowMs;
  return left <= 0 ? 'due' : formatDuration(left);
}

export const VERDICT_WORDS: Readonly<Record<Verdict, { tone: Tone; short: string; meaning: string }>> = {
  COMPLETE: {
    tone: 'good',
    short: 'Complete',
    meaning:
      'Everything that the recorder signed is here, unchanged and in order, from the beginning to the end that it declared.',
  },
  'OPEN-ENDED': {
    tone: 'warn',
    short: 'Open-ended',
    meaning:
      'What is here is genuine and unchanged, but the recorder never said that this is the end. A crash, a closed computer or a lost network does that; it is no sign of misconduct by itself.',
  },
  GAPS: {
    tone: 'warn',
    short: 'Gaps',
    meaning: 'Parts that the recorder counted are not here. What is here is genuine. The places are listed below.',
  },
  INVALID: {
    tone: 'bad',
    short: 'Invalid',
    meaning:
      'Something does not verify: it was altered, or is not what its recorder signed. Do not decide anything by it; keep a case file and report it.',
  },
  EQUIVOCATION: {
    tone: 'bad',
    short: 'Contradiction',
    meaning:
      'Two signed statements about this recording cannot both be honest. Do not decide anything by it; keep a case file and report it.',
  },
};
