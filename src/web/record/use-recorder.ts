/** The worker, and what it has told so far. One per page load. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { RecorderProgress } from '../../client/recorder.ts';
import { recallNewest, rememberNewest } from '../parts/log-memory.ts';
import { startWorker } from '../parts/worker.ts';
import type { CaptureSource } from '../../../schema/events.ts';
import type { Failure, Look, RecorderCalls, RecorderNews } from './messages.ts';
import workerUrl from './recorder.worker.ts?worker&url';
import { connect, failureOf } from './remote.ts';

export interface RecorderState {
  calls: RecorderCalls | undefined;
  look: Look | undefined;
  /** Of the first call, for the network's check. */
  roundTripMs: number;
  progress: RecorderProgress | undefined;
  picture: 'dark' | 'frozen' | 'well';
  sound: { rmsDb: number; isSilent: boolean } | undefined;
  /** Sources that stopped by themselves. */
  ended: ReadonlySet<CaptureSource>;
  lostMs: number;
  failure: Failure | undefined;
}

const FRESH: RecorderState = {
  calls: undefined,
  look: undefined,
  roundTripMs: 0,
  progress: undefined,
  picture: 'well',
  sound: undefined,
  ended: new Set(),
  lostMs: 0,
  failure: undefined,
};

/** Starts the worker, opens the link, and keeps up with the news. */
export function useRecorder(link: string): [RecorderState, (change: Partial<RecorderState>) => void] {
  const [state, setState] = useState(FRESH);
  const started = useRef(false);
  const change = (part: Partial<RecorderState>): void => {
    setState((before) => ({ ...before, ...part }));
  };
  useEffect(() => {
    if (started.current) return;
    started.current = true;
    const worker = startWorker(workerUrl, 'recorder');
    const calls = connect(worker, (news) => {
      setState((before) => told(before, news));
    });
    const since = performance.now();
    calls.look(link, recallNewest()).then(
      (look) => {
        if (look.seen) rememberNewest(look.seen);
        change({ calls, look, roundTripMs: performance.now() - since });
      },
      (error: unknown) => {
        change({ failure: failureOf(error) });
      },
    );
  }, []);
  return [state, change];
}

function told(before: RecorderState, news: RecorderNews): RecorderState {
  switch (news.news) {
    case 'progress':
      return { ...before, progress: news.progress };
    case 'picture':
      return { ...before, picture: news.state };
    case 'sound':
      return { ...before, sound: { rmsDb: news.rmsDb, isSilent: news.isSilent } };
    case 'ended':
      return { ...before, ended: new Set([...before.ended, news.source]) };
    case 'lost':
      return { ...before, lostMs: before.lostMs + news.lostMs };
    case 'failed':
      return { ...before, failure: news.failure };
  }
}
