/** Work that takes a while and may fail: what it is doing, and what went wrong, in words. */
import { useCallback, useState } from 'preact/hooks';
import { Status } from './status.tsx';

export interface Failure {
  message: string;
  hint: string | undefined;
  code: string | undefined;
}

export function failureOf(error: unknown): Failure {
  const { message, hint, code } = error as Partial<Failure>;
  return { message: message ?? String(error), hint, code };
}

export interface Task {
  isBusy: boolean;
  failure: Failure | undefined;
  /** Answers undefined where it failed; the failure is shown then. */
  run: <Result>(work: () => Promise<Result>) => Promise<Result | undefined>;
}

export function useTask(): Task {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure>();
  const run = useCallback(async <Result,>(work: () => Promise<Result>): Promise<Result | undefined> => {
    setBusy(true);
    setFailure(undefined);
    try {
      return await work();
    } catch (error) {
      setFailure(failureOf(error));
      return undefined;
    } finally {
      setBusy(false);
    }
  }, []);
  return { isBusy, failure, run };
}

/** What went wrong, and what can be done; read out when it comes. */
export function FailureNote({ failure }: { failure: Failure | undefined }) {
  return (
    <div role="alert">
      {failure && (
        <Status tone="bad">
          <p>{sentence(failure.message)}</p>
          {failure.hint !== undefined && <p>{sentence(failure.hint)}</p>}
        </Status>
      )}
    </div>
  );
}

/** Messages of the protocol begin small and end bare. */
function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;
}
