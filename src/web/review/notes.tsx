/** Notes and decisions of one recording: read, written, and told by whom. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { NewNote, ReadNotes, ReviewNote } from '../../client/review-notes.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { SelectField } from '../parts/field.tsx';
import { Panel } from '../parts/panel.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { decisionsOf, type Decision } from './decisions.ts';
import type { Mark } from './marks.ts';
import { TextAreaField } from './more-fields.tsx';
import type { Opened } from './recording.tsx';
import { FailureNote, useTask, type Task } from '../parts/task.tsx';
import { formatMoment } from './timeline.ts';
import { instantText } from '../parts/instant.ts';

export interface Notes {
  read: ReadNotes;
  decisions: ReadonlyMap<string, Decision>;
  task: Task;
  /** True where it was written. */
  add: (note: NewNote) => Promise<boolean>;
}

const NONE: ReadNotes = { notes: [], refused: 0 };

export function useNotes(opened: Opened | undefined): Notes {
  const [read, setRead] = useState<ReadNotes>(NONE);
  const task = useTask();
  useEffect(() => {
    if (opened)
      void task.run(async () => {
        setRead(await opened.desk.notes(opened.recordingId));
      });
  }, [opened]);
  const decisions = useMemo(() => decisionsOf(read.notes), [read]);
  const add = async (note: NewNote): Promise<boolean> => {
    const written = await task.run(() => opened!.desk.addNote(opened!.recordingId, note));
    if (written) setRead((known) => ({ ...known, notes: [...known.notes, written] }));
    return written !== undefined;
  };
  return { read, decisions, task, add };
}

/** Who that is among the exam's readers. */
export function authorOf({ exam }: Opened, by: string): string {
  return (
    exam.policy.recipients.find(({ identity }) => identity === by)?.label ??
    'somebody who is not among the exam’s readers'
  );
}

const KIND_WORDS: Readonly<Record<ReviewNote['kind'], string>> = {
  note: 'note',
  confirmed: 'confirmed',
  dismissed: 'dismissed',
};

export function NotesPanel({ opened, notes }: { opened: Opened; notes: Notes }) {
  const [text, setText] = useState('');
  const { read, task, add } = notes;
  return (
    <Panel heading="Notes">
      <div class="stack">
        <p class="quiet">
          Signed with your key and sealed for this recording’s readers. The service cannot read them, and destroys them
          with the recording.
        </p>
        {read.refused > 0 && (
          <Status tone="warn">
            <p>{read.refused} notes do not verify and are not shown.</p>
          </Status>
        )}
        <NoteList opened={opened} notes={read.notes} />
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            if (text.trim() === '') return;
            void add({ kind: 'note', mark: null, t: null, text: text.trim() }).then((isWritten) => {
              if (isWritten) setText('');
            });
          }}
        >
          <TextAreaField label="New note on the whole recording" rows={3} value={text} onChange={setText} />
          <div class="row">
            <button type="submit" class="button" aria-disabled={task.isBusy ? 'true' : undefined}>
              Add the note
            </button>
          </div>
          <FailureNote failure={task.failure} />
        </form>
      </div>
    </Panel>
  );
}

export function NoteList({ opened, notes }: { opened: Opened; notes: readonly ReviewNote[] }) {
  if (notes.length === 0) return <p>No note yet.</p>;
  const marks = new Map(opened.marks.map((mark) => [mark.id, mark]));
  return (
    <ul class="notes">
      {notes.map((note) => {
        const mark = note.mark === null ? undefined : marks.get(note.mark);
        return (
          <li key={`${note.by}/${note.at}/${note.mark ?? ''}`}>
            <strong>{authorOf(opened, note.by)}</strong>, {instantText(note.at)}
            {note.mark !== null &&
              `, on “${mark?.label ?? 'an event that is not here'}” at ${formatMoment(note.t ?? mark?.atMs ?? 0)}`}
            {note.kind !== 'note' && `: ${KIND_WORDS[note.kind]}`}
            {note.text !== '' && <p class="said">{note.text}</p>}
          </li>
        );
      })}
    </ul>
  );
}

export interface DecideProps {
  opened: Opened;
  notes: Notes;
  mark: Mark | undefined;
  onClose: () => void;
}

/** One flag: confirm it or dismiss it, with the reason. Where somebody has, this is the second opinion. */
export function DecideDialog({ opened, notes, mark, onClose }: DecideProps) {
  const [kind, setKind] = useState<'confirmed' | 'dismissed' | 'note'>('dismissed');
  const [text, setText] = useState('');
  const others = (mark && notes.decisions.get(mark.id)?.opinions) ?? [];
  const decide = async (): Promise<void> => {
    if (!mark) return;
    if (await notes.add({ kind, mark: mark.id, t: Math.round(mark.atMs), text: text.trim() })) {
      setText('');
      onClose();
    }
  };
  return (
    <Dialog
      heading={mark ? `${mark.label} at ${formatMoment(mark.atMs)}` : 'Decision'}
      isOpen={mark !== undefined}
      onClose={onClose}
    >
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void decide();
        }}
      >
        {others.length > 0 && (
          <Status tone="info">
            {others.map((opinion) => (
              <p key={opinion.by}>
                {authorOf(opened, opinion.by)}: {KIND_WORDS[opinion.kind]}
                {opinion.text !== '' && `, “${opinion.text}”`}
              </p>
            ))}
            <p>If that was somebody else, yours is the second opinion.</p>
          </Status>
        )}
        <SelectField
          label="Your opinion"
          hint="A flag is a place to look at. What it means, a person decides."
          value={kind}
          options={[
            ['dismissed', 'dismiss: nothing that matters'],
            ['confirmed', 'confirm: it matters'],
            ['note', 'neither, a note only'],
          ]}
          onChange={(value) => {
            setKind(value as typeof kind);
          }}
        />
        <TextAreaField label="Reason" hint="What you saw." rows={3} value={text} onChange={setText} />
        <LiveRegion isShown>{notes.task.isBusy && <p>Sealing…</p>}</LiveRegion>
        <FailureNote failure={notes.task.failure} />
        <div class="row">
          <button type="submit" class="button primary" aria-disabled={notes.task.isBusy ? 'true' : undefined}>
            Save
          </button>
          <Button onPress={onClose}>Cancel</Button>
        </div>
      </form>
    </Dialog>
  );
}
