/**
 * The events track (kind 4) and the about track (kind 7): what a recorder writes and a reviewer reads. NDJSON, one object a line,
 * `{"v":1,"t":MS,"type":"...",...}`; `t` is media time, ms since OPEN of the epoch. EVENTS.md says it in words.
 */
import { z } from 'zod';

const ms = z.int().min(0);
/** A track's kind by name, as the policy's tracks have it. */
const source = z.enum(['webcam', 'screen', 'microphone']);
const ruleName = z.enum(['full_screen', 'no_clipboard', 'no_context_menu', 'one_screen']);
/** Decibels relative to full scale: 0 is the loudest, -100 stands for silence. */
const decibels = z.number().min(-100).max(0);

export type CaptureSource = z.infer<typeof source>;
export type RuleName = z.infer<typeof ruleName>;

/**
 * What an event is. A *flag* may deserve a look, and has a weight from 0 to 5; a *milestone* tells what happened to the recording
 * and weighs nothing; a *measure* is a series, for a waveform or a graph.
 */
export type EventClass = 'flag' | 'milestone' | 'measure';

const measure = { class: 'measure', weight: 0 } as const;
const milestone = { class: 'milestone', weight: 0 } as const;
const flag = (weight: 0 | 1 | 2 | 3 | 4 | 5) => ({ class: 'flag', weight }) as const;

/** Every type: its class, its default weight, what reviewers read, and its members beside `v`, `t` and `type`. */
export const EVENT_TYPES = {
  // ---- the recording itself ------------------------------------------------------------------------------------------
  recording_started: {
    ...milestone,
    label: 'recording started',
    fields: {
      tracks: z.array(z.string()),
      rules: z.array(ruleName),
      /** What this recorder cannot see, in words; see EVENTS.md. */
      not_seen: z.array(z.string()),
    },
  },
  recording_resumed: {
    ...milestone,
    label: 'recording resumed after an interruption',
    fields: {
      tracks: z.array(z.string()),
      rules: z.array(ruleName),
      not_seen: z.array(z.string()),
      away_ms: ms.nullable(),
    },
  },
  paused: { ...milestone, label: 'paused', fields: {} },
  continued: { ...milestone, label: 'continued', fields: { paused_ms: ms } },
  page_closing: { ...milestone, label: 'the page was closed or reloaded', fields: {} },
  recording_ended: { ...milestone, label: 'recording ended', fields: {} },
  capture_started: { ...milestone, label: 'capture started', fields: { source, device: z.string().max(200) } },
  capture_ended: {
    ...flag(3),
    label: 'capture ended: unplugged, or stopped in the browser',
    fields: { source },
  },
  photo_taken: { ...milestone, label: 'photo taken', fields: { bytes: z.int() } },
  network_lost: { ...milestone, label: 'network lost', fields: {} },
  network_back: { ...milestone, label: 'network back', fields: { away_ms: ms } },
  outbox_full: { ...milestone, label: 'no room on the device; media is lost from here', fields: {} },
  outbox_room: { ...milestone, label: 'room on the device again', fields: { lost_ms: ms } },
  slept: { ...milestone, label: 'the device slept or stood still', fields: { for_ms: ms } },
  key_frames_missing: { ...milestone, label: 'no key frame came from the encoder', fields: { source, for_ms: ms } },
  // ---- attention -----------------------------------------------------------------------------------------------------
  focus_lost: { ...flag(2), label: 'left the window', fields: {} },
  focus_gained: { ...milestone, label: 'came back to the window', fields: { away_ms: ms } },
  page_hidden: { ...flag(2), label: 'the page was hidden', fields: {} },
  page_shown: { ...milestone, label: 'the page was shown again', fields: { away_ms: ms } },
  full_screen_left: { ...flag(1), label: 'left full screen', fields: {} },
  full_screen_entered: { ...milestone, label: 'entered full screen', fields: {} },
  window_resized: {
    ...flag(1),
    label: 'the window changed its size',
    fields: { width: z.int(), height: z.int(), screen_width: z.int(), screen_height: z.int() },
  },
  // ---- what was done -------------------------------------------------------------------------------------------------
  copied: { ...flag(2), label: 'copied', fields: { characters: z.int().min(0) } },
  cut: { ...flag(2), label: 'cut', fields: { characters: z.int().min(0) } },
  pasted: { ...flag(3), label: 'pasted', fields: { characters: z.int().min(0) } },
  context_menu: { ...flag(1), label: 'opened a context menu', fields: {} },
  rule_left: { ...flag(4), label: 'left a rule of the exam', fields: { rule: ruleName } },
  rule_kept: { ...milestone, label: 'keeps a rule of the exam again', fields: { rule: ruleName, away_ms: ms } },
  // ---- the device ----------------------------------------------------------------------------------------------------
  /** `is_extended` is all that most browsers tell: whether there is more than one. */
  screens: {
    ...flag(2),
    label: 'more than one screen',
    fields: { is_extended: z.boolean(), count: z.int().nullable() },
  },
  devices_changed: {
    ...flag(1),
    label: 'a camera, microphone or loudspeaker was added or removed',
    fields: { cameras: z.int(), microphones: z.int(), speakers: z.int() },
  },
  /** Wall clock against monotonic clock. */
  clock_jumped: { ...flag(1), label: 'the device’s clock was changed', fields: { by_ms: z.int() } },
  // ---- computed locally from picture and sound -----------------------------------------------------------------------
  picture_dark: { ...flag(1), label: 'the picture is dark', fields: { source, luma: z.number().min(0).max(255) } },
  picture_lit: { ...milestone, label: 'the picture is light again', fields: { source, away_ms: ms } },
  picture_frozen: { ...flag(2), label: 'the picture stands still', fields: { source } },
  picture_moving: { ...milestone, label: 'the picture moves again', fields: { source, away_ms: ms } },
  sound_loud: { ...flag(1), label: 'loud sound', fields: { peak_db: decibels } },
  sound_silent: { ...flag(1), label: 'the microphone gives no sound at all', fields: {} },
  sound_back: { ...milestone, label: 'the microphone gives sound again', fields: { away_ms: ms } },
  // ---- series --------------------------------------------------------------------------------------------------------
  /** Over the `for_ms` before `t`. */
  sound_level: { ...measure, label: 'sound level', fields: { for_ms: ms, rms_db: decibels, peak_db: decibels } },
  frames: {
    ...measure,
    label: 'frames',
    fields: { source, for_ms: ms, encoded: z.int().min(0), dropped: z.int().min(0) },
  },
} as const satisfies Record<
  string,
  { class: EventClass; weight: number; label: string; fields: Readonly<Record<string, z.ZodType>> }
>;

export type EventType = keyof typeof EVENT_TYPES;
type Members<Fields> = { -readonly [Name in keyof Fields]: z.infer<Fields[Name]> };
type FieldsOf<Type extends EventType> = Members<(typeof EVENT_TYPES)[Type]['fields']>;
/** What a recorder tells of one type, without the members that every event has. */
export type EventFields<Type extends EventType> = FieldsOf<Type>;
export type ExamEvent = { [Type in EventType]: { v: 1; t: number; type: Type } & FieldsOf<Type> }[EventType];

const SCHEMAS = Object.fromEntries(
  Object.entries(EVENT_TYPES).map(([type, { fields }]) => [
    type,
    z.object({ v: z.literal(1), t: ms, type: z.literal(type), ...fields }),
  ]),
) as unknown as Readonly<Record<EventType, z.ZodType<ExamEvent>>>;

export function isEventType(text: string): text is EventType {
  return Object.hasOwn(EVENT_TYPES, text);
}

/** One line of NDJSON, with its end. Throws where the event is not what its type says. */
export function encodeEvent(event: ExamEvent): string {
  return `${JSON.stringify(SCHEMAS[event.type].parse(event))}\n`;
}

const envelope = z.looseObject({ v: z.literal(1), t: ms, type: z.string().min(1).max(64) });

/** A line that is no event of this version, by its place: shown as unreadable, never dropped in silence. */
export interface UnreadableEvent {
  line: number;
  /** Where the line has one. */
  t: number | null;
  /** Of a later recorder, perhaps. */
  type: string | null;
}

/**
 * Reads an events track. Foreign producers (a file given to the command line) and later versions are possible: what does
 * not fit its type comes back as unreadable.
 */
export function parseEvents(text: string): { events: ExamEvent[]; unreadable: UnreadableEvent[] } {
  const events: ExamEvent[] = [];
  const unreadable: UnreadableEvent[] = [];
  for (const [line, content] of text.split('\n').entries()) {
    if (content.trim() === '') continue;
    const outside = envelope.safeParse(parseJson(content));
    const type = outside.success && isEventType(outside.data.type) ? outside.data.type : undefined;
    const event = type && SCHEMAS[type].safeParse(outside.data);
    if (event?.success) events.push(event.data);
    else unreadable.push({ line, t: outside.data?.t ?? null, type: outside.data?.type ?? null });
  }
  return { events, unreadable };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// ---- accommodations ------------------------------------------------------------------------------------------------------

/**
 * What a seat's ticket grants, signed by the exam's owner. On the wire flat JSON in the ticket; names in a list are separated by
 * commas. Members that are not known here are kept and shown as they are.
 */
export interface Accommodations {
  /** Kinds of tracks that this seat does not record. */
  tracksOff: string[];
  /** Rules of the exam that this seat need not keep. */
  rulesOff: string[];
  /** Event types that are not to be counted for this seat. They are recorded, and shown as ignored. */
  flagsIgnored: string[];
  /** Everything else, e.g. `extra_minutes`. */
  others: Readonly<Record<string, boolean | number | string>>;
}

const accommodationsSchema = z.record(z.string(), z.union([z.boolean(), z.number(), z.string()]));

/** Reads a ticket's accommodations, '' for none. Throws ZodError or SyntaxError for what no owner's tool writes. */
export function parseAccommodations(json: string): Accommodations {
  const members = json === '' ? {} : accommodationsSchema.parse(JSON.parse(json));
  const { tracks_off, rules_off, flags_ignored, ...others } = members;
  return {
    tracksOff: names(tracks_off),
    rulesOff: names(rules_off),
    flagsIgnored: names(flags_ignored),
    others,
  };
}

/** Kinds of tracks that a seat may be let off; the about track is every recording's. */
const TRACKS_OFF = ['webcam', 'screen', 'microphone', 'events', 'mixed', 'photo'];

/**
 * What in a seat's accommodations nobody would follow, e.g. `tracks_off: webcma`: better said before a ticket is signed than found out
 * in the exam. Members that are not known here are left to people.
 */
export function misspelled(members: Readonly<Record<string, boolean | number | string>>): string[] {
  const { tracksOff, rulesOff, flagsIgnored } = parseAccommodations(JSON.stringify(members));
  const isFlag = (type: string) => isEventType(type) && EVENT_TYPES[type].class === 'flag';
  return [
    ...tracksOff.filter((kind) => !TRACKS_OFF.includes(kind)).map((kind) => `tracks_off: ${kind}`),
    ...rulesOff.filter((rule) => !ruleName.safeParse(rule).success).map((rule) => `rules_off: ${rule}`),
    ...flagsIgnored.filter((type) => !isFlag(type)).map((type) => `flags_ignored: ${type}`),
  ];
}

function names(list: boolean | number | string | undefined): string[] {
  return typeof list === 'string'
    ? list
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '')
    : [];
}

// ---- about ---------------------------------------------------------------------------------------------------------------

/** The one JSON object of the about track: names reach the readers here and nowhere else. Every member may be missing. */
export const aboutSchema = z.looseObject({
  /** As the student typed it. */
  name: z.string().optional(),
  /** Of the browser: what it says of itself. */
  device: z
    .looseObject({
      user_agent: z.string().optional(),
      language: z.string().optional(),
      time_zone: z.string().optional(),
    })
    .optional(),
  practice: z.boolean().optional(),
  /** When the notice was acknowledged, wall clock of the device. */
  acknowledged_ms: ms.optional(),
  /** The ticket's, as they stand in it. */
  accommodations: z.record(z.string(), z.unknown()).optional(),
  /** Rounded by the browser's page to about a kilometre, where the policy asks for it and the student allowed it. */
  location: z
    .looseObject({ latitude: z.number(), longitude: z.number(), accuracy_m: z.number() })
    .nullable()
    .optional(),
  /** Added by the recorder where the policy asks for it: the device's network address as the service saw it, null where it did not know. */
  address: z.string().nullable().optional(),
  /** Added by the recorder: how a learning platform let the student in, and the platform's key (`src/client/launch.ts`). */
  launch: z.looseObject({ id_token: z.string(), jwk: z.record(z.string(), z.unknown()) }).optional(),
  /** Added by the recorder: what OPEN's participant hash is about. */
  participant: z.looseObject({ issuer: z.string(), subject: z.string(), salt: z.string() }).optional(),
});
export type About = z.infer<typeof aboutSchema>;
