import type { ComponentChildren } from 'preact';

export type Tone = 'info' | 'good' | 'warn' | 'bad';

/** A tone has a shape and a word beside its colour, for who cannot tell colours apart or hears the page. */
const MARKS: Readonly<Record<Tone, readonly [mark: string, word: string]>> = {
  info: ['i', 'Note'],
  good: ['✓', 'Good'],
  warn: ['!', 'Attention'],
  bad: ['✕', 'Problem'],
};

export interface StatusProps {
  tone: Tone;
  children: ComponentChildren;
}

export function Status({ tone, children }: StatusProps) {
  const [mark, word] = MARKS[tone];
  return (
    <div class={`status ${tone}`}>
      <span class="mark" aria-hidden="true">
        {mark}
      </span>
      <div>
        <span class="hidden-visually">{word}: </span>
        {children}
      </div>
    </div>
  );
}

export interface LiveRegionProps {
  /** At once, for what cannot wait; otherwise when the reader pauses. */
  isUrgent?: boolean;
  /** Shown too; otherwise it is for who hears the page. */
  isShown?: boolean;
  children: ComponentChildren;
}

/** Is on the page from the beginning, empty if need be: what changes in it is read out. */
export function LiveRegion({ isUrgent = false, isShown = false, children }: LiveRegionProps) {
  return (
    <div role={isUrgent ? 'alert' : 'status'} class={isShown ? undefined : 'hidden-visually'}>
      {children}
    </div>
  );
}
