/** Tells darkness and standing still from samples of a picture. Pure; computed here, judged by nobody. */
import type { PageEvent } from './messages.ts';

const DARK_LUMA = 24;
const DARK_MS = 5_000;
const FROZEN_MS = 10_000;

export class PictureWatch {
  #previous: Uint8Array | undefined;
  #changedMs: number | undefined;
  #litMs: number | undefined;
  #isDark = false;
  #isFrozen = false;

  get state(): 'dark' | 'frozen' | 'well' {
    if (this.#isFrozen) return 'frozen';
    return this.#isDark ? 'dark' : 'well';
  }

  /** `luma`: samples of one picture, always at the same places, 0 to 255. Answers what is to be told. */
  see(nowMs: number, luma: Uint8Array): PageEvent[] {
    const source = 'webcam' as const;
    const told: PageEvent[] = [];
    const mean = luma.reduce((sum, value) => sum + value, 0) / Math.max(luma.length, 1);
    if (mean >= DARK_LUMA) {
      if (this.#isDark) told.push({ type: 'picture_lit', source, away_ms: Math.round(nowMs - this.#litMs!) });
      this.#isDark = false;
      this.#litMs = nowMs;
    }
    this.#litMs ??= nowMs;
    if (!this.#isDark && nowMs - this.#litMs >= DARK_MS) {
      this.#isDark = true;
      told.push({ type: 'picture_dark', source, luma: Math.round(mean * 10) / 10 });
    }
    const isSame = this.#previous?.every((value, i) => value === luma[i]) ?? false;
    this.#previous = luma;
    return isSame ? [...told, ...this.standStill(nowMs)] : [...told, ...this.#move(nowMs)];
  }

  /** No new picture came at all. */
  standStill(nowMs: number): PageEvent[] {
    this.#changedMs ??= nowMs;
    if (this.#isFrozen || nowMs - this.#changedMs < FROZEN_MS) return [];
    this.#isFrozen = true;
    return [{ type: 'picture_frozen', source: 'webcam' }];
  }

  #move(nowMs: number): PageEvent[] {
    const away = Math.round(nowMs - (this.#changedMs ?? nowMs));
    this.#changedMs = nowMs;
    if (!this.#isFrozen) return [];
    this.#isFrozen = false;
    return [{ type: 'picture_moving', source: 'webcam', away_ms: away }];
  }

  /** After a pause: what happened in between is nobody's. */
  forget(): void {
    this.#previous = undefined;
    this.#changedMs = undefined;
    this.#litMs = undefined;
  }
}
