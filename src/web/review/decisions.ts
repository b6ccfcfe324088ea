/** What reviewers decided about flags. A person decides, and a second one agrees or does not; the page only keeps the account. Pure. */
import type { ReviewNote } from '../../client/review-notes.ts';

export interface Decision {
  /** `disputed`: two reviewers see it differently. */
  state: 'confirmed' | 'dismissed' | 'disputed';
  /** The newest of each reviewer, in the order of their first words. */
  opinions: ReviewNote[];
}

export const DECISION_WORDS: Readonly<Record<Decision['state'], string>> = {
  confirmed: 'confirmed',
  dismissed: 'dismissed',
  disputed: 'reviewers disagree',
};

/** By mark. */
export function decisionsOf(notes: readonly ReviewNote[]): Map<string, Decision> {
  const byMark = new Map<string, Map<string, ReviewNote>>();
  for (const note of notes) {
    if (note.mark === null || note.kind === 'note') continue;
    const opinions = byMark.get(note.mark) ?? new Map<string, ReviewNote>();
    const earlier = opinions.get(note.by);
    if (!earlier || note.at >= earlier.at) opinions.set(note.by, note);
    byMark.set(note.mark, opinions);
  }
  return new Map([...byMark].map(([mark, opinions]) => [mark, decide([...opinions.values()])]));
}

function decide(opinions: ReviewNote[]): Decision {
  const kinds = new Set(opinions.map(({ kind }) => kind));
  const state = kinds.size > 1 ? 'disputed' : kinds.has('dismissed') ? 'dismissed' : 'confirmed';
  return { state, opinions };
}

/** Marks that nobody who looked at them thinks of any more. */
export function dismissedMarks(decisions: ReadonlyMap<string, Decision>): Set<string> {
  return new Set([...decisions].filter(([, { state }]) => state === 'dismissed').map(([mark]) => mark));
}

/** `confirmed, and a second reviewer agrees`. */
export function decisionWords({ state, opinions }: Decision): string {
  if (opinions.length < 2 || state === 'disputed') return DECISION_WORDS[state];
  return `${DECISION_WORDS[state]}, and a second reviewer agrees`;
}
