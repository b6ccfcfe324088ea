/** Lists that the API answers in pages, one item after the other. */
import type { z } from 'zod';
import type { policySummary, RecordingSummary } from '../../schema/api.ts';
import type { Api } from './api.ts';

/** The newest policy of each exam; not yet verified. */
export async function* examsOf(api: Api): AsyncGenerator<z.infer<typeof policySummary>> {
  let cursor: string | undefined;
  do {
    const page = await api.exams(cursor);
    yield* page.exams;
    cursor = page.cursor;
  } while (cursor !== undefined);
}

export async function* recordingsOf(api: Api, examId: string): AsyncGenerator<RecordingSummary> {
  let cursor: string | undefined;
  do {
    const page = await api.recordings(examId, { ...(cursor !== undefined && { cursor }) });
    yield* page.recordings;
    cursor = page.cursor;
  } while (cursor !== undefined);
}
