/** The report of one student's recording: on paper, everything that a board needs, and who decided what. */
import { Button } from '../parts/button.tsx';
import { Panel } from '../parts/panel.tsx';
import { Table } from '../parts/table.tsx';
import { AboutFacts } from './about-facts.tsx';
import { decisionWords, dismissedMarks } from './decisions.ts';
import { formatDuration } from './marks.ts';
import { NoteList, type Notes } from './notes.tsx';
import { scoreOf, weightsLabel } from './ranking.ts';
import type { Opened } from './recording.tsx';
import { keptWeights } from './settings.ts';
import { formatMoment } from './timeline.ts';
import { VerdictWords, type Judged } from './verdict-panel.tsx';
import { instantText } from '../parts/instant.ts';

export interface ReportProps {
  opened: Opened;
  judged: Judged | undefined;
  notes: Notes;
}

export function Report({ opened, judged, notes }: ReportProps) {
  const { marks, timeline } = opened;
  const weights = keptWeights();
  const score = scoreOf(marks, weights, dismissedMarks(notes.decisions));
  const flags = marks.filter(({ class: kind }) => kind === 'flag');
  return (
    <div class="report">
      <Panel heading="Report">
        <div class="stack">
          <div class="row no-print">
            <Button
              kind="primary"
              onPress={() => {
                print();
              }}
            >
              Print, or save as PDF
            </Button>
          </div>
          <div class="print-only">
            <AboutFacts opened={opened} />
          </div>
          {judged ? <VerdictWords judged={judged} /> : <p>The recording is still being verified.</p>}
          <p>
            Length {formatMoment(timeline.endMs)},{' '}
            {timeline.gaps.length === 0
              ? 'without a gap'
              : `${timeline.gaps.length} gaps in which nothing was recorded`}
            . {score.flags} flags count; score {score.total} ({weightsLabel(weights)}). The score orders the reviewers’
            work. It says nothing about the student, and nothing here was decided by a program.
          </p>
          <Table
            caption="Flags and what was decided"
            columns={['When', 'Event', 'Details', 'Decision']}
            empty="No flag."
            rows={flags.map((mark) => {
              const decision = notes.decisions.get(mark.id);
              return {
                key: mark.id,
                cells: [
                  formatMoment(mark.atMs),
                  mark.label,
                  [mark.detail, mark.endMs > mark.atMs ? `lasted ${formatDuration(mark.endMs - mark.atMs)}` : '']
                    .filter(Boolean)
                    .join(', '),
                  mark.isIgnored ? 'not counted for this seat' : decision ? decisionWords(decision) : 'not decided',
                ],
              };
            })}
          />
          <h3>Notes</h3>
          <NoteList opened={opened} notes={notes.read.notes} />
          <p class="quiet">
            Printed {instantText(Date.now())}. Recording {opened.recordingId}.
          </p>
        </div>
      </Panel>
    </div>
  );
}
