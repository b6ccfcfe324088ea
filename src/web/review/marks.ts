/** What the events track says, as marks on the recording's line of time. Pure. */
import {
  EVENT_TYPES,
  isEventType,
  type EventType,
  type ExamEvent,
  type UnreadableEvent,
} from '../../../schema/events.ts';
import type { Stretch } from './player.ts';
import type { Timeline } from './timeline.ts';

export interface EventRecord {
  epoch: number;
  events: ExamEvent[];
  unreadable: UnreadableEvent[];
}

export interface Mark {
  /** Stable for a recording: what decisions refer to. */
  id: string;
  atMs: number;
  /** Where it is over, if something said so. */
  endMs: number;
  class: 'flag' | 'milestone' | 'unreadable';
  type: string;
  label: string;
  /** What its members say, in words; may be empty. */
  detail: string;
  /** Not counted for this seat, by an accommodation that the owner signed. */
  isIgnored: boolean;
}

/** Sound over time, as the recorder measured it. */
export interface SoundLevel {
  atMs: number;
  forMs: number;
  rmsDb: number;
  peakDb: number;
}

/** Which event says that another is over. */
const ENDS: Partial<Record<EventType, EventType>> = {
  focus_lost: 'focus_gained',
  page_hidden: 'page_shown',
  full_screen_left: 'full_screen_entered',
  rule_left: 'rule_kept',
  picture_dark: 'picture_lit',
  picture_frozen: 'picture_moving',
  sound_silent: 'sound_back',
};

export function marksOf(records: readonly EventRecord[], timeline: Timeline, ignored: readonly string[] = []): Mark[] {
  const marks = records.flatMap(({ epoch, events, unreadable }) => {
    const startMs = timeline.spans.find((span) => span.epoch === epoch)?.startMs;
    if (startMs === undefined) return [];
    const read = events.flatMap((event, index) => markOf(event, `${epoch}.${index}`, startMs, events, index, ignored));
    const unread = unreadable.map(({ line, t, type }): Mark => {
      const atMs = startMs + (t ?? 0);
      const label = 'an event that this page does not know';
      return {
        id: `${epoch}.u${line}`,
        atMs,
        endMs: atMs,
        class: 'unreadable',
        type: type ?? '',
        label,
        detail: type ?? '',
        isIgnored: false,
      };
    });
    return [...read, ...unread];
  });
  return marks.sort((a, b) => a.atMs - b.atMs);
}

function markOf(
  event: ExamEvent,
  id: string,
  startMs: number,
  events: readonly ExamEvent[],
  index: number,
  ignored: readonly string[],
): Mark[] {
  const { class: kind, label } = EVENT_TYPES[event.type];
  if (kind === 'measure') return [];
  // `screens` is told at every start; only more than one is worth a look.
  const isFlag = kind === 'flag' && !(event.type === 'screens' && !event.is_extended);
  const atMs = startMs + event.t;
  const ending = ENDS[event.type];
  const over = ending && events.slice(index + 1).find((later) => later.type === ending && isAbout(later, event));
  return [
    {
      ...{ id, atMs, endMs: over ? startMs + over.t : atMs, class: isFlag ? 'flag' : 'milestone', type: event.type },
      label: event.type === 'screens' && !event.is_extended ? 'one screen' : label,
      detail: detailOf(event),
      isIgnored: ignored.includes(event.type),
    },
  ];
}

function isAbout(later: ExamEvent, event: ExamEvent): boolean {
  const [of, by] = [event, later] as { rule?: string; source?: string }[];
  return of!.rule === by!.rule && of!.source === by!.source;
}

const DETAILS: Readonly<Record<string, (value: never) => string>> = {
  characters: (count: number) => `${count} ${count === 1 ? 'character' : 'characters'}`,
  rule: (rule: string) => rule.replaceAll('_', ' '),
  source: (source: string) => source,
  device: (device: string) => device,
  away_ms: (ms: number | null) => (ms === null ? '' : `after ${formatDuration(ms)}`),
  paused_ms: (ms: number) => `after ${formatDuration(ms)}`,
  for_ms: (ms: number) => `for ${formatDuration(ms)}`,
  lost_ms: (ms: number) => `${formatDuration(ms)} lost`,
  by_ms: (ms: number) => `by ${formatDuration(Math.abs(ms))} ${ms < 0 ? 'back' : 'forward'}`,
  width: (width: number) => `${width} pixels wide`,
  count: (count: number | null) => (count === null ? '' : `${count} screens`),
  peak_db: (db: number) => `${Math.round(db)} dB`,
  not_seen: (words: readonly string[]) => (words.length > 0 ? `cannot see: ${words.join('; ')}` : ''),
};

function detailOf(event: ExamEvent): string {
  return Object.entries(event)
    .map(([name, value]) => DETAILS[name]?.(value as never) ?? '')
    .filter((words) => words !== '')
    .join(', ');
}

export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Math.round(ms / 100) / 10} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 6000) / 10} min`;
  if (ms < 48 * 3_600_000) return `${Math.round(ms / 360_000) / 10} h`;
  return `${Math.round(ms / 86_400_000)} days`;
}

export function soundOf(records: readonly EventRecord[], timeline: Timeline): SoundLevel[] {
  return records.flatMap(({ epoch, events }) => {
    const startMs = timeline.spans.find((span) => span.epoch === epoch)?.startMs ?? 0;
    return events.flatMap((event) =>
      event.type === 'sound_level'
        ? [{ atMs: startMs + event.t - event.for_ms, forMs: event.for_ms, rmsDb: event.rms_db, peakDb: event.peak_db }]
        : [],
    );
  });
}

/** Speech near the microphone is louder than this; a quiet room is not. */
const AUDIBLE_DB = -45;
/** Shorter silence is not worth a jump. */
const LEAST_MS = 20_000;
/** What led to an event, and what followed it, is seen. */
const MARGIN_MS = 5000;

/** Stretches in which nothing was marked and nothing was heard: what "skip inactive" passes over. */
export function quietStretches(marks: readonly Mark[], sound: readonly SoundLevel[], endMs: number): Stretch[] {
  const active = [
    ...marks.map((mark) => ({ startMs: mark.atMs, endMs: Math.max(mark.atMs, mark.endMs) })),
    ...sound
      .filter(({ rmsDb }) => rmsDb > AUDIBLE_DB)
      .map(({ atMs, forMs }) => ({ startMs: atMs, endMs: atMs + forMs })),
  ].sort((a, b) => a.startMs - b.startMs);
  const quiet: Stretch[] = [];
  let untilMs = 0;
  for (const { startMs, endMs: overMs } of [...active, { startMs: endMs + MARGIN_MS, endMs }]) {
    const from = untilMs === 0 ? 0 : untilMs + MARGIN_MS;
    if (startMs - MARGIN_MS - from >= LEAST_MS) quiet.push({ startMs: from, endMs: startMs - MARGIN_MS });
    untilMs = Math.max(untilMs, overMs);
  }
  return quiet;
}

/** The next flag after a moment, or the one before it; flags that are not counted are passed over. */
export function nextIncident(marks: readonly Mark[], atMs: number, direction: 1 | -1): Mark | undefined {
  const flags = marks.filter((mark) => mark.class === 'flag' && !mark.isIgnored);
  // Where one has just been jumped to, the one before it is meant, and not itself again.
  return direction === 1
    ? flags.find((mark) => mark.atMs > atMs + 500)
    : flags.findLast((mark) => mark.atMs < atMs - 1500);
}

/** Whether a mark's words or type hold every word that is asked for. */
export function matches(mark: Mark, query: string): boolean {
  const text = `${mark.label} ${mark.detail} ${mark.type} ${mark.type.replaceAll('_', ' ')}`.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

export function isFlagType(type: string): type is EventType {
  return isEventType(type) && EVENT_TYPES[type].class === 'flag';
}
