/** The exams that this key may see. */
import { useEffect, useState } from 'preact/hooks';
import { LiveRegion } from '../parts/status.tsx';
import { Table } from '../parts/table.tsx';
import type { DeskCalls, ExamCard, KeyCard } from './desk.ts';
import { OwnKey } from './own-key.tsx';
import { hrefOf } from './places.ts';
import { FailureNote, useTask } from '../parts/task.tsx';
import { formatDay } from './words.ts';

export function Exams({ desk, card }: { desk: DeskCalls; card: KeyCard }) {
  const [exams, setExams] = useState<ExamCard[]>();
  const task = useTask();
  useEffect(
    () =>
      void task.run(async () => {
        setExams(await desk.exams());
      }),
    [],
  );
  return (
    <div class="stack">
      <div class="row spread">
        <h1>Exams</h1>
        <a class="button primary" href={hrefOf({ name: 'new-exam' })}>
          New exam
        </a>
      </div>
      <LiveRegion isShown>{task.isBusy && <p>Reading the exams and checking their signatures…</p>}</LiveRegion>
      <FailureNote failure={task.failure} />
      {exams && (
        <Table
          caption="Exams"
          isCaptionHidden
          columns={['Exam', 'Recordings may begin', 'Kept for', 'Made by', 'You can']}
          empty="No exam yet. “New exam” makes one."
          rows={exams.map((exam) => ({
            key: exam.examId,
            cells: [
              <a href={hrefOf({ name: 'exam', examId: exam.examId })}>{exam.policy.title}</a>,
              `${formatDay(exam.policy.not_before)} to ${formatDay(exam.policy.not_after)}`,
              exam.policy.practice ? '24 hours (practice)' : `${exam.policy.retention_days} days`,
              exam.isOwn ? 'you' : exam.ownerFingerprint.slice(0, 9),
              exam.isReader ? 'open its recordings' : 'see that they exist',
            ],
          }))}
        />
      )}
      <OwnKey desk={desk} card={card} />
    </div>
  );
}
