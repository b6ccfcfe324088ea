/** Before recording: what this device must have, what will be recorded and who can open it, and the button that starts. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { CaptureSource } from '../../../schema/events.ts';
import { Button } from '../parts/button.tsx';
import { CheckField, TextField } from '../parts/field.tsx';
import { Panel } from '../parts/panel.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { capture, captureTrouble, isPartOfScreen, sourceName, type Captured } from './capture.ts';
import { checkBrowser, checkClock, checkNetwork, checkStorage, checkTime, type Check } from './device-checks.ts';
import { saveBlob } from '../parts/saving.ts';
import type { Look } from './messages.ts';
import { Notice } from './notice.tsx';
import type { Preparation } from './page.tsx';
import { PhotoOfId } from './photo.tsx';
import { Preview } from './preview.tsx';
import { sebFile } from '../../client/seb-file.ts';
import { deadlineText } from '../parts/instant.ts';
import { size } from './words.ts';

export interface PrepareProps {
  look: Look;
  link: string;
  roundTripMs: number;
  onStart: (preparation: Preparation) => Promise<void>;
  onFinish: () => void;
}

/** In the order in which they are asked for. */
const SOURCES: readonly CaptureSource[] = ['webcam', 'microphone', 'screen'];

export function Prepare({ look, link, roundTripMs, onStart, onFinish }: PrepareProps) {
  const { exam, standing } = look;
  const isResuming = standing.state === 'interrupted';
  const [checks, setChecks] = useState<Check[]>([
    checkBrowser(),
    checkNetwork(roundTripMs),
    checkClock(look.clockOffsetMs),
    ...(isResuming ? [] : [checkTime(exam, Date.now())]),
  ]);
  const [sources, setSources] = useState<ReadonlyMap<CaptureSource, Captured>>(new Map());
  const [troubles, setTroubles] = useState<ReadonlyMap<CaptureSource, string>>(new Map());
  const [photo, setPhoto] = useState<Uint8Array | undefined>();
  const [name, setName] = useState('');
  const [acknowledgedMs, setAcknowledgedMs] = useState<number | undefined>(isResuming ? Date.now() : undefined);
  const [place, setPlace] = useState<Preparation['location']>();
  const [isStarting, setIsStarting] = useState(false);
  const [tried, setTried] = useState(false);
  const checked = useRef(false);

  useEffect(() => {
    if (checked.current) return;
    checked.current = true;
    void checkStorage().then((storage) => {
      setChecks((before) => [...before, storage]);
    });
  }, []);

  const wanted = SOURCES.filter((source) => exam.tracks.some(({ kind, isOff }) => kind === source && !isOff));
  const required = wanted.filter((source) => exam.tracks.some(({ kind, isRequired }) => kind === source && isRequired));
  const photoTrack = isResuming ? undefined : exam.tracks.find(({ kind, isOff }) => kind === 'photo' && !isOff);

  const missing = [
    ...checks.filter(({ tone }) => tone === 'bad').map(({ words }) => words),
    ...required.filter((source) => !sources.has(source)).map((source) => `Allow your ${sourceName(source)}.`),
    ...(photoTrack?.isRequired === true && !photo ? ['Take the photo of your ID.'] : []),
    ...(acknowledgedMs === undefined ? ['Tick that you have read the notice.'] : []),
    ...(!isResuming && name.trim() === '' ? ['Enter your name.'] : []),
  ];

  async function allow(source: CaptureSource): Promise<void> {
    try {
      const captured = await capture(source, exam.picture);
      setSources((before) => new Map([...before, [source, captured]]));
      setTroubles((before) => new Map([...before].filter(([failed]) => failed !== source)));
    } catch (error) {
      setTroubles((before) => new Map([...before, [source, captureTrouble(source, error)]]));
    }
  }

  async function start(): Promise<void> {
    setTried(true);
    if (missing.length > 0 || acknowledgedMs === undefined) return;
    setIsStarting(true);
    // Only a press of a button may ask for it, so it is asked for here and not when the recording has begun.
    if (exam.rules.includes('full_screen')) await document.documentElement.requestFullscreen().catch(() => undefined);
    await onStart({ name, acknowledgedMs, sources, photo, location: place });
  }

  return (
    <>
      {standing.state === 'interrupted' && (
        <Status tone="warn">
          <p>
            <strong>Your recording was interrupted.</strong> What was recorded is kept, but for the last seconds before
            it stopped.{' '}
            {standing.waitingBytes > 0 &&
              `${size(standing.waitingBytes)} wait on this device, encrypted, and go up when you continue.`}
            {standing.openedMs !== null && ` It began on ${deadlineText(standing.openedMs)}.`}
          </p>
          <div class="row">
            <Button onPress={onFinish}>End it here and send what was recorded</Button>
          </div>
        </Status>
      )}
      <Panel heading="1. Check this device">
        <ul class="checks">
          {checks.map(({ name: what, tone, words }) => (
            <li key={what}>
              <Status tone={tone}>
                <strong>{what}.</strong> {words}
              </Status>
            </li>
          ))}
          {wanted.map((source) => (
            <li key={source}>
              <SourceCheck
                source={source}
                isRequired={required.includes(source)}
                captured={sources.get(source)}
                trouble={troubles.get(source)}
                onAllow={() => {
                  void allow(source);
                }}
              />
            </li>
          ))}
        </ul>
        {photoTrack && (
          <PhotoOfId
            camera={sources.get('webcam')}
            isCameraRecorded={wanted.includes('webcam')}
            limits={exam.picture}
            photo={photo}
            onTaken={setPhoto}
          />
        )}
      </Panel>
      <Panel heading="2. What is recorded, and who can open it">
        <Notice exam={exam} deleteByMs={standing.state === 'interrupted' ? standing.deleteByMs : null} />
        {exam.wantsLocation && !isResuming && <Location place={place} onPlace={setPlace} />}
        {!isResuming && (
          <div class="stack acknowledge">
            <CheckField
              isChecked={acknowledgedMs !== undefined}
              onChange={(isChecked) => {
                setAcknowledgedMs(isChecked ? Date.now() : undefined);
              }}
            >
              I have read what is recorded, who can open it, and when it is destroyed.
            </CheckField>
            <TextField
              label="Your name"
              hint="Encrypted with the recording. The readers above see it; this service never does."
              value={name}
              autoComplete="name"
              isRequired
              onChange={setName}
            />
          </div>
        )}
      </Panel>
      <Panel heading={isResuming ? '3. Continue' : '3. Start'}>
        {sources.size > 0 && (
          <div class="previews">
            {[...sources.values()].map((captured) => (
              <Preview key={captured.source} captured={captured} />
            ))}
          </div>
        )}
        <LiveRegion isShown>
          {tried && missing.length > 0 && (
            <Status tone="warn">
              <p>Before it can start:</p>
              <ul>
                {missing.map((what) => (
                  <li key={what}>{what}</li>
                ))}
              </ul>
            </Status>
          )}
        </LiveRegion>
        <div class="row">
          <Button
            kind="primary"
            unavailable={isStarting ? 'it is starting' : undefined}
            onPress={() => {
              void start();
            }}
          >
            {isStarting ? 'Starting …' : isResuming ? 'Continue recording' : 'Start recording'}
          </Button>
          <span class="quiet">Nothing is recorded before you press this.</span>
        </div>
      </Panel>
      <details class="panel">
        <summary>Safe Exam Browser</summary>
        <p>
          If your exam is to be taken in Safe Exam Browser, open this file on the computer where it is installed. It
          starts at your exam link. Keep it to yourself: it holds your link.
        </p>
        <Button
          onPress={() => {
            void sebFile(link).then((bytes) => {
              saveBlob(new Blob([bytes], { type: 'application/seb' }), 'exam.seb');
            });
          }}
        >
          Download exam.seb
        </Button>
      </details>
    </>
  );
}

interface SourceCheckProps {
  source: CaptureSource;
  isRequired: boolean;
  captured: Captured | undefined;
  trouble: string | undefined;
  onAllow: () => void;
}

function SourceCheck({ source, isRequired, captured, trouble, onAllow }: SourceCheckProps) {
  const name = sourceName(source);
  const title = name[0]!.toUpperCase() + name.slice(1);
  if (captured && isPartOfScreen(captured)) {
    return (
      <Status tone="warn">
        <p>
          <strong>{title}.</strong> You shared a window or a tab, and not the whole screen. The readers will see that.
        </p>
        <Button onPress={onAllow}>Share again</Button>
      </Status>
    );
  }
  if (captured) {
    return (
      <Status tone="good">
        <strong>{title}.</strong> {captured.track.label || 'It works.'}
      </Status>
    );
  }
  return (
    <Status tone={trouble !== undefined ? 'bad' : 'info'}>
      <p>
        <strong>{title}.</strong>{' '}
        {trouble ?? (isRequired ? 'This exam needs it.' : 'This exam records it if you allow it.')}
      </p>
      <Button onPress={onAllow}>{source === 'screen' ? 'Share your screen' : `Allow the ${name}`}</Button>
    </Status>
  );
}

function Location({
  place,
  onPlace,
}: {
  place: Preparation['location'];
  onPlace: (place: Preparation['location']) => void;
}) {
  return (
    <Status tone="info">
      <p>
        This exam asks for your rough location, to about a kilometre. It is encrypted with the recording; this service
        never learns it. You may say no: that is recorded, too.
      </p>
      <div class="row">
        <Button
          onPress={() => {
            navigator.geolocation.getCurrentPosition(
              ({ coords }) => {
                const rough = (degrees: number): number => Math.round(degrees * 100) / 100;
                const accuracy_m = Math.max(1000, Math.round(coords.accuracy));
                onPlace({ latitude: rough(coords.latitude), longitude: rough(coords.longitude), accuracy_m });
              },
              () => {
                onPlace(null);
              },
            );
          }}
        >
          Tell my rough location
        </Button>
        <Button
          onPress={() => {
            onPlace(null);
          }}
        >
          Do not tell it
        </Button>
      </div>
      <LiveRegion isShown>
        {place === null && <p>Not told.</p>}
        {place && (
          <p>
            Told: {place.latitude}, {place.longitude}.
          </p>
        )}
      </LiveRegion>
    </Status>
  );
}
