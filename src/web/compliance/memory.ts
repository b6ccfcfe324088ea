/**
 * What this browser has seen of the log before. A log that changes its key, or takes back what it once signed, is noticed by
 * whoever looked before: the more people look, the less can be rewritten.
 */
import { z } from 'zod';

const KEY = 'zeroreel.log';
const memorySchema = z.object({ vkey: z.string(), checkpoints: z.array(z.string()) });
export type LogMemory = z.infer<typeof memorySchema>;

/** Enough to notice a rewritten past, little enough for any browser. */
const MOST_CHECKPOINTS = 16;

export function recall(): LogMemory | undefined {
  try {
    const parsed = memorySchema.safeParse(JSON.parse(localStorage.getItem(KEY) ?? 'null'));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined; // storage that is switched off remembers nothing
  }
}

export function remember({ vkey, checkpoint }: { vkey: string; checkpoint: string }): void {
  const before = recall()?.checkpoints ?? [];
  const checkpoints = [...before.filter((known) => known !== checkpoint), checkpoint].slice(-MOST_CHECKPOINTS);
  try {
    localStorage.setItem(KEY, JSON.stringify({ vkey, checkpoints } satisfies LogMemory));
  } catch {
    // Nothing is lost but the comparison with next time.
  }
}

export function forget(): void {
  localStorage.removeItem(KEY);
}
