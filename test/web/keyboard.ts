/**
 * Somebody who has a keyboard and a screen reader, and nothing else: goes from stop to stop with Tab, and knows each by the role and the
 * name that Chromium's accessibility tree has for it.
 */
import type { CDPSession, Page } from 'playwright-core';

export interface Stop {
  /** As ARIA has them, e.g. `button`, `textbox`, `combobox`. */
  role: string;
  name: string;
}

/** More stops than any page has. */
const MOST_STOPS = 150;

export class Keyboard {
  readonly #page: Page;
  readonly #tree: CDPSession;
  /** What is wrong with stops on the way: no name, nothing that shows where the focus is. */
  readonly faults = new Set<string>();

  private constructor(page: Page, tree: CDPSession) {
    this.#page = page;
    this.#tree = tree;
  }

  static async of(page: Page): Promise<Keyboard> {
    const tree = await page.context().newCDPSession(page);
    await tree.send('Accessibility.enable');
    page.on('filechooser', () => undefined); // from here on no window of the system opens
    return new Keyboard(page, tree);
  }

  /** What has the focus; nothing while the document itself has it. */
  async stop(): Promise<Stop> {
    const expression = 'document.activeElement === document.body ? null : document.activeElement';
    const { result } = await this.#tree.send('Runtime.evaluate', { expression });
    if (result.objectId === undefined) return { role: '', name: '' };
    const { nodes } = await this.#tree.send('Accessibility.getPartialAXTree', {
      objectId: result.objectId,
      fetchRelatives: false,
    });
    const [node] = nodes;
    return { role: String(node?.role?.value ?? ''), name: String(node?.name?.value ?? '') };
  }

  /** Tabs until a stop has this role and name; fails after a whole round, and tells what it passed. */
  async to(role: string, name: string | RegExp): Promise<void> {
    const passed: string[] = [];
    for (let step = 0; step < MOST_STOPS; step++) {
      const stop = await this.stop();
      const isNamed = typeof name === 'string' ? stop.name === name : name.test(stop.name);
      if (stop.role === role && isNamed) return;
      passed.push(`${stop.role} “${stop.name}”`);
      await this.#page.keyboard.press('Tab');
      await this.#judge();
    }
    throw new Error(`Tab does not reach the ${role} ${String(name)}; it passed ${passed.join(', ')}`);
  }

  /** To a button or link, and presses it. */
  async press(role: 'button' | 'link', name: string | RegExp): Promise<void> {
    await this.to(role, name);
    await this.#page.keyboard.press('Enter');
  }

  /** Replaces what stands in a field. */
  async type(name: string | RegExp, text: string, role = 'textbox'): Promise<void> {
    await this.to(role, name);
    await this.#page.keyboard.press('Control+A');
    await this.#page.keyboard.insertText(text);
  }

  /** Moves a closed list to the option whose text matches. */
  async choose(name: string | RegExp, option: RegExp): Promise<void> {
    await this.to('combobox', name);
    await this.#page.keyboard.press('Home');
    for (let step = 0; step < 20; step++) {
      const chosen = await this.#page.evaluate(
        () => (document.activeElement as HTMLSelectElement).selectedOptions[0]?.textContent ?? '',
      );
      if (option.test(chosen)) return;
      await this.#page.keyboard.press('ArrowDown');
    }
    throw new Error(`the list ${String(name)} has no ${String(option)}`);
  }

  async tick(name: string | RegExp): Promise<void> {
    await this.to('checkbox', name);
    await this.#page.keyboard.press('Space');
  }

  /** Chooses a file by the button of a file field. */
  async file(name: RegExp, file: { name: string; mimeType: string; buffer: Buffer }): Promise<void> {
    await this.to('button', name);
    const [chooser] = await Promise.all([this.#page.waitForEvent('filechooser'), this.#page.keyboard.press('Enter')]);
    await chooser.setFiles(file);
  }

  async #judge(): Promise<void> {
    const { role, name } = await this.stop();
    if (role === '') return;
    const where = `${role} “${name}”`;
    const look = await this.#page.evaluate(() => {
      const element = document.activeElement!;
      const described = element.outerHTML.slice(0, 100);
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      const { top, bottom, width, height } = element.getBoundingClientRect();
      return {
        described,
        hasOutline: outlineStyle !== 'none' && parseFloat(outlineWidth) > 0,
        isInView: bottom > 0 && top < innerHeight && width > 0 && height > 0,
      };
    });
    if (name.trim() === '') this.faults.add(`${role} ${look.described} has no name`);
    if (!look.hasOutline) this.faults.add(`${where} does not show that it has the focus`);
    if (!look.isInView) this.faults.add(`${where} is out of view when it has the focus`);
  }
}
