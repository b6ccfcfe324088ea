import type { Ports } from '../../src/server/ports.ts';

const DAY_MS = 86_400_000;

/** All that a server holds: log size, recordings' rows and shares, and the bucket's keys with their sizes. */
export interface Holdings {
  log: number;
  rows: unknown[];
  shares: { recordingId: string; epoch: number }[];
  tokens: unknown[];
  objects: Record<string, number>;
}

export async function holdingsOf({ store, vault, bucket, clock }: Ports): Promise<Holdings> {
  const objects: Record<string, number> = {};
  for await (const { key, bytes } of bucket.list('')) objects[key] = bytes;
  const rows: unknown[] = [];
  for (const exam of await store.exams(1000)) {
    const recordings = await store.recordings(exam.examId, 1000);
    const held = recordings.map(async (recording) => {
      const epochs = await store.epochs(recording.id);
      const pending = await Promise.all(epochs.map(({ epoch }) => store.pending(recording.id, epoch)));
      const tracks = await store.tracks(recording.id);
      return [
        { recording, epochs, pending, tracks },
        await store.wraps(recording.id),
        await store.grants(recording.id),
      ];
    });
    rows.push(...(await Promise.all(held)).flat(), exam);
  }
  // When a token was last used is no holding: asking changes it.
  const tokens = (await store.tokens()).map(({ lastUsedMs: _, ...token }) => token);
  const { shares } = await vault.list(clock.now() + DAY_MS, 1000);
  return { log: await store.logSize(), rows, shares, tokens, objects };
}
