/** One exam: how students get in, who may open, and its recordings, ranked. */
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { Panel } from '../parts/panel.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { Table } from '../parts/table.tsx';
import { Copyable } from '../parts/copyable.tsx';
import type { DeskCalls, ExamCard } from './desk.ts';
import { Readers } from './readers.tsx';
import { Recordings } from './recordings.tsx';
import { trustedOwners, trustOwner } from './settings.ts';
import { FailureNote, useTask } from '../parts/task.tsx';
import { Tickets } from './tickets.tsx';
import { instantText } from '../parts/instant.ts';

import { kindName } from './new-exam.tsx';

/** An exam as the page needs it, read once; `onChange` after its policy was changed. */
export function useExam(desk: DeskCalls, examId: string) {
  const [exam, setExam] = useState<ExamCard>();
  const task = useTask();
  const load = () =>
    task.run(async () => {
      const found = (await desk.exams()).find((candidate) => candidate.examId === examId);
      if (!found) throw new Error('this exam is not one of yours');
      setExam(found);
    });
  useEffect(() => void load(), [examId]);
  return { exam, setExam, task };
}

export function Exam({ desk, examId }: { desk: DeskCalls; examId: string }) {
  const { exam, setExam, task } = useExam(desk, examId);
  if (!exam) {
    return (
      <div class="stack">
        <h1>Exam</h1>
        <LiveRegion isShown>{task.isBusy && <p>Reading the exam…</p>}</LiveRegion>
        <FailureNote failure={task.failure} />
        <p>
          <a href="#/exams">All exams</a>
        </p>
      </div>
    );
  }
  const { policy } = exam;
  return (
    <div class="stack">
      <p>
        <a href="#/exams">All exams</a>
      </p>
      <h1>{policy.title}</h1>
      <OwnerGate exam={exam}>
        <Panel heading="Recordings">
          <Recordings desk={desk} exam={exam} />
        </Panel>
        <div class="columns">
          <Panel heading="How students get in">
            <div class="stack">
              <Copyable
                label={
                  policy.admission === 'link'
                    ? 'Link for students'
                    : 'The exam’s link, for colleagues and the command line'
                }
                text={exam.link}
              />
              {exam.isOwn && policy.admission === 'ticket' && <Tickets desk={desk} exam={exam} />}
            </div>
          </Panel>
          <Readers desk={desk} exam={exam} onChange={setExam} />
          <Panel heading="What is recorded">
            <dl class="facts">
              <dt>May begin</dt>
              <dd>
                {instantText(policy.not_before)} to {instantText(policy.not_after)}
              </dd>
              <dt>Kept for</dt>
              <dd>{policy.practice ? '24 hours: a practice exam' : `${policy.retention_days} days, then destroyed`}</dd>
              <dt>Rules</dt>
              <dd>
                {Object.entries(policy.capture)
                  .map(([rule, value]) => `${rule.replaceAll('_', ' ')}${value === true ? '' : `: ${value}`}`)
                  .join(', ') || 'none'}
              </dd>
              <dt>Contact</dt>
              <dd>{policy.notice.contact || 'none'}</dd>
            </dl>
            <Table
              caption="Tracks"
              columns={['Track', 'Kind', 'Must be there']}
              rows={policy.tracks.map(({ id, kind, required }) => ({
                key: String(id),
                cells: [id, kindName(kind), required ? 'yes' : 'no'],
              }))}
            />
          </Panel>
        </div>
      </OwnerGate>
    </div>
  );
}

export interface OwnerGateProps {
  exam: ExamCard;
  /** The page's, where what is behind the gate would have brought it. */
  heading?: string;
  children: ComponentChildren;
}

/** Nothing of an exam is believed before its owner is known: one's own key, or a fingerprint that was compared. */
export function OwnerGate({ exam, heading, children }: OwnerGateProps) {
  const [isTrusted, setTrusted] = useState(exam.isOwn || trustedOwners().includes(exam.ownerHashB64));
  if (isTrusted) return <>{children}</>;
  return (
    <>
      {heading !== undefined && <h1>{heading}</h1>}
      <Panel heading="Whose exam is this?">
        <div class="stack">
          <Status tone="warn">
            <p>
              This exam was signed by a key that you have not met here. Compare the fingerprint with its owner, by voice
              or in person.
            </p>
          </Status>
          <dl class="facts">
            <dt>Signed by</dt>
            <dd class="mono">{exam.ownerFingerprint}</dd>
          </dl>
          <div class="row">
            <Button
              kind="primary"
              onPress={() => {
                trustOwner(exam.ownerHashB64);
                setTrusted(true);
              }}
            >
              It is the same: this is the owner’s key
            </Button>
          </div>
        </div>
      </Panel>
    </>
  );
}
