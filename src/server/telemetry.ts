/**
 * What the server tells of its work while it does it: counts and durations, never who or what it was about. Nothing waits for it and
 * nothing depends on it; the adapters make metrics, spans or data points of it.
 */
export interface Telemetry {
  /** A head was accepted: it covers so many objects, of so many bytes, for the first time. */
  stored(objects: number, bytes: number): void;
  /** For how long the oldest chunk of some recorder has waited for its receipt, ms, as the recorder says. */
  waited(ms: number): void;
  /** A request goes out to the bucket, repeated ones too. The answer is to be called once, with the status or undefined where none came. */
  asked(operation: string): (status: number | undefined) => void;
}

/** Tells each of several what it listens to; listeners may be added later. */
export function tellAll(listeners: readonly Partial<Telemetry>[]): Telemetry {
  return {
    stored: (objects, bytes) => {
      for (const listener of listeners) listener.stored?.(objects, bytes);
    },
    waited: (ms) => {
      for (const listener of listeners) listener.waited?.(ms);
    },
    asked: (operation) => {
      const ends = listeners.map((listener) => listener.asked?.(operation));
      return (status) => {
        for (const end of ends) end?.(status);
      };
    },
  };
}
