/** Frames or sound of one device as they come, one after the other; when the device is plugged in again, its new stream takes the place of the old. */
export interface SourceReaderOptions<Value> {
  take: (value: Value) => Promise<void>;
  /** The stream is over by itself: unplugged, or stopped in the browser. */
  onEnded: () => void;
  onFailure: (error: unknown) => void;
}

export class SourceReader<Value extends { close(): void }> {
  readonly #options: SourceReaderOptions<Value>;
  #reader: ReadableStreamDefaultReader<Value> | undefined;
  #isEnded = false;

  constructor(options: SourceReaderOptions<Value>) {
    this.#options = options;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  async attach(stream: ReadableStream<Value>): Promise<void> {
    await this.#reader?.cancel().catch(() => undefined);
    const reader = stream.getReader();
    this.#reader = reader;
    void this.#read(reader);
  }

  /** Takes nothing more; what ends or fails from here on is no news. */
  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#reader?.cancel().catch(() => undefined);
  }

  async #read(reader: ReadableStreamDefaultReader<Value>): Promise<void> {
    const { take, onEnded, onFailure } = this.#options;
    const isNews = (): boolean => this.#reader === reader && !this.#isEnded;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (this.#isEnded) {
          value.close();
          break;
        }
        await take(value);
      }
      if (isNews()) onEnded();
    } catch (error) {
      if (isNews()) onFailure(error);
    }
  }
}
