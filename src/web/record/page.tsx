/** The Record page: from the exam's link to the receipt. Which of its views is shown follows from what is true, never from a click alone. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { CaptureSource } from '../../../schema/events.ts';
import { Frame } from '../parts/frame.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { deviceName, framesOf, release, type Captured } from './capture.ts';
import { Closing } from './closing.tsx';
import { Done } from './done.tsx';
import type { Failure, ReceiptView, Started } from './messages.ts';
import { Prepare } from './prepare.tsx';
import { Recording } from './recording.tsx';
import { failureOf } from './remote.ts';
import { useRecorder } from './use-recorder.ts';
import { duration, failureWords } from './words.ts';

export interface Preparation {
  name: string;
  acknowledgedMs: number;
  sources: ReadonlyMap<CaptureSource, Captured>;
  photo: Uint8Array | undefined;
  location: { latitude: number; longitude: number; accuracy_m: number } | null | undefined;
}

export function RecordPage() {
  const link = location.href;
  if (!location.hash.startsWith('#v1.')) return <NoLink />;
  return <WithLink link={link} />;
}

function NoLink() {
  return (
    <Frame path="/record" isNarrow>
      <div class="stack">
        <h1>Record your exam</h1>
        <Status tone="info">
          <p>This page is opened by the link that your instructor gave you. It looks like this:</p>
          <p class="mono">https://…/record#v1.…</p>
          <p>If you opened such a link, it was cut off. Copy it whole, from https:// to its last character.</p>
        </Status>
      </div>
    </Frame>
  );
}

function WithLink({ link }: { link: string }) {
  const [state, change] = useRecorder(link);
  const [sources, setSources] = useState<ReadonlyMap<CaptureSource, Captured>>(new Map());
  const [started, setStarted] = useState<(Started & { atMs: number }) | undefined>();
  const [isPaused, setIsPaused] = useState(false);
  const [isClosing, setIsClosing] = useState(false);
  const [receipt, setReceipt] = useState<ReceiptView | undefined>();
  const heading = useRef<HTMLHeadingElement>(null);
  const { calls, look, failure } = state;
  const exam = look?.exam;
  const standing = look?.standing;

  const done = receipt ?? (standing?.state === 'closed' ? standing.receipt : undefined);
  const view = failure
    ? 'failed'
    : !calls || !look
      ? 'loading'
      : done
        ? 'done'
        : isClosing || standing?.state === 'closing'
          ? 'closing'
          : started
            ? 'recording'
            : 'prepare';

  // A new view is announced by its heading, where a reader goes on.
  useEffect(() => {
    if (view !== 'loading') heading.current?.focus();
  }, [view]);
  useEffect(() => {
    if (view !== 'recording' && view !== 'closing') return;
    const ask = (event: BeforeUnloadEvent): void => {
      event.preventDefault();
    };
    window.addEventListener('beforeunload', ask);
    return () => {
      window.removeEventListener('beforeunload', ask);
    };
  }, [view]);
  useEffect(() => {
    if (view === 'failed' || view === 'done') release(sources.values());
  }, [view]);
  useEffect(() => {
    if (standing?.state === 'closing') void close('finish');
  }, [standing]);

  // It ends by itself when it is as large or as long as it may be: the devices are let go, and the receipt is waited for.
  const isAtLimit = state.progress?.quota?.isReached === true;
  const notTaken = isAtLimit && state.progress ? state.progress.sealed - state.progress.stored : 0;
  useEffect(() => {
    if (isAtLimit && view === 'recording') void close('end');
  }, [isAtLimit, view]);

  const fail = (error: unknown): void => {
    change({ failure: failureOf(error) });
  };

  async function start(preparation: Preparation): Promise<void> {
    if (!calls || !exam) return;
    try {
      const { name, acknowledgedMs, photo, location } = preparation;
      const answer = await calls.start({
        about: {
          ...(name.trim() !== '' && { name: name.trim() }),
          device: {
            user_agent: navigator.userAgent,
            language: navigator.language,
            time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
          },
          practice: exam.isPractice,
          acknowledged_ms: acknowledgedMs,
          accommodations: accommodationsOf(exam.accommodations),
          ...(location !== undefined && { location }),
        },
        sources: [...preparation.sources.keys()],
        hasPhoto: photo !== undefined,
      });
      for (const captured of preparation.sources.values()) {
        await calls.attach(captured.source, deviceName(captured), framesOf(captured));
      }
      if (photo) await calls.photo(photo);
      setSources(preparation.sources);
      setStarted({ ...answer, atMs: Date.now() });
    } catch (error) {
      release(preparation.sources.values());
      fail(error);
    }
  }

  async function reattach(captured: Captured): Promise<void> {
    if (!calls) return;
    try {
      await calls.attach(captured.source, deviceName(captured), framesOf(captured));
      setSources(new Map([...sources, [captured.source, captured]]));
      change({ ended: new Set([...state.ended].filter((source) => source !== captured.source)) });
    } catch (error) {
      fail(error);
    }
  }

  async function close(how: 'end' | 'finish'): Promise<void> {
    if (!calls) return;
    setIsClosing(true);
    try {
      if (how === 'end') await calls.stop();
      release(sources.values());
      if (document.fullscreenElement) void document.exitFullscreen();
      setReceipt(await (how === 'end' ? calls.close() : calls.finish()));
    } catch (error) {
      fail(error);
    }
  }

  const isLive = view === 'recording';
  return (
    <Frame
      path="/record"
      isNarrow={view !== 'recording'}
      hasNavigation={!isLive && view !== 'closing'}
      banner={isLive && started ? <Indicator sinceMs={started.atMs} isPaused={isPaused} /> : undefined}
    >
      <div class="stack">
        <div>
          <h1 ref={heading} tabIndex={-1}>
            {exam?.title ?? 'Record your exam'}
          </h1>
          {exam?.isPractice === true && (
            <p class="quiet">Practice exam: everything works as in the real one, nothing of it counts.</p>
          )}
        </div>
        {view === 'loading' && <LiveRegion isShown>Fetching the exam and checking its signature …</LiveRegion>}
        {view === 'failed' && failure && <Failed failure={failure} wasRecording={started !== undefined} />}
        {view === 'prepare' && look && (
          <Prepare
            look={look}
            link={link}
            roundTripMs={state.roundTripMs}
            onStart={start}
            onFinish={() => {
              void close('finish');
            }}
          />
        )}
        {view === 'recording' && calls && exam && started && (
          <Recording
            calls={calls}
            exam={exam}
            state={state}
            started={started}
            sources={sources}
            isPaused={isPaused}
            onPaused={setIsPaused}
            onReattach={reattach}
            onFailure={fail}
            onEnd={() => {
              void close('end');
            }}
          />
        )}
        {view === 'closing' && <Closing progress={state.progress} isAtLimit={isAtLimit} />}
        {view === 'done' && done && exam && (
          <Done receipt={done} exam={exam} isAtLimit={isAtLimit} notTaken={notTaken} />
        )}
      </div>
    </Frame>
  );
}

function accommodationsOf({
  tracksOff,
  rulesOff,
  flagsIgnored,
  others,
}: {
  tracksOff: string[];
  rulesOff: string[];
  flagsIgnored: string[];
  others: Readonly<Record<string, unknown>>;
}) {
  return { tracks_off: tracksOff, rules_off: rulesOff, flags_ignored: flagsIgnored, ...others };
}

/** Stands in the head of the page as long as anything is recorded. */
function Indicator({ sinceMs, isPaused }: { sinceMs: number; isPaused: boolean }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => {
      setNow(Date.now());
    }, 1000);
    return () => {
      clearInterval(timer);
    };
  }, []);
  return (
    <p class="indicator">
      {!isPaused && <span class="lamp" aria-hidden="true" />}
      {isPaused ? 'Paused' : 'Recording'} <span class="mono">{duration(now - sinceMs)}</span>
    </p>
  );
}

function Failed({ failure, wasRecording }: { failure: Failure; wasRecording: boolean }) {
  const { what, remedy } = failureWords(failure);
  return (
    <div role="alert" class="stack">
      <Status tone="bad">
        <p>
          <strong>{what}</strong>
        </p>
        <p>{remedy}</p>
        {wasRecording && (
          <p>
            The recording stands still. Load this page again and press Continue: what was recorded is kept on this
            device, but for the last seconds, and goes up then.
          </p>
        )}
        <p class="quiet">
          Tell this to who helps you: <span class="mono">{failure.code}</span>
        </p>
      </Status>
    </div>
  );
}
