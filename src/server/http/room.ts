/** How much more a recording may hold (core/quota.ts), as the store counts it. */
import { isTimeUp, quotaReached, roomOf } from '../core/quota.ts';
import type { Store } from '../ports.ts';
import type { RecordingRow } from '../store.ts';

type Limited = Omit<RecordingRow, 'openedPosition'>;

/** How long the size of an exam is believed: it is a sum over all of its recordings. */
const EXAM_KNOWN_MS = 15_000;

export interface Room {
  /** The limit that is nearer, and how many bytes it leaves; undefined without any. */
  of(recording: Limited, now: number): Promise<ReturnType<typeof roomOf>>;
  /** The same for a recording that nothing was stored of yet. */
  ofNew(recording: Limited, now: number): Promise<ReturnType<typeof roomOf>>;
  /** Before anything is promised: whether the recording may grow by so much. Answers how much may still be signed then, if that is limited. */
  take(recording: RecordingRow, fresh: number, now: number): Promise<number | undefined>;
}

export function createRoom(store: Store): Room {
  const exams = new Map<string, { knownMs: number; bytes: number }>();

  /** The bytes of an exam, as they were a few seconds ago, and what was signed here since. */
  async function examOf(examId: string, now: number): Promise<{ bytes: number }> {
    const known = exams.get(examId);
    if (known && Math.abs(now - known.knownMs) < EXAM_KNOWN_MS) return known;
    for (const [id, { knownMs }] of exams) if (Math.abs(now - knownMs) >= EXAM_KNOWN_MS) exams.delete(id);
    const fresh = { knownMs: now, bytes: await store.bytesOfExam(examId) };
    exams.set(examId, fresh);
    return fresh;
  }

  async function roomBeside(recording: Limited, used: number, now: number) {
    const exam = recording.quotaExamBytes === null ? 0 : (await examOf(recording.examId, now)).bytes;
    return roomOf(recording, { recording: used, exam });
  }

  const of: Room['of'] = async (recording, now) =>
    roomBeside(recording, recording.quotaBytes === null ? 0 : await store.bytesOf(recording.id), now);

  return {
    of,
    ofNew: (recording, now) => roomBeside(recording, 0, now),
    take: async (recording, fresh, now) => {
      const room = await of(recording, now);
      const quota = isTimeUp(recording, now) ? 'time' : room && fresh > room.bytesLeft ? room.quota : undefined;
      if (quota !== undefined && fresh > 0) {
        await store.reachQuota(recording.id, quota);
        throw quotaReached(quota, quota === 'time' ? 0 : room?.bytesLeft);
      }
      if (recording.quotaExamBytes !== null) (await examOf(recording.examId, now)).bytes += fresh;
      return room && room.bytesLeft - fresh;
    },
  };
}
