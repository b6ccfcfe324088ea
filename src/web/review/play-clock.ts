/** The one clock that pictures and sound follow. It stands while it is paused, and while something that should be seen is not here yet. */
export class PlayClock {
  readonly #now: () => number;
  #atMs = 0;
  #since: number;
  #rate = 1;
  #isPlaying = false;
  #isHeld = false;

  /** `now`: ms that never step back. */
  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  get positionMs(): number {
    return this.#isRunning ? this.#atMs + (this.#now() - this.#since) * this.#rate : this.#atMs;
  }

  get rate(): number {
    return this.#rate;
  }

  get isPlaying(): boolean {
    return this.#isPlaying;
  }

  /** Plays, and waits for media. */
  get isHeld(): boolean {
    return this.#isPlaying && this.#isHeld;
  }

  play(): void {
    this.#change(() => (this.#isPlaying = true));
  }

  pause(): void {
    this.#change(() => (this.#isPlaying = false));
  }

  hold(isHeld: boolean): void {
    if (isHeld !== this.#isHeld) this.#change(() => (this.#isHeld = isHeld));
  }

  setRate(rate: number): void {
    this.#change(() => (this.#rate = rate));
  }

  seek(positionMs: number): void {
    this.#change(() => undefined);
    this.#atMs = positionMs;
  }

  get #isRunning(): boolean {
    return this.#isPlaying && !this.#isHeld;
  }

  /** What was passed until now counts by the old terms. */
  #change(change: () => void): void {
    this.#atMs = this.positionMs;
    this.#since = this.#now();
    change();
  }
}
