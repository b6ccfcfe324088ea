/** While it records: what is stored, what waits, what has stopped, and the ways to pause and to end. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { QuotaNews } from '../../client/quota.ts';
import type { CaptureSource, RuleName } from '../../../schema/events.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Panel } from '../parts/panel.tsx';
import { Progress } from '../parts/progress.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { capture, captureTrouble, sourceName, type Captured } from './capture.ts';
import type { ExamView, RecorderCalls, Started } from './messages.ts';
import { watchPage } from './page-watch.ts';
import { Preview } from './preview.tsx';
import type { RecorderState } from './use-recorder.ts';
import { deadlineText } from '../parts/instant.ts';
import { size } from './words.ts';

export interface RecordingProps {
  calls: RecorderCalls;
  exam: ExamView;
  state: RecorderState;
  started: Started;
  sources: ReadonlyMap<CaptureSource, Captured>;
  isPaused: boolean;
  onPaused: (isPaused: boolean) => void;
  onReattach: (captured: Captured) => Promise<void>;
  onFailure: (error: unknown) => void;
  onEnd: () => void;
}

const RULE_WORDS: Readonly<Record<RuleName, string>> = {
  full_screen: 'You are not in full screen. This exam asks you to stay in it.',
  no_clipboard: 'You copied, cut or pasted. This exam asks you not to.',
  no_context_menu: 'You opened a context menu. This exam asks you not to.',
  one_screen: 'There is more than one screen. This exam asks for one.',
};

export function Recording({
  calls,
  exam,
  state,
  started,
  sources,
  isPaused,
  onPaused,
  onReattach,
  onFailure,
  onEnd,
}: RecordingProps) {
  const [isAsking, setIsAsking] = useState(false);
  const [left, setLeft] = useState<ReadonlySet<RuleName>>(new Set());
  const [trouble, setTrouble] = useState('');
  const isWatching = useRef(false);

  useEffect(() => {
    if (isWatching.current) return;
    isWatching.current = true;
    const stop = watchPage({
      rules: exam.rules,
      note: (event) => void calls.note(event).catch(onFailure),
      onRule: (rule, isKept) => {
        setLeft((before) => new Set(isKept ? [...before].filter((other) => other !== rule) : [...before, rule]));
      },
    });
    // A device that dims itself to sleep ends a recording. Where the browser does not give this, it says so by sleeping.
    const awake = navigator.wakeLock.request('screen').catch(() => undefined);
    return () => {
      stop();
      void awake.then((lock) => lock?.release());
    };
  }, []);

  async function togglePause(): Promise<void> {
    try {
      await (isPaused ? calls.goOn() : calls.pause());
      onPaused(!isPaused);
    } catch (error) {
      onFailure(error);
    }
  }

  async function reconnect(source: CaptureSource): Promise<void> {
    try {
      await onReattach(await capture(source, exam.picture));
      setTrouble('');
    } catch (error) {
      setTrouble(captureTrouble(source, error));
    }
  }

  const { progress, picture, sound, ended, lostMs } = state;
  const sealed = progress?.sealed ?? 0;
  const stored = progress?.stored ?? 0;
  return (
    <div class="columns">
      <Panel heading={isPaused ? 'Paused' : 'It is recording'}>
        <div class="stack">
          <LiveRegion isUrgent isShown>
            {isPaused && <Status tone="warn">Nothing is recorded while it is paused.</Status>}
            {[...ended].map((source) => (
              <Status key={source} tone="bad">
                <p>
                  <strong>The {sourceName(source)} stopped.</strong> It was unplugged, or stopped in the browser.
                  Everything else goes on; the gap is noted.
                </p>
                {trouble !== '' && <p>{trouble}</p>}
                <Button
                  onPress={() => {
                    void reconnect(source);
                  }}
                >
                  Use the {sourceName(source)} again
                </Button>
              </Status>
            ))}
            {[...left].map((rule) => (
              <Status key={rule} tone="warn">
                <p>{RULE_WORDS[rule]} It was noted.</p>
                {rule === 'full_screen' && (
                  <Button
                    onPress={() => {
                      void document.documentElement.requestFullscreen().catch(() => undefined);
                    }}
                  >
                    Go to full screen
                  </Button>
                )}
                {(rule === 'no_clipboard' || rule === 'no_context_menu') && (
                  <Button
                    isSmall
                    onPress={() => {
                      setLeft((before) => new Set([...before].filter((other) => other !== rule)));
                    }}
                  >
                    I have read this
                  </Button>
                )}
              </Status>
            ))}
            {progress?.quota?.isReached === false && <NearLimit quota={progress.quota} />}
            {picture === 'dark' && (
              <Status tone="warn">The camera’s picture is dark. More light helps; nothing is lost.</Status>
            )}
            {picture === 'frozen' && <Status tone="warn">The camera’s picture stands still. Check the camera.</Status>}
            {sound?.isSilent === true && (
              <Status tone="warn">The microphone gives no sound at all. Is it muted?</Status>
            )}
            {lostMs > 0 && (
              <Status tone="bad">
                There was no room on this device for {Math.ceil(lostMs / 1000)} s of recording.
              </Status>
            )}
          </LiveRegion>
          <Uploading progress={progress} />
          <dl class="facts">
            <dt>To be destroyed</dt>
            <dd>{deadlineText(started.deleteByMs)}, or earlier</dd>
            <dt>Recording</dt>
            <dd class="mono">{started.recordingId}</dd>
            {started.epoch > 0 && (
              <>
                <dt>Part</dt>
                <dd>{started.epoch + 1}: it was interrupted before</dd>
              </>
            )}
          </dl>
          <div class="row">
            {exam.mayPause && (
              <Button
                onPress={() => {
                  void togglePause();
                }}
              >
                {isPaused ? 'Go on recording' : 'Pause'}
              </Button>
            )}
            <Button
              kind="danger"
              onPress={() => {
                setIsAsking(true);
              }}
            >
              End the recording
            </Button>
          </div>
        </div>
      </Panel>
      {sources.size > 0 && (
        <Panel heading="What is seen and heard">
          <div class="previews">
            {[...sources.values()].map((captured) => (
              <Preview key={captured.source} captured={captured} />
            ))}
          </div>
        </Panel>
      )}
      <Dialog
        heading="End the recording?"
        isOpen={isAsking}
        onClose={() => {
          setIsAsking(false);
        }}
      >
        <p>It cannot be continued afterwards. {sealed - stored > 0 ? 'What is not stored yet is sent then.' : ''}</p>
        <div class="row">
          <Button kind="danger" onPress={onEnd}>
            End it
          </Button>
          <Button
            onPress={() => {
              setIsAsking(false);
            }}
          >
            Go on recording
          </Button>
        </div>
      </Dialog>
    </div>
  );
}

function NearLimit({ quota: { quota, bytesLeft, secondsLeft } }: { quota: QuotaNews }) {
  const minutes = Math.ceil((secondsLeft ?? 0) / 60);
  const left = quota === 'bytes' ? size(bytesLeft ?? 0) : minutes === 1 ? 'a minute' : `${minutes} minutes`;
  return (
    <Status tone="warn">
      The recording is nearly as {quota === 'bytes' ? 'large' : 'long'} as this exam allows. After {left} more it ends
      by itself; everything until then is kept.
    </Status>
  );
}

/** N of M, what waits, and whether it is safe to close. */
export function Uploading({ progress }: { progress: RecorderState['progress'] }) {
  if (!progress) return <p>The first part is being recorded.</p>;
  const { state, sealed, stored, backlog } = progress;
  return (
    <div class="stack">
      <Progress label="Stored" value={stored} most={sealed} words={`${stored} of ${sealed} chunks stored`} />
      <p>
        {backlog > 0 ? `${size(backlog)} wait on this device.` : 'Nothing waits on this device.'}{' '}
        {state === 'closing'
          ? 'Keep this page open.'
          : state === 'closed'
            ? ''
            : 'Not safe to close yet: end the recording first.'}
      </p>
      <LiveRegion isShown>
        {state === 'offline' && (
          <Status tone="warn">
            The network does not answer. Recording goes on; everything waits on this device, encrypted, and is sent when
            the network is back.
          </Status>
        )}
        {state === 'outbox-full' && (
          <Status tone="bad">
            There is no more room on this device. Free some space, or get the network back: until then nothing new is
            kept.
          </Status>
        )}
      </LiveRegion>
    </div>
  );
}
