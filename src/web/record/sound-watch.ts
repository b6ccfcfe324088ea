/** Tells levels, loudness and a dead microphone from samples of sound. Pure. */
import type { PageEvent } from './messages.ts';

const LEVEL_MS = 1_000;
const LOUD_DB = -20;
const LOUD_MS = 2_000;
const LOUD_AGAIN_MS = 10_000;
const SILENT_MS = 10_000;
const SILENCE_DB = -100;

export class SoundWatch {
  #squares = 0;
  #count = 0;
  #peak = 0;
  #sinceMs: number | undefined;
  #heardMs: number | undefined;
  #quietMs: number | undefined;
  #loudToldMs = -LOUD_AGAIN_MS;
  #isSilent = false;
  #rmsDb = SILENCE_DB;

  /** Of the newest whole second. */
  get rmsDb(): number {
    return this.#rmsDb;
  }

  /** Not one sample differs from zero: muted, not quiet. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** `samples` of one channel, -1 to 1. Answers what is to be told. */
  hear(nowMs: number, samples: Float32Array): PageEvent[] {
    const told: PageEvent[] = [];
    this.#sinceMs ??= nowMs;
    this.#heardMs ??= nowMs;
    this.#quietMs ??= nowMs;
    for (const sample of samples) {
      this.#squares += sample * sample;
      this.#peak = Math.max(this.#peak, Math.abs(sample));
    }
    this.#count += samples.length;
    if (samples.some((sample) => sample !== 0)) {
      if (this.#isSilent) told.push({ type: 'sound_back', away_ms: Math.round(nowMs - this.#heardMs) });
      this.#isSilent = false;
      this.#heardMs = nowMs;
    } else if (!this.#isSilent && nowMs - this.#heardMs >= SILENT_MS) {
      this.#isSilent = true;
      told.push({ type: 'sound_silent' });
    }
    if (nowMs - this.#sinceMs >= LEVEL_MS) told.push(...this.#tell(nowMs));
    return told;
  }

  #tell(nowMs: number): PageEvent[] {
    const told: PageEvent[] = [];
    this.#rmsDb = decibels(Math.sqrt(this.#squares / Math.max(this.#count, 1)));
    const peakDb = decibels(this.#peak);
    const forMs = Math.round(nowMs - this.#sinceMs!);
    told.push({ type: 'sound_level', for_ms: forMs, rms_db: this.#rmsDb, peak_db: peakDb });
    if (this.#rmsDb < LOUD_DB) this.#quietMs = nowMs;
    if (nowMs - this.#quietMs! >= LOUD_MS && nowMs - this.#loudToldMs >= LOUD_AGAIN_MS) {
      this.#loudToldMs = nowMs;
      told.push({ type: 'sound_loud', peak_db: peakDb });
    }
    this.#sinceMs = nowMs;
    [this.#squares, this.#count, this.#peak] = [0, 0, 0];
    return told;
  }

  forget(): void {
    this.#sinceMs = this.#heardMs = this.#quietMs = undefined;
    [this.#squares, this.#count, this.#peak] = [0, 0, 0];
  }
}

/** Relative to full scale, one decimal, from -100 to 0. */
function decibels(amplitude: number): number {
  if (amplitude <= 0) return SILENCE_DB;
  return Math.round(Math.min(0, Math.max(SILENCE_DB, 20 * Math.log10(amplitude))) * 10) / 10;
}
