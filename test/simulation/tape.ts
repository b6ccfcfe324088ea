/**
 * Recordings that were sealed once, with real keys and signatures, and are played in thousands of histories: their times are
 * the recorder's own, which no server believes, so one tape fits every history.
 */
import { toBase64Url } from '../../crypto/format/bytes.ts';
import { formatId } from '../../crypto/format/ids.ts';
import { objectKey } from '../../src/server/core/names.ts';
import {
  makeExam,
  makeReader,
  media,
  type OpenBody,
  type PinnedLog,
  type SealedChunk,
  type TestExam,
  TestRecorder,
} from '../server/recorder.ts';
import { Random } from './random.ts';

/** What a recorder uploads and then counts in one head. */
export interface Step {
  chunks: SealedChunk[];
  /** base64url */
  head: string;
  isClose: boolean;
}

/** One start of the recorder. */
export interface EpochTape {
  epoch: number;
  token: string;
  open: OpenBody;
  steps: Step[];
}

export interface Tape {
  exam: TestExam;
  recordingId: string;
  epochs: EpochTape[];
}

export interface Library {
  /** By retention: 30 days, one day, and practice. */
  exams: TestExam[];
  tapes: Tape[];
}

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** Exams that are open for `days` from `startMs` on, and `tapesEach` recordings of each. */
export async function makeLibrary(
  log: PinnedLog,
  startMs: number,
  days: number,
  tapesEach: number,
  random = new Random(1),
): Promise<Library> {
  const id = () => {
    const bytes = new Uint8Array(16);
    random.fill(bytes);
    return formatId(bytes);
  };
  const reader = await makeReader(1);
  const exams = await Promise.all(
    [
      { retention_days: 30, practice: false },
      { retention_days: 1, practice: false },
      { retention_days: 30, practice: true },
    ].map((terms) =>
      makeExam({
        now: startMs,
        log,
        readers: [reader],
        changes: {
          ...terms,
          exam_id: id(),
          admission: 'link',
          not_before: startMs - HOUR_MS,
          not_after: startMs + days * DAY_MS,
        },
      }),
    ),
  );
  const tapes: Tape[] = [];
  for (const exam of exams) {
    for (let i = 0; i < tapesEach; i++) tapes.push(await seal(exam, id(), startMs, random));
  }
  return { exams, tapes };
}

/** One to three epochs of one to three steps, of which each adds up to two chunks to each track; the last may close. */
async function seal(exam: TestExam, recordingId: string, now: number, random: Random): Promise<Tape> {
  const epochs: EpochTape[] = [];
  const count = random.pick([1, 1, 2, 3]);
  let recorder = await TestRecorder.begin(exam, { now, sessionId: recordingId });
  for (let epoch = 0; epoch < count; epoch++) {
    if (epoch > 0) recorder = await recorder.resume({ now });
    const steps: Step[] = [];
    const length = random.between(1, 3);
    for (let step = 0; step < length; step++) {
      const chunks: SealedChunk[] = [];
      for (const { id: track } of exam.policy.tracks) {
        for (let i = random.between(0, 2); i > 0; i--)
          chunks.push(await recorder.chunk(track, media(20, chunks.length + 1)));
      }
      const isClose = epoch === count - 1 && step === length - 1 && random.chance(0.7);
      steps.push({ chunks, isClose, head: isClose ? await recorder.close() : await recorder.head() });
    }
    epochs.push({ epoch, token: recorder.token, open: recorder.openBody, steps });
  }
  return { exam, recordingId, epochs };
}

export function keyOf(tape: Tape, epoch: number, { track, seq }: SealedChunk): string {
  return objectKey(tape.recordingId, { epoch, track, seq });
}

export function keyIdOf(exam: TestExam): string {
  return exam.readers[0]!.keyIdB64;
}

export function policyBody(exam: TestExam): { policy: string } {
  return { policy: toBase64Url(exam.record) };
}
