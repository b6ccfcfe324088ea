/** What a page sees of itself while it records: told as events, and never blocked in silence. */
import type { RuleName } from '../../../schema/events.ts';
import type { PageEvent } from './messages.ts';

export interface PageWatchOptions {
  rules: readonly RuleName[];
  note: (event: PageEvent) => void;
  /** A rule of the exam was left, or is kept again: the student is told at the same time. */
  onRule: (rule: RuleName, isKept: boolean) => void;
}

const SETTLED_MS = 500;

/** `isExtended` is told by Chromium only. */
type Screens = Screen & { isExtended?: boolean } & Partial<EventTarget>;

/** Watches until the answer is called. */
export function watchPage({ rules, note, onRule }: PageWatchOptions): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  const away = new Map<string, number>();
  const left = (what: string): void => {
    away.set(what, performance.now());
  };
  const back = (what: string): number => {
    const since = away.get(what);
    away.delete(what);
    return since === undefined ? 0 : Math.round(performance.now() - since);
  };
  const leaveRule = (rule: RuleName): void => {
    if (!rules.includes(rule)) return;
    left(rule);
    note({ type: 'rule_left', rule });
    onRule(rule, false);
  };
  const keepRule = (rule: RuleName): void => {
    if (!rules.includes(rule) || !away.has(rule)) return;
    note({ type: 'rule_kept', rule, away_ms: back(rule) });
    onRule(rule, true);
  };
  const on = (target: EventTarget | undefined, type: string, listener: (event: Event) => void): void => {
    target?.addEventListener(type, listener, { signal });
  };

  on(window, 'blur', () => {
    left('focus');
    note({ type: 'focus_lost' });
  });
  on(window, 'focus', () => {
    note({ type: 'focus_gained', away_ms: back('focus') });
  });
  on(document, 'visibilitychange', () => {
    if (document.hidden) {
      left('page');
      note({ type: 'page_hidden' });
    } else note({ type: 'page_shown', away_ms: back('page') });
  });
  const lookAtFullScreen = (): void => {
    if (document.fullscreenElement) keepRule('full_screen');
    else leaveRule('full_screen');
  };
  on(document, 'fullscreenchange', () => {
    note(document.fullscreenElement ? { type: 'full_screen_entered' } : { type: 'full_screen_left' });
    lookAtFullScreen();
  });
  let settling: ReturnType<typeof setTimeout> | undefined;
  on(window, 'resize', () => {
    clearTimeout(settling);
    settling = setTimeout(() => {
      const { width: screen_width, height: screen_height } = screen;
      note({ type: 'window_resized', width: innerWidth, height: innerHeight, screen_width, screen_height });
    }, SETTLED_MS);
  });
  for (const [type, told] of [
    ['copy', 'copied'],
    ['cut', 'cut'],
  ] as const) {
    on(document, type, () => {
      note({ type: told, characters: selectedLength() });
      leaveRule('no_clipboard');
    });
  }
  on(document, 'paste', (event) => {
    note({ type: 'pasted', characters: (event as ClipboardEvent).clipboardData?.getData('text').length ?? 0 });
    leaveRule('no_clipboard');
  });
  on(document, 'contextmenu', () => {
    note({ type: 'context_menu' });
    leaveRule('no_context_menu');
  });
  const screens = screen as Screens;
  const lookAtScreens = (): void => {
    if (screens.isExtended === undefined) return;
    if (screens.isExtended) {
      note({ type: 'screens', is_extended: true, count: null });
      leaveRule('one_screen');
    } else keepRule('one_screen');
  };
  if (screens.addEventListener) on(screens as EventTarget, 'change', lookAtScreens);
  on(navigator.mediaDevices, 'devicechange', () => void tellDevices(note));
  on(window, 'pagehide', () => {
    note({ type: 'page_closing' });
  });

  lookAtScreens();
  if (rules.includes('full_screen')) lookAtFullScreen();
  return () => {
    stop.abort();
    clearTimeout(settling);
  };
}

/** How much is selected, and never what. */
function selectedLength(): number {
  const { activeElement } = document;
  if (activeElement instanceof HTMLInputElement || activeElement instanceof HTMLTextAreaElement) {
    return Math.abs((activeElement.selectionEnd ?? 0) - (activeElement.selectionStart ?? 0));
  }
  return document.getSelection()?.toString().length ?? 0;
}

async function tellDevices(note: PageWatchOptions['note']): Promise<void> {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const count = (kind: MediaDeviceKind): number => devices.filter((device) => device.kind === kind).length;
  note({
    type: 'devices_changed',
    cameras: count('videoinput'),
    microphones: count('audioinput'),
    speakers: count('audiooutput'),
  });
}
