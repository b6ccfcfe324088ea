/** What leaves this page: to a colleague, or to a file. Each is written into the retention log. */
import { useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { SelectField } from '../parts/field.tsx';
import { Panel } from '../parts/panel.tsx';
import { Progress } from '../parts/progress.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { ColleagueField, useColleague } from './colleague.tsx';
import type { Opened } from './recording.tsx';
import { saveBlob } from '../parts/saving.ts';
import { FailureNote, useTask } from '../parts/task.tsx';
import { formatMoment } from './timeline.ts';
import { kindName } from './new-exam.tsx';
import { VERDICT_WORDS } from './words.ts';

export function Handing({ opened }: { opened: Opened }) {
  return (
    <>
      <Panel heading="Export">
        <div class="stack">
          <Status tone="warn">
            <p>
              What you export outlives this service’s deletion. It is then kept, or destroyed, by your institution’s own
              rules. The log will say that an export exists.
            </p>
          </Status>
          <FilmExport opened={opened} />
          <CaseExport opened={opened} />
        </div>
      </Panel>
      <Grant opened={opened} />
    </>
  );
}

const PICTURES = [1, 2, 5];
const SOUNDS = [3, 5, 1];

function FilmExport({ opened: { desk, recordingId, timeline } }: { opened: Opened }) {
  const tracks = [
    ...new Map(timeline.spans.flatMap((span) => span.tracks).map((track) => [track.track, track])).values(),
  ];
  const pictures = tracks.filter(({ kind }) => PICTURES.includes(kind));
  const sound = SOUNDS.map((kind) => tracks.find((track) => track.kind === kind)).find(
    (track) => track !== undefined,
  )?.track;
  const [picture, setPicture] = useState(String(pictures[0]?.track ?? ''));
  const [format, setFormat] = useState<'webm' | 'mp4'>('webm');
  const [atMs, setAtMs] = useState<number>();
  const [told, setTold] = useState('');
  const task = useTask();
  const save = async (): Promise<void> => {
    setTold('');
    setAtMs(0);
    const chosen = picture === '' ? undefined : Number(picture);
    const blob = await desk.exportFilm(recordingId, { picture: chosen, sound, format }, setAtMs);
    saveBlob(blob, `${recordingId}-${kindName(tracks.find(({ track }) => track === chosen)?.kind ?? 3)}.${format}`);
    setAtMs(undefined);
    setTold('The film is saved to your downloads. It is not encrypted.');
  };
  if (tracks.every(({ kind }) => !PICTURES.includes(kind) && !SOUNDS.includes(kind))) return null;
  return (
    <div class="stack">
      <h3>As a film</h3>
      <SelectField
        label="Picture"
        hint={sound === undefined ? 'There is no sound.' : 'With the sound of the recording.'}
        value={picture}
        options={[
          ...pictures.map(({ track, kind }) => [String(track), kindName(kind)] as const),
          ['', 'none, sound only'],
        ]}
        onChange={setPicture}
      />
      <SelectField
        label="Kind of file"
        value={format}
        options={[
          ['webm', 'WebM'],
          ['mp4', 'MP4'],
        ]}
        onChange={(value) => {
          setFormat(value === 'mp4' ? 'mp4' : 'webm');
        }}
      />
      <div class="row">
        <Button unavailable={task.isBusy ? 'under way' : undefined} onPress={() => void task.run(save)}>
          Save the film, decrypted
        </Button>
      </div>
      {atMs !== undefined && (
        <Progress
          label="Film"
          value={atMs}
          most={timeline.endMs}
          words={`${formatMoment(atMs)} of ${formatMoment(timeline.endMs)} written`}
        />
      )}
      <LiveRegion isShown>{told}</LiveRegion>
      <FailureNote failure={task.failure} />
    </div>
  );
}

function CaseExport({ opened: { desk, recordingId, exam, timeline } }: { opened: Opened }) {
  const [written, setWritten] = useState<number>();
  const [told, setTold] = useState('');
  const task = useTask();
  const most = timeline.spans.flatMap(({ tracks }) => tracks).reduce((sum, { chunks }) => sum + chunks, 0);
  const save = async (): Promise<void> => {
    setTold('');
    setWritten(0);
    const { blob, verdict } = await desk.exportCase(recordingId, exam, setWritten);
    saveBlob(blob, `case-${recordingId}.tar`);
    setWritten(undefined);
    setTold(`The case file is saved to your downloads. Its verdict: ${VERDICT_WORDS[verdict].short}.`);
  };
  return (
    <div class="stack">
      <h3>As a case file</h3>
      <p>
        Everything as it is stored, still encrypted, with all proofs: it can be verified without this service, years
        later, and opened with a reader’s key (zeroreel verify).
      </p>
      <div class="row">
        <Button unavailable={task.isBusy ? 'under way' : undefined} onPress={() => void task.run(save)}>
          Save the case file
        </Button>
      </div>
      {written !== undefined && (
        <Progress
          label="Case file"
          value={Math.min(written, most)}
          most={most}
          words={`${written} objects written and checked`}
        />
      )}
      <LiveRegion isShown>{told}</LiveRegion>
      <FailureNote failure={task.failure} />
    </div>
  );
}

function Grant({ opened: { desk, exam, recordingId } }: { opened: Opened }) {
  const colleague = useColleague(desk);
  const [told, setTold] = useState('');
  const task = useTask();
  const go = async (): Promise<void> => {
    setTold('');
    const line = await colleague.confirm();
    if (line === undefined) return;
    const epochs = await desk.grant(recordingId, exam, line);
    colleague.clear();
    setTold(
      `Given: ${epochs === 1 ? 'the whole recording' : `all ${epochs} parts of the recording`}. Your colleague can open it now.`,
    );
  };
  return (
    <Panel heading="Give to a colleague">
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void task.run(go);
        }}
      >
        <p>
          For a colleague whom the exam’s owner has added as a reader after this recording began. It is logged, and
          cannot be taken back.
        </p>
        <ColleagueField label="Public line of the colleague" colleague={colleague} />
        <div class="row">
          <button type="submit" class="button" aria-disabled={task.isBusy ? 'true' : undefined}>
            {colleague.found ? 'The fingerprint is the same: give it' : 'Show the fingerprint'}
          </button>
        </div>
        <LiveRegion isShown>{told}</LiveRegion>
        <FailureNote failure={task.failure} />
      </form>
    </Panel>
  );
}
