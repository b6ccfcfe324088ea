/** The frame that every page stands in: a way past the navigation, who this is, and one `main`. */
import type { ComponentChildren } from 'preact';
import iconUrl from '../icon.svg';
import { guideFor } from './guides.ts';

const LINKS = [
  ['/record', 'Record'],
  ['/review', 'Review'],
  ['/compliance', 'Compliance'],
  ['/receipt', 'Receipt'],
] as const;

export interface FrameProps {
  /** The page's own path, marked as the current one. */
  path: string;
  /** One column of reading width, for pages that are read from top to bottom. */
  isNarrow?: boolean;
  /** False where leaving the page would end what somebody is doing: then there is nothing to click on. */
  hasNavigation?: boolean;
  /** Stands in the head of the page on every state, such as a recording indicator. */
  banner?: ComponentChildren;
  children: ComponentChildren;
}

export function Frame({ path, isNarrow = false, hasNavigation = true, banner, children }: FrameProps) {
  const guide = guideFor(path);
  return (
    <div class="frame">
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="masthead">
        {hasNavigation ? (
          <a class="brand" href="/">
            <Brand />
          </a>
        ) : (
          <span class="brand">
            <Brand />
          </span>
        )}
        {hasNavigation && (
          <nav aria-label="Pages">
            <ul>
              {LINKS.map(([href, name]) => (
                <li key={href}>
                  <a href={href} aria-current={href === path ? 'page' : undefined}>
                    {name}
                  </a>
                </li>
              ))}
            </ul>
          </nav>
        )}
        {banner}
      </header>
      <main id="main" class={isNarrow ? 'content narrow' : 'content'} tabIndex={-1}>
        {children}
      </main>
      <footer class="foot">
        <span>Zeroreel: recordings are encrypted on the student’s device. This service cannot open them.</span>
        {hasNavigation && <a href={guide.href}>{guide.name}</a>}
      </footer>
    </div>
  );
}

function Brand() {
  return (
    <>
      <img src={iconUrl} alt="" />
      Zeroreel
    </>
  );
}
