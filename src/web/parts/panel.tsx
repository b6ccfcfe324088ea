import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

export interface PanelProps {
  heading: string;
  /** 2 by default; the page's title is the 1. */
  level?: 2 | 3;
  children: ComponentChildren;
}

/** A part of a page with a heading of its own, which is also its name for who cannot see it. */
export function Panel({ heading, level = 2, children }: PanelProps) {
  const id = useId();
  const Heading = `h${level}` as const;
  return (
    <section class="panel" aria-labelledby={id}>
      <Heading id={id}>{heading}</Heading>
      {children}
    </section>
  );
}
