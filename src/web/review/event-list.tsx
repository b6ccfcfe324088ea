/** Every flag and milestone, in words, each a button that goes there. */
import { useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { CheckField } from '../parts/field.tsx';
import { Table } from '../parts/table.tsx';
import { decisionWords, type Decision } from './decisions.ts';
import { formatDuration, type Mark } from './marks.ts';
import { DecideDialog, type Notes } from './notes.tsx';
import type { Opened } from './recording.tsx';
import { SIGNS } from './time-bar.tsx';
import { formatMoment } from './timeline.ts';

const CLASS_WORDS: Readonly<Record<Mark['class'], string>> = {
  flag: 'flag',
  milestone: 'milestone',
  unreadable: 'not readable',
};

export interface EventListProps {
  opened: Opened;
  notes: Notes;
  onVisit: (mark: Mark) => void;
}

export function EventList({ opened, notes, onVisit }: EventListProps) {
  const { marks } = opened;
  const [decided, setDecided] = useState<Mark>();
  const [isFlagsOnly, setFlagsOnly] = useState(true);
  const shown = isFlagsOnly ? marks.filter(({ class: kind }) => kind === 'flag') : marks;
  const flags = marks.filter(({ class: kind }) => kind === 'flag').length;
  return (
    <details class="events" open>
      <summary>
        Events: {flags} {flags === 1 ? 'flag' : 'flags'}, {marks.length - flags} others
      </summary>
      <div class="stack">
        <CheckField isChecked={isFlagsOnly} onChange={setFlagsOnly}>
          Flags only
        </CheckField>
        <Table
          caption="Events"
          isCaptionHidden
          columns={['When', 'Kind', 'Event', 'Details', 'Decision']}
          empty="None."
          rows={shown.map((mark) => ({
            key: mark.id,
            cells: [
              <Button
                isSmall
                label={`Go to ${formatMoment(mark.atMs)}, ${mark.label}`}
                onPress={() => {
                  onVisit(mark);
                }}
              >
                {formatMoment(mark.atMs)}
              </Button>,
              <span class="nowrap">
                <span class={`sign ${mark.isIgnored ? 'ignored' : mark.class}`} aria-hidden="true">
                  {mark.isIgnored ? '△' : SIGNS[mark.class]}
                </span>{' '}
                {mark.isIgnored ? 'not counted for this seat' : CLASS_WORDS[mark.class]}
              </span>,
              mark.label,
              [mark.detail, mark.endMs > mark.atMs ? `lasted ${formatDuration(mark.endMs - mark.atMs)}` : '']
                .filter(Boolean)
                .join(', '),
              mark.class === 'flag' && !mark.isIgnored ? (
                <DecisionCell mark={mark} decision={notes.decisions.get(mark.id)} onDecide={setDecided} />
              ) : (
                ''
              ),
            ],
          }))}
        />
      </div>
      <DecideDialog
        opened={opened}
        notes={notes}
        mark={decided}
        onClose={() => {
          setDecided(undefined);
        }}
      />
    </details>
  );
}

interface DecisionCellProps {
  mark: Mark;
  decision: Decision | undefined;
  onDecide: (mark: Mark) => void;
}

function DecisionCell({ mark, decision, onDecide }: DecisionCellProps) {
  return (
    <span class="row">
      {decision && <span>{decisionWords(decision)}</span>}
      <Button
        isSmall
        label={`${decision ? 'Your opinion' : 'Decide'}: ${mark.label} at ${formatMoment(mark.atMs)}`}
        onPress={() => {
          onDecide(mark);
        }}
      >
        {decision ? 'Your opinion' : 'Decide'}
      </Button>
    </span>
  );
}
