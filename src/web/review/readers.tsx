/** Who can open the exam's recordings; the owner adds a colleague. */
import { useState } from 'preact/hooks';
import type { RecipientRole } from '../../client/exam.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { SelectField } from '../parts/field.tsx';
import { Panel } from '../parts/panel.tsx';
import { Table } from '../parts/table.tsx';
import type { DeskCalls, ExamCard } from './desk.ts';
import { ColleagueField, useColleague } from './colleague.tsx';
import { FailureNote, useTask } from '../parts/task.tsx';

const ROLE_WORDS = { 1: 'instructor', 2: 'administrator', 3: 'recovery key' } as const;

export interface ReadersProps {
  desk: DeskCalls;
  exam: ExamCard;
  onChange: (exam: ExamCard) => void;
}

export function Readers({ desk, exam, onChange }: ReadersProps) {
  const [isAdding, setAdding] = useState(false);
  return (
    <Panel heading="Who can open recordings">
      <div class="stack">
        <Table
          caption="Readers"
          isCaptionHidden
          columns={['Name', 'Role', 'Key id']}
          rows={exam.policy.recipients.map(({ key_id: id, label, role, suite }) => ({
            key: id,
            cells: [label, `${ROLE_WORDS[role]}${suite === 1 ? ', older key' : ''}`, <span class="mono">{id}</span>],
          }))}
        />
        {exam.isOwn && (
          <div class="row">
            <Button
              onPress={() => {
                setAdding(true);
              }}
            >
              Add a reader
            </Button>
          </div>
        )}
        <AddReader
          desk={desk}
          exam={exam}
          isOpen={isAdding}
          onClose={() => {
            setAdding(false);
          }}
          onAdded={onChange}
        />
      </div>
    </Panel>
  );
}

interface AddReaderProps {
  desk: DeskCalls;
  exam: ExamCard;
  isOpen: boolean;
  onClose: () => void;
  onAdded: (exam: ExamCard) => void;
}

function AddReader({ desk, exam, isOpen, onClose, onAdded }: AddReaderProps) {
  const [role, setRole] = useState<RecipientRole>('instructor');
  const colleague = useColleague(desk);
  const task = useTask();
  return (
    <Dialog heading="Add a reader" isOpen={isOpen} onClose={onClose}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void task.run(async () => {
            const line = await colleague.confirm();
            if (line === undefined) return;
            onAdded(await desk.addReader(exam.examId, role, line));
            colleague.clear();
            onClose();
          });
        }}
      >
        <p>
          Recordings that begin from now on are sealed for this reader, too. Older ones are given one by one. Nobody can
          be taken out of what was recorded.
        </p>
        <SelectField
          label="Role"
          value={role}
          options={[
            ['instructor', 'Instructor'],
            ['administrator', 'Administrator of the learning platform'],
            ['recovery', 'Recovery key, kept offline'],
          ]}
          onChange={(value) => {
            setRole(value as RecipientRole);
          }}
        />
        <ColleagueField label="Public line" colleague={colleague} />
        <FailureNote failure={task.failure} />
        <div class="row">
          <button type="submit" class="button primary" aria-disabled={task.isBusy ? 'true' : undefined}>
            {colleague.found ? 'The fingerprint is the same: add this reader' : 'Show the fingerprint'}
          </button>
          <Button onPress={onClose}>Cancel</Button>
        </div>
      </form>
    </Dialog>
  );
}
