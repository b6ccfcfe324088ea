/**
 * Calls between the page and its worker, typed by the service that the worker runs. Arguments and results are cloned; a function among
 * the arguments is called back for as long as the call runs; `bytes` of a result are handed over and not copied.
 */

/** What a page sees of a service: its methods, all of them asynchronous. */
export type Calls<Service> = {
  [Name in keyof Service as Service[Name] extends (...parameters: never[]) => unknown ? Name : never]: Service[Name];
};

type Argument = { value: unknown } | { callback: true };
interface Request {
  id: number;
  method: string;
  parameters: Argument[];
}
interface Failure {
  name: string;
  code: string;
  message: string;
  hint: string | undefined;
}
type Answer =
  | { id: number; type: 'result'; result: unknown }
  | { id: number; type: 'failure'; failure: Failure }
  | { id: number; type: 'callback'; parameter: number; values: unknown[] };

/** What failed in the worker, with the code and the hint that its error had. */
export class DeskError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor({ name, code, message, hint }: Failure) {
    super(message);
    this.name = name;
    this.code = code;
    this.hint = hint;
  }
}

interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<never>) => void): void;
}

/** The worker's side. */
export function serveCalls(service: object, port: Port): void {
  const methods = service as Record<string, (...parameters: unknown[]) => Promise<unknown>>;
  const answer = (message: Answer, transfer: Transferable[] = []): void => {
    port.postMessage(message, transfer);
  };
  const run = async ({ id, method, parameters }: Request): Promise<void> => {
    const values = parameters.map((argument, parameter) =>
      'callback' in argument
        ? (...told: unknown[]): void => {
            answer({ id, type: 'callback', parameter, values: told });
          }
        : argument.value,
    );
    try {
      const result = await methods[method]!.apply(service, values);
      answer({ id, type: 'result', result }, transferOf(result));
    } catch (error) {
      answer({ id, type: 'failure', failure: failureOf(error) });
    }
  };
  port.addEventListener('message', ({ data }: MessageEvent<Request>) => void run(data));
}

function transferOf(result: unknown): Transferable[] {
  const { bytes } = (result ?? {}) as { bytes?: unknown };
  return bytes instanceof Uint8Array && bytes.byteLength === bytes.buffer.byteLength ? [bytes.buffer] : [];
}

function failureOf(error: unknown): Failure {
  const { name = 'Error', code = 'internal', message = String(error), hint } = error as Partial<Failure>;
  return { name, code, message, hint };
}

/** The page's side; what fails there is thrown here as a `DeskError`. */
export function callsOf<Service extends object>(port: Port): Calls<Service> {
  const waiting = new Map<number, { settle: (answer: Answer) => void; parameters: readonly unknown[] }>();
  let calls = 0;
  port.addEventListener('message', ({ data: answer }: MessageEvent<Answer>) => {
    const call = waiting.get(answer.id);
    if (answer.type === 'callback') {
      (call?.parameters[answer.parameter] as ((...values: unknown[]) => void) | undefined)?.(...answer.values);
      return;
    }
    waiting.delete(answer.id);
    call?.settle(answer);
  });
  const call = (method: string, parameters: readonly unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = ++calls;
      const settle = (answer: Answer): void => {
        if (answer.type === 'result') resolve(answer.result);
        else if (answer.type === 'failure') reject(new DeskError(answer.failure));
      };
      waiting.set(id, { settle, parameters });
      const cloned = parameters.map((value) => (typeof value === 'function' ? { callback: true } : { value }));
      port.postMessage({ id, method, parameters: cloned }, []);
    });
  return new Proxy({} as Calls<Service>, {
    // A proxy must not look like a promise to whoever awaits it.
    get: (_, method) =>
      typeof method === 'string' && method !== 'then'
        ? (...parameters: unknown[]) => call(method, parameters)
        : undefined,
  });
}
