/** Which recording to look at first: flags, weighed as the reviewer likes. An order of work, and never a judgement. Pure. */
import { EVENT_TYPES, type EventType } from '../../../schema/events.ts';
import { isFlagType, type Mark } from './marks.ts';

/** 0 to 5 by type of flag; 0 counts it for nothing. */
export type Weights = Readonly<Partial<Record<EventType, number>>>;

export const FLAG_TYPES = Object.keys(EVENT_TYPES).filter(isFlagType);

export const DEFAULT_WEIGHTS: Weights = Object.fromEntries(FLAG_TYPES.map((type) => [type, EVENT_TYPES[type].weight]));

/** Reads weights that were kept: what is no weight is the default. */
export function readWeights(kept: unknown): Weights {
  const found = (kept ?? {}) as Record<string, unknown>;
  return Object.fromEntries(
    FLAG_TYPES.map((type) => {
      const weight = found[type];
      const isWeight = typeof weight === 'number' && Number.isInteger(weight) && weight >= 0 && weight <= 5;
      return [type, isWeight ? weight : DEFAULT_WEIGHTS[type]!];
    }),
  );
}

export interface Score {
  total: number;
  /** Flags that count for anything, by type. */
  counts: Partial<Record<EventType, number>>;
  flags: number;
}

/** `dismissed`: marks that a reviewer has looked at and found to be nothing. */
export function scoreOf(marks: readonly Mark[], weights: Weights, dismissed: ReadonlySet<string> = new Set()): Score {
  const score: Score = { total: 0, counts: {}, flags: 0 };
  for (const mark of marks) {
    if (mark.class !== 'flag' || mark.isIgnored || dismissed.has(mark.id) || !isFlagType(mark.type)) continue;
    score.flags++;
    score.counts[mark.type] = (score.counts[mark.type] ?? 0) + 1;
    score.total += weights[mark.type] ?? 0;
  }
  return score;
}

/** What stands beside every score: `default weights`, or which differ. */
export function weightsLabel(weights: Weights): string {
  const changed = FLAG_TYPES.filter((type) => weights[type] !== DEFAULT_WEIGHTS[type]);
  if (changed.length === 0) return 'default weights';
  return `weights: ${changed.map((type) => `${EVENT_TYPES[type].label} ${weights[type]!}`).join(', ')}; the others default`;
}
