/** Pictures, sound and events on one clock, and everything that moves it: buttons, keys, and the line of time. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { CheckField, SelectField } from '../parts/field.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { EventList } from './event-list.tsx';
import { nextIncident, quietStretches, type Mark } from './marks.ts';
import { kindName } from './new-exam.tsx';
import type { Notes } from './notes.tsx';
import { Player, RATES, type PlayerState } from './player.ts';
import type { Opened } from './recording.tsx';
import { ShortcutHelp, useShortcuts } from './shortcuts.tsx';
import { failureOf } from '../parts/task.tsx';
import { Thumbnails } from './thumbnails.tsx';
import { TimeBar } from './time-bar.tsx';
import { formatMoment } from './timeline.ts';
import type { MediaFeed } from './track-stream.ts';

const [WEBCAM, SCREEN, MICROPHONE, MIXED] = [1, 2, 3, 5];
const PICTURES = [WEBCAM, SCREEN, MIXED];
const SOUNDS = [MICROPHONE, MIXED, WEBCAM, SCREEN];

interface MediaTrack {
  track: number;
  kind: number;
}

/** Tracks that play, each once, whatever the epochs. */
function mediaOf({ timeline }: Opened): MediaTrack[] {
  const found = new Map<number, MediaTrack>();
  for (const { track, kind } of timeline.spans.flatMap(({ tracks }) => tracks)) {
    if (PICTURES.includes(kind) || kind === MICROPHONE) found.set(track, { track, kind });
  }
  return [...found.values()];
}

export interface PlaybackProps {
  opened: Opened;
  notes: Notes;
  startMs: number;
  /** When everything that plays at the beginning is there, or cannot be. */
  onShown: () => void;
}

export function Playback({ opened, notes, startMs, onShown }: PlaybackProps) {
  const { desk, recordingId, timeline, marks, sound } = opened;
  const media = useMemo(() => mediaOf(opened), [opened]);
  const elements = useRef(new Map<number, HTMLMediaElement>());
  const player = useRef<Player | null>(null);
  const [state, setState] = useState<PlayerState>({
    positionMs: startMs,
    rate: 1,
    isPlaying: false,
    isWaiting: false,
    tracks: new Map(),
  });
  const [failures, setFailures] = useState<ReadonlyMap<number, string>>(new Map());
  const [isSkipping, setSkipping] = useState(false);
  const [heard, setHeard] = useState(
    () =>
      SOUNDS.map((kind) => media.find((track) => track.kind === kind)?.track).find((track) => track !== undefined) ??
      -1,
  );
  const [isHelpOpen, setHelpOpen] = useState(false);
  const [told, setTold] = useState('');
  const thumbnailTrack = PICTURES.map((kind) => media.find((track) => track.kind === kind)?.track).find(
    (track) => track !== undefined,
  );
  const quiet = useMemo(() => quietStretches(marks, sound, timeline.endMs), [marks, sound, timeline]);

  const feed = useMemo<MediaFeed>(
    () => ({
      seqAt: (epoch, track, atMs) => desk.seqAt(recordingId, epoch, track, atMs),
      chunk: (epoch, track, seq) => desk.chunk(recordingId, epoch, track, seq),
    }),
    [desk, recordingId],
  );

  useEffect(() => {
    const made = new Player({
      timeline,
      feed,
      tracks: media.flatMap(({ track }) => {
        const element = elements.current.get(track);
        return element ? [{ track, element }] : [];
      }),
      onTick: (next) => {
        if (![...next.tracks.values()].includes('waiting')) onShown();
        setState((shown) => (isWorthShowing(shown, next) ? next : shown));
      },
      onFailure: (track, error) => {
        setFailures((known) => new Map(known).set(track, failureOf(error).message));
      },
    });
    player.current = made;
    if (startMs > 0) made.seek(startMs);
    return () => {
      made.close();
    };
  }, [opened]);
  useEffect(() => player.current?.skip(isSkipping ? quiet : []), [isSkipping, quiet, opened]);

  const seek = (atMs: number): void => player.current?.seek(atMs);
  const step = (byMs: number): void => {
    seek((player.current?.positionMs ?? 0) + byMs);
  };
  const setRate = (rate: number): void => {
    player.current?.setRate(rate);
    setTold(`${rate} times as fast`);
  };
  const faster = (by: 1 | -1): void => {
    const index = RATES.findIndex((rate) => rate === state.rate) + by;
    if (RATES[index] !== undefined) setRate(RATES[index]);
  };
  const visit = (mark: Mark | undefined): void => {
    if (!mark) {
      setTold('No further incident.');
      return;
    }
    seek(Math.max(0, mark.atMs - 1000));
    setTold(`${mark.label} at ${formatMoment(mark.atMs)}`);
  };
  const incident = (direction: 1 | -1): void => {
    // A visit begins a second early; the next one is after the moment itself.
    visit(nextIncident(marks, (player.current?.positionMs ?? 0) + (direction === 1 ? 1000 : 0), direction));
  };
  const toggle = (): void => player.current?.toggle();
  const actions = {
    toggle,
    back: () => {
      step(-10_000);
    },
    forward: () => {
      step(10_000);
    },
    nextIncident: () => {
      incident(1);
    },
    previousIncident: () => {
      incident(-1);
    },
    faster: () => {
      faster(1);
    },
    slower: () => {
      faster(-1);
    },
    skip: () => {
      setSkipping((isOn) => !isOn);
    },
    mute: () => {
      setHeard((track) => (track === -1 ? (media.find(({ kind }) => SOUNDS.includes(kind))?.track ?? -1) : -1));
    },
    help: () => {
      setHelpOpen(true);
    },
  };
  useShortcuts(actions);

  return (
    <section class="panel playback" aria-label="Playback">
      <div class="stack">
        <div class="pictures">
          {media.map(({ track, kind }) => (
            <Picture
              key={track}
              kind={kind}
              isAbsent={state.tracks.get(track) === 'absent'}
              failure={failures.get(track)}
              isMuted={track !== heard}
              isAlone={thumbnailTrack === undefined}
              keep={(element) => {
                if (element) elements.current.set(track, element);
                else elements.current.delete(track);
              }}
            />
          ))}
          {media.length === 0 && <Status tone="info">This recording has no picture and no sound.</Status>}
        </div>
        <TimeBar opened={opened} positionMs={state.positionMs} quiet={isSkipping ? quiet : []} onSeek={seek} />
        <div class="row controls">
          <Button kind="primary" onPress={toggle}>
            {state.isPlaying ? 'Pause' : 'Play'}
          </Button>
          <Button label="−10 s: back" onPress={actions.back}>
            −10 s
          </Button>
          <Button label="+10 s: forward" onPress={actions.forward}>
            +10 s
          </Button>
          <Button onPress={actions.previousIncident}>Previous incident</Button>
          <Button onPress={actions.nextIncident}>Next incident</Button>
          <span class="clock mono" role="timer" aria-label="Position">
            {formatMoment(state.positionMs)} / {formatMoment(timeline.endMs)}
          </span>
          <span class="quiet">{state.isWaiting ? 'Fetching…' : ''}</span>
        </div>
        <div class="row controls">
          <SelectField
            label="Speed"
            value={String(state.rate)}
            options={RATES.map((rate) => [String(rate), `${rate} ×`] as const)}
            onChange={(rate) => {
              setRate(Number(rate));
            }}
          />
          <SelectField
            label="Sound"
            value={String(heard)}
            options={[
              ...media.map(({ track, kind }) => [String(track), `from the ${kindName(kind)}`] as const),
              ['-1', 'off'],
            ]}
            onChange={(track) => {
              setHeard(Number(track));
            }}
          />
          <CheckField isChecked={isSkipping} onChange={setSkipping}>
            Skip what is inactive ({quiet.length === 1 ? '1 stretch' : `${quiet.length} stretches`} without events or
            sound)
          </CheckField>
          <Button onPress={actions.help}>Keys</Button>
        </div>
        <LiveRegion>{told}</LiveRegion>
        {thumbnailTrack !== undefined && (
          <Thumbnails timeline={timeline} feed={feed} track={thumbnailTrack} onSeek={seek} />
        )}
        <EventList opened={opened} notes={notes} onVisit={visit} />
      </div>
      <ShortcutHelp
        isOpen={isHelpOpen}
        onClose={() => {
          setHelpOpen(false);
        }}
      />
    </section>
  );
}

/** The page is drawn anew a few times a second, not at every tick. */
function isWorthShowing(shown: PlayerState, next: PlayerState): boolean {
  return (
    Math.abs(shown.positionMs - next.positionMs) >= 200 ||
    (!next.isPlaying && shown.positionMs !== next.positionMs) ||
    shown.isPlaying !== next.isPlaying ||
    shown.isWaiting !== next.isWaiting ||
    shown.rate !== next.rate ||
    [...next.tracks].some(([track, state]) => shown.tracks.get(track) !== state)
  );
}

interface PictureProps {
  kind: number;
  isAbsent: boolean;
  isMuted: boolean;
  /** Whether the recording has no picture at all. */
  isAlone: boolean;
  failure: string | undefined;
  keep: (element: HTMLMediaElement | null) => void;
}

function Picture({ kind, isAbsent, isMuted, isAlone, failure, keep }: PictureProps) {
  const name = kindName(kind);
  const words = failure ?? (isAbsent ? `Nothing was recorded from the ${name} here.` : '');
  if (kind === MICROPHONE) {
    return (
      <>
        <audio ref={keep} muted={isMuted} aria-label={name} />
        {words !== '' ? (
          <p class="quiet">{words}</p>
        ) : (
          isAlone && (
            <p class="quiet">This recording is sound without a picture. Its loudness stands on the line below.</p>
          )
        )}
      </>
    );
  }
  return (
    <figure class={`picture ${name}`}>
      <video ref={keep} muted={isMuted} playsInline aria-label={name} tabIndex={-1} />
      {words !== '' && <p class="absent">{words}</p>}
      <figcaption>{name}</figcaption>
    </figure>
  );
}
