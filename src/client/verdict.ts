/** What a reader found, and what follows from it (PROTOCOL.md section 9, verdicts). Pure. */
import type { ProtocolErrorCode } from '../../crypto/format/errors.ts';

/** From best to worst: the verdict of a whole is the worst of its parts. */
export const VERDICTS = ['COMPLETE', 'OPEN-ENDED', 'GAPS', 'INVALID', 'EQUIVOCATION'] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Problem {
  code: ProtocolErrorCode;
  message: string;
  /** The chunk it was found at. */
  seq?: number;
}

export interface TrackFindings {
  track: number;
  kind: number;
  codec: string;
  /** Chunks that are there and verified. */
  chunks: number;
  /** Chunks that the newest head counts. */
  counted: number;
  /** Counted, or below a chunk that is there, and not there. */
  missing: number[];
  /** How many, where `missing` lists the first thousand only. */
  missingCount: number;
  /** Verified chunks beyond the newest head: signed and chained, but nobody promised that they are all. */
  beyond: number;
  /** Whether the recorder ended the track. */
  isFinal: boolean;
  /** Object bytes verified. */
  bytes: number;
  /** End of the last chunk, ms of media time. */
  endMs: number;
  verdict: Verdict;
  problems: Problem[];
}

export interface EpochFindings {
  epoch: number;
  verdict: Verdict;
  headSeq: number | null;
  isClosed: boolean;
  tracks: TrackFindings[];
  problems: Problem[];
  /** In words, for people. */
  reasons: string[];
}

export interface RecordingFindings {
  recordingId: string;
  verdict: Verdict;
  epochs: EpochFindings[];
  problems: Problem[];
  reasons: string[];
}

export function worst(verdicts: Iterable<Verdict>): Verdict {
  let found: Verdict = 'COMPLETE';
  for (const verdict of verdicts) if (VERDICTS.indexOf(verdict) > VERDICTS.indexOf(found)) found = verdict;
  return found;
}

/** A problem alone: two statements that cannot both be honest, or something that does not verify. */
export function verdictOf(problems: readonly Problem[]): Verdict {
  return worst(problems.map(({ code }) => (code === 'equivocation' ? 'EQUIVOCATION' : 'INVALID')));
}

export function judgeTrack(findings: Omit<TrackFindings, 'verdict'>): TrackFindings {
  const gaps: Verdict = findings.missingCount > 0 ? 'GAPS' : 'COMPLETE';
  return { ...findings, verdict: worst([gaps, verdictOf(findings.problems)]) };
}

export interface EpochFacts {
  epoch: number;
  headSeq: number | null;
  /** The newest head closes the recording. */
  isClosed: boolean;
  tracks: TrackFindings[];
  problems: Problem[];
  /** Whether a later epoch follows. */
  isLast: boolean;
  /** Whether the next epoch continues from this one's newest head (or its OPEN, where it has none); true for the last. */
  isContinued: boolean;
  /** Whether the recording was closed at all. */
  isRecordingClosed: boolean;
}

export function judgeEpoch(facts: EpochFacts): EpochFindings {
  const { epoch, headSeq, isClosed, tracks, problems } = facts;
  const reasons: string[] = [];
  let ending: Verdict = 'COMPLETE';
  if (facts.isLast && !isClosed) {
    ending = 'OPEN-ENDED';
    reasons.push(
      headSeq === null ? 'no head: nobody says how much there must be' : `not closed; verified up to head ${headSeq}`,
    );
  } else if (!facts.isContinued) {
    // The next epoch names last words that never arrived: what they count beyond the newest head cannot be known.
    ending = facts.isRecordingClosed ? 'GAPS' : 'OPEN-ENDED';
    reasons.push('the next epoch continues from a later head than the newest that is here');
  }
  for (const { track, missing, beyond, problems: found } of tracks) {
    if (missing.length > 0)
      reasons.push(`track ${track}: ${missing.length} chunks missing, the first is ${missing[0]!}`);
    if (beyond > 0) reasons.push(`track ${track}: ${beyond} chunks beyond the newest head`);
    for (const { message, seq } of found)
      reasons.push(`track ${track}${seq === undefined ? '' : ` chunk ${seq}`}: ${message}`);
  }
  reasons.push(...problems.map(({ message }) => message));
  const verdict = worst([ending, verdictOf(problems), ...tracks.map((track) => track.verdict)]);
  return { epoch, verdict, headSeq, isClosed, tracks, problems, reasons };
}

export function judgeRecording(recordingId: string, epochs: EpochFindings[], problems: Problem[]): RecordingFindings {
  const verdict = worst([verdictOf(problems), ...epochs.map((epoch) => epoch.verdict)]);
  const reasons = [
    ...problems.map(({ message }) => message),
    ...epochs.flatMap(({ epoch, reasons: found }) => found.map((reason) => `epoch ${epoch}: ${reason}`)),
  ];
  return { recordingId, verdict, epochs, problems, reasons };
}
