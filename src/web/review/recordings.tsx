/** An exam's recordings: what the service knows of them, and, once their events are opened, which to look at first. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { EVENT_TYPES } from '../../../schema/events.ts';
import type { RecordingSummary } from '../../../schema/api.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { SelectField, TextField } from '../parts/field.tsx';
import { recallNewest, rememberNewest } from '../parts/log-memory.ts';
import { Progress } from '../parts/progress.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { Table } from '../parts/table.tsx';
import type { DeskCalls, ExamCard, RecordingCard } from './desk.ts';
import { decisionsOf, dismissedMarks, type Decision } from './decisions.ts';
import { marksOf, matches, type Mark } from './marks.ts';
import { hrefOf } from './places.ts';
import { DEFAULT_WEIGHTS, FLAG_TYPES, scoreOf, weightsLabel, type Weights } from './ranking.ts';
import { keepWeights, keptWeights } from './settings.ts';
import { FailureNote, useTask } from '../parts/task.tsx';
import { formatMoment, layOut } from './timeline.ts';
import { instantText } from '../parts/instant.ts';
import { formatBytes, STATES, timeLeft } from './words.ts';

interface Read {
  marks: Mark[];
  name: string;
  decisions: Map<string, Decision>;
}

const GONE = new Set(['purging', 'deleted', 'verified']);

export function Recordings({ desk, exam }: { desk: DeskCalls; exam: ExamCard }) {
  const [recordings, setRecordings] = useState<RecordingSummary[]>();
  const [read, setRead] = useState<ReadonlyMap<string, Read>>(new Map());
  const [progress, setProgress] = useState<{ done: number; most: number; failed: number }>();
  const [weights, setWeights] = useState<Weights>(keptWeights);
  const [isWeighing, setWeighing] = useState(false);
  const [query, setQuery] = useState('');
  const [now] = useState(() => Date.now());
  const listing = useTask();
  const reading = useTask();

  useEffect(
    () =>
      void listing.run(async () => {
        setRecordings(await desk.recordings(exam.examId));
      }),
    [exam.examId],
  );

  const readable = recordings?.filter(({ state }) => !GONE.has(state)) ?? [];
  const readAll = async (): Promise<void> => {
    const found = new Map(read);
    let failed = 0;
    for (const [index, { recording_id: id }] of readable.entries()) {
      setProgress({ done: index, most: readable.length, failed });
      try {
        const card = await desk.open(id, exam, recallNewest(), rememberNewest);
        const { notes } = await desk.notes(id);
        found.set(id, describe(card, decisionsOf(notes)));
        setRead(new Map(found));
      } catch {
        failed++; // the others are read all the same; opening it alone tells why
      }
    }
    setProgress({ done: readable.length, most: readable.length, failed });
    setRecordings(await desk.recordings(exam.examId));
  };

  const ranked = useMemo(() => {
    const rows = (recordings ?? []).map((summary) => {
      const known = read.get(summary.recording_id);
      return { summary, known, score: known && scoreOf(known.marks, weights, dismissedMarks(known.decisions)) };
    });
    return rows.sort(
      (a, b) => (b.score?.total ?? -1) - (a.score?.total ?? -1) || a.summary.opened_ms - b.summary.opened_ms,
    );
  }, [recordings, read, weights]);
  const hits = useMemo(() => (query.trim() === '' ? [] : search(read, query)), [read, query]);
  if (!recordings) {
    return (
      <>
        <LiveRegion isShown>{listing.isBusy && <p>Reading the list…</p>}</LiveRegion>
        <FailureNote failure={listing.failure} />
      </>
    );
  }
  const unopened = readable.filter(({ releases }) => releases === 0).length;
  return (
    <div class="stack">
      <p>
        {recordings.length === 1 ? '1 recording' : `${recordings.length} recordings`}, {unopened} of them never opened
        by anybody.
      </p>
      {exam.isReader ? (
        <div class="row">
          <Button
            kind="primary"
            unavailable={readable.length === 0 ? 'there is nothing to open' : reading.isBusy ? 'under way' : undefined}
            onPress={() => void reading.run(readAll)}
          >
            Open their events and rank them
          </Button>
          <Button
            onPress={() => {
              setWeighing(true);
            }}
          >
            Weights
          </Button>
        </div>
      ) : (
        <Status tone="info">
          <p>Your key is not among this exam’s readers: you see that recordings exist, and cannot open them.</p>
        </Status>
      )}
      {exam.isReader && (
        <p class="quiet">
          Opening is written into the retention log, and students can see how often it happened. Names and events are
          decrypted here.
        </p>
      )}
      {progress && (
        <Progress
          label="Opening events"
          value={progress.done}
          most={progress.most}
          words={`${progress.done} of ${progress.most} read${progress.failed > 0 ? `, ${progress.failed} could not be opened` : ''}`}
        />
      )}
      <FailureNote failure={reading.failure} />
      <Table
        caption={
          read.size > 0
            ? `Recordings by score (${weightsLabel(weights)}). The score is an order of work, computed here, and no judgement.`
            : 'All recordings'
        }
        columns={['Recording', 'Score', 'Flags', 'Decided', 'Began', 'State', 'Opened', 'Time left', 'Size']}
        empty="No recording yet."
        rows={ranked.map(({ summary, known, score }) => ({
          key: summary.recording_id,
          cells: [
            GONE.has(summary.state) ? (
              <span class="mono">{summary.recording_id}</span>
            ) : (
              <a href={hrefOf({ name: 'recording', examId: exam.examId, recordingId: summary.recording_id, atMs: 0 })}>
                {known?.name ?? <span class="mono">{summary.recording_id}</span>}
              </a>
            ),
            score?.total ?? 'not read',
            score ? flagsInWords(score.counts) : '',
            known ? decidedWords(known) : '',
            instantText(summary.opened_ms),
            summary.quota_reached === null ? STATES[summary.state] : `${STATES[summary.state]}, at its limit`,
            summary.releases === 0 ? 'never' : summary.releases === 1 ? 'once' : `${summary.releases} times`,
            GONE.has(summary.state) ? '' : timeLeft(summary.delete_by_ms, now),
            formatBytes(summary.bytes),
          ],
        }))}
      />
      {read.size > 0 && (
        <>
          <TextField
            label="Search the events of this exam"
            hint="In what was opened above: for instance pasted, full screen, or microphone."
            type="search"
            value={query}
            onChange={setQuery}
          />
          {query.trim() !== '' && (
            <Table
              caption={`${hits.length === MOST_HITS ? 'The first ' : ''}${hits.length} ${hits.length === 1 ? 'event' : 'events'} found`}
              columns={['When', 'Recording', 'Event']}
              empty="No event has these words."
              rows={hits.map(({ id, name, mark }) => ({
                key: `${id}/${mark.id}`,
                cells: [
                  <a href={hrefOf({ name: 'recording', examId: exam.examId, recordingId: id, atMs: mark.atMs })}>
                    {formatMoment(mark.atMs)}
                  </a>,
                  name,
                  [mark.label, mark.detail].filter(Boolean).join(': '),
                ],
              }))}
            />
          )}
        </>
      )}
      <Dialog
        heading="Weights of flags"
        isOpen={isWeighing}
        onClose={() => {
          setWeighing(false);
        }}
      >
        <WeightsForm
          weights={weights}
          onChange={(changed) => {
            setWeights(changed);
            keepWeights(changed);
          }}
          onClose={() => {
            setWeighing(false);
          }}
        />
      </Dialog>
    </div>
  );
}

const MOST_HITS = 200;

function search(read: ReadonlyMap<string, Read>, query: string): { id: string; name: string; mark: Mark }[] {
  return [...read]
    .flatMap(([id, { marks, name }]) =>
      marks.filter((mark) => matches(mark, query)).map((mark) => ({ id, name, mark })),
    )
    .slice(0, MOST_HITS);
}

function describe(card: RecordingCard, decisions: Map<string, Decision>): Read {
  const timeline = layOut(card.epochs);
  const marks = marksOf(card.records, timeline, card.accommodations.flagsIgnored);
  return { marks, name: card.about?.name ?? card.summary.recording_id, decisions };
}

function decidedWords({ marks, decisions }: Read): string {
  const flags = marks.filter((mark) => mark.class === 'flag' && !mark.isIgnored);
  const decided = flags.filter(({ id }) => decisions.has(id)).length;
  return flags.length === 0 ? 'nothing to decide' : `${decided} of ${flags.length}`;
}

function flagsInWords(counts: Readonly<Partial<Record<string, number>>>): string {
  const words = Object.entries(counts)
    .sort(([, a = 0], [, b = 0]) => b - a)
    .map(([type, count = 0]) => `${EVENT_TYPES[type as keyof typeof EVENT_TYPES].label} ${count}×`);
  return words.join(', ') || 'none';
}

function WeightsForm({
  weights,
  onChange,
  onClose,
}: {
  weights: Weights;
  onChange: (weights: Weights) => void;
  onClose: () => void;
}) {
  return (
    <div class="stack">
      <p>
        0 counts a flag for nothing, 5 for most. The score is the sum over a recording’s flags. The weights stay in this
        browser.
      </p>
      {FLAG_TYPES.map((type) => (
        <SelectField
          key={type}
          label={EVENT_TYPES[type].label}
          value={String(weights[type] ?? 0)}
          options={['0', '1', '2', '3', '4', '5'].map((weight) => [weight, weight] as const)}
          onChange={(weight) => {
            onChange({ ...weights, [type]: Number(weight) });
          }}
        />
      ))}
      <div class="row">
        <Button
          onPress={() => {
            onChange(DEFAULT_WEIGHTS);
          }}
        >
          Default weights
        </Button>
        <Button kind="primary" onPress={onClose}>
          Done
        </Button>
      </div>
    </div>
  );
}
