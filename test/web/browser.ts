/**
 * A real Chromium for tests of pages: fake camera, microphone and screen, nothing that phones home; whoever looks at the page with
 * axe, by keyboard, by names and roles. Where there is no Chromium its tests are skipped, loudly and counted.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AxeResults, RunOptions } from 'axe-core';
import { chromium, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { expect } from 'vitest';
import { CHROMIUM, QUIET_FLAGS } from '../crypto/runtimes/chromium.ts';

export { describeInChromium } from '../crypto/runtimes/chromium.ts';

const PATIENCE_MS = 90_000;

/** Test pictures and beeps in place of devices. */
const FAKE_DEVICES = '--use-fake-device-for-media-stream=fps=15';

/** Permission without a question; and what is shared as the screen: a test picture, or the tab with this title. */
function consent(sharedTab: string | undefined): string[] {
  return sharedTab === undefined
    ? ['--use-fake-ui-for-media-stream']
    : ['--auto-accept-camera-and-microphone-capture', `--auto-select-tab-capture-source-by-title=${sharedTab}`];
}

type LaunchOptions = BrowserContextOptions & {
  args?: string[];
  /** Title of the tab that is shared where a page asks for the screen; without it, a test picture. */
  sharedTab?: string;
};

/** One browser with a profile of its own, which survives its crash. */
export class TestBrowser {
  readonly profile: string;
  #context: BrowserContext;
  readonly #options: LaunchOptions;

  private constructor(profile: string, context: BrowserContext, options: BrowserContextOptions) {
    this.profile = profile;
    this.#context = context;
    this.#options = options;
  }

  static async launch(options: LaunchOptions = {}): Promise<TestBrowser> {
    const profile = await mkdtemp(join(tmpdir(), 'zeroreel-chromium-'));
    return new TestBrowser(profile, await openProfile(profile, options), options);
  }

  get context(): BrowserContext {
    return this.#context;
  }

  /** A new tab; what it complains of is kept, and read by `complaintsOf`. */
  async page(): Promise<Page> {
    const page = await this.#context.newPage();
    // A busy machine is not what these tests are about.
    page.setDefaultTimeout(PATIENCE_MS);
    const complaints: string[] = [];
    COMPLAINTS.set(page, complaints);
    page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        complaints.push(`${message.type()}: ${message.text()}`);
    });
    return page;
  }

  /** Kills every process of the browser, as a power cut does, and starts it again on the same profile. */
  async crash(): Promise<void> {
    const gone = new Promise((resolve) => this.#context.once('close', resolve));
    const session = await this.#context.browser()?.newBrowserCDPSession();
    // Chromium's own way to die without a word: no handler runs, nothing is flushed.
    session?.send('Browser.crash').catch(() => undefined);
    if (!session) {
      const page = this.#context.pages()[0] ?? (await this.#context.newPage());
      const cdp = await this.#context.newCDPSession(page);
      cdp.send('Browser.crash').catch(() => undefined);
    }
    await gone;
    this.#context = await openProfile(this.profile, this.#options);
  }

  async close(): Promise<void> {
    await this.#context.close();
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

const COMPLAINTS = new WeakMap<Page, string[]>();

/** Errors and warnings that a page's console had: uncaught errors, refused scripts, broken policies. */
export function complaintsOf(page: Page): readonly string[] {
  return COMPLAINTS.get(page) ?? [];
}

function openProfile(profile: string, { args = [], sharedTab, ...options }: LaunchOptions) {
  return chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    args: [...QUIET_FLAGS, FAKE_DEVICES, ...consent(sharedTab), ...args],
    viewport: { width: 1280, height: 900 },
    ...options,
  });
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
interface Axe {
  run(document: Document, options: RunOptions): Promise<AxeResults>;
}
const WCAG_2_2_AA: RunOptions = {
  runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
};

/** Fails with every violation of WCAG 2.2 AA that axe finds on the page as it stands. */
export async function expectAccessible(page: Page): Promise<void> {
  await endTransitions(page);
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate(
    (options) => (globalThis as unknown as { axe: Axe }).axe.run(document, options),
    WCAG_2_2_AA,
  );
  const found = violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} at ${target.join(' ')}: ${failureSummary ?? ''}`),
  );
  expect(found).toEqual([]);
  expect(passes.length).toBeGreaterThan(5);
}

/** Half-way through a transition a colour is neither the one before nor the one after: what is judged is what stays. */
async function endTransitions(page: Page): Promise<void> {
  await page.evaluate(() => {
    for (const animation of document.getAnimations()) if (animation instanceof CSSTransition) animation.finish();
  });
}

/** Both colour schemes and both widths in turn, then as it was. */
export async function inEveryLook(page: Page, look: (name: string) => Promise<void>): Promise<void> {
  const before = page.viewportSize();
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [1280, 390]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await look(`${colorScheme}-${width}`);
    }
  }
  await page.emulateMedia({ colorScheme: null });
  if (before) await page.setViewportSize(before);
}

/** The role and name of what has the keyboard. */
export async function focused(page: Page): Promise<string> {
  return page.evaluate(() => {
    const element = document.activeElement;
    if (!element || element === document.body) return '';
    const { labels } = element as HTMLInputElement;
    const name = element.getAttribute('aria-label') ?? labels?.[0]?.textContent ?? element.textContent;
    return `${element.tagName.toLowerCase()}: ${name.trim().replace(/\s+/g, ' ')}`;
  });
}

/** Tabs forward until what has the keyboard answers to `name`; fails after a whole round. */
export async function tabTo(page: Page, name: RegExp): Promise<void> {
  const passed: string[] = [];
  for (let step = 0; step < 80; step++) {
    const now = await focused(page);
    if (name.test(now)) return;
    passed.push(now);
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not reach ${String(name)}; it passed ${passed.join(' | ')}`);
}

/** Screenshots for people to look at, in the folder that ZEROREEL_SCREENSHOTS names; without it, none. */
export async function screenshot(page: Page, name: string): Promise<void> {
  const folder = process.env['ZEROREEL_SCREENSHOTS'];
  if (folder === undefined) return;
  await inEveryLook(page, async (look) => {
    await page.screenshot({ path: join(folder, `${name}-${look}.png`), fullPage: true });
  });
}
