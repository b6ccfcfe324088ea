/** Seat tickets: one link a student, signed here, saved as CSV. The service sees none of them before it is used. */
import { useState } from 'preact/hooks';
import { misspelled } from '../../../schema/events.ts';
import { TextField } from '../parts/field.tsx';
import { Progress } from '../parts/progress.tsx';
import { LiveRegion } from '../parts/status.tsx';
import type { DeskCalls, ExamCard } from './desk.ts';
import { TextAreaField } from './more-fields.tsx';
import { csvOf, saveText } from '../parts/saving.ts';
import { FailureNote, useTask } from '../parts/task.tsx';

const MOST_TICKETS = 10_000;

/** One line a seat: `seat-7` or `seat-7 {"extra_minutes":30}`. */
interface Seat {
  seat: string;
  accommodations?: Record<string, boolean | number | string>;
}

export function Tickets({ desk, exam }: { desk: DeskCalls; exam: ExamCard }) {
  const [count, setCount] = useState('30');
  const [special, setSpecial] = useState('');
  const [made, setMade] = useState<{ done: number; most: number }>();
  const task = useTask();

  const make = async (): Promise<void> => {
    const most = Number(count);
    if (!Number.isInteger(most) || most < 1 || most > MOST_TICKETS)
      throw new Error(`expected 1 to ${MOST_TICKETS} tickets`);
    const exceptions = readExceptions(special);
    const unknown = [...exceptions.values()].flatMap(misspelled);
    if (unknown.length > 0) throw new Error(`nobody would follow ${unknown.join(', ')}: look at the spelling`);
    const width = Math.max(4, String(most).length);
    const seats = Array.from({ length: most }, (_, index): Seat => {
      const seat = String(index + 1).padStart(width, '0');
      const accommodations = exceptions.get(seat) ?? exceptions.get(String(index + 1));
      return { seat, ...(accommodations && { accommodations }) };
    });
    setMade({ done: 0, most });
    const tickets = await desk.tickets(exam, seats, (done) => {
      if (done % 20 === 0 || done === most) setMade({ done, most });
    });
    const rows = tickets.map(({ seat, link }) => [
      seat,
      link,
      JSON.stringify(seats.find((one) => one.seat === seat)?.accommodations ?? {}),
    ]);
    saveText(csvOf([['seat', 'link', 'accommodations'], ...rows]), `tickets-${exam.examId}.csv`, 'text/csv');
  };
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault();
        void task.run(make);
      }}
    >
      <h3>Tickets</h3>
      <p>
        A ticket is one student’s personal link: it lets its holder record once, and opens nothing. Keep the list of who
        has which seat outside of this service.
      </p>
      <TextField label="How many" type="number" value={count} onChange={setCount} />
      <TextAreaField
        label="Exceptions for single seats"
        hint={
          'One line a seat: its number, then what is granted, e.g. 7 {"extra_minutes":30,"tracks_off":"webcam","flags_ignored":"focus_lost"}. No names, no diagnoses: the service sees a ticket when it is used.'
        }
        rows={3}
        value={special}
        onChange={setSpecial}
      />
      <div class="row">
        <button type="submit" class="button" aria-disabled={task.isBusy ? 'true' : undefined}>
          Make tickets and save them as CSV
        </button>
      </div>
      {made && (
        <Progress label="Tickets" value={made.done} most={made.most} words={`${made.done} of ${made.most} signed`} />
      )}
      <LiveRegion>
        {made && made.done === made.most ? `${made.most} tickets are saved to your downloads.` : ''}
      </LiveRegion>
      <FailureNote failure={task.failure} />
    </form>
  );
}

function readExceptions(text: string): Map<string, NonNullable<Seat['accommodations']>> {
  const found = new Map<string, NonNullable<Seat['accommodations']>>();
  for (const line of text.split('\n').filter((candidate) => candidate.trim() !== '')) {
    const [, seat = '', json = ''] = /^\s*(\d{1,9})\s+(\{.*\})\s*$/.exec(line) ?? [];
    const granted = parseObject(json);
    if (seat === '' || !granted) throw new Error(`expected a seat’s number and {"name":value}, found: ${line}`);
    found.set(seat, granted);
  }
  return found;
}

function parseObject(json: string): Record<string, boolean | number | string> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    const isFlat =
      typeof value === 'object' &&
      value !== null &&
      Object.values(value).every((member) => ['string', 'number', 'boolean'].includes(typeof member));
    return isFlat ? (value as Record<string, boolean | number | string>) : undefined;
  } catch {
    return undefined;
  }
}
