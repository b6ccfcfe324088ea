/** One recording: seen, heard, read, verified, decided. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { recallNewest, rememberNewest } from '../parts/log-memory.ts';
import { Panel } from '../parts/panel.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { AboutFacts } from './about-facts.tsx';
import type { DeskCalls, ExamCard, RecordingCard } from './desk.ts';
import { OwnerGate, useExam } from './exam.tsx';
import { Handing } from './handing.tsx';
import { marksOf, soundOf, type Mark, type SoundLevel } from './marks.ts';
import { hrefOf } from './places.ts';
import { NotesPanel, useNotes } from './notes.tsx';
import { Photos } from './photos.tsx';
import { Playback } from './playback.tsx';
import { Report } from './report.tsx';
import { FailureNote, useTask } from '../parts/task.tsx';
import { layOut, type Timeline } from './timeline.ts';
import { VerdictPanel, type Judged } from './verdict-panel.tsx';
import { instantText } from '../parts/instant.ts';
import { STATES, timeLeft } from './words.ts';

export interface RecordingProps {
  desk: DeskCalls;
  examId: string;
  recordingId: string;
  atMs: number;
}

/** One recording as every part of the page takes it. */
export interface Opened {
  desk: DeskCalls;
  exam: ExamCard;
  card: RecordingCard;
  recordingId: string;
  timeline: Timeline;
  marks: Mark[];
  sound: SoundLevel[];
}

export function Recording({ desk, examId, recordingId, atMs }: RecordingProps) {
  const { exam, task } = useExam(desk, examId);
  return (
    <div class="stack">
      <p>
        <a href={hrefOf({ name: 'exam', examId })}>
          {exam ? `All recordings of ${exam.policy.title}` : 'All recordings of the exam'}
        </a>
      </p>
      <FailureNote failure={task.failure} />
      {!exam && <h1>Recording</h1>}
      {exam && (
        <OwnerGate exam={exam} heading="Recording">
          <OpenRecording desk={desk} exam={exam} recordingId={recordingId} atMs={atMs} />
        </OwnerGate>
      )}
    </div>
  );
}

function OpenRecording({
  desk,
  exam,
  recordingId,
  atMs,
}: {
  desk: DeskCalls;
  exam: ExamCard;
  recordingId: string;
  atMs: number;
}) {
  const [card, setCard] = useState<RecordingCard>();
  const [judged, setJudged] = useState<Judged>();
  const [isShown, setShown] = useState(false);
  const task = useTask();
  useEffect(
    () =>
      void task.run(async () => {
        setCard(await desk.open(recordingId, exam, recallNewest(), rememberNewest));
      }),
    [recordingId],
  );
  const opened = useMemo<Opened | undefined>(() => {
    if (!card) return undefined;
    const timeline = layOut(card.epochs);
    const marks = marksOf(card.records, timeline, card.accommodations.flagsIgnored);
    return { desk, exam, card, recordingId, timeline, marks, sound: soundOf(card.records, timeline) };
  }, [card]);
  const notes = useNotes(opened);
  if (!opened || !card) {
    return (
      <>
        <h1>Recording</h1>
        <LiveRegion isShown>
          {task.isBusy && <p>Opening the recording: fetching its keys, checking policy, log and signatures…</p>}
        </LiveRegion>
        <FailureNote failure={task.failure} />
      </>
    );
  }
  const { about, summary } = card;
  const show = (): void => {
    setShown(true);
  };
  return (
    <>
      <div class="row spread">
        <h1>{about?.name ?? 'Recording without a name'}</h1>
        <p class="quiet">
          {instantText(summary.opened_ms)}; {STATES[summary.state]}; destroyed in{' '}
          {timeLeft(summary.delete_by_ms, Date.now())}
        </p>
      </div>
      {card.problems.length > 0 && (
        <Status tone="warn">
          {card.problems.map((problem) => (
            <p key={problem}>{problem}</p>
          ))}
        </Status>
      )}
      <Playback opened={opened} notes={notes} startMs={atMs} onShown={show} />
      <div class="columns">
        <VerdictPanel opened={opened} isShown={isShown} judged={judged} onJudged={setJudged} />
        <Panel heading="About this recording">
          <Photos opened={opened} />
          <AboutFacts opened={opened} />
        </Panel>
        <NotesPanel opened={opened} notes={notes} />
        <Handing opened={opened} />
      </div>
      <Report opened={opened} judged={judged} notes={notes} />
    </>
  );
}
