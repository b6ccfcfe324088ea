/** What the Record page and its worker say to each other. Plain data only; no key ever crosses. */
import type { About, Accommodations, CaptureSource, EventFields, EventType, RuleName } from '../../../schema/events.ts';
import type { SeenLog } from '../parts/log-memory.ts';
import type { RecorderProgress } from '../../client/recorder.ts';

/** A reader named by the signed policy. */
export interface ReaderView {
  label: string;
  role: 'instructor' | 'administrator' | 'recovery';
  /** Of the key that opens. */
  fingerprint: string;
}

export interface TrackView {
  track: number;
  kind: 'webcam' | 'screen' | 'microphone' | 'events' | 'mixed' | 'photo' | 'about';
  isRequired: boolean;
  /** By the seat's accommodations. */
  isOff: boolean;
}

/** The exam as its owner signed it, checked against the link's pins. */
export interface ExamView {
  title: string;
  isPractice: boolean;
  retentionDays: number;
  notice: string;
  contact: string;
  readers: ReaderView[];
  ownerFingerprint: string;
  tracks: TrackView[];
  /** Rules of the exam that this seat is to keep. */
  rules: RuleName[];
  mayPause: boolean;
  wantsLocation: boolean;
  wantsAddress: boolean;
  picture: PictureLimits;
  accommodations: Accommodations;
  seat: string | null;
  /** When a recording may be opened. */
  notBeforeMs: number;
  notAfterMs: number;
}

export interface PictureLimits {
  videoHeight: number;
  screenHeight: number;
  /** Of the webcam. */
  frameRate: number;
  screenFrameRate: number;
}

/** What an earlier run of this page left on this device. */
export type Standing =
  | { state: 'none' }
  | {
      state: 'interrupted';
      recordingId: string;
      openedMs: number | null;
      deleteByMs: number | null;
      waitingBytes: number;
    }
  | { state: 'closing'; recordingId: string; waitingBytes: number }
  | { state: 'closed'; receipt: ReceiptView };

export interface ReceiptView {
  recordingId: string;
  deleteByMs: number;
  /** What the student keeps (src/client/kept-receipt.ts). */
  text: string;
  /** The same as a link to the page that checks it. */
  link: string;
}

export interface Look {
  exam: ExamView;
  standing: Standing;
  /** Server minus device, ms. */
  clockOffsetMs: number;
  /** What is to be remembered of the log. */
  seen: SeenLog | null;
}

export interface StartRequest {
  about: About;
  /** Sources whose streams will be attached; events and photo come without one. */
  sources: CaptureSource[];
  hasPhoto: boolean;
}

export interface Started {
  recordingId: string;
  deleteByMs: number;
  epoch: number;
}

/** What the worker does when asked. */
export interface RecorderCalls {
  /** Fetches and checks the exam, holds the log against what this browser saw of it, takes the outbox. */
  look(link: string, seen: SeenLog | null): Promise<Look>;
  /** Opens the recording, or its next epoch where one was interrupted. */
  start(request: StartRequest): Promise<Started>;
  /** Frames or sound of a source, from now on; again after it was unplugged. */
  attach(source: CaptureSource, device: string, frames: ReadableStream): Promise<void>;
  note(event: PageEvent): Promise<void>;
  photo(jpeg: Uint8Array): Promise<void>;
  pause(): Promise<void>;
  goOn(): Promise<void>;
  /** Takes nothing more: after it the devices may be let go, and their silence is no event. */
  stop(): Promise<void>;
  /** After `stop`: uploads the rest and closes. */
  close(): Promise<ReceiptView>;
  /** Uploads what an interrupted recording left, and closes it without recording more. */
  finish(): Promise<ReceiptView>;
}

/** An event that only the page sees. */
export type PageEvent = { [Type in EventType]: { type: Type } & EventFields<Type> }[EventType];

/** What the worker tells unasked. */
export type RecorderNews =
  | { news: 'progress'; progress: RecorderProgress }
  | { news: 'picture'; source: CaptureSource; state: 'dark' | 'frozen' | 'well' }
  | { news: 'sound'; rmsDb: number; isSilent: boolean }
  | { news: 'ended'; source: CaptureSource }
  | { news: 'lost'; lostMs: number }
  | { news: 'failed'; failure: Failure };

/** An error as it crosses: a stable code, and words for people. */
export interface Failure {
  code: string;
  message: string;
  hint?: string | undefined;
}
