import type { ComponentType } from 'preact';
import { render } from 'preact';
import { z } from 'zod';

// zod would try `new Function` once, which the pages' policy refuses, loudly.
z.config({ jitless: true });

/** Puts a page into its document. */
export function mount(Page: ComponentType): void {
  const root = document.getElementById('root');
  if (!root) throw new Error('expected #root');
  render(<Page />, root);
}
